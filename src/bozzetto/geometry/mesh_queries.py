"""Queries to a mesh: closest points on it, and winding numbers around points."""

import math
from collections.abc import Callable

import torch
import warp as wp
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from ..errors import InputError
from ..shapes import Mesh
from ..values import value_type
from . import mesh_query_kernels as kernels
from .launch import in_parts, launch, stream
from .mesh_query_kernels import closest


@value_type
class ClosestPoints:
    """Nearest points of a mesh for query points.

    Attributes:
        distance: Unsigned distance to the mesh, in its unit.
        face: Index of the nearest face.
        weights: Barycentric coordinates of the nearest point on that face, in the order of its corners.
        point: The nearest point, in the frame of the mesh.
    """

    distance: Float[Tensor, "P"]
    face: Int64[Tensor, "P"]
    weights: Float[Tensor, "P 3"]
    point: Float[Tensor, "P 3"]


class SurfaceIndex:
    """A mesh prepared for many closest-point queries (a bounding volume hierarchy over its faces).

    Coordinates are centred and scaled by a power of two before the single-precision queries, so that meshes far
    from the origin, tiny ones and huge ones lose no precision. Nothing here is
    differentiable; use `face` and `weights` to build a gradient.
    """

    def __init__(self, mesh: Mesh) -> None:
        """Build the hierarchy.

        Raises:
            InputError: The mesh is empty, has coordinates that are not finite or faces out of range.
        """
        mesh.check()
        self.mesh = mesh
        self._centre, self._scale = unit_box(mesh)
        local = self._local(mesh.vertices.detach())
        self._index = warp_mesh(local, mesh.faces)

    def _local(self, points: Tensor) -> Tensor:
        return ((points.double() - self._centre) / self._scale).float().contiguous()

    def closest(self, points: Float[Tensor, "P 3"]) -> ClosestPoints:
        """The nearest point of the mesh for every query point.

        Raises:
            InputError: A query point is NaN or infinite.
        """
        if not torch.isfinite(points).all():
            raise InputError("query points must be finite, got NaN or infinite coordinates")
        local, device = self._local(points.detach()), self.mesh.vertices.device
        distance = torch.empty(len(local), device=device)
        face = torch.empty(len(local), dtype=torch.int64, device=device)
        weights = torch.empty(len(local), 3, device=device)

        def run(_: int, start: int, stop: int) -> None:
            out = [array[start:stop] for array in (distance, face, weights)]
            launch(closest, stop - start, [self._index.id, local[start:stop], *out], device)

        if len(local):
            in_parts(run, len(local), device)
        corners = self.mesh.vertices.detach()[self.mesh.faces[face]].double() - self._centre
        nearest = torch.einsum("pc,pcx->px", weights.double(), corners) + self._centre
        return ClosestPoints(distance * self._scale, face, weights, nearest.to(points.dtype))


def closest_points(
    mesh: Mesh, points: Float[Tensor, "P 3"]
) -> tuple[Float[Tensor, "P"], Int64[Tensor, "P"], Float[Tensor, "P 3"]]:
    """Nearest points of a mesh; `SurfaceIndex` is the same for repeated queries of one mesh.

    Args:
        mesh: The surface, any triangles.
        points: Query points in the frame of the mesh, on its device.

    Returns:
        Distance, face index and nearest point for every query point.

    Raises:
        InputError: The mesh is empty or broken, or a query point is not finite.
    """
    found = SurfaceIndex(mesh).closest(points)
    return found.distance, found.face, found.point


def unit_box(mesh: Mesh) -> tuple[Float64[Tensor, "3"], float]:
    """The middle of a mesh's bounding box, and its size rounded down to a power of two."""
    low, high = mesh.bounds.detach().double()
    size = float((high - low).max())
    return (low + high) / 2, 2.0 ** math.floor(math.log2(size)) if size > 0 else 1.0


def warp_mesh(vertices: Float[Tensor, "V 3"], faces: Int64[Tensor, "F 3"]) -> wp.Mesh:
    """A Warp mesh with its hierarchy; keep it alive as long as its `id` is in use."""
    with stream(vertices.device):
        points = wp.from_torch(vertices.contiguous(), dtype=wp.vec3)
        return wp.Mesh(points, wp.from_torch(faces.to(torch.int32).flatten().contiguous()))


INSIDE = 0.5
"""Points with a larger winding number are inside."""
_OFF = 1e-5  # how far before and behind the surface one looks, in its size


class WindingIndex:
    """A mesh prepared for many queries of distance and generalised winding number.

    Jacobson et al. 2013, evaluated with the expansion of Barill et al. 2018. Coordinates are centred and scaled
    by a power of two for the single-precision queries. All methods use this local frame; `local` converts
    positions to it, and `scale` converts distances back.
    """

    scale: float

    def __init__(self, mesh: Mesh, accuracy: float) -> None:
        """Build the hierarchy of a valid mesh.

        Args:
            mesh: The surface.
            accuracy: Distance from a group of faces, in radii, from which it is approximated as one; larger is
                slower.
        """
        self.mesh = mesh
        self.accuracy = accuracy
        self.device: torch.device = mesh.vertices.device
        self._centre, self.scale = unit_box(mesh)
        self.vertices: Tensor = self.local(mesh.vertices)
        with stream(self.device):
            self._index = wp.Mesh(
                wp.from_torch(self.vertices, dtype=wp.vec3),
                wp.from_torch(mesh.faces.to(torch.int32).flatten().contiguous()),
                support_winding_number=True,
            )

    def local(self, points: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3"]:
        """Positions in the local frame of the queries."""
        return ((points.detach().double() - self._centre) / self.scale).float().contiguous()

    def corners(self, faces: Tensor | slice = slice(None)) -> Float64[Tensor, "F 3 3"]:
        """Corners of some faces, or of all."""
        return self.vertices[self.mesh.faces[faces]].double()

    def nearest(
        self, points: Float[Tensor, "P 3"]
    ) -> tuple[Float[Tensor, " P"], Float[Tensor, " P"], Bool[Tensor, " P"]]:
        """Distance, winding number, and whether the point is on the front side of the nearest face.

        Raises:
            InputError: The mesh has no area.
        """
        distance, winding, front = (torch.empty(len(points), device=self.device) for _ in range(3))
        self._launch(kernels.distance_and_winding, points, distance, winding, front)
        if torch.isinf(distance).any():
            raise InputError("the mesh has no area; a triangle that is no line or point is needed")
        return distance, winding, front > 0

    def winding(self, points: Float[Tensor, "P 3"], most: float = math.inf) -> Float[Tensor, " P"]:
        """Winding number, to the accuracy of the index, but at most `most`."""
        winding = torch.empty(len(points), device=self.device)
        self._launch(kernels.winding, points, winding, accuracy=min(self.accuracy, most))
        return winding

    def winding_beside(
        self, triangles: Float64[Tensor, "N 3 3"], side: int, most: float = math.inf
    ) -> Float[Tensor, " N"]:
        """Winding number slightly in front of the middle of triangles (side 1), or behind it (side -1)."""
        a, b, c = triangles.unbind(dim=1)
        normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=1, eps=1e-300)
        return self.winding((triangles.mean(dim=1) + side * _OFF * normal).float().contiguous(), most)

    def beyond(self, points: Float[Tensor, "P 3"]) -> Float[Tensor, " P"]:
        """Winding number behind the nearest point of the surface, viewed from the given points."""
        winding = torch.empty(len(points), device=self.device)
        self._launch(kernels.winding_beyond, points, winding)
        return winding

    def _launch(
        self, kernel: Callable[..., None], points: Tensor, *outputs: Tensor, accuracy: float | None = None
    ) -> None:
        rest = self.accuracy if accuracy is None else accuracy

        def run(_: int, start: int, stop: int) -> None:
            own = [array[start:stop] for array in outputs]
            launch(kernel, stop - start, [self._index.id, points[start:stop], rest, *own], self.device)

        if len(points):
            in_parts(run, len(points), self.device)
