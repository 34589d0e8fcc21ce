"""Lengths and areas of triangle meshes, differentiable by the positions."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def corner_edges(
    vertices: Float[Tensor, "V 3"], faces: Int64[Tensor, "F 3"]
) -> tuple[Float[Tensor, "F 3"], Float[Tensor, "F 3"], Float[Tensor, "F 3"]]:
    """The edge vectors b - a, c - a and c - b of every face (a, b, c)."""
    # index_select scatters its gradient by adding; indexing with brackets would sort first.
    a, b, c = vertices.index_select(0, faces.flatten()).reshape(-1, 3, 3).unbind(1)
    return b - a, c - a, c - b


def face_areas(vertices: Float[Tensor, "V 3"], faces: Int64[Tensor, "F 3"]) -> Float[Tensor, "F"]:
    """Area of every face in the squared unit of the vertices; the gradient is zero where the area is."""
    u, v, _ = corner_edges(vertices, faces)
    cross = torch.linalg.cross(u.double(), v.double())  # its square may leave the range of float32
    return (torch.linalg.vector_norm(cross, dim=1) / 2).to(vertices.dtype)


def edge_lengths(vertices: Float[Tensor, "V 3"], edges: Int64[Tensor, "E 2"]) -> Float[Tensor, "E"]:
    """Length of every edge, for instance of `unique_edges(faces)`, in the unit of the vertices."""
    a, b = vertices.index_select(0, edges.flatten()).reshape(-1, 2, 3).unbind(1)
    return torch.linalg.vector_norm(b - a, dim=1)
