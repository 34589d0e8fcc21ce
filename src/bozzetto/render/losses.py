"""Losses between images, computed in one pass."""

from jaxtyping import Float
from torch import Tensor


def l1_loss(
    images: Float[Tensor, "N H W C"],
    targets: Float[Tensor, "N H W C"],
    weights: Float[Tensor, "N H W"] | None = None,
) -> Float[Tensor, ""]:
    """Mean absolute difference over views, pixels and channels, each pixel times its weight."""
    difference = (images - targets).abs()
    return difference.mean() if weights is None else (difference * weights[..., None]).mean()
