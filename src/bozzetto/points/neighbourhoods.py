"""Neighbourhoods of points that extend in both directions of the surface, and visibility from outside."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int64
from scipy import ndimage
from scipy.spatial import KDTree
from torch import Tensor

from ..values import value_type
from .local_fits import BATCH, Support, neighbours, support_of

COUNTS = (12, 24, 48, 96, 192)
"""Numbers of neighbours, including the point itself, of which the smallest sufficient one is taken."""
BROAD = 0.15
"""Smallest ratio of the two larger variances of a neighbourhood; if it is smaller, the points lie on one scan
line."""
WIDE = 3.0
"""Smallest radius of a neighbourhood, in standard deviations of the noise; smaller ones look like a ball, not a
plane."""
SECTORS = 6
"""Number of sectors of the tangent plane in which nearest neighbours are searched for."""
_THIRD = 1.085  # mean distance in the third nearest of six sectors, in square roots of the area of a point


@value_type
class Neighbourhoods:
    """Neighbourhoods with the same number of neighbours K.

    Attributes:
        rows: Indices of the N points.
        distance: Distances of the neighbours, ascending.
        index: Indices of the neighbours.
        axes: Principal axes as columns; the first is the normal.
    """

    rows: Int64[Tensor, " N"]
    distance: Float[Tensor, "N K"]
    index: Int64[Tensor, "N K"]
    axes: Float[Tensor, "N 3 3"]

    def around(self, points: Float[Tensor, "P 3"]) -> Float[Tensor, "N K 3"]:
        """Offsets of the neighbours from the points."""
        return points[self.index] - points[self.rows, None]


@value_type
class Spacing:
    """Spacing of the points of a surface.

    Attributes:
        area: Area of the surface per point.
        gap: Distance between a point and others in most directions: the square root of the area for random
            points, the distance between scan lines for scans.
        beside: Index of the nearest point in each sector of the tangent plane; of the point itself if there is
            none.
    """

    area: Float[Tensor, " P"]
    gap: Float[Tensor, " P"]
    beside: Int64[Tensor, "P 6"]


def plane_neighbourhoods(points: Float[Tensor, "P 3"], noise: float = 0.0) -> Iterator[Neighbourhoods]:
    """The smallest neighbourhoods that are wider than a scan line and than the noise.

    Points of scans are much denser along scan lines than across, and layers of several scans are slightly
    misaligned. A fixed number of neighbours may then be a line or a ball.
    """
    support = support_of(points)
    left = torch.arange(len(points), device=points.device)
    for count in COUNTS:
        last = count == COUNTS[-1] or count >= len(points)
        kept = []
        for rows in left.split(BATCH):
            found = _neighbourhoods(support, rows, count)
            values = found[1]
            done = (values[:, 1] > BROAD * values[:, 2]) & (found[0].distance[:, -1] > WIDE * noise)
            done |= torch.full_like(done, last)
            kept.append(rows[~done])
            if bool(done.any()):
                whole = found[0]
                yield Neighbourhoods(rows[done], whole.distance[done], whole.index[done], whole.axes[done])
        left = torch.cat(kept)
        if len(left) == 0:
            return


def _neighbourhoods(support: Support, rows: Tensor, count: int) -> tuple[Neighbourhoods, Tensor]:
    """Neighbourhoods with `count` neighbours, and the variances along their axes, ascending."""
    distance, index = neighbours(support, support.points[rows], count)
    near = support.points[index]
    centred = near - near.mean(dim=1, keepdim=True)
    values, axes = torch.linalg.eigh(centred.mT @ centred)
    return Neighbourhoods(rows, distance, index, axes), values


def spacing_of(points: Float[Tensor, "P 3"], noise: float = 0.0) -> Spacing:
    """Compute the spacing of points, and their neighbours in sectors of the tangent plane."""
    area, gap = points.new_empty(len(points)), points.new_empty(len(points))
    beside = torch.arange(len(points), device=points.device)[:, None].repeat(1, SECTORS)
    for part in plane_neighbourhoods(points, noise):
        area[part.rows] = part.distance[:, -1] ** 2 * math.pi / (part.distance.shape[1] - 1)
        _, v, u = (part.around(points) @ part.axes).unbind(dim=-1)
        across = torch.hypot(u, v)
        # The scan line of a point lies in the middle of two sectors.
        sector = ((torch.atan2(v, u) / math.tau * SECTORS).round().long()) % SECTORS
        far = torch.where(across > 0, across, torch.inf)
        nearest = far.new_full((len(far), SECTORS), torch.inf)
        nearest = nearest.scatter_reduce(1, sector, far, "amin")
        hit = (far == nearest.gather(1, sector)) & torch.isfinite(far)
        row, column = hit.nonzero().T
        beside[part.rows[row], sector[row, column]] = part.index[row, column]
        third = nearest.sort(dim=1).values[:, 2]
        root = area[part.rows].sqrt()
        gap[part.rows] = torch.where(third.isfinite(), third / _THIRD, root).maximum(root)
    return Spacing(area.clamp(min=1e-24), gap.clamp(min=1e-12), beside)


REACH = 2.5
"""Radius around points, in spacings, that counts as wall; holes between random points are not larger."""
FAR = 3.5
"""Distance in front of and behind the surface, in spacings, at which visibility from outside is tested."""
FINEST, MOST = 0.8, 160
"""Smallest grid cell in spacings, and largest number of cells along the longest side."""
NEIGHBOURS = 8


def outside_votes(
    points: Float[Tensor, "N 3"], normals: Float[Tensor, "N 3"], spacing: float | None = None
) -> Float[Tensor, " N"]:
    """Votes for the sign of normals: 1 if only the front of a point is visible from outside, -1 if only the
    back.

    They are 0 if both sides or none are connected to the outside: open sheets, narrow gaps, cavities, and walls
    thinner than a spacing.

    Args:
        points: Points on a surface.
        normals: Unit normals with arbitrary sign.
        spacing: Distance of neighbouring points; None measures it.
    """
    front, back = reached_sides(points, normals, spacing)
    return front.to(points) - back.to(points)


def reached_sides(
    points: Float[Tensor, "N 3"], normals: Float[Tensor, "N 3"], spacing: float | None = None
) -> tuple[Bool[Tensor, " N"], Bool[Tensor, " N"]]:
    """Whether the front of each point is connected to the outside, and whether its back is.

    A grid around the points is flood-filled from its border; cells near a point are walls.

    Args:
        points: Points on a surface.
        normals: Unit normals with arbitrary sign.
        spacing: Distance of neighbouring points; None measures it.
    """
    places = points.double().cpu().numpy()
    spacing = _spacing(places) if spacing is None else spacing
    low, high = places.min(axis=0), places.max(axis=0)
    cell = max(FINEST * spacing, float((high - low).max()) / MOST)
    wall = max(REACH * spacing, 2 * cell)
    ask = wall + (FAR - REACH) * spacing
    origin = low - ask - 2 * cell
    shape = np.ceil((high - origin + ask + 2 * cell) / cell).astype(int) + 1

    def cell_of(x: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
        return tuple(((x - origin) / cell).astype(int).T)

    empty = np.ones(shape, dtype=bool)
    empty[cell_of(places)] = False
    free = ndimage.distance_transform_edt(empty) * cell > wall  # type: ignore[operator]
    label, _ = ndimage.label(free)  # type: ignore[misc]
    outside = label == label[0, 0, 0]
    step = ask * normals.double().cpu().numpy()
    front, back = (outside[cell_of(places + way)] for way in (step, -step))
    return torch.from_numpy(front).to(points.device), torch.from_numpy(back).to(points.device)


def _spacing(places: npt.NDArray[Any]) -> float:
    distance, _ = KDTree(places).query(places, min(NEIGHBOURS + 1, len(places)), workers=-1)
    return float(np.median(np.asarray(distance)[:, -1])) * (np.pi / NEIGHBOURS) ** 0.5
