"""Signed distance to any mesh, and a clean closed surface made from it."""

from dataclasses import replace

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..shapes import Mesh
from . import signed_distance_kernels as kernels
from .closest import unit_box
from .components import largest_component
from .isosurface import isosurface
from .launch import in_parts, launch, stream

COARSENING = 4
INSIDE = 0.5  # winding number at which inside begins


def signed_distance(mesh: Mesh, points: Float[Tensor, "P 3"], accuracy: float = 2.0) -> Float[Tensor, " P"]:
    """Distance from points to a mesh, negative inside.

    Inside is where the generalised winding number (Jacobson et al. 2013; evaluated with the expansion of
    Barill et al. 2018) exceeds one half. That also holds for open and self-intersecting meshes: parts that
    are turned inside out count as outside, overlapping parts as one solid.

    Args:
        mesh: The surface, faces counter-clockwise seen from outside.
        points: Query points in the frame of the mesh, on its device.
        accuracy: How far away, in radii, a group of faces is taken as one; larger is slower.

    Raises:
        InputError: The mesh is empty or broken, or a query point is not finite.
    """
    distance, winding = distance_and_winding(mesh, points, accuracy)
    return torch.where(winding > INSIDE, -distance, distance)


def distance_and_winding(
    mesh: Mesh, points: Float[Tensor, "P 3"], accuracy: float = 2.0
) -> tuple[Float[Tensor, " P"], Float[Tensor, " P"]]:
    """Unsigned distance and generalised winding number, the two halves of `signed_distance`.

    Around a closed surface the winding number is 1 inside and 0 outside; between them it tells how open the
    mesh is there, and it is negative where faces are turned inside out.

    Args:
        mesh: The surface.
        points: Query points in the frame of the mesh, on its device.
        accuracy: How far away, in radii, a group of faces is taken as one; larger is slower.

    Raises:
        InputError: The mesh is empty or broken or has no area, or a query point is not finite.
    """
    mesh.check()
    if not torch.isfinite(points).all():
        raise InputError("query points must be finite, got NaN or infinite coordinates")
    centre, scale = unit_box(mesh)
    vertices = ((mesh.vertices.detach().double() - centre) / scale).float().contiguous()
    with stream(vertices.device):
        index = wp.Mesh(
            wp.from_torch(vertices, dtype=wp.vec3),
            wp.from_torch(mesh.faces.to(torch.int32).flatten().contiguous()),
            support_winding_number=True,
        )
    local = ((points.detach().double() - centre) / scale).float().contiguous()
    distance, winding = (torch.empty(len(local), device=local.device) for _ in range(2))

    def run(_: int, start: int, stop: int) -> None:
        arguments = [index.id, local[start:stop], accuracy, distance[start:stop], winding[start:stop]]
        launch(kernels.distance_and_winding, stop - start, arguments, local.device)

    if len(local):
        in_parts(run, len(local), local.device)
    if torch.isinf(distance).any():
        raise InputError("the mesh has no area; a triangle that is no line or point is needed")
    return (distance * scale).to(points.dtype), winding.to(points.dtype)


def resurface(mesh: Mesh, spacing: float) -> Mesh:
    """The largest piece of the solid that a mesh encloses, as a new mesh that is closed and manifold.

    Parts that have passed through each other are opened, overlapping parts are joined: where a deforming
    mesh has to change its topology, this does it. The signed distance is sampled on a grid, at all points
    of a coarse one and on a fine one only near the surface: it changes by no more than the way one goes, so
    that a coarse value tells where there is no surface.

    Args:
        mesh: Any mesh that encloses something.
        spacing: Distance of the grid points, which limits the detail that survives.

    Raises:
        InputError: The mesh is empty, broken or encloses nothing at this spacing.
    """
    # Half a spacing more, so that sides of the box, where a shape is often flat, lie between grid points.
    room = (2 * COARSENING + 0.5) * spacing
    low, high = mesh.bounds[0] - room, mesh.bounds[1] + room
    coarse_step = spacing * COARSENING
    counts = [int(n) for n in ((high - low) / coarse_step).ceil() + 1]
    coarse = signed_distance(mesh, _grid(low, counts, coarse_step)).view(counts)
    fine_counts = [(n - 1) * COARSENING + 1 for n in counts]
    values = torch.nn.functional.interpolate(
        coarse[None, None], size=fine_counts, mode="trilinear", align_corners=True
    )[0, 0].reshape(-1)
    # Interpolation errs by less than the diagonal of a coarse cell.
    near = (values.abs() < 3**0.5 * coarse_step + 2 * spacing).nonzero()[:, 0]
    points = _grid(low, fine_counts, spacing)
    values[near] = signed_distance(mesh, points[near])
    top = low + spacing * (torch.tensor(fine_counts, device=low.device) - 1)
    return largest_component(replace(isosurface(values.view(fine_counts), low, top), offset=mesh.offset))


def _grid(low: Float[Tensor, "3"], counts: list[int], step: float) -> Float[Tensor, "P 3"]:
    axes = [low[a] + step * torch.arange(counts[a], device=low.device) for a in range(3)]
    return torch.cartesian_prod(*axes)
