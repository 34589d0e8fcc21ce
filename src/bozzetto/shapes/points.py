"""Point clouds, and random points on a surface."""

from dataclasses import replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..errors import InputError
from ..values import value_type
from .mesh import Mesh
from .offsets import NO_OFFSET, Offset, checked_offset, in_world, shifted


@value_type
class PointCloud:
    """A point cloud with optional normals and colours.

    Attributes:
        points: Positions, float32, in the frame and unit of the source of the cloud, relative to `offset`.
        normals: Outward normals, or None. Not necessarily of unit length; 0 where unknown.
        colors: Linear RGB per point in [0, 1], or None.
        offset: World coordinates are points + offset, see `Mesh`.

    Constructing one checks dtypes and shapes only; `check` also looks at the values.
    """

    points: Float[Tensor, "P 3"]
    normals: Float[Tensor, "P 3"] | None = None
    colors: Float[Tensor, "P 3"] | None = None
    offset: Offset = NO_OFFSET

    def __post_init__(self) -> None:
        object.__setattr__(self, "offset", checked_offset(self.offset))
        if self.points.ndim != 2 or self.points.shape[1] != 3 or not self.points.is_floating_point():
            raise InputError(
                f"points must be floats of shape (P, 3), got {self.points.dtype} {tuple(self.points.shape)}"
            )
        for name, value in (("normals", self.normals), ("colors", self.colors)):
            if value is not None and value.shape != self.points.shape:
                raise InputError(
                    f"{name} must have shape {tuple(self.points.shape)}, got {tuple(value.shape)}"
                )

    def __len__(self) -> int:
        return len(self.points)

    def check(self, name: str = "point cloud") -> "PointCloud":
        """Return the cloud itself if it has points and all of its values are finite.

        Args:
            name: Name of the cloud for messages, for instance its file name.

        Raises:
            InputError: The cloud is invalid; the message says why.
        """
        if len(self.points) == 0:
            raise InputError(f"{name} is empty; a cloud with at least one point is needed")
        for kind, value in (("coordinates", self.points), ("normals", self.normals), ("colors", self.colors)):
            bad = 0 if value is None else int((~torch.isfinite(value)).any(dim=1).sum())
            if bad:
                raise InputError(
                    f"{name} has {bad} points with NaN or infinite {kind}; repair or remove them"
                )
        return self

    @property
    def bounds(self) -> Float[Tensor, "2 3"]:
        """Low and high corner of the axis-aligned bounding box."""
        return torch.stack([self.points.amin(dim=0), self.points.amax(dim=0)])

    @property
    def world_points(self) -> Float[Tensor, "P 3"]:
        """Positions in the world: the points themselves without an offset, otherwise float64."""
        return in_world(self.points, self.offset)

    def with_offset(self, offset: Offset) -> "PointCloud":
        """The same cloud in the world, with its points relative to another offset."""
        return replace(self, points=shifted(self.points, self.offset, offset), offset=offset)

    def to(self, device: torch.device | str) -> "PointCloud":
        """The cloud on another device."""
        moved = [None if v is None else v.to(device) for v in (self.points, self.normals, self.colors)]
        return replace(self, points=moved[0], normals=moved[1], colors=moved[2])


def sample_surface(
    mesh: Mesh, count: int, generator: torch.Generator | None = None
) -> tuple[Float[Tensor, "S 3"], Int64[Tensor, "S"]]:
    """Points distributed uniformly over the area of a mesh.

    Args:
        mesh: The surface; the points are differentiable with respect to its vertices.
        count: Number of points.
        generator: Source of randomness, on the device of the mesh; torch's default if None.

    Returns:
        The points and the face that each lies on.

    Raises:
        InputError: The mesh has no area.
    """
    corners = mesh.corners()
    edges = (corners[:, 1:] - corners[:, :1]).detach().double()  # areas of tiny shapes are nothing in float32
    areas = torch.linalg.cross(edges[:, 0], edges[:, 1]).norm(dim=1)
    total = areas.cumsum(0)
    if len(total) == 0 or not total[-1] > 0:
        raise InputError("the mesh has no area to sample points from; a triangle of positive area is needed")
    # Cumulative sums in double precision: multinomial() is limited to 2**24 faces.
    u = torch.rand(3, count, dtype=torch.float64, device=areas.device, generator=generator)
    face = torch.searchsorted(total, u[0] * total[-1], right=True).clamp(max=len(total) - 1)
    # Osada et al., Shape Distributions (2002), eq. 1: the square root makes the density uniform.
    root, v = u[1].sqrt(), u[2]
    weights = torch.stack([1 - root, root * (1 - v), root * v], dim=1).to(corners.dtype)
    return torch.einsum("sk,skd->sd", weights, corners[face]), face
