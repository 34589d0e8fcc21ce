"""Mesh simplification, and the repair that keeps the result a manifold."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array, csgraph

from ..errors import InputError
from ..shapes import Mesh, normalisation
from .remesh import transfer
from .self_intersections import untangle
from .topology import drop_unused_vertices

_ROUNDS = 20  # of cutting double edges; each leaves fewer


def separate(mesh: Mesh) -> Mesh:
    """Cut a surface apart where more than two faces share an edge, or fans of faces share a vertex.

    Faces that use a vertex twice are dropped, and two faces with the same corners and opposite winding (a wall
    without thickness) cancel. At an edge with several sheets, two faces stay joined if they enclose the same
    part of the solid. Sheets that touch along one edge and are connected at both its ends get a separate vertex
    in its middle. A closed, consistently wound surface stays closed.

    Args:
        mesh: A consistently wound mesh with few such edges and vertices, as after simplification.

    Returns:
        A manifold of the same shape. Some vertices are duplicated, unused ones are dropped.
    """
    faces = _without_flat_walls(mesh.faces.cpu().numpy())
    vertices = mesh.vertices.detach().cpu().double().numpy()
    colors = None if mesh.colors is None else mesh.colors.detach().cpu().double().numpy()
    values = vertices if colors is None else np.hstack([vertices, colors])
    for _ in range(_ROUNDS):
        values, faces = _split_vertices(values, faces)
        values, faces, cut = _cut_double_edges(values, faces)
        if not cut:
            break
    made = torch.from_numpy(values).to(mesh.vertices)
    new_colors = None if colors is None else made[:, 3:].contiguous()
    return Mesh(
        made[:, :3].contiguous(), torch.from_numpy(faces).to(mesh.faces.device), new_colors, mesh.offset
    )


def _without_flat_walls(faces: NDArray[Any]) -> NDArray[Any]:
    """Faces with three different corners; of those with the same corners, the surplus of one winding."""
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]
    first = faces.argmin(axis=1)
    second, third = (faces[np.arange(len(faces)), (first + k) % 3] for k in (1, 2))
    side = np.where(second < third, 1, -1)
    place = np.unique(np.sort(faces, axis=1), axis=0, return_inverse=True)[1].ravel()
    total = np.bincount(place, weights=side).astype(np.int64)[place]
    order = np.lexsort((side, place))
    key = (2 * place + (side > 0))[order]
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    rank = np.empty(len(faces), np.int64)  # among equal faces
    rank[order] = np.arange(len(faces)) - np.repeat(starts, np.diff(np.r_[starts, len(key)]))
    return faces[(np.sign(total) == side) & (rank < np.abs(total))]


def _split_vertices(values: NDArray[Any], faces: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Make a vertex for every fan of connected faces, in the old order."""
    single, several = _sheets(values, faces)
    one, two = np.concatenate([single, *several]).T
    # The start of a half-edge is the end of its partner, unless the winding changes there.
    crossed = _starts(faces)[one] == _ends(faces)[two]
    links = np.concatenate(
        [
            np.stack([one, np.where(crossed, _following(two), two)]),
            np.stack([_following(one), np.where(crossed, two, _following(two))]),
        ],
        axis=1,
    )
    graph = coo_array((np.ones(links.shape[1]), (links[0], links[1])), shape=(faces.size, faces.size))
    fan = csgraph.connected_components(graph, directed=False)[1]
    corners = np.stack([faces.ravel(), fan], axis=1)
    _, first, index = np.unique(corners, axis=0, return_index=True, return_inverse=True)
    return values[faces.ravel()[first]], index.reshape(-1, 3).astype(np.int64)


def _cut_double_edges(values: NDArray[Any], faces: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], int]:
    """Halve the edge of all sheets but one where several have the same ends; return the number of halved edges,
    too."""
    faces, added, points, touched = faces.copy(), [], [], set()
    for pairs in _sheets(values, faces)[1]:
        for pair in pairs[1:]:
            if touched & {half // 3 for half in pair}:
                continue  # in the next round
            middle = len(values) + len(points)
            points.append(values[_starts(faces)[pair[0]]] / 2 + values[_ends(faces)[pair[0]]] / 2)
            for half in pair:
                face, corner = divmod(int(half), 3)
                touched.add(face)
                added.append(faces[face].copy())
                added[-1][corner] = middle
                faces[face, (corner + 1) % 3] = middle
    if not points:
        return values, faces, 0
    return np.concatenate([values, points]), np.concatenate([faces, added]), len(points)


def _starts(faces: NDArray[Any]) -> NDArray[Any]:
    return faces.ravel()


def _ends(faces: NDArray[Any]) -> NDArray[Any]:
    return np.roll(faces, -1, axis=1).ravel()


def _following(half_edges: NDArray[Any]) -> NDArray[Any]:
    return np.where(half_edges % 3 == 2, half_edges - 2, half_edges + 1)


def _sheets(values: NDArray[Any], faces: NDArray[Any]) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """Pairs of half-edges 3 f + k whose faces are neighbours in a sheet.

    Returns:
        (n, 2) the pairs of edges with two faces, and an array of pairs for every edge with more.
    """
    start, end = _starts(faces), _ends(faces)
    low, high = np.minimum(start, end), np.maximum(start, end)
    order = np.lexsort((high, low))
    change = (low[order][1:] != low[order][:-1]) | (high[order][1:] != high[order][:-1])
    first = np.flatnonzero(np.r_[True, change])
    size = np.diff(np.r_[first, len(order)])
    single = np.stack([order[first[size == 2]], order[first[size == 2] + 1]], axis=1)
    groups = [order[at : at + n] for at, n in zip(first[size > 2], size[size > 2], strict=True)]
    return single, [_around(values[:, :3], faces, group) for group in groups]


def _around(vertices: NDArray[Any], faces: NDArray[Any], halves: NDArray[Any]) -> NDArray[Any]:
    """Pairs among the half-edges of one edge: the faces on both sides of a wedge of the inside.

    Viewed along the edge, a face whose half-edge has the edge's direction has the inside at smaller angles; one
    of the opposite direction has it at larger angles.
    """
    start, end = _starts(faces), _ends(faces)
    low, high = sorted((start[halves[0]], end[halves[0]]))
    along = start[halves] == low
    direction = vertices[high] - vertices[low]
    direction = direction / max(float(np.linalg.norm(direction)), np.finfo(np.float64).tiny)
    opposite = _ends(faces)[_following(halves)]
    into = vertices[opposite] - vertices[low]
    into -= (into @ direction)[:, None] * direction
    angle = np.arctan2(np.cross(into[0], into) @ direction, into @ into[0])
    turn = np.argsort(angle, kind="stable")
    pairs, waiting, taken = [], [], set()
    for place in [*turn, *turn]:  # twice round, for the wedge that the first angle lies in
        half = int(halves[place])
        if half in taken:
            continue
        if not along[place]:
            waiting += [half] if half not in waiting else []
        elif waiting:
            pairs.append((waiting.pop(), half))
            taken |= set(pairs[-1])
    return np.array(pairs, np.int64).reshape(-1, 2)


_LEAST = 4  # faces: a tetrahedron
_HASTE = (3.0, 4.0, 5.0, 6.0, 7.0, 9.0)  # of fast-simplification, the most careful first
_SLACK = 1.02  # of the wanted number, up to which a careful result is good enough


def simplify(mesh: Mesh, faces: int) -> Mesh:
    """Simplify a mesh to at most about the given number of faces, large in flat and small in curved regions.

    Edges are collapsed in the order of the quadric error (Garland and Heckbert 1997) as the package
    fast-simplification does it: by rising thresholds instead of a queue. The package does not preserve
    topology, so collapsed walls are removed and touching surfaces are separated afterwards (`separate`). A
    closed surface stays closed and a manifold stays manifold, but handles or necks thinner than the new
    triangles may disappear. Folds are smoothed (`untangle`). Open boundaries are kept to within the same error.

    Source: Garland and Heckbert 1997, the quadric error.

    Args:
        mesh: Any triangle mesh; seams of doubled vertices are boundaries; `merge_vertices` joins them.
        faces: Target number of faces, at least 4. A mesh that has no more is returned unchanged.

    Returns:
        The simpler mesh on the device of the old one, in its frame, with colours from the nearest points.

    Raises:
        InputError: The mesh is empty or invalid, or `faces` is below 4.
    """
    import fast_simplification

    if faces < _LEAST:
        raise InputError(f"a mesh cannot be simplified to {faces} faces; ask for at least {_LEAST}")
    source = mesh.check().to("cpu")
    if len(source.faces) <= faces:
        return mesh
    frame = normalisation(source.vertices[source.used])  # thresholds of the package are lengths
    positions = frame.apply(source.vertices.double()).numpy()
    best = None
    for haste in _HASTE:
        found = fast_simplification.simplify(positions, source.faces.numpy(), target_count=faces, agg=haste)
        best = found if best is None or len(found[1]) < len(best[1]) else best
        if len(found[1]) <= _SLACK * faces:
            break
    assert best is not None
    vertices = frame.inverse().apply(torch.from_numpy(best[0].copy())).float()
    result = Mesh(vertices, torch.from_numpy(best[1].astype("int64")), offset=source.offset)
    result = untangle(drop_unused_vertices(separate(result))[0])
    if source.colors is not None:
        result = replace(result, colors=transfer(source, source.colors, result.vertices))
    return result.to(mesh.vertices.device)
