"""Which side of a surface the space around it reaches."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from scipy.spatial import KDTree
from torch import Tensor

REACH = 2.5
"""Spacings around points that no way leads through: random points leave no wider holes."""
FAR = 3.5
"""Spacings in front of and behind the surface where one asks whether a way leads there."""
FINEST, MOST = 0.8, 160
"""Cells of the grid in spacings, and along the longest side."""
NEIGHBOURS = 8


def outside_votes(
    points: Float[Tensor, "N 3"], normals: Float[Tensor, "N 3"], spacing: float | None = None
) -> Float[Tensor, " N"]:
    """1 where a way from far outside leads to the front of a point and not to its back, -1 the other way round.

    0 where both or none can be reached: sheets, narrow gaps, cavities, and walls thinner than a spacing.

    Args:
        points: On a surface.
        normals: Of unit length, across the surface, with any sign.
        spacing: How far neighbouring points are apart; None measures it.
    """
    front, back = reached_sides(points, normals, spacing)
    return front.to(points) - back.to(points)


def reached_sides(
    points: Float[Tensor, "N 3"], normals: Float[Tensor, "N 3"], spacing: float | None = None
) -> tuple[Bool[Tensor, " N"], Bool[Tensor, " N"]]:
    """Whether a way from far outside leads to the front of each point, and whether one leads to its back.

    A grid around the points is flooded from its border; what is near a point is a wall.

    Args:
        points: On a surface.
        normals: Of unit length, across the surface, with any sign.
        spacing: How far neighbouring points are apart; None measures it.
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
