"""Noisy clouds to clean ones: every point moves to the surface that its neighbours describe.

No collection is needed, and no code. The field of a single cloud at one noise level is biased, towards the
inside of curved parts; so estimates of several scales are combined, point by point, by a small network that was
trained on shapes of a known surface (`train_denoiser`). Time grows with the number of points.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..errors import InputError, warn_input
from ..shapes import PointCloud
from ..shapes.frames import box_frame
from ..steps import counted
from .cloud_cleaning import clean_cloud
from .denoiser import shipped_denoiser
from .local_fits import BATCH, FEW, SCALES, estimated_level, local_fits, neighbours, support_of

LEAST_POINTS = 8
"""Points; fewer have no neighbourhoods."""
PROBES = 1000
CELL = (
    1.2  # of the noise level: where neighbourhoods are thinner than the noise, means of cells replace points
)
ROUNDS = 3
FLOOR = 1e-4  # least noise level, of the half side of the box


@dataclass(frozen=True)
class Denoised:
    """A cleaned cloud.

    Attributes:
        cloud: Points in their order, in the frame and unit of the input, with unit normals. These have the
            side of the input's where it had any, otherwise an arbitrary one.
        noise: The standard deviation of each coordinate that was removed, in the unit of the input.
    """

    cloud: PointCloud
    noise: float


@torch.no_grad()
def denoise(
    cloud: PointCloud,
    noise: float | None = None,
    iterations: int = 2,
    name: str = "the cloud",
) -> Denoised:
    """Move the points of a noisy cloud to its surface.

    Args:
        cloud: Points with noise that is about normal, of one standard deviation. Strays stay where they are,
            and normals that cannot be trusted are not used, see `clean_cloud`.
        noise: That deviation, of each coordinate, in the unit of the cloud; None estimates it, from 200 points
            or more. Points in which none is found stay where they are.
        iterations: Passes; the second corrects what the first left.
        name: What messages call the cloud.

    Raises:
        InputError: Fewer than 8 points, all equal or not finite; or a parameter out of range.
    """
    if iterations < 1:
        raise InputError(f"at least one iteration is needed, got {iterations}")
    if noise is not None and not 0 < noise < float("inf"):
        raise InputError(f"the noise must be a positive length in the unit of the cloud, got {noise}")
    sound = clean_cloud(cloud, name, outward=False)
    frame = box_frame(sound.cloud.points, name)
    if len(sound.cloud) < LEAST_POINTS:
        raise InputError(
            f"{name} has {len(sound.cloud)} points; {LEAST_POINTS} or more are needed to find a surface"
        )
    points, given = frame.apply(sound.cloud.points), sound.cloud.normals
    if noise is None and len(points) < FEW:
        warn_input(
            f"{name} has {len(points)} points; fewer than {FEW} do not tell noise from shape, so they stay "
            "where they are: say how strong the noise is"
        )
    level = estimate_noise(points) if noise is None else noise / frame.scale
    points, normals = cleaned(points, level, iterations)
    if given is not None:
        normals = torch.where((normals * given).sum(dim=1, keepdim=True) < 0, -normals, normals)
    moved = replace(sound.cloud, points=frame.undo(points), normals=normals)
    return Denoised(sound.restored(cloud, moved), level * frame.scale)


def cleaned(
    points: Float[Tensor, "N 3"], noise: float, iterations: int = 2
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3"]]:
    """Normalised points moved to their surface, and normals with any sign; without noise the points stay."""
    passes = shipped_denoiser(str(points.device)).passes
    moved = normals = points
    for index in counted(range(iterations if noise else 1), "passes"):
        moved, normals = one_pass(passes[min(index, len(passes) - 1)], moved, max(noise, FLOOR))
    return moved if noise else points, normals


def one_pass(
    choice: nn.Module, points: Float[Tensor, "N 3"], noise: float
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3"]]:
    """Points moved once, and normals."""
    support = support_of(points)
    probes = points[:: max(len(points) // PROBES, 1)]
    reach = float(neighbours(support, probes, SCALES[-1])[0][:, -1].median())
    if reach < 4.5 * noise and len(points) > SCALES[-1]:
        support = support_of(points, CELL * noise)
    moved, normals = [], []
    for part in counted(points.split(BATCH)):
        fits = local_fits(support, part, noise)
        moved.append(part + choice(fits.moves, fits.features))
        normals.append(fits.normals)
    return torch.cat(moved), torch.cat(normals)


def estimate_noise(points: Float[Tensor, "N 3"]) -> float:
    """Standard deviation of the coordinates, in their unit.

    It is 0 where fits leave nothing over, and for fewer than 200 points, which do not tell noise from shape.

    Args:
        points: A cloud, of which most points are of a surface.
    """
    return estimated_level(shipped_denoiser(str(points.device)).level, points)


def spread(
    points: Float[Tensor, "N 3"], normals: Float[Tensor, "N 3"], most: float, fixed: int = 0
) -> Float[Tensor, "N 3"]:
    """Move points along the surface, away from where they are dense, each by `most` in all at the most.

    The first `fixed` points stay.

    The way is that of the density's own score: from the mean of the neighbours to the point.
    """
    start, count = points, min(10, len(points))
    for _ in range(ROUNDS):
        distance, index = neighbours(support_of(points), points, count)
        reach = distance[:, -1].median()
        weight = torch.exp(-2 * (distance / reach) ** 2)[..., None]
        pull = (weight * (points[index] - points[:, None])).sum(dim=1) / weight.sum(dim=1)
        along = pull - (pull * normals).sum(dim=1, keepdim=True) * normals
        way = points - along - start
        way[:fixed] = 0
        points = start + normalize(way, dim=1) * way.norm(dim=1, keepdim=True).clamp(max=most)
    return points
