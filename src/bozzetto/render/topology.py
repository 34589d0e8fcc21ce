"""Connectivity of a mesh as the kernels use it, worked out once per mesh."""

from functools import cached_property
from weakref import ref

import torch
from jaxtyping import Int, Int32
from torch import Tensor

from ..geometry import connected_components, face_neighbours


class Topology:
    """Triangles, and which of them meet at their edges.

    Attributes:
        faces: Vertex indices.
    """

    def __init__(self, faces: Int[Tensor, "F 3"]) -> None:
        self.faces: Int32[Tensor, "F 3"] = faces.to(torch.int32).contiguous()

    @cached_property
    def neighbours(self) -> Int32[Tensor, "F 3"]:
        """The triangle across the edge (corner k, corner k + 1), or -1.

        A neighbour n that winds the other way is stored as -2 - n: what one shows as its outside, the other
        shows as its inside.
        """
        neighbours = face_neighbours(self.faces.long())
        start, end = self.faces, self.faces.roll(-1, dims=1)
        theirs = self.faces[neighbours.clamp(min=0).long()]  # (F, 3 edges, 3 corners)
        same_direction = (theirs == start[..., None]) & (theirs.roll(-1, dims=2) == end[..., None])
        flipped = (neighbours >= 0) & same_direction.any(dim=2)
        return torch.where(flipped, -2 - neighbours, neighbours).contiguous()

    @cached_property
    def component(self) -> Int32[Tensor, " F"]:
        """Connected component of every triangle; empty if all belong to one."""
        faces = self.faces.long()
        count = int(faces.max()) + 1 if len(faces) else 0
        labels = connected_components(faces, count)[faces[:, 0]].to(torch.int32)
        several = len(labels) > 0 and bool((labels != labels[0]).any())
        return labels.contiguous() if several else labels[:0]

    @cached_property
    def has_boundary(self) -> bool:
        """Whether some edge has a triangle on one side only, or triangles of opposite winding."""
        return bool((self.neighbours < 0).any())


_recent: list[tuple[ref, int, Topology]] = []


def topology_of(faces: Int[Tensor, "F 3"]) -> Topology:
    """The connectivity of these faces; the last few are remembered as long as their tensor is unchanged."""
    _recent[:] = [entry for entry in _recent if entry[0]() is not None][-8:]
    for tensor, version, topology in _recent:
        if tensor() is faces and version == faces._version:
            return topology
    topology = Topology(faces)
    _recent.append((ref(faces), faces._version, topology))
    return topology
