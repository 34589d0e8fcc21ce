"""Losses of the inverse engine: pictures, and the smoothness penalties of the classical baselines."""

from typing import Literal

from jaxtyping import Float, Int64
from torch import Tensor

from ..geometry import laplacian
from ..render import l1_loss
from .config import Regularizer


def image_loss(
    images: Float[Tensor, "N H W C"],
    targets: Float[Tensor, "N H W C"],
    weights: Float[Tensor, "N H W"] | None,
    kind: Literal["l1", "l2"],
) -> Float[Tensor, ""]:
    """Mean over views, pixels and channels of absolute or squared differences, times the pixels' weights."""
    if kind == "l1":
        return l1_loss(images, targets, weights)
    squared = (images - targets).square()
    return squared.mean() if weights is None else (squared * weights[..., None]).mean()


class SmoothnessPenalty:
    """The penalty of the classical baselines: Laplacian, mean of x L x, or bi-Laplacian, mean of |L x|^2.

    Args:
        faces: Triangles that connect the vertices; the combinatorial Laplacian is built once.
        vertex_count: Number of vertices.
        kind: Which of the two, or none.
        weight: Factor on it.
    """

    def __init__(
        self, faces: Int64[Tensor, "F 3"], vertex_count: int, kind: Regularizer, weight: float
    ) -> None:
        self.kind, self.weight = kind, weight
        self.matrix = None if kind == "none" or weight == 0 else laplacian(faces, vertex_count)

    def __call__(self, positions: Float[Tensor, "V 3"]) -> Float[Tensor, ""]:
        """The weighted penalty; 0 without one."""
        if self.matrix is None:
            return positions.new_zeros(())
        residual = self.matrix @ positions
        product = positions * residual if self.kind == "laplacian" else residual.square()
        return self.weight * product.mean()
