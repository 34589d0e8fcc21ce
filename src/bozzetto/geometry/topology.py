"""Connectivity of triangle meshes: edges, neighbours, components and defects.

Everything here is sorting and counting on the device of the faces. Nothing looks at positions except
`merge_vertices`. A face that names a vertex twice is called collapsed: it has no area, so it has no
neighbours and closes no hole.
"""

import numpy as np
import torch
from jaxtyping import Bool, Int32, Int64
from scipy.sparse import coo_array, csgraph
from torch import Tensor

from ..errors import InputError
from ..shapes import Mesh


def component_labels(pairs: Tensor, count: int) -> Tensor:
    """Label of the connected component of each of `count` nodes; a graph search, done on the CPU."""
    i, j = pairs.cpu().numpy().T
    graph = coo_array((np.ones(len(i)), (i, j)), shape=(count, count))
    labels = csgraph.connected_components(graph, directed=False)[1]
    return torch.from_numpy(labels.astype(np.int64)).to(pairs.device)


def unique_edges(faces: Int64[Tensor, "F 3"]) -> Int64[Tensor, "E 2"]:
    """Every undirected edge once, the smaller vertex first, in lexicographic order."""
    edges = _half_edges(faces).reshape(-1, 2)
    edges = edges[edges[:, 0] != edges[:, 1]]
    keys, base = _keys(edges)
    keys = torch.unique(keys)
    return torch.stack([keys // base, keys % base], dim=1)


def face_neighbours(faces: Int64[Tensor, "F 3"]) -> Int32[Tensor, "F 3"]:
    """The face on the other side of every edge.

    Returns:
        Column k belongs to the edge from corner k to corner (k + 1) mod 3; -1 where the surface ends, where
        more than two faces meet, and on collapsed faces. Faces of opposite winding are still neighbours.
    """
    first, second = _pairs(faces)
    neighbours = torch.full((3 * len(faces),), -1, dtype=torch.int32, device=faces.device)
    neighbours[first] = (second // 3).to(torch.int32)
    neighbours[second] = (first // 3).to(torch.int32)
    return neighbours.reshape(-1, 3)


def boundary_edges(faces: Int64[Tensor, "F 3"]) -> Int64[Tensor, "B 2"]:
    """Edges with a face on one side only, directed as that face winds (the surface lies on their left)."""
    order, size = _runs(faces)
    alone = order[size == 1].sort().values
    return torch.stack([faces.flatten()[alone], faces.roll(-1, dims=1).flatten()[alone]], dim=1)


def connected_components(faces: Int64[Tensor, "F 3"], vertex_count: int) -> Int64[Tensor, "V"]:
    """A label per vertex, the same for vertices that edges join.

    Labels count from 0 by the smallest vertex of each component; a vertex without edges has its own.

    Raises:
        InputError: Faces name vertices beyond `vertex_count`.
    """
    check_range(faces, vertex_count)
    return component_labels(torch.cat([faces[:, :2], faces[:, 1:]]), vertex_count)


def is_watertight(faces: Int64[Tensor, "F 3"]) -> bool:
    """Whether there are faces and every edge belongs to exactly two of them.

    Winding (`is_consistently_wound`) and self-intersections are not checked.
    """
    _, size = _runs(faces)
    return len(size) > 0 and bool((size == 2).all())


def is_consistently_wound(faces: Int64[Tensor, "F 3"]) -> bool:
    """Whether every two neighbouring faces run along their common edge in opposite directions."""
    return disagreeing_edges(faces) == 0


def disagreeing_edges(faces: Int64[Tensor, "F 3"]) -> int:
    """Number of edges along which two neighbouring faces run in the same direction."""
    first, second = _pairs(faces)
    start = faces.flatten()
    return int((start[first] == start[second]).sum())


def has_no_boundary(faces: Int64[Tensor, "F 3"]) -> bool:
    """Whether every edge is run along as often in one direction as in the other.

    Then the surface is closed in the sense that all its winding numbers are integers. The test compares sums of
    hashed edges, which is much faster than sorting.
    """
    total = 0
    for start, end in ((0, 1), (1, 2), (2, 0)):
        there, back = _hashed(faces[:, start], faces[:, end]), _hashed(faces[:, end], faces[:, start])
        total += int((there - back).sum())
    return total % 2**64 == 0


def orientation_parity(faces: Int64[Tensor, "F 3"]) -> Int64[Tensor, " F"]:
    """1 for faces whose corners ascend when read round from one of them, -1 for others."""
    a, b, c = faces.unbind(dim=1)
    return 1 - 2 * ((a < b) ^ (b < c) ^ (c < a)).long()


def is_double_sided(faces: Int64[Tensor, "F 3"]) -> bool:
    """Whether every face has a partner on the same corners with opposite winding; by a hashed sum."""
    low, high = faces.amin(dim=1), faces.amax(dim=1)
    place = _hashed(_hashed(low, high), faces.sum(dim=1))
    return int((place * orientation_parity(faces)).sum()) == 0


def _hashed(start: Int64[Tensor, " F"], end: Int64[Tensor, " F"]) -> Int64[Tensor, " F"]:
    """A pseudorandom number for each ordered pair (the mixing of splitmix64)."""
    mixed = start * -7046029254386353131 + end * -4417276706812531889
    mixed = (mixed ^ (mixed >> 30)) * -4658895280553007687
    mixed = (mixed ^ (mixed >> 27)) * -7723592293110705685
    return mixed ^ (mixed >> 31)


def is_manifold(faces: Int64[Tensor, "F 3"], vertex_count: int) -> bool:
    """Whether the surface is everywhere like a disc or, at its boundary, half a disc.

    That is: at most two faces at every edge, and the faces around every vertex form one fan, so that surfaces
    touching in a single vertex are found too. Collapsed faces are passed over.

    Raises:
        InputError: Faces name vertices beyond `vertex_count`.
    """
    check_range(faces, vertex_count)
    _, size = _runs(faces)
    return not bool((size > 2).any()) and not bool(split_vertices(faces, vertex_count).any())


def split_vertices(faces: Int64[Tensor, "F 3"], vertex_count: int) -> Bool[Tensor, "V"]:
    """Vertices where more than one fan of faces meets."""
    corner_vertex = faces.flatten()
    # Two corners of one vertex are linked when their faces are neighbours across an edge at that vertex.
    first, second = _pairs(faces)
    one = torch.stack([first, _next(first)], dim=1)  # the corners at both ends of the half-edge
    two = torch.stack([second, _next(second)], dim=1)
    crossed = corner_vertex[one[:, 0]] != corner_vertex[two[:, 0]]
    two = torch.where(crossed[:, None], two.flip(1), two)
    links = torch.stack([one.flatten(), two.flatten()], dim=1)
    fan = component_labels(links, len(corner_vertex))
    sound = (~_collapsed(faces)).repeat_interleave(3)
    owner = torch.zeros_like(corner_vertex)
    owner[fan[sound]] = corner_vertex[sound]
    fans = torch.bincount(owner[torch.unique(fan[sound])], minlength=vertex_count)
    return fans > 1


def euler_number(faces: Int64[Tensor, "F 3"]) -> int:
    """V - E + F over the vertices that faces use: 2 for a sphere, 0 for a torus.

    Collapsed faces do not count.
    """
    faces = faces[~_collapsed(faces)]
    return len(torch.unique(faces)) - len(unique_edges(faces)) + len(faces)


def merge_vertices(mesh: Mesh, tolerance: float = 0.0) -> tuple[Mesh, Int64[Tensor, "V"]]:
    """Join vertices at the same position, so that a surface cut along seams becomes one again.

    Args:
        mesh: The mesh.
        tolerance: Edge length of the grid, in the unit of the mesh; vertices in one cell are joined. 0 joins
            exactly equal positions only.

    Returns:
        The mesh, with the first vertex (and colour) of each group, in their old order, and without the faces
        that collapsed; and the new index of every old vertex.
    """
    places = mesh.vertices.detach()
    if tolerance > 0:
        places = (places.double() / tolerance).round()
    keys = torch.zeros(len(places), dtype=torch.int64, device=places.device)
    for axis in places.T:  # three sorts of numbers are far cheaper than one of rows
        rank = torch.unique(axis, return_inverse=True)[1]
        keys = torch.unique(keys * max(len(places), 1) + rank, return_inverse=True)[1]
    first = torch.full_like(keys, len(keys))
    first.scatter_reduce_(0, keys, torch.arange(len(keys), device=keys.device), "amin")
    kept = torch.zeros(len(keys), dtype=torch.bool, device=keys.device)
    kept[first[keys]] = True
    index = (kept.cumsum(0) - 1)[first[keys]]
    faces = index[mesh.faces]
    colors = None if mesh.colors is None else mesh.colors[kept]
    return Mesh(mesh.vertices[kept], faces[~_collapsed(faces)], colors, mesh.offset), index


def drop_unused_vertices(mesh: Mesh) -> tuple[Mesh, Int64[Tensor, "V"]]:
    """Leave out the vertices that no face uses.

    Returns:
        The mesh, its vertices in their old order; and the new index of every old vertex, -1 where dropped.
    """
    used = mesh.used
    index = torch.where(used, used.cumsum(0) - 1, -1)
    colors = None if mesh.colors is None else mesh.colors[used]
    return Mesh(mesh.vertices[used], index[mesh.faces], colors, mesh.offset), index


CODE_BITS = 10
"""Bits of each coordinate in the code that vertices are sorted by."""


def in_spatial_order(mesh: Mesh) -> Mesh:
    """The mesh with vertices along a Z-order curve (Morton 1966) and faces in the order of their vertices.

    What lies together on the surface then lies together in memory, so that kernels and solvers take less time.
    """
    low, high = mesh.vertices.amin(dim=0), mesh.vertices.amax(dim=0)
    scale = (2**CODE_BITS - 1) / (high - low).amax().clamp(min=torch.finfo(mesh.vertices.dtype).tiny)
    cells = ((mesh.vertices - low) * scale).long()
    code = torch.zeros_like(cells[:, 0])
    for bit in range(CODE_BITS):
        for axis in range(3):
            code |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    order = torch.argsort(code, stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    faces = place[mesh.faces]
    faces = faces[torch.argsort(faces.amin(dim=1), stable=True)]
    colors = None if mesh.colors is None else mesh.colors[order]
    return Mesh(mesh.vertices[order], faces, colors, mesh.offset)


def check_range(faces: Int64[Tensor, "F 3"], vertex_count: int) -> None:
    """Raise InputError unless every face index lies in 0 to vertex_count - 1."""
    if faces.numel() == 0:
        return
    low, high = int(faces.min()), int(faces.max())
    if low < 0 or high >= vertex_count:
        raise InputError(
            f"faces name vertices {low} to {high} of a mesh with {vertex_count} vertices; "
            f"indices must lie in 0 to {vertex_count - 1}"
        )


def _half_edges(faces: Tensor) -> Tensor:
    """(F, 3, 2) sorted end points of the edge from corner k to corner k + 1."""
    after = faces.roll(-1, dims=1)
    return torch.stack([torch.minimum(faces, after), torch.maximum(faces, after)], dim=2)


def _keys(edges: Tensor) -> tuple[Tensor, int]:
    """One integer per edge in lexicographic order: first * base + second."""
    base = int(edges.max()) + 1 if edges.numel() else 1
    return edges[..., 0] * base + edges[..., 1], base


def _collapsed(faces: Tensor) -> Tensor:
    a, b, c = faces.unbind(1)
    return (a == b) | (b == c) | (c == a)


def _runs(faces: Tensor) -> tuple[Tensor, Tensor]:
    """Half-edges 3 f + k of faces that are not collapsed, sorted by edge; and the number of faces per edge.

    The second result repeats the number of faces at the edge for each of its half-edges.
    """
    keys = _keys(_half_edges(faces))[0].flatten()
    sound = torch.nonzero((~_collapsed(faces)).repeat_interleave(3)).squeeze(1)
    keys, order = keys[sound].sort(stable=True)
    sizes = torch.unique_consecutive(keys, return_counts=True)[1]
    return sound[order], sizes.repeat_interleave(sizes)


def _pairs(faces: Tensor) -> tuple[Tensor, Tensor]:
    """The two half-edges of every edge with exactly two faces."""
    order, size = _runs(faces)
    first, second = order[size == 2].reshape(-1, 2).unbind(1)
    return first, second


def _next(half_edges: Tensor) -> Tensor:
    return torch.where(half_edges % 3 == 2, half_edges - 2, half_edges + 1)
