"""The region of the object: a ball of space that most views look at, and the ground plane under the object.

The ground is found from points of the scene.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

from ...errors import InputError
from ..camera import Cameras
from ..capture import Capture, ScenePoints
from .space import ROOM, Ground, Region, pixels_per_unit


def starting_region(capture: Capture, around: Sequence[tuple[str, float, float]] = ()) -> Region:
    """A ball around the centre of the object, fully visible in half of the pictures that show its centre.

    Its centre is the point nearest to the rays through the given pixels of the object. With one pixel, it is
    the point on its ray that is nearest to the scene points near the pixel, or to the point that all views look
    at. Without pixels, it is the centre of the points that most views see, or the point nearest to all viewing
    axes.

    Args:
        capture: The views.
        around: Pixels on the object: name of the view, column and row.

    Raises:
        InputError: There is no such view or pixel, or the rays do not meet.
    """
    cameras, frames = capture.cameras.to("cpu"), known_frames(capture)
    center = nearest_to_rays(cameras, torch.arange(len(cameras)), frames.reshape(-1, 2, 2).mean(dim=1))
    if capture.points is not None and len(capture.points) >= 100:
        center = _densest(cameras, frames, capture.points, center)
    if around:
        views, pixels = _pixels(capture, around)
        if len(set(views.tolist())) > 1:
            center = nearest_to_rays(cameras, views, pixels)
        else:
            center = _on_ray(cameras, views[0], pixels.mean(dim=0), capture.points, center)
    fits = fitting_radii(cameras, frames, center)
    return Region(center, float(fits[fits > 0].median()) if bool((fits > 0).any()) else 1.0)


def _pixels(
    capture: Capture, around: Sequence[tuple[str, float, float]]
) -> tuple[Tensor, Float[Tensor, "P 2"]]:
    positions = {name: i for i, name in enumerate(capture.names)}
    width, height = capture.cameras.width, capture.cameras.height
    for name, column, row in around:
        if name not in positions:
            raise InputError(
                f"there is no photograph {name} to look around in; give one of {capture.names[0]}, ..."
            )
        if not (0 <= column <= width and 0 <= row <= height):
            raise InputError(
                f"the pixel {column:g} {row:g} of {name} is outside the picture of {width} x {height}; give a "
                "pixel of the object"
            )
    views = torch.tensor([positions[name] for name, _, _ in around])
    return views, torch.tensor([[column, row] for _, column, row in around], dtype=torch.float64)


def nearest_to_rays(cameras: Cameras, views: Tensor, pixels: Float[Tensor, "P 2"]) -> Float[Tensor, "3"]:
    """The point nearest to rays through pixels of some views, by least squares."""
    found = [cameras[[int(v)]].rays_through(p[None, None]) for v, p in zip(views, pixels, strict=True)]
    origins, directions = (torch.cat([f[i][:, 0] for f in found]) for i in (0, 1))
    off = torch.eye(3, dtype=torch.float64) - directions[:, :, None] * directions[:, None, :]
    start = origins.mean(dim=0)
    # The small term keeps the point near the cameras if rays are parallel.
    pull = 1e-6 * torch.eye(3, dtype=torch.float64)
    return start + torch.linalg.solve(off.sum(dim=0) + pull, torch.einsum("nij,nj->i", off, origins - start))


def known_frames(capture: Capture) -> Float[Tensor, "N 4"]:
    """Left, top, right and bottom of the known part of each picture, without the padding of smaller views."""
    frames = []
    for known in capture.known.cpu():
        rows, columns = (torch.nonzero(known.any(dim=axis))[:, 0] for axis in (1, 0))
        sides = (
            [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] if len(rows) else [0, 0, *known.shape[::-1]]
        )
        frames.append([float(side) for side in sides])
    return torch.tensor(frames, dtype=torch.float64)


def fitting_radii(
    cameras: Cameras, frames: Float[Tensor, "N 4"], center: Float[Tensor, "3"]
) -> Float[Tensor, "N"]:
    """Radius of the largest ball around a point that is fully visible in each frame; 0 or less if the point is
    not."""
    place = cameras.project(center[None])[:, 0, :2]
    room = torch.cat([place - frames[:, :2], frames[:, 2:] - place], dim=1).amin(dim=1)
    scale = pixels_per_unit(cameras, center)
    return torch.where(scale > 0, room / scale.clamp(min=1e-12), -1.0)


def _densest(
    cameras: Cameras, frames: Float[Tensor, "N 4"], points: ScenePoints, start: Float[Tensor, "3"]
) -> Float[Tensor, "3"]:
    """The centre of the points that most views see, by mean shift from a start."""
    weights = points.visible.double().sum(dim=1).cpu()
    positions = points.positions.double().cpu()
    fits = fitting_radii(cameras, frames, start)
    if not bool((fits > 0).any()):
        return start
    reach, center = float(fits[fits > 0].median()), start
    for _ in range(20):
        near = weights * torch.exp(-0.5 * ((positions - center) ** 2).sum(dim=1) / reach**2)
        if float(near.sum()) <= 0:
            return start
        center = (near[:, None] * positions).sum(dim=0) / near.sum()
    return center


def _on_ray(
    cameras: Cameras,
    view: Tensor,
    pixel: Float[Tensor, "2"],
    points: ScenePoints | None,
    center: Float[Tensor, "3"],
) -> Float[Tensor, "3"]:
    """The point on a pixel's ray next to the nearest scene points, or nearest to `center` without points."""
    origins, directions = cameras[[int(view)]].rays_through(pixel[None, None])
    origin, direction = origins[0, 0], directions[0, 0]
    if points is not None and bool(points.visible[:, int(view)].any()):
        there = points.positions[points.visible[:, int(view)]].double().cpu()
        visible = cameras[[int(view)]].project(there)[0]
        away = (visible[:, :2] - pixel).norm(dim=1)
        center = there[away.argsort()[:5]].median(dim=0).values
    return origin + direction * float((center - origin) @ direction)


FEWEST = 200
"""Smallest number of points with which a ground plane is searched for."""
MOST = 5000
"""Largest number of points that are used, chosen at random."""
TRIALS = 2000
"""Number of random planes through three points that are tried."""
TOLERANCE = 0.02
"""Largest distance from the ground of points on it, in radii of the region."""
LEAST = 0.12
"""Smallest fraction of the points that lie on the ground."""
SUNK = 0.1
"""Largest depth of the centre of the region below the ground, in radii."""
DEEP, BELOW = 0.08, 0.06
"""Depth below the ground, in radii of the region, and largest fraction of the points that are deeper."""
RIM, SECTORS, SIDES = 0.7, 8, 5
"""The ground extends beyond the objects on it: farther from the centre than `RIM` radii it has points in at
least `SIDES` of `SECTORS` equal sectors."""
FEW = 0.005
"""Smallest fraction of its points in such a sector."""
CELLS = 28
"""Number of cells along the diameter of the region in which points are counted."""
STANDING = 0.06
"""Height above the ground, in radii, above which points belong to objects on it."""
ENOUGH = 500_000
"""Largest number of points that are used, chosen evenly."""
CENTRAL = 0.4
"""Of several objects on the ground, the one with most points near the centre is taken: standard deviation, in
radii, of the Gaussian weight."""


def find_ground(
    points: Float[Tensor, "P 3"], cameras: Cameras, region: Region, seed: int = 0
) -> Ground | None:
    """Find the ground: a plane with many points of a region on it, hardly any below, and the cameras above.

    It is found by random triples of points (RANSAC, Fischler and Bolles 1981) and refined by least squares.
    None if there is no such plane.
    """
    near = points[(points - region.center).norm(dim=1) < 1.1 * region.radius].double()
    if len(near) < FEWEST:
        return None
    generator = torch.Generator().manual_seed(seed)
    near = near[torch.randperm(len(near), generator=generator)[:MOST]]
    centers = cameras.centers.cpu()
    triples = near[torch.randint(len(near), (TRIALS, 3), generator=generator)]
    normals = torch.linalg.cross(triples[:, 1] - triples[:, 0], triples[:, 2] - triples[:, 0])
    sizes = normals.norm(dim=1)
    wide = sizes > 1e-3 * region.radius**2  # equal or collinear points define no plane
    if not bool(wide.any()):
        return None
    triples, normals = triples[wide], normals[wide] / sizes[wide, None]
    heights = (normals * triples[:, 0]).sum(dim=1)
    under = (centers @ normals.T > heights).double().mean(dim=0) < 0.5
    normals, heights = torch.where(under[:, None], -normals, normals), torch.where(under, -heights, heights)
    watched = (centers @ normals.T > heights).double().mean(dim=0) > 0.95
    watched &= normals @ region.center > heights - SUNK * region.radius
    above = (near @ normals.T - heights) / region.radius
    on, below = (above.abs() < TOLERANCE).double().mean(dim=0), (above < -DEEP).double().mean(dim=0)
    worth = torch.where(watched & (below < BELOW), on, 0)
    best = int(worth.argmax())
    if float(worth[best]) < LEAST:
        return None
    ground = Ground(normals[best], float(heights[best]))
    for tolerance in (TOLERANCE, TOLERANCE / 2, TOLERANCE / 2):
        chosen = near[ground.above(near).abs() < tolerance * region.radius]
        if not _goes_on(chosen, region, ground):
            return None
        middle = chosen.mean(dim=0)
        axis = torch.linalg.svd(chosen - middle, full_matrices=False).Vh[2]
        normal = axis * torch.sign(axis @ ground.normal)
        ground = Ground(normal, float(normal @ middle))
    return ground


def _goes_on(points: Float[Tensor, "P 3"], region: Region, ground: Ground) -> bool:
    """Whether points of a plane surround the region; otherwise it is part of the object, or a plinth."""
    if len(points) < 3 * SECTORS:
        return False
    across = torch.linalg.svd(ground.normal[None]).Vh[1:]
    offset = (points - region.center) @ across.T
    far = offset[offset.norm(dim=1) > RIM * region.radius]
    sector = ((torch.atan2(far[:, 1], far[:, 0]) / (2 * torch.pi) + 0.5) * SECTORS).long() % SECTORS
    return int((torch.bincount(sector, minlength=SECTORS) > FEW * len(points)).sum()) >= SIDES


def standing_on(points: Float[Tensor, "P 3"], region: Region) -> Region | None:
    """The part of a region around the most central object on its ground; None if there is none."""
    if region.ground is None:
        return None
    near = points[(points - region.center).norm(dim=1) < region.radius].double()
    near = near[region.ground.above(near) > STANDING * region.radius]
    if len(near) < FEWEST // 4:
        return None
    near = near[:: 1 + len(near) // ENOUGH]
    cells = ((near - region.center) / region.radius + 1) / 2 * (CELLS - 1e-6)
    index = cells.long().numpy()
    counts = np.zeros((CELLS,) * 3)
    np.add.at(counts, tuple(index.T), 1)
    full = counts >= max(2.0, 0.02 * float(np.quantile(counts[counts > 0], 0.95)))
    labelled: Any = ndimage.label(full, np.ones((3, 3, 3)))
    things, number = labelled
    if not number:
        return None
    away = (near - region.center).norm(dim=1).numpy() / region.radius
    owner = things[tuple(index.T)]
    weights = np.bincount(owner, np.exp(-0.5 * (away / CENTRAL) ** 2), number + 1)
    mine = near[torch.from_numpy(owner == 1 + int(weights[1:].argmax()))]
    low, high = (mine.quantile(q, dim=0) for q in (0.01, 0.99))
    center = (low + high) / 2
    return replace(region, center=center, radius=ROOM * float((mine - center).norm(dim=1).quantile(0.98)))
