"""Faces of a mesh that pass through each other."""

import torch
import warp as wp
from jaxtyping import Bool, Int64
from torch import Tensor

from ..shapes import Mesh
from .launch import in_parts, launch, stream
from .self_intersection_kernels import intersecting_pairs


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
    device = mesh.vertices.device
    vertices = mesh.vertices.detach().contiguous()
    positions, position = torch.unique(vertices, dim=0, return_inverse=True)
    faces = position[mesh.faces].contiguous()
    positions = positions.contiguous()
    lower, upper = (x.contiguous() for x in (positions[faces].amin(dim=1), positions[faces].amax(dim=1)))
    with stream(device):
        bvh = wp.Bvh(wp.from_torch(lower, dtype=wp.vec3), wp.from_torch(upper, dtype=wp.vec3))

    def search(chosen: Tensor, offset: Tensor, count: Tensor, pairs: Tensor) -> None:
        def run(_: int, start: int, stop: int) -> None:
            own = [x[start:stop] for x in (chosen, offset, count)]
            arguments = [bvh.id, lower, upper, positions, faces, *own, pairs]
            launch(intersecting_pairs, stop - start, arguments, device)

        in_parts(run, len(chosen), device)

    def empty(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=torch.int64, device=device)

    chosen, count = torch.arange(len(faces), device=device), empty(len(faces))
    search(chosen, empty(0), count, empty(0, 2))
    chosen, count = chosen[count > 0], count[count > 0]
    pairs = empty(int(count.sum()), 2)
    if len(chosen):
        search(chosen, torch.cumsum(count, dim=0) - count, empty(len(chosen)), pairs)
    return pairs[(pairs[:, 0] * len(faces) + pairs[:, 1]).argsort()]
