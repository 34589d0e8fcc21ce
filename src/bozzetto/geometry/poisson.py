"""The closed surface through oriented points, as a level of a function whose gradient follows their normals."""

import math

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import KDTree
from torch import Tensor
from torch.nn.functional import normalize

from ..shapes import Mesh
from .nested_grids import NestedGrids
from .spread_points import OrientedSamples

COARSEST = 64
"""Cells along the coarsest grid, at most: all of it is solved for, of finer ones what is near the points."""
DISC = 12
"""Neighbours in the disc whose area tells how dense points are."""
FINE = 0.5
"""Cells are not made smaller than this share of the spacing of the points in them."""


def screened_poisson(
    points: Float[Tensor, "P 3"],
    normals: Float[Tensor, "P 3"],
    side: int = 96,
    screening: float = 1.0,
    room: float = 1.6,
    areas: Float[Tensor, " P"] | None = None,
    spacing: Float[Tensor, " P"] | None = None,
) -> Mesh:
    """The closed surface through oriented points; it may have stray pieces where there are none.

    Kazhdan and Hoppe 2013, "Screened Poisson surface reconstruction": the same energy (equation 4), but of
    trilinear functions on nested regular grids instead of B-splines on an octree, see `NestedGrids`. Points
    of several scans that miss each other by less than a cell are averaged. A surface that was seen from one
    side closes behind it.

    Source: Kazhdan and Hoppe 2013, equation 4. Differs: trilinear functions on nested regular grids.

    Args:
        points: On a part of the surface or all of it.
        normals: Outward directions there.
        side: Nodes of the finest grid along each axis of a cube.
        screening: Weight of the values at the points (alpha), if they are a cell apart. 1 is smooth, 4 follows
            exact points more closely.
        room: Width of the cube over the longest side of the box of the points.
        areas: Of the surface that each point stands for; of discs around their neighbours if left out.
        spacing: How far each point is from others, which limits how fine the grid is there; the root of its
            area if left out.

    Returns:
        The mesh, in the frame of the points, wound outwards.
    """
    places = points.double().cpu().numpy()
    low, high = places.min(axis=0), places.max(axis=0)
    width = room * float((high - low).max())
    levels = max(math.ceil(math.log2((side - 1) / COARSEST)), 0)
    cells = math.ceil((side - 1) / 2**levels)
    origin, step = (low + high) / 2 - width / 2, width / cells
    area = disc_areas(places) if areas is None else areas.double().cpu().numpy()
    apart = np.sqrt(area) if spacing is None else spacing.double().cpu().numpy()
    depth = np.floor(np.log2(step / (FINE * apart)) + 0.5).clip(0, levels).astype(int)
    directions = normalize(normals.double().cpu(), dim=1).numpy()
    samples = OrientedSamples((places - origin) / step, directions, area / step**2, depth)
    grids = NestedGrids(samples, cells, levels, screening)
    mesh = grids.surface()
    vertices = torch.from_numpy(mesh.vertices.double().numpy() * step + origin)
    return Mesh(vertices.float(), mesh.faces).to(points.device)


def disc_areas(places: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, " P"]:
    """Of the discs that points stand for: a twelfth of the one that reaches to the twelfth neighbour."""
    count = min(DISC, len(places) - 1)
    distance, _ = KDTree(places).query(places, k=count + 1)
    return np.maximum(np.asarray(distance)[:, -1] ** 2 * math.pi / count, 1e-24)
