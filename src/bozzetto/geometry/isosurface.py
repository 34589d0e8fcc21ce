"""Surfaces of functions sampled on a grid."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..shapes import Mesh
from .grid_triangles import grid_margin, grid_triangles


def isosurface(
    values: Float[Tensor, "X Y Z"],
    low: Sequence[float] | Float[Tensor, "3"],
    high: Sequence[float] | Float[Tensor, "3"],
    level: float = 0.0,
    close: bool = False,
) -> Mesh:
    """The surface where a function sampled on a regular grid equals `level`.

    Marching cubes with the topological case table of Lewiner et al. 2003 (scikit-image). The mesh is manifold,
    closed where the surface does not leave the grid, has no faces without area, and does not intersect
    itself, whatever the values are. A value of exactly `level` counts as inside.

    To this end vertices keep a distance of a thousandth of the spacing from the nodes of the grid, where the
    original puts all vertices around a node with the value `level` into one point. (The distance is larger if
    float32 coordinates are coarser: eight roundings.) So does the lid of `close`. A vertex inside of a cell
    is the mean of its neighbours; the original weighs the corners of the cell. Where two neighbouring
    cells both have a tunnel that ends at their common face, the tunnels are joined; the original puts a wall
    there from each side.

    Source: Lewiner et al. 2003, the case table.

    Args:
        values: Samples, smaller than `level` inside (a signed distance, or minus a density). Index
            (0, 0, 0) lies at `low`, (X-1, Y-1, Z-1) at `high`. At least two samples along each axis.
        low: Low corner of the grid, in the frame and unit that the mesh shall have.
        high: High corner of the grid.
        level: The value on the surface.
        close: Treat everything beyond the grid as outside, so that a shape which reaches the border is
            cut there by a flat lid and the mesh is always closed.

    Returns:
        The mesh on the device of `values`, faces counter-clockwise seen from outside (larger values).

    Raises:
        InputError: A sample is NaN or infinite, an axis has one sample, the corners are out of order, or
            no sample lies on one of the sides of `level`.
    """
    grid = values.detach().cpu().to(torch.promote_types(values.dtype, torch.float32)).numpy()
    first, last = (
        torch.as_tensor(corner, dtype=torch.float64).cpu().expand(3).contiguous() for corner in (low, high)
    )
    _check(grid, first, last, level)
    level = float(grid.dtype.type(level))  # what the same number among the values is
    outside = grid > level
    if close:
        outside = np.pad(outside, 1, constant_values=True)
    if not outside.any() or outside.all():
        raise InputError(
            f"no surface at level {level:g}: the values run from {grid.min():g} to {grid.max():g}; "
            "choose a level between them or a larger grid"
        )
    step = (last - first) / (torch.tensor(grid.shape) - 1)
    margin = grid_margin(first, last, step)
    cells = _crossed(outside)
    corners = _corners(grid, cells - int(close), level)
    places, faces = grid_triangles(cells, corners, outside.shape, margin)
    if close:
        places = _with_lid(places - 1, torch.tensor(grid.shape) - 1, margin)
    return Mesh((first + places * step).float(), faces).to(values.device)


def _check(grid: NDArray[Any], low: Float64[Tensor, "3"], high: Float64[Tensor, "3"], level: float) -> None:
    if min(grid.shape) < 2:
        raise InputError(f"a grid needs two samples along each axis, got {grid.shape}")
    if not np.isfinite(grid).all() or not np.isfinite(level):
        raise InputError("the grid has NaN or infinite values; replace them before extracting a surface")
    if not (low < high).all():
        raise InputError(f"the low corner {low.tolist()} must be below the high corner {high.tolist()}")


def _crossed(outside: NDArray[np.bool_]) -> Int64[Tensor, "C 3"]:
    """Lower corners of the cells with corners on both sides."""
    number = outside.view(np.int8)
    number = number[1:] + number[:-1]
    number = number[:, 1:] + number[:, :-1]
    number = number[:, :, 1:] + number[:, :, :-1]
    crossed = np.flatnonzero((number & 7) != 0)  # of the eight corners neither none nor all
    return torch.from_numpy(np.stack(np.unravel_index(crossed, number.shape), axis=1))


def _corners(grid: NDArray[Any], cells: Int64[Tensor, "C 3"], level: float) -> Float64[Tensor, "C 2 2 2"]:
    """Values above the level at the corners of cells; beyond the border the largest size of all of them."""
    nodes = cells.numpy()[:, :, None] + np.arange(2)  # (C, axis, side)
    x, y, z = (nodes[:, axis].clip(0, n - 1) for axis, n in enumerate(grid.shape))
    corners = grid[x[:, :, None, None], y[:, None, :, None], z[:, None, None, :]].astype(np.float64) - level
    x, y, z = ((nodes[:, axis] >= 0) & (nodes[:, axis] < n) for axis, n in enumerate(grid.shape))
    within = x[:, :, None, None] & y[:, None, :, None] & z[:, None, None, :]
    return torch.from_numpy(np.where(within, corners, np.abs(corners).max() or 1.0))


def _with_lid(
    places: Float64[Tensor, "V 3"], last: Int64[Tensor, "3"], margin: Float64[Tensor, "3"]
) -> Float64[Tensor, "V 3"]:
    """Put vertices beyond the border onto it, and shrink the cells there by the margin.

    Otherwise the vertices of the lids around a node of the border fell into one point.
    """
    low, high = (1 - places).clamp(0, 1), (places - last + 1).clamp(0, 1)
    return (places + margin * (low - high)).where(places >= 0, 0.0).where(places <= last, last.double())
