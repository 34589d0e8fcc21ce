"""Distances to a mesh and winding numbers around it."""

import math
from collections.abc import Callable

import torch
import warp as wp
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from ..errors import InputError
from ..shapes import Mesh
from . import mesh_query_kernels as kernels
from .closest import unit_box
from .launch import in_parts, launch, stream

INSIDE = 0.5
"""Winding number at which inside begins."""
_OFF = 1e-5  # how far before and behind the surface one looks, in its size


class WindingIndex:
    """A mesh prepared for many queries of distance and generalised winding number.

    Jacobson et al. 2013, evaluated with the expansion of Barill et al. 2018. Coordinates are centred and
    scaled, by a power of two, before they reach the single-precision queries; all methods take and give
    places in this frame except `local` and `scale`, which lead there and back.
    """

    def __init__(self, mesh: Mesh, accuracy: float) -> None:
        """Build the hierarchy of a sound mesh.

        Args:
            mesh: The surface.
            accuracy: How far away, in radii, a group of faces is taken as one; larger is slower.
        """
        self.mesh, self.accuracy = mesh, accuracy
        self.device = mesh.vertices.device
        self._centre, self.scale = unit_box(mesh)
        self.vertices = self.local(mesh.vertices)
        with stream(self.device):
            self._index = wp.Mesh(
                wp.from_torch(self.vertices, dtype=wp.vec3),
                wp.from_torch(mesh.faces.to(torch.int32).flatten().contiguous()),
                support_winding_number=True,
            )

    def local(self, points: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3"]:
        """Places in the frame of the queries."""
        return ((points.detach().double() - self._centre) / self.scale).float().contiguous()

    def corners(self, faces: Tensor | slice = slice(None)) -> Float64[Tensor, "F 3 3"]:
        """Corners of some faces, or of all."""
        return self.vertices[self.mesh.faces[faces]].double()

    def nearest(
        self, points: Float[Tensor, "P 3"]
    ) -> tuple[Float[Tensor, " P"], Float[Tensor, " P"], Bool[Tensor, " P"]]:
        """Distance, winding number, and whether the nearest face shows its front.

        Raises:
            InputError: The mesh has no area.
        """
        distance, winding, front = (torch.empty(len(points), device=self.device) for _ in range(3))
        self._launch(kernels.distance_and_winding, points, distance, winding, front)
        if torch.isinf(distance).any():
            raise InputError("the mesh has no area; a triangle that is no line or point is needed")
        return distance, winding, front > 0

    def winding(self, points: Float[Tensor, "P 3"], most: float = math.inf) -> Float[Tensor, " P"]:
        """Winding number, to the accuracy of the index but no more than `most`."""
        winding = torch.empty(len(points), device=self.device)
        self._launch(kernels.winding, points, winding, accuracy=min(self.accuracy, most))
        return winding

    def winding_beside(
        self, triangles: Float64[Tensor, "N 3 3"], side: int, most: float = math.inf
    ) -> Float[Tensor, " N"]:
        """Winding number a little before the middle of triangles (side 1), or behind it (side -1)."""
        a, b, c = triangles.unbind(dim=1)
        normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=1, eps=1e-300)
        return self.winding((triangles.mean(dim=1) + side * _OFF * normal).float().contiguous(), most)

    def beyond(self, points: Float[Tensor, "P 3"]) -> Float[Tensor, " P"]:
        """Winding number behind the nearest point of the surface, as seen from the given points."""
        winding = torch.empty(len(points), device=self.device)
        self._launch(kernels.winding_beyond, points, winding)
        return winding

    def _launch(
        self,
        kernel: wp.Kernel | Callable,
        points: Tensor,
        *outputs: Tensor,
        accuracy: float | None = None,
    ) -> None:
        rest = self.accuracy if accuracy is None else accuracy

        def run(_: int, start: int, stop: int) -> None:
            own = [array[start:stop] for array in outputs]
            launch(kernel, stop - start, [self._index.id, points[start:stop], rest, *own], self.device)

        if len(points):
            in_parts(run, len(points), self.device)
