"""Denoising of clouds: every point moves to the surface that its neighbours describe.

No collection of shapes is needed. The score of a single cloud at one noise level is biased towards the inside
of curved parts. So estimates at several scales are combined per point by a small network, which was trained on
shapes with known surface (`train_denoiser`). Time is linear in the number of points.
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
from .orient import orient_normals

LEAST_POINTS = 8
"""Smallest number of points of a cloud that can be processed."""
PROBES = 1000
CELL = (
    1.2  # of the noise level: where neighbourhoods are thinner than the noise, means of cells replace points
)
ROUNDS = 3
FLOOR = 1e-4  # smallest noise level, as a fraction of half the side of the box


@dataclass(frozen=True)
class Denoised:
    """A denoised cloud.

    Attributes:
        cloud: Points in the order, frame and unit of the input, with unit normals on the side of the input's
            normals, or outwards if it has none (`orient_normals`).
        noise: Standard deviation per coordinate of the removed noise, in the unit of the input.
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
    """Denoise a cloud: move its points to the surface.

    Args:
        cloud: Points with approximately Gaussian noise of uniform standard deviation. Outliers are not moved,
            and unreliable normals are not used, see `clean_cloud`.
        noise: Standard deviation per coordinate, in the unit of the cloud. None estimates it, which needs at
            least 200 points. If the estimate is 0, no points are moved.
        iterations: Number of passes; later passes correct remaining errors.
        name: Name of the cloud in messages.

    Raises:
        InputError: There are fewer than 8 points, all points are equal or not finite, or a parameter is out of
            range.
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
    if given is None:
        normals = orient_normals(points, normals)
    else:
        normals = torch.where((normals * given).sum(dim=1, keepdim=True) < 0, -normals, normals)
    moved = replace(sound.cloud, points=frame.undo(points), normals=normals)
    return Denoised(sound.restored(cloud, moved), level * frame.scale)


def cleaned(
    points: Float[Tensor, "N 3"], noise: float, iterations: int = 2
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3"]]:
    """Denoised normalised points, and normals with arbitrary sign; with noise 0 the points do not change."""
    passes = shipped_denoiser(str(points.device)).passes
    moved = normals = points
    for index in counted(range(iterations if noise else 1), "passes"):
        moved, normals = one_pass(passes[min(index, len(passes) - 1)], moved, max(noise, FLOOR))
    return moved if noise else points, normals


def one_pass(
    choice: nn.Module, points: Float[Tensor, "N 3"], noise: float
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3"]]:
    """Points after one pass of denoising, and normals."""
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
    """Estimate the standard deviation of the noise per coordinate, in the unit of the points.

    It is 0 if local fits have no residuals, and for fewer than 200 points, of which noise cannot be
    distinguished from shape.

    Args:
        points: A cloud, most points of which lie on a surface.
    """
    return estimated_level(shipped_denoiser(str(points.device)).level, points)


def spread(
    points: Float[Tensor, "N 3"], normals: Float[Tensor, "N 3"], most: float, fixed: int = 0
) -> Float[Tensor, "N 3"]:
    """Move points tangentially towards even density, each by at most `most` in total.

    The first `fixed` points do not move. The direction is that of the negative score of the density: from the
    mean of the neighbours to the point.
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
