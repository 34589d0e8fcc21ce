"""The connected pieces of a mesh, and whether they are closed."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ..shapes import Mesh
from .topology import connected_components, disagreeing_edges, has_no_boundary, merge_vertices

_MOST = 2000  # pieces of which boxes are compared
_ROUNDING = 1e-6  # of volumes


@dataclass(frozen=True)
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
