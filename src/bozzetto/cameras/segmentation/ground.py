"""What the object stands on, and where on it the object is: by points of the scene."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

from ..camera import Cameras
from .space import ROOM, Ground, Region

FEWEST = 200
"""Points with which a ground is looked for."""
MOST = 5000
"""Of more, so many at random are."""
TRIALS = 2000
"""Planes through three points that are tried."""
TOLERANCE = 0.02
"""Distance from the ground, in radii of the region, up to which points lie on it."""
LEAST = 0.12
"""Share of the points that lie on the ground, at least."""
SUNK = 0.1
"""The middle of the region is at most so many radii below the ground."""
DEEP, BELOW = 0.08, 0.06
"""Depth below the ground, in radii of the region, and the share of the points that may be deeper."""
RIM, SECTORS, SIDES = 0.7, 8, 5
"""The ground goes on beyond what stands on it: further from the middle than `RIM` radii it has points in at
least `SIDES` of `SECTORS` equal sectors."""
FEW = 0.005
"""Share of its points that such a sector has, at least."""
CELLS = 28
"""Cells along the diameter of the region in which points are counted."""
STANDING = 0.06
"""Points more than so many radii above the ground belong to what stands on it."""
ENOUGH = 500_000
"""Of more points, evenly chosen ones are looked at."""
CENTRAL = 0.4
"""Of several things that stand there the one with most points near the middle is taken: standard deviation, in
radii, of the Gaussian that weighs them."""


def find_ground(
    points: Float[Tensor, "P 3"], cameras: Cameras, region: Region, seed: int = 0
) -> Ground | None:
    """The plane that many points of a region lie on and hardly any below, with the cameras above it.

    Found by random triples of points (RANSAC, Fischler and Bolles 1981), then by least squares. None if there
    is no such plane.
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
    wide = sizes > 1e-3 * region.radius**2  # the same point twice, or three in a line, say nothing
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
    """Whether points of a plane lie to most sides of the region; else it is part of the object, or a plinth."""
    if len(points) < 3 * SECTORS:
        return False
    across = torch.linalg.svd(ground.normal[None]).Vh[1:]
    offset = (points - region.center) @ across.T
    far = offset[offset.norm(dim=1) > RIM * region.radius]
    sector = ((torch.atan2(far[:, 1], far[:, 0]) / (2 * torch.pi) + 0.5) * SECTORS).long() % SECTORS
    return int((torch.bincount(sector, minlength=SECTORS) > FEW * len(points)).sum()) >= SIDES


def standing_on(points: Float[Tensor, "P 3"], region: Region) -> Region | None:
    """The part of a region around the most central thing that stands on its ground; None if nothing does."""
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
