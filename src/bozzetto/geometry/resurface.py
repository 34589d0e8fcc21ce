"""A clean closed surface made from any mesh."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..shapes import Mesh
from .components import largest_component
from .isosurface import isosurface
from .signed_distance import distance_and_winding
from .winding_index import INSIDE

COARSENING = 4


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
    coarse = _distance(mesh, _grid(low, counts, coarse_step)).view(counts)
    fine_counts = [(n - 1) * COARSENING + 1 for n in counts]
    values = torch.nn.functional.interpolate(
        coarse[None, None], size=fine_counts, mode="trilinear", align_corners=True
    )[0, 0].reshape(-1)
    # Interpolation errs by less than the diagonal of a coarse cell.
    near = (values.abs() < 3**0.5 * coarse_step + 2 * spacing).nonzero()[:, 0]
    points = _grid(low, fine_counts, spacing)
    values[near] = _distance(mesh, points[near])
    top = low + spacing * (torch.tensor(fine_counts, device=low.device) - 1)
    return largest_component(replace(isosurface(values.view(fine_counts), low, top), offset=mesh.offset))


def _distance(mesh: Mesh, points: Float[Tensor, "P 3"]) -> Float[Tensor, " P"]:
    """Negative inside, to any face: near the outer surface, which is all that counts here, this is enough."""
    distance, winding = distance_and_winding(mesh, points)
    return torch.where(winding > INSIDE, -distance, distance)


def _grid(low: Float[Tensor, "3"], counts: list[int], step: float) -> Float[Tensor, "P 3"]:
    axes = [low[a] + step * torch.arange(counts[a], device=low.device) for a in range(3)]
    return torch.cartesian_prod(*axes)
