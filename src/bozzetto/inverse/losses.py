"""Smoothness penalties of the surface; the image loss is `rendering.ImageLoss`."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..geometry import edge_lengths, laplacian, unique_edges, vertex_areas
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


class NeighbourPull:
    """A weak pull of every vertex towards the mean of its neighbours, for parts that no picture shows.

    The gradient at vertex i is weight (A_i / A) (x_i - m_i) / h, with m_i the mean of its neighbours, A_i the
    area around it, A that of the surface and h the edge length. So it is in a fixed proportion to the gradient
    of the mean image loss, whatever the size of the triangles.

    Source: Palfinger 2022, its Laplacian regularisation. Differs: weighted by area instead of the speed of the
    vertex.

    Args:
        faces: Triangles.
        vertex_count: Number of vertices.
        weight: Factor; much less than 1.
    """

    def __init__(self, faces: Int64[Tensor, "F 3"], vertex_count: int, weight: float) -> None:
        self.faces = faces
        self.weight = weight
        self.edges: Int64[Tensor, "E 2"] = unique_edges(faces)
        self.valence: Tensor = torch.bincount(self.edges.flatten(), minlength=vertex_count).clamp(min=1)

    def __call__(self, positions: Float[Tensor, "V 3"]) -> Float[Tensor, ""]:
        """A value with this gradient; the value itself has no meaning."""
        x, (a, b) = positions.detach(), self.edges.unbind(dim=1)
        means = torch.zeros_like(x).index_add_(0, a, x[b]).index_add_(0, b, x[a]) / self.valence[:, None]
        areas = vertex_areas(x, self.faces)
        share = areas / areas.sum() / edge_lengths(x, self.edges).mean()
        return (self.weight * share[:, None] * (x - means) * positions).sum()
