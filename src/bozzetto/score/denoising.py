"""Noisy clouds to clean ones: every point moves to the surface that its neighbours describe.

No collection is needed, and no code. The field of a single cloud at one noise level is biased, towards the
inside of curved parts; so estimates of several scales are combined, point by point, by a network of 14,000
numbers that was trained on shapes of a known surface (`train_denoiser`). Time grows with the number of points.
"""

from dataclasses import dataclass, replace
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..errors import InputError
from ..geometry.cloud_cleaning import clean_cloud
from ..runs import read_checkpoint
from ..shapes import PointCloud
from ..steps import counted
from ..weights import find
from .fit_choice import FitChoice
from .frames import box_frame
from .local_fits import BATCH, SCALES, fit_at_scale, local_fits, neighbours, support_of

LEAST_POINTS = 8
"""Points; fewer have no neighbourhoods."""
PROBES = 1000
THICK = 4.2  # the radius of a neighbourhood, in noise levels, from which its noise is seen almost whole
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
        noise: That deviation, of each coordinate, in the unit of the cloud; None estimates it.
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
    sigma = max(estimate_noise(points) if noise is None else noise / frame.scale, FLOOR)
    points, normals = cleaned(points, sigma, iterations)
    if given is not None:
        normals = torch.where((normals * given).sum(dim=1, keepdim=True) < 0, -normals, normals)
    moved = replace(sound.cloud, points=frame.undo(points), normals=normals)
    return Denoised(sound.restored(cloud, moved), sigma * frame.scale)


def cleaned(
    points: Float[Tensor, "N 3"], noise: float, iterations: int = 2
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3"]]:
    """Normalised points moved to their surface, and normals with any sign."""
    passes = passes_of(str(points.device))
    normals = points
    for index in counted(range(iterations), "passes"):
        points, normals = one_pass(passes[min(index, len(passes) - 1)], points, max(noise, FLOOR))
    return points, normals


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
    """Standard deviation of the coordinates, from what quadratics leave over.

    Few neighbours within a thick layer of noise look like a ball and not like a surface, so their number is
    doubled until the neighbourhood is much wider than the noise found in it. Where that never happens, the
    shape is as thin as the noise, and the neighbourhood that is widest in relation decides.
    """
    support = support_of(points)
    generator = torch.Generator().manual_seed(0)
    probes = points[torch.randperm(len(points), generator=generator)[:PROBES].to(points.device)]
    distance, index = neighbours(support, probes, 4 * SCALES[-1])
    around = points[index] - probes[:, None]
    best, found, k = 0.0, 0.0, min(SCALES[0], index.shape[1])
    while best < THICK and k <= index.shape[1]:
        ones, reach = torch.ones_like(distance[:, :k]), distance[:, k - 1 : k].clamp(min=1e-12)
        rough = fit_at_scale(around[:, :k], ones, reach, ones, 1.0)[1][:, 3]
        noise = float(rough.median()) * (k / max(k - 6, 1)) ** 0.5
        ratio = float(reach.median()) / max(noise, 1e-12)
        if ratio > 1.15 * best:
            best, found = ratio, noise
        k *= 2
    return found


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


@cache
def passes_of(device: str = "cpu") -> tuple[FitChoice, ...]:
    """The trained networks, one for each pass."""
    tensors, meta = read_checkpoint(find("denoiser"))
    networks = []
    for index in range(meta["passes"]):
        network = FitChoice()
        prefix = f"{index}."
        state = {n.removeprefix(prefix): v.float() for n, v in tensors.items() if n.startswith(prefix)}
        network.load_state_dict(state)
        networks.append(network.eval().requires_grad_(False).to(device))
    return tuple(networks)
