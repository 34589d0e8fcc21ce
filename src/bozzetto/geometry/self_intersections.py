"""Faces of a mesh that pass through each other."""

import torch
import warp as wp
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ..shapes import Mesh
from .launch import in_parts, launch, stream
from .self_intersection_kernels import intersecting_pairs
from .topology import boundary_edges, unique_edges


def self_intersections(mesh: Mesh) -> Bool[Tensor, "F"]:
    """Which faces intersect another face of the same mesh; see `intersecting_faces` for what counts.

    Raises:
        InputError: The mesh is empty, has coordinates that are not finite or faces out of range.
    """
    flags = torch.zeros(len(mesh.faces), dtype=torch.bool, device=mesh.faces.device)
    flags[intersecting_faces(mesh).flatten()] = True
    return flags


def intersecting_faces(mesh: Mesh) -> Int64[Tensor, "N 2"]:
    """All pairs of faces that intersect.

    Two faces without a common corner, or with one, intersect if they share a segment of positive length, or
    an area where they are coplanar; faces that share an edge intersect if they are folded onto each other;
    faces with the same three corners always do. Touching in a point is no intersection, and a face without
    area intersects nothing. Corners at the same position count as common, so seams are no intersections.

    Candidates come from a bounding volume hierarchy, the decision from the interval test of Moller 1997 ("A
    fast triangle-triangle intersection test") in double precision.

    Source: Moller 1997, the interval test.

    Args:
        mesh: Any triangles.

    Returns:
        Face indices, the smaller one first, sorted.

    Raises:
        InputError: The mesh is empty, has coordinates that are not finite or faces out of range.
    """
    mesh.check()
    positions, position = torch.unique(mesh.vertices.detach().contiguous(), dim=0, return_inverse=True)
    pairs = _pairs(positions.contiguous(), position[mesh.faces].contiguous())
    return pairs[(pairs[:, 0] * len(mesh.faces) + pairs[:, 1]).argsort()]


def _pairs(
    vertices: Float[Tensor, "V 3"], faces: Int64[Tensor, "F 3"], chosen: Int64[Tensor, " C"] | None = None
) -> Int64[Tensor, "N 2"]:
    """Pairs of faces that intersect: all of them once, or those of the chosen faces, chosen ones first."""
    device, every = vertices.device, chosen is not None
    corners = vertices[faces]
    lower, upper = corners.amin(dim=1).contiguous(), corners.amax(dim=1).contiguous()
    with stream(device):
        bvh = wp.Bvh(wp.from_torch(lower, dtype=wp.vec3), wp.from_torch(upper, dtype=wp.vec3))

    def search(chosen: Tensor, offset: Tensor, count: Tensor, pairs: Tensor) -> None:
        def run(_: int, start: int, stop: int) -> None:
            own = [chosen[start:stop], every, *(x[start:stop] for x in (offset, count))]
            launch(
                intersecting_pairs, stop - start, [bvh.id, lower, upper, vertices, faces, *own, pairs], device
            )

        in_parts(run, len(chosen), device)

    def empty(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=torch.int64, device=device)

    chosen = torch.arange(len(faces), device=device) if chosen is None else chosen
    count = empty(len(chosen))
    search(chosen, empty(0), count, empty(0, 2))
    chosen, count = chosen[count > 0], count[count > 0]
    pairs = empty(int(count.sum()), 2)
    if len(chosen):
        search(chosen, torch.cumsum(count, dim=0) - count, empty(len(chosen)), pairs)
    return pairs


HALVINGS, TURNS = 12, 30
"""Times that the way of a crossing part is halved before it stays where it was; and searches, at most."""
SMOOTHINGS = 40
"""Times that a crossing part is smoothed, at most."""


def without_crossings(
    start: Float[Tensor, "V 3"], end: Float[Tensor, "V 3"], faces: Int64[Tensor, "F 3"]
) -> tuple[Float[Tensor, "V 3"], int]:
    """Move vertices towards an end as far as no faces cross there.

    Where faces cross, the way of their corners, and of more and more rings of vertices around them, is halved
    until none do. Other vertices reach the end.

    Args:
        start: Positions at which no faces cross.
        end: Wanted positions.
        faces: Triangles.

    Returns:
        Positions at which no faces cross, the start at worst, and how many vertices did not reach the end.
    """
    crossing = _pairs(end.contiguous(), faces)
    if len(crossing) == 0:
        return end, 0
    halved = torch.zeros_like(end[:, 0], dtype=torch.int64)
    for turn in range(TURNS):
        held = _around(crossing, faces, len(end), 1 + turn // 2)
        halved[held] += 1
        fraction = torch.where(halved < HALVINGS, 0.5**halved, 0.0)
        found = start + fraction[:, None] * (end - start)
        crossing = _pairs(found.contiguous(), faces, torch.nonzero(held[faces].any(dim=1))[:, 0])
        if len(crossing) == 0:
            return found, int((halved > 0).sum())
    return start, len(start)


def untangle(mesh: Mesh) -> Mesh:
    """Smooth the parts of a surface where faces cross until none do.

    Corners of crossing faces, with more and more rings of vertices around them, go to the mean of their
    neighbours (umbrella operator). This opens folds and thin parts whose two sides crossed a little; parts that
    have passed through each other stay as they are, see `resurface`. Boundaries stay where they are.

    Args:
        mesh: Triangles.

    Returns:
        The mesh with other positions, or the mesh itself if that does not help.
    """
    faces, vertices = mesh.faces, mesh.vertices.detach()
    crossing = intersecting_faces(mesh)
    if len(crossing) == 0:
        return mesh
    edges = unique_edges(faces)
    fixed = torch.zeros(len(vertices), dtype=torch.bool, device=vertices.device)
    fixed[boundary_edges(faces).flatten()] = True
    ends, others = torch.cat([edges, edges.flip(1)]).unbind(dim=1)
    count = torch.bincount(ends, minlength=len(vertices)).clamp(min=1)[:, None].to(vertices)
    for turn in range(SMOOTHINGS):
        held = _around(crossing, faces, len(vertices), 1 + turn // 5) & ~fixed
        mean = torch.zeros_like(vertices).index_add_(0, ends, vertices[others]) / count
        vertices = torch.where(held[:, None], mean, vertices)
        crossing = _pairs(vertices.contiguous(), faces, torch.nonzero(held[faces].any(dim=1))[:, 0])
        if len(crossing) == 0:
            return mesh.with_vertices(vertices)
    return mesh


def _around(
    pairs: Int64[Tensor, "N 2"], faces: Int64[Tensor, "F 3"], count: int, rings: int
) -> Bool[Tensor, " V"]:
    """Corners of the faces of pairs, and rings of vertices around them."""
    found = torch.zeros(count, dtype=torch.bool, device=faces.device)
    found[faces[pairs.flatten()].flatten()] = True
    for _ in range(rings):
        found[faces[found[faces].any(dim=1)].flatten()] = True
    return found
