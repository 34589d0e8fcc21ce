"""Metrics of pictures and silhouettes: PSNR, photometric error, intersection over union, LPIPS.

LPIPS is computed if it is installed, since its networks are neither shipped nor downloaded by this package.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..images import linear_to_srgb


def psnr(
    prediction: Float[Tensor, "*batch H W C"],
    target: Float[Tensor, "*batch H W C"],
    known: Bool[Tensor, "*batch H W"] | None = None,
    peak: float = 1.0,
) -> float:
    """Peak signal-to-noise ratio 10 log10(peak^2 / mean squared error) in decibels; infinite if equal.

    Args:
        prediction: One or several pictures; there is one value for all of them.
        target: Reference pictures in the same range.
        known: Pixels to compare; None compares all.
        peak: Largest possible value of the pictures.
    """
    squares = (prediction.double() - target.double()) ** 2
    error = squares.mean() if known is None else squares[known].mean()
    return float(10 * torch.log10(peak**2 / error))


def silhouette_iou(
    prediction: Float[Tensor, "N H W"],
    target: Float[Tensor, "N H W"],
    known: Bool[Tensor, "N H W"] | None = None,
) -> Float[Tensor, "N"]:
    """Intersection over union of silhouettes, one value per view.

    A pixel belongs to a silhouette if its coverage is above one half. For two empty silhouettes the value is 1.

    Args:
        prediction: Coverage in [0, 1].
        target: Coverage in [0, 1].
        known: Pixels to compare; None compares all.
    """
    a, b = prediction > 0.5, target > 0.5
    counts = torch.ones_like(a) if known is None else known
    both = (a & b & counts).sum(dim=(1, 2)).float()
    either = ((a | b) & counts).sum(dim=(1, 2)).float()
    return torch.where(either > 0, both / either.clamp(min=1), 1.0)


def photometric_error(
    prediction: Float[Tensor, "N H W 3"],
    target: Float[Tensor, "N H W 3"],
    counts: Bool[Tensor, "N H W"] | None = None,
    encoding: str = "srgb",
) -> Float[Tensor, "N"]:
    """Mean absolute difference of colours, one value per view.

    Args:
        prediction: Linear RGB.
        target: Linear RGB.
        counts: Pixels to compare, for instance those inside both silhouettes and known; None compares all. The
            value is NaN for a view without such pixels.
        encoding: `srgb` compares sRGB-encoded values, which are roughly perceptually uniform; `linear` compares
            linear light.
    """
    if encoding == "srgb":
        prediction, target = linear_to_srgb(prediction.clamp(0, 1)), linear_to_srgb(target.clamp(0, 1))
    difference = (prediction - target).abs().mean(dim=-1)
    weight = torch.ones_like(difference) if counts is None else counts.to(difference)
    return (difference * weight).sum(dim=(1, 2)) / weight.sum(dim=(1, 2))


BACKBONE = "alexnet-owt-7be5be79.pth"


def lpips_missing() -> str | None:
    """The reason why LPIPS cannot be computed on this machine, as a sentence; None if it can."""
    if find_spec("lpips") is None:
        return "LPIPS is not available: the package lpips is not installed (pip install lpips)"
    if not (Path(torch.hub.get_dir()) / "checkpoints" / BACKBONE).is_file():
        return f"LPIPS is not available: its backbone {BACKBONE} has not been downloaded by torchvision"
    return None


def lpips_distance(prediction: Float[Tensor, "H W"], truth: Float[Tensor, "H W"]) -> float | None:
    """LPIPS v0.1 with AlexNet (Zhang et al. 2018) of two maps in [0, 1], grey in all three channels.

    Source: Zhang et al. 2018, LPIPS v0.1 with AlexNet.

    Returns:
        The distance, or None if LPIPS is not available, see `lpips_missing`.
    """
    if lpips_missing() is not None:
        return None
    import lpips  # pyright: ignore[reportMissingImports] (optional)

    network = lpips.LPIPS(net="alex", version="0.1", verbose=False)
    pair = [(m.float() * 2 - 1).cpu().expand(1, 3, -1, -1) for m in (prediction, truth)]
    with torch.no_grad():
        return float(network(*pair))
