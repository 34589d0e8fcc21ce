"""Graph and cotangent Laplacians as sparse matrices.

Conventions: positive semi-definite (the diagonal is positive), symmetric, rows that sum to 0, and no area
weights: the matrix of the quadratic form 1/2 x^T L x, not a pointwise operator. Matrices are coalesced sparse
COO tensors that store every diagonal entry, `matrix @ x` is differentiable with respect to x, and the matrices
have no gradient.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..errors import InputError
from .measures import corner_edges
from .topology import check_range, unique_edges


def laplacian(faces: Int64[Tensor, "F 3"], vertex_count: int) -> Float[Tensor, "V V"]:
    """The combinatorial Laplacian: L_ii is the number of edges at i, L_ij = -1 for every edge.

    Open surfaces, several components, vertices without faces and non-manifold edges are allowed.

    Source: Nicolet et al. 2021, the combinatorial Laplacian of all its figures.

    Args:
        faces: Triangles that define the edges.
        vertex_count: Size of the matrix.

    Raises:
        InputError: Faces name vertices beyond `vertex_count`.
    """
    check_range(faces, vertex_count)
    edges = unique_edges(faces)
    return _from_edges(edges, torch.ones(len(edges), dtype=torch.float64, device=faces.device), vertex_count)


def cotangent_laplacian(vertices: Float[Tensor, "V 3"], faces: Int64[Tensor, "F 3"]) -> Float[Tensor, "V V"]:
    """The cotangent Laplacian: L_ij = -(cot a + cot b) / 2 with a, b the angles opposite of edge ij.

    It is the Dirichlet energy of linear elements (Pinkall and Polthier 1993), so it does not depend on the
    scale, and it is positive semi-definite even where obtuse angles make weights negative. The area of a
    sliver is taken as at least 1e-5 of the sum of its squared sides (at most 0.144), which bounds its weights
    and keeps it positive semi-definite; faces that are a point have no weight.

    Source: Pinkall and Polthier 1993, the Dirichlet energy.

    Args:
        vertices: Positions; their precision is that of the result, and no gradient flows to them.
        faces: Corner indices.

        Raises:
            InputError: A face has a vertex index out of range.
    """
    check_range(faces, len(vertices))
    u, v, w = corner_edges(vertices.detach().double(), faces)
    squares = (u.square() + v.square() + w.square()).sum(dim=1)
    double_area = torch.linalg.vector_norm(torch.linalg.cross(u, v), dim=1)
    double_area = double_area.clamp_min(2e-5 * squares).clamp_min(torch.finfo(torch.float64).tiny)
    # Half the cotangents of the angles at a, b and c; each is the weight of the edge on the other side.
    cotangents = torch.stack([(u * v).sum(dim=1), -(u * w).sum(dim=1), (v * w).sum(dim=1)], dim=1)
    weights = cotangents / (2 * double_area[:, None])
    a, b, c = faces.unbind(1)
    edges = torch.stack([torch.stack([b, c], 1), torch.stack([c, a], 1), torch.stack([a, b], 1)], dim=1)
    return _from_edges(edges.reshape(-1, 2), weights.flatten(), len(vertices), vertices.dtype)


def grid_laplacian(
    height: int, width: int, periodic: bool = False, device: torch.device | str = "cpu"
) -> Float[Tensor, "P P"]:
    """The combinatorial Laplacian of a grid of texels, each joined to the 4 beside it; rows first.

    Args:
        height: Rows of the grid.
        width: Columns.
        periodic: Join opposite borders (a texture that tiles) instead of ending there. Along a side of
            length 2 this counts the edge twice, as the discrete Fourier transform does.
        device: Where the matrix lives.
    """
    if height < 1 or width < 1:
        raise InputError(f"a grid needs at least one row and one column, got {height} x {width}")
    index = torch.arange(height * width, device=device).reshape(height, width)
    along, down = index.roll(-1, dims=1), index.roll(-1, dims=0)
    if periodic:
        pairs = [(index, along), (index, down)]
    else:
        pairs = [(index[:, :-1], along[:, :-1]), (index[:-1], down[:-1])]
    edges = torch.cat([torch.stack([i.flatten(), j.flatten()], dim=1) for i, j in pairs])
    return _from_edges(edges, torch.ones(len(edges), dtype=torch.float64, device=device), height * width)


def _from_edges(edges: Tensor, weights: Tensor, count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The Laplacian of these weighted edges; repeated ones add up, loops cancel."""
    i, j = edges.unbind(1)
    diagonal = torch.arange(count, device=edges.device)
    keys = torch.cat([i * count + j, j * count + i, diagonal * (count + 1)])
    keys, place = torch.unique(keys, return_inverse=True)
    degree = weights.new_zeros(count).index_add(0, i, weights).index_add(0, j, weights)
    values = weights.new_zeros(len(keys)).index_add(0, place, torch.cat([-weights, -weights, degree]))
    indices = torch.stack([keys // count, keys % count])
    return torch.sparse_coo_tensor(
        indices, values.to(dtype), (count, count), is_coalesced=True, check_invariants=False
    )
