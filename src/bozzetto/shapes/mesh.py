"""Triangle meshes."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ..errors import InputError
from ..values import value_type
from .offsets import NO_OFFSET, Offset, checked_offset, in_world, shifted


@value_type
class Mesh:
    """A triangle mesh.

    Attributes:
        vertices: Positions, float32, in the frame and unit of the source of the mesh, relative to `offset`.
        faces: Vertex indices, counter-clockwise seen from outside.
        colors: Linear RGB per vertex in [0, 1], or None.
        offset: World coordinates are vertices + offset, in double precision. Zero unless a file has
            coordinates, such as those of surveys, that float32 cannot represent.

    Constructing one checks dtypes and shapes only; `check` also looks at the values.
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int64[Tensor, "F 3"]
    colors: Float[Tensor, "V 3"] | None = None
    offset: Offset = NO_OFFSET

    def __post_init__(self) -> None:
        object.__setattr__(self, "offset", checked_offset(self.offset))
        if self.vertices.ndim != 2 or self.vertices.shape[1] != 3 or not self.vertices.is_floating_point():
            raise InputError(
                "vertices must be floats of shape (V, 3), "
                f"got {self.vertices.dtype} {tuple(self.vertices.shape)}"
            )
        if self.faces.ndim != 2 or self.faces.shape[1] != 3 or self.faces.dtype != torch.int64:
            raise InputError(
                f"faces must be int64 of shape (F, 3), got {self.faces.dtype} {tuple(self.faces.shape)}"
            )
        if self.colors is not None and self.colors.shape != self.vertices.shape:
            raise InputError(
                f"colors must have shape {tuple(self.vertices.shape)}, got {tuple(self.colors.shape)}"
            )

    def check(self, name: str = "mesh") -> "Mesh":
        """Return the mesh itself if it has faces, finite positions and indices in range.

        Args:
            name: Name of the mesh for messages, for instance its file name.

        Raises:
            InputError: The mesh is invalid; the message says why.
        """
        if len(self.vertices) == 0 or len(self.faces) == 0:
            raise InputError(
                f"{name} is empty: {len(self.vertices)} vertices and {len(self.faces)} faces; "
                "a mesh with at least one triangle is needed"
            )
        bad = int((~torch.isfinite(self.vertices)).any(dim=1).sum())
        if bad:
            raise InputError(
                f"{name} has {bad} vertices with NaN or infinite coordinates; repair or remove them"
            )
        low, high = int(self.faces.min()), int(self.faces.max())
        if low < 0 or high >= len(self.vertices):
            raise InputError(
                f"{name} has faces out of range: indices {low} to {high} with {len(self.vertices)} vertices; "
                f"indices must lie in 0 to {len(self.vertices) - 1}"
            )
        return self

    @property
    def used(self) -> Bool[Tensor, " V"]:
        """Mask of the vertices that faces use."""
        used = torch.zeros(len(self.vertices), dtype=torch.bool, device=self.vertices.device)
        used[self.faces.flatten()] = True
        return used

    @property
    def bounds(self) -> Float[Tensor, "2 3"]:
        """Low and high corner of the axis-aligned bounding box of the vertices that faces use."""
        vertices = self.vertices[self.used] if len(self.faces) else self.vertices
        return torch.stack([vertices.amin(dim=0), vertices.amax(dim=0)])

    @property
    def world_vertices(self) -> Float[Tensor, "V 3"]:
        """Positions in the world: the vertices themselves without an offset, otherwise float64."""
        return in_world(self.vertices, self.offset)

    def corners(self) -> Float[Tensor, "F 3 3"]:
        """The three corner positions of every face."""
        return self.vertices[self.faces]

    def with_vertices(self, vertices: Float[Tensor, "V 3"]) -> "Mesh":
        """A mesh with the same faces, colours and offset, and other positions."""
        return replace(self, vertices=vertices)

    def with_offset(self, offset: Offset) -> "Mesh":
        """The same mesh in the world, with its vertices relative to another offset."""
        return replace(self, vertices=shifted(self.vertices, self.offset, offset), offset=offset)

    def to(self, device: torch.device | str) -> "Mesh":
        """The mesh on another device."""
        colors = None if self.colors is None else self.colors.to(device)
        return replace(self, vertices=self.vertices.to(device), faces=self.faces.to(device), colors=colors)
