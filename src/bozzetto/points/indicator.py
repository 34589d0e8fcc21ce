"""The indicator function that oriented points describe together, and how it rises along their normals."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..geometry.spread_points import (
    OrientedSamples,
    cube,
    eigenvalues,
    filtered,
    normal_divergence,
    trilinear,
)

ROOM = 1.25
"""Width of the grid over the longest side of the box of the points."""


def slopes_along_normals(
    points: Float[Tensor, "N 3"],
    normals: Float[Tensor, "N 3"],
    areas: Float[Tensor, " N"],
    side: int,
) -> Float[Tensor, " N"]:
    """The slope of the blurred indicator function at each point, along its own normal.

    The function, 1 more outside than inside, has the divergence of the sum of all normals (Kazhdan et al. 2006,
    "Poisson surface reconstruction"). A normal against which it rises disagrees with what the others say
    together, near and far: Hou et al. 2022, "Iterative Poisson surface reconstruction", and Lin et al. 2024,
    "Fast and globally consistent normal orientation based on the winding number normal consistency", turn
    normals by such slopes.

    Source: Kazhdan et al. 2006, the indicator function.

    Source: Hou et al. 2022, normals from the field of all others.

    Source: Lin et al. 2024, normals from the field of all others.

    Args:
        points: On a surface.
        normals: Unit vectors across it.
        areas: Of the surface around each point.
        side: Nodes of the grid along each axis of a cube; the function is blurred by one cell.
    """
    places = points.double().cpu().numpy()
    low, high = places.min(axis=0), places.max(axis=0)
    step = ROOM * float((high - low).max()) / (side - 1)
    places = (places - (low + high) / 2) / step + (side - 1) / 2
    directions = normals.double().cpu().numpy()
    samples = OrientedSamples(
        places, directions, areas.double().cpu().numpy() / step**2, np.zeros(len(places), int)
    )
    waves = eigenvalues(side)
    blur = np.exp(-waves / 2)
    waves[0, 0, 0] = math.inf  # the mean of the function is arbitrary
    function = filtered(-normal_divergence(samples, side), blur / waves).reshape((side,) * 3)
    slope = np.zeros(len(places))
    for axis in range(3):
        steps = np.zeros_like(function)
        np.moveaxis(steps, axis, 0)[:-1] = np.moveaxis(np.diff(function, axis=axis), axis, 0)
        middle = places - 0.5 * np.eye(3)[axis]
        corner = np.floor(middle).astype(np.int64)
        rows, weights = trilinear(cube(side), corner, middle - corner)
        slope += (weights * steps.ravel()[rows]).sum(axis=1) * directions[:, axis]
    return torch.from_numpy(slope).to(points)
