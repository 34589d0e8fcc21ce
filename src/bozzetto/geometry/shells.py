"""The connected pieces of a mesh, whether they are closed, and the distance to the outermost of them.

Faces are cut along the lines where others pass through them.
"""

import math

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from ..shapes import Mesh
from ..steps import counted
from ..values import value_type
from .measures import face_areas
from .mesh_queries import INSIDE, SurfaceIndex, WindingIndex
from .topology import (
    component_labels,
    connected_components,
    disagreeing_edges,
    face_neighbours,
    has_no_boundary,
    merge_vertices,
)

_ON = 1e-9  # distance from a plane that counts as none, in a frame where the mesh has about the size 1
_FLAT = 1e-18  # area that counts as none, there


@value_type
class _Cuts:
    """Planes that cut faces.

    Attributes:
        owner: The face that each plane cuts, in ascending order.
        point: A point of the plane.
        normal: Its unit normal.
        ends: Ends of the segment of the face along which it cuts; NaN if there is none.
    """

    owner: Int64[Tensor, " N"]
    point: Float64[Tensor, "N 3"]
    normal: Float64[Tensor, "N 3"]
    ends: Float64[Tensor, "N 2 3"]


def cut_faces(
    corners: Float64[Tensor, "F 3 3"], pairs: Int64[Tensor, "N 2"]
) -> tuple[Float64[Tensor, "P 3 3"], Int64[Tensor, " P"]]:
    """Pieces of faces that no other face passes through, except along their edges.

    Each face is cut along the segments that it has in common with the faces that intersect it, and along the
    edges of those that lie in its own plane. A cut extends to the border of the piece, which is harmless.

    Args:
        corners: Corners of all faces, in a frame where the size of the mesh is about 1.
        pairs: Faces that intersect (`intersecting_faces`).

    Returns:
        Triangles that together cover the faces of the pairs, and the face that each is a part of.
    """
    owner = pairs.unique()
    pieces = corners[owner]
    cuts = _cuts(corners, torch.cat([pairs, pairs.flip(1)]))
    count = torch.bincount(cuts.owner, minlength=len(corners))
    first = count.cumsum(0) - count
    done = [(pieces[:0], owner[:0])]
    for turn in counted(range(int(count.max()))):
        left = count[owner] > turn
        done.append((pieces[~left], owner[~left]))
        pieces, owner = _split(pieces[left], owner[left], cuts, first[owner[left]] + turn)
    done.append((pieces, owner))
    parts, owners = (torch.cat(x) for x in zip(*done, strict=True))
    return parts, owners


def _cuts(corners: Float64[Tensor, "F 3 3"], pairs: Int64[Tensor, "N 2"]) -> _Cuts:
    """Cuts of each first face by each second one."""
    own, other = corners[pairs[:, 0]], corners[pairs[:, 1]]
    normal = _unit(_normals(other))
    apart = ((own - other[:, :1]) @ normal[:, :, None])[..., 0].abs().amax(dim=1)
    flat = apart <= 10 * _ON  # in one plane: cut along the edges
    edges = torch.stack([other[flat], other[flat].roll(-1, dims=1)], dim=2)
    along = edges[:, :, 1] - edges[:, :, 0]
    across = _unit(torch.linalg.cross(along, normal[flat, None].expand_as(along)).view(-1, 3))
    owner = torch.cat([pairs[~flat, 0], pairs[flat, 0].repeat_interleave(3)])
    point = torch.cat([other[~flat, 0], other[flat].reshape(-1, 3)])
    ends = torch.cat([_common_segment(own[~flat], other[~flat]), edges.view(-1, 2, 3)])
    order = owner.argsort(stable=True)
    return _Cuts(owner[order], point[order], torch.cat([normal[~flat], across])[order], ends[order])


def _common_segment(
    own: Float64[Tensor, "N 3 3"], other: Float64[Tensor, "N 3 3"]
) -> Float64[Tensor, "N 2 3"]:
    """Segments in which other triangles intersect the planes of the given ones; NaN where they do not."""
    normal = _unit(_normals(own))
    height = ((other - own[:, :1]) * normal[:, None]).sum(dim=2)
    height = torch.where(height.abs() <= _ON, 0.0, height)
    after, next_height = other.roll(-1, dims=1), height.roll(-1, dims=1)
    share = height / (height - next_height)
    through = other + (after - other) * share[..., None]
    met = torch.cat([height * next_height < 0, height == 0], dim=1)
    places = torch.cat([through, other], dim=1)
    line = torch.linalg.cross(normal, _normals(other))
    where = (places * line[:, None]).sum(dim=2)
    low = torch.where(met, where, torch.inf).argmin(dim=1)
    high = torch.where(met, where, -torch.inf).argmax(dim=1)
    ends = places.gather(1, torch.stack([low, high], dim=1)[..., None].expand(-1, -1, 3))
    return torch.where(met.any(dim=1)[:, None, None], ends, torch.nan)


def _split(
    pieces: Float64[Tensor, "P 3 3"], owner: Int64[Tensor, " P"], cuts: _Cuts, cut: Int64[Tensor, " P"]
) -> tuple[Float64[Tensor, "Q 3 3"], Int64[Tensor, " Q"]]:
    """Pieces after one cut of each."""
    side = ((pieces - cuts.point[cut, None]) * cuts.normal[cut, None]).sum(dim=2)
    side = torch.where(side.abs() <= _ON, 0.0, side)
    through = (side.amin(dim=1) < 0) & (side.amax(dim=1) > 0)
    # Turned so that the first corner is alone on its side; others may lie on the plane.
    sign = side[through].sign()
    alone = torch.where((sign > 0).sum(dim=1) == 1, 1.0, -1.0)
    first = (sign == alone[:, None]).double().argmax(dim=1)
    turned = (first[:, None] + torch.arange(3, device=first.device)) % 3
    a, b, c = pieces[through].gather(1, turned[..., None].expand(-1, -1, 3)).unbind(dim=1)
    at_a, at_b, at_c = side[through].gather(1, turned).unbind(dim=1)
    on_ab = a + (b - a) * (at_a / (at_a - at_b))[:, None]
    on_ac = a + (c - a) * (at_a / (at_a - at_c))[:, None]
    met = _overlap(on_ab, on_ac, cuts.ends[cut[through]])
    through[through.clone()] = met
    a, b, c, on_ab, on_ac = (corner[met] for corner in (a, b, c, on_ab, on_ac))
    parts = [(a, on_ab, on_ac), (on_ab, b, c), (on_ab, c, on_ac)]
    new = torch.cat([torch.stack(part, dim=1) for part in parts])
    sound = _normals(new).norm(dim=1) > 2 * _FLAT
    owners = owner[through].repeat(3)[sound]
    return torch.cat([pieces[~through], new[sound]]), torch.cat([owner[~through], owners])


def _overlap(
    start: Float64[Tensor, "N 3"], end: Float64[Tensor, "N 3"], ends: Float64[Tensor, "N 2 3"]
) -> Bool[Tensor, " N"]:
    """Whether segments on the same lines have more than a point in common."""
    length = (end - start).norm(dim=1)
    where = ((ends - start[:, None]) * _unit(end - start)[:, None]).sum(dim=2)
    return torch.minimum(length, where.amax(dim=1)) - where.amin(dim=1).clamp_min(0) > _ON


def _normals(corners: Float64[Tensor, "N 3 3"]) -> Float64[Tensor, "N 3"]:
    return torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def _unit(vectors: Float64[Tensor, "N 3"]) -> Float64[Tensor, "N 3"]:
    return torch.nn.functional.normalize(vectors, dim=1, eps=1e-300)


_MOST = 2000  # pieces of which boxes are compared
_ROUNDING = 1e-6  # of volumes


@value_type
class Shells:
    """Connected components of a mesh.

    Attributes:
        corners: Positions of the corners of all faces.
        faces: Vertex indices. Vertices at the same position are merged if that is necessary to close the mesh.
        closed: Whether the mesh has no boundary (`has_no_boundary`).
        label: The component that each face belongs to.
        count: Number of components.
    """

    corners: Float[Tensor, "F 3 3"]
    faces: Int64[Tensor, "F 3"]
    closed: bool
    label: Int64[Tensor, " F"]
    count: int

    @property
    def inverted(self) -> Bool[Tensor, " F"]:
        """Faces of closed components with a negative volume: cavities, and components that are inside out."""
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
        """Number of edges at which neighbouring faces are oriented inconsistently; 0 if the mesh is closed."""
        return 0 if self.closed else disagreeing_edges(self.faces)

    @property
    def may_touch(self) -> bool:
        """Whether the bounding boxes of any two components overlap or touch."""
        if not 1 < self.count <= _MOST:
            return self.count > 1
        owner = self.label.repeat_interleave(3)[:, None].expand(-1, 3)
        places = self.corners.reshape(-1, 3)
        low = places.new_full((self.count, 3), torch.inf).scatter_reduce_(0, owner, places, "amin")
        high = places.new_full((self.count, 3), -torch.inf).scatter_reduce_(0, owner, places, "amax")
        common = (low[:, None] <= high[None]).all(dim=2)
        return int((common & common.T).sum()) > self.count


def shells_of(vertices: Float[Tensor, "V 3"], faces: Int64[Tensor, "F 3"]) -> Shells:
    """The components of a valid mesh, in a frame where the middle of its box is about 0."""
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

    Inside is where the winding number exceeds one half. A part of a face with the inside on both sides is not
    part of the surface. Faces that others pass through are first cut along the common lines. Sheets, with the
    outside on both sides, are kept.

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
    """Whether triangles have the inside on both sides."""
    most = _WHOLE if shells.closed else math.inf
    within = index.winding_beside(triangles, 1, most) > INSIDE
    within[within.clone()] = index.winding_beside(triangles[within], -1, most) > INSIDE
    return within


def _faces_within(index: WindingIndex, shells: Shells, whole: Bool[Tensor, " F"]) -> Bool[Tensor, " F"]:
    """Whether faces have the inside on both sides, for faces that no other passes through.

    On a closed mesh, the answer is the same for neighbours among these faces, so only the largest is tested.
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
