"""Smoothness penalties of the classical baselines; the image loss is `rendering.ImageLoss`."""

from jaxtyping import Float, Int64
from torch import Tensor

from ..geometry import laplacian
from .config import Regularizer


class SmoothnessPenalty:
    """The penalty of the classical baselines: Laplacian, mean of x L x, or bi-Laplacian, mean of |L x|^2.

    Source: Nicolet et al. 2021, the baselines of figures 1 and 7, as released.

    Args:
        faces: Triangles that connect the vertices; the combinatorial Laplacian is built once.
        vertex_count: Number of vertices.
        kind: `laplacian`, `bilaplacian` or `none`.
        weight: Factor on the penalty.
    """

    def __init__(
        self, faces: Int64[Tensor, "F 3"], vertex_count: int, kind: Regularizer, weight: float
    ) -> None:
        self.kind = kind
        self.weight = weight
        self.matrix: Tensor | None = None if kind == "none" or weight == 0 else laplacian(faces, vertex_count)

    def __call__(self, positions: Float[Tensor, "V 3"]) -> Float[Tensor, ""]:
        """The weighted penalty, 0 for the kind `none`."""
        if self.matrix is None:
            return positions.new_zeros(())
        residual = self.matrix @ positions
        product = positions * residual if self.kind == "laplacian" else residual.square()
        return self.weight * product.mean()
