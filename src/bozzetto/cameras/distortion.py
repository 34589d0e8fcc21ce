"""Undoing lens distortion by resampling."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

PARAMETERS = ("k1", "k2", "k3", "k4", "p1", "p2")
"""Radial (k) and tangential (p) coefficients, in the order used here."""


def distort(points: Float[Tensor, "P 2"], coefficients: Float[Tensor, "6"]) -> Float[Tensor, "P 2"]:
    """Where a lens puts points of the ideal image plane (x/z, y/z).

    Brown's model as in OpenCV, with the radial polynomial 1 + k1 r^2 + k2 r^4 + k3 r^6 + k4 r^8 that
    transforms.json files use (OpenCV's order of coefficients is k1 k2 p1 p2 k3).
    """
    k1, k2, k3, k4, p1, p2 = coefficients
    x, y = points[:, 0], points[:, 1]
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * (k3 + r2 * k4)))
    return torch.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ],
        dim=1,
    )


def undistort(
    channels: Float[Tensor, "H W C"], K: Float[Tensor, "3 3"], coefficients: Float[Tensor, "6"]
) -> tuple[Float[Tensor, "H W C"], Bool[Tensor, "H W"]]:
    """The picture that a lens without distortion would have taken with the same intrinsics.

    Args:
        channels: Linear light, masks or anything else that may be interpolated (bilinear).
        K: Intrinsics in pixels, centres at half-integers.
        coefficients: In the order of `PARAMETERS`.

    Returns:
        The picture, and the pixels that have a source: inside the photograph, and where the lens model
        is one to one (a polynomial fitted to the image folds back far outside it).
    """
    height, width, _ = channels.shape
    v, u = torch.meshgrid(
        torch.arange(height, dtype=torch.float64) + 0.5,
        torch.arange(width, dtype=torch.float64) + 0.5,
        indexing="ij",
    )
    pixels = torch.stack([u, v], dim=-1).reshape(-1, 2)
    plane = (pixels - K[:2, 2]) @ torch.linalg.inv(K[:2, :2]).T
    source = distort(plane, coefficients) @ K[:2, :2].T + K[:2, 2]
    size = torch.tensor([width, height], dtype=torch.float64)
    inside = ((source > 0.5 - 1e-6) & (source < size - 0.5 + 1e-6)).all(dim=1) & _one_to_one(
        plane, coefficients
    )
    places = (2 * source / size - 1).reshape(1, height, width, 2).to(channels)
    resampled = torch.nn.functional.grid_sample(
        channels.permute(2, 0, 1)[None], places, mode="bilinear", padding_mode="border", align_corners=False
    )
    known = inside.reshape(height, width)
    return resampled[0].permute(1, 2, 0) * known[..., None], known


def _one_to_one(points: Float[Tensor, "P 2"], coefficients: Float[Tensor, "6"]) -> Bool[Tensor, "P"]:
    """Points nearer to the axis than the radius at which the radial polynomial first turns back."""
    k1, k2, k3, k4 = coefficients[:4]
    radius = torch.linalg.vector_norm(points, dim=1)
    samples = torch.linspace(0, float(radius.max()), 512, dtype=torch.float64)
    s2 = samples * samples
    slope = 1 + s2 * (3 * k1 + s2 * (5 * k2 + s2 * (7 * k3 + s2 * 9 * k4)))
    turning = torch.nonzero(slope <= 0)
    return radius < samples[turning[0, 0]] if len(turning) else torch.ones_like(radius, dtype=torch.bool)
