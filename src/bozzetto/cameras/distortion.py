"""Lens models and removal of lens distortion by resampling."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

ROWS = 256
"""Number of rows of a picture that are resampled at a time, to bound memory."""
Projection = Literal["perspective", "equidistant", "fov", "unified", "division"]


@dataclass(frozen=True)
class Lens:
    """A lens model: the deviation from a pinhole camera, before the intrinsics K map its image plane to pixels.

    First the projection moves a point of the ideal plane (x/z, y/z) along its radius r = tan(theta); r becomes

    - `perspective`: r itself;
    - `equidistant`: theta, as fisheye lenses do (Kannala and Brandt 2006, OpenCV's fisheye module);
    - `fov`: atan(2 r tan(w / 2)) / w with `shape` = (w,) (Devernay and Faugeras 2001, equation 13);
    - `unified`: r / (a sqrt(b r^2 + 1) + 1 - a) with `shape` = (a, b) (Khomutenko et al. 2016, equation 11);
    - `division`: the s with s / (1 + k s^2) = r, `shape` = (k,) (Fitzgibbon 2001, equation 2).

    Then Brown's model as in OpenCV is applied to the result, with r its radius: a radial factor
    (1 + k1 r^2 + k2 r^4 + ...) / (1 + d1 r^2 + ...) and shifts.

    Attributes:
        projection: Which of these projections.
        shape: Parameters of the projection.
        radial: k1, k2, ... of the radial factor.
        denominator: d1, d2, ... of the radial factor (OpenCV's k4, k5, k6).
        tangential: p1, p2: the shift (2 p1 x y + p2 (r^2 + 2 x^2), p1 (r^2 + 2 y^2) + 2 p2 x y).
        prism: s1 to s4: the shift (s1 r^2 + s2 r^4, s3 r^2 + s4 r^4).
        in_turn: Whether shifts are computed from the point after applying the radial factor.
    """

    projection: Projection = "perspective"
    shape: tuple[float, ...] = ()
    radial: tuple[float, ...] = ()
    denominator: tuple[float, ...] = ()
    tangential: tuple[float, float] = (0.0, 0.0)
    prism: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    in_turn: bool = False

    def __post_init__(self) -> None:
        """Remove trailing zero coefficients, so that equal lenses compare equal."""
        object.__setattr__(self, "radial", _without_last_zeros(self.radial))
        object.__setattr__(self, "denominator", _without_last_zeros(self.denominator))

    def __bool__(self) -> bool:
        """Whether the lens deviates from a pinhole."""
        polynomial = (*self.radial, *self.denominator, *self.tangential, *self.prism)
        return self.projection != "perspective" or any(polynomial)

    def distort(self, points: Float[Tensor, "P 2"]) -> Float[Tensor, "P 2"]:
        """Distorted positions of points of the ideal image plane; NaN for rays that the lens cannot see."""
        projected = points * self._projected(torch.linalg.vector_norm(points, dim=1))[:, None]
        r2 = (projected * projected).sum(dim=1)
        moved = projected * (_polynomial(self.radial, r2) / _polynomial(self.denominator, r2))[:, None]
        return moved + self._shift(moved if self.in_turn else projected)

    def _projected(self, r: Float[Tensor, "P"]) -> Float[Tensor, "P"]:
        """Factor by which the projection scales a point of radius r."""
        safe = r.clamp(min=1e-12)
        if self.projection == "equidistant":
            return torch.atan(safe) / safe
        if self.projection == "fov":
            (w,) = self.shape
            return torch.atan(2 * safe * torch.tan(safe.new_tensor(w / 2))) / (w * safe)
        if self.projection == "unified":
            a, b = self.shape
            return 1 / (a * torch.sqrt(b * r * r + 1) + 1 - a)
        if self.projection == "division":
            return 2 / (1 + torch.sqrt(1 - 4 * self.shape[0] * r * r))
        return torch.ones_like(r)

    def _shift(self, points: Float[Tensor, "P 2"]) -> Float[Tensor, "P 2"]:
        (p1, p2), (s1, s2, s3, s4) = self.tangential, self.prism
        x, y = points[:, 0], points[:, 1]
        r2 = x * x + y * y
        across = 2 * p1 * x * y + p2 * (r2 + 2 * x * x) + r2 * (s1 + s2 * r2)
        down = p1 * (r2 + 2 * y * y) + 2 * p2 * x * y + r2 * (s3 + s4 * r2)
        return torch.stack([across, down], dim=1)

    def one_to_one(self, points: Float[Tensor, "P 2"]) -> Bool[Tensor, "P"]:
        """Whether points of the ideal plane are nearer to the axis than the `turning_radius`."""
        radius = torch.linalg.vector_norm(points, dim=1)
        return radius < self.turning_radius(float(radius.max()))

    def turning_radius(self, largest: float) -> float:
        """Radius in the ideal plane up to which the distorted radius grows; infinite if it grows up to
        `largest`.

        A polynomial that was fitted within the picture may fold back far outside of it.
        """
        samples = torch.linspace(0, largest, 512, dtype=torch.float64)
        central = Lens(self.projection, self.shape, self.radial, self.denominator)
        image = central.distort(torch.stack([samples, torch.zeros_like(samples)], dim=1))[:, 0]
        turning = torch.nonzero(~(image.diff() > 0))
        return float(samples[turning[0, 0]]) if len(turning) else math.inf


def _without_last_zeros(coefficients: tuple[float, ...]) -> tuple[float, ...]:
    count = max((i + 1 for i, value in enumerate(coefficients) if value != 0), default=0)
    return tuple(coefficients[:count])


def _polynomial(coefficients: tuple[float, ...], r2: Float[Tensor, "P"]) -> Float[Tensor, "P"]:
    """1 + c1 r^2 + c2 r^4 + ..."""
    value = torch.zeros_like(r2)
    for c in reversed(coefficients):
        value = (value + c) * r2
    return 1 + value


def undistort(
    channels: Float[Tensor, "H W C"], K: Float[Tensor, "3 3"], lens: Lens
) -> tuple[Float[Tensor, "H W C"], Bool[Tensor, "H W"]]:
    """The picture that a pinhole would have taken with the same intrinsics and size.

    The scale at the principal point does not change. The outer part of a fisheye picture, which does not fit
    into a pinhole picture of this size, is cut off.

    Args:
        channels: Linear light, masks or anything else that may be interpolated (bilinear).
        K: Intrinsics in pixels, centres at half-integers.
        lens: Lens model of the picture.

    Returns:
        The picture, and whether each pixel has a source: inside the photograph, and where the lens model is one
        to one.
    """
    height, width, _ = channels.shape
    size = torch.tensor([width, height], dtype=torch.float64)
    to_plane = torch.linalg.inv(K[:2, :2]).T
    corners = torch.tensor([[0.0, 0], [1, 0], [0, 1], [1, 1]], dtype=torch.float64) * size
    reach = torch.linalg.vector_norm((corners - K[:2, 2]) @ to_plane, dim=1).max()
    limit = lens.turning_radius(float(reach))
    picture = channels.permute(2, 0, 1)[None]
    straight, known = torch.empty_like(channels), torch.empty(height, width, dtype=torch.bool)
    for top in range(0, height, ROWS):
        rows = torch.arange(top, min(top + ROWS, height), dtype=torch.float64) + 0.5
        v, u = torch.meshgrid(rows, torch.arange(width, dtype=torch.float64) + 0.5, indexing="ij")
        plane = (torch.stack([u, v], dim=-1).reshape(-1, 2) - K[:2, 2]) @ to_plane
        source = lens.distort(plane) @ K[:2, :2].T + K[:2, 2]
        inside = ((source > 0.5 - 1e-6) & (source < size - 0.5 + 1e-6)).all(dim=1)
        inside &= torch.linalg.vector_norm(plane, dim=1) < limit
        places = (2 * source.nan_to_num(0, 0, 0) / size - 1).reshape(1, len(rows), width, 2).to(channels)
        part = slice(top, top + len(rows))
        known[part] = inside.reshape(len(rows), width)
        resampled = torch.nn.functional.grid_sample(
            picture, places, mode="bilinear", padding_mode="border", align_corners=False
        )
        straight[part] = resampled[0].permute(1, 2, 0) * known[part, :, None]
    return straight, known
