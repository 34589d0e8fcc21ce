"""Surfaces of functions sampled on a grid."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from skimage.measure import marching_cubes
from torch import Tensor

from ..errors import InputError
from ..shapes import Mesh


def isosurface(
    values: Float[Tensor, "X Y Z"],
    low: Sequence[float] | Float[Tensor, "3"],
    high: Sequence[float] | Float[Tensor, "3"],
    level: float = 0.0,
    close: bool = False,
) -> Mesh:
    """The surface where a function sampled on a regular grid equals `level`.

    Marching cubes with the topological case table of Lewiner et al. 2003 (scikit-image), so the mesh is
    manifold, and closed where the surface does not leave the grid.

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
    grid = values.detach().cpu().double().numpy()
    first, last = (np.asarray(torch.as_tensor(c).cpu(), dtype=np.float64) for c in (low, high))
    _check(grid, first, last, level)
    step = (last - first) / (np.array(grid.shape) - 1)
    if close:
        # So large a value beyond the border puts the lid onto the border itself.
        grid = np.pad(grid, 1, constant_values=level + 1e4 * np.abs(grid - level).max())
    if not grid.min() < level < grid.max():
        raise InputError(
            f"no surface at level {level:g}: the values run from {grid.min():g} to {grid.max():g}; "
            "choose a level between them or a larger grid"
        )
    vertices, faces, _, _ = marching_cubes(grid, level, gradient_direction="descent")
    vertices = np.clip(first + (vertices.astype(np.float64) - close) * step, first, last)
    return Mesh(torch.from_numpy(vertices).float(), torch.from_numpy(faces.astype(np.int64))).to(
        values.device
    )


def _check(grid: np.ndarray, low: np.ndarray, high: np.ndarray, level: float) -> None:
    if min(grid.shape) < 2:
        raise InputError(f"a grid needs two samples along each axis, got {grid.shape}")
    if not np.isfinite(grid).all() or not np.isfinite(level):
        raise InputError("the grid has NaN or infinite values; replace them before extracting a surface")
    if not (low < high).all():
        raise InputError(f"the low corner {low.tolist()} must be below the high corner {high.tolist()}")
