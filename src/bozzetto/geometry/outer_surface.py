"""The outer surface of the solid that a mesh encloses: its faces without what lies inside."""

import math

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from ..shapes import Mesh
from .closest import SurfaceIndex
from .face_cutting import cut_faces
from .measures import face_areas
from .shells import Shells
from .topology import component_labels, face_neighbours
from .winding_index import INSIDE, WindingIndex

_WHOLE = 1.2  # accuracy that is enough to tell whole winding numbers apart


def outer_distance(
    index: WindingIndex, shells: Shells, points: Float[Tensor, "P 3"], pairs: Int64[Tensor, "N 2"]
) -> Float[Tensor, " P"]:
    """Distance to the outer surface of a solid; both in the frame of the index.

    Inside is where the winding number exceeds one half. A part of a face that has inside on both sides is no
    part of the surface. Faces that others pass through are cut along the common lines first. What has outside
    on both sides, a sheet, stays.

    Args:
        index: The mesh.
        shells: Its pieces.
        points: Query points.
        pairs: All pairs of its faces that intersect.
    """
    corners = index.corners()
    whole = torch.ones(len(corners), dtype=torch.bool, device=corners.device)
    whole[pairs.flatten()] = False
    outer = corners[whole & ~_faces_within(index, shells, whole)]
    if len(pairs):
        pieces = cut_faces(corners, pairs)[0]
        outer = torch.cat([outer, pieces[~_within(index, shells, pieces)]])
    if len(outer) == 0:
        outer = corners
    vertices = outer.reshape(-1, 3).float()
    faces = torch.arange(len(vertices), device=vertices.device).view(-1, 3)
    return SurfaceIndex(Mesh(vertices, faces)).closest(points).distance


def _within(index: WindingIndex, shells: Shells, triangles: Float64[Tensor, "N 3 3"]) -> Bool[Tensor, " N"]:
    """Which triangles have inside on both sides."""
    most = _WHOLE if shells.closed else math.inf
    within = index.winding_beside(triangles, 1, most) > INSIDE
    within[within.clone()] = index.winding_beside(triangles[within], -1, most) > INSIDE
    return within


def _faces_within(index: WindingIndex, shells: Shells, whole: Bool[Tensor, " F"]) -> Bool[Tensor, " F"]:
    """Which faces have inside on both sides, of those that no other passes through.

    Around a closed mesh, neighbours among these have the same on theirs: the largest face answers for them.
    """
    if not shells.closed:
        return _within(index, shells, index.corners())
    neighbour = face_neighbours(shells.faces).long()
    joined = (neighbour >= 0) & whole[:, None] & whole[neighbour.clamp_min(0)]
    face, edge = joined.nonzero(as_tuple=True)
    patch = component_labels(torch.stack([face, neighbour[face, edge]], dim=1), len(whole))
    order = face_areas(index.vertices, index.mesh.faces).argsort()
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    last = rank.new_zeros(int(patch.max()) + 1).scatter_reduce_(0, patch, rank, "amax")
    return _within(index, shells, index.corners(order[last]))[patch]
