"""The connected pieces of a mesh, whether they are closed, and the distance to the outermost of them."""

import math

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from ..shapes import Mesh
from ..values import value_type
from .closest import SurfaceIndex
from .face_cutting import cut_faces
from .measures import face_areas
from .topology import (
    component_labels,
    connected_components,
    disagreeing_edges,
    face_neighbours,
    has_no_boundary,
    merge_vertices,
)
from .winding_index import INSIDE, WindingIndex

_MOST = 2000  # pieces of which boxes are compared
_ROUNDING = 1e-6  # of volumes


@value_type
class Shells:
    """Pieces of a mesh.

    Attributes:
        corners: Positions of the corners of all faces.
        faces: Over vertices of which those in one place are one, if that was needed to close the mesh.
        closed: Whether the mesh has no boundary (`has_no_boundary`).
        label: The piece that each face belongs to.
        count: How many pieces there are.
    """

    corners: Float[Tensor, "F 3 3"]
    faces: Int64[Tensor, "F 3"]
    closed: bool
    label: Int64[Tensor, " F"]
    count: int

    @property
    def inverted(self) -> Bool[Tensor, " F"]:
        """Faces of closed pieces with a negative volume: cavities, and pieces that are turned inside out."""
        if not self.closed:
            return torch.zeros_like(self.label, dtype=torch.bool)
        a, b, c = self.corners.unbind(dim=1)
        volumes = (a * torch.linalg.cross(b, c)).sum(dim=1).double()
        total, size = volumes.sum()[None], volumes.abs().sum()[None]
        if self.count > 1:
            total, size = (
                volumes.new_zeros(self.count).index_add_(0, self.label, v) for v in (volumes, volumes.abs())
            )
        return (total < -_ROUNDING * size)[self.label]

    @property
    def disagreements(self) -> int:
        """Edges at which neighbouring faces look to different sides; none if the mesh is closed."""
        return 0 if self.closed else disagreeing_edges(self.faces)

    @property
    def may_touch(self) -> bool:
        """Whether the boxes of some pieces overlap or touch."""
        if not 1 < self.count <= _MOST:
            return self.count > 1
        owner = self.label.repeat_interleave(3)[:, None].expand(-1, 3)
        places = self.corners.reshape(-1, 3)
        low = places.new_full((self.count, 3), torch.inf).scatter_reduce_(0, owner, places, "amin")
        high = places.new_full((self.count, 3), -torch.inf).scatter_reduce_(0, owner, places, "amax")
        common = (low[:, None] <= high[None]).all(dim=2)
        return int((common & common.T).sum()) > self.count


def shells_of(vertices: Float[Tensor, "V 3"], faces: Int64[Tensor, "F 3"]) -> Shells:
    """The pieces of a sound mesh, in a frame where the middle of its box is about 0."""
    corners = vertices[faces]
    if not (closed := has_no_boundary(faces)):
        faces = merge_vertices(Mesh(vertices, faces))[1][faces]
        closed = has_no_boundary(faces)
    label, count = connected_components(faces, len(vertices))[faces[:, 0]], 1
    if int(label.min()) < int(label.max()):
        names, label = label.unique(return_inverse=True)
        count = len(names)
    else:
        label = torch.zeros_like(label)
    return Shells(corners, faces, closed, label, count)


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
