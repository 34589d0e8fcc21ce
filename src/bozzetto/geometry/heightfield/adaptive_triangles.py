"""Triangles over a grid, small where the surface needs them: right-triangulated irregular networks.

Every triangle is half a square; it is halved at the middle of its longest side as long as the surface there is
further than a tolerance from the straight line (Evans, Kirkpatrick and Townsend 2001, Right-triangulated
irregular networks). A grid point's error includes those of the points that need it, so neighbours always agree
and no cracks appear. All triangles of a level are handled at once.

Grid points are of two kinds per step s (1, 2, 4, ...): on edges of squares of side 2 s, and at their centres.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def split_errors(points: NDArray[Any], side: int, joined: bool = False) -> NDArray[Any]:
    """How far off the surface is where a grid point is left out, at least.

    Args:
        points: (rows * side + 1, columns * side + 1, 3), a grid of rows x columns blocks.
        side: Cells along a block, a power of two.
        joined: Opposite borders get the same errors, so that copies fit side by side.

    Returns:
        An error per grid point; 0 at corners of blocks, which are always kept.
    """
    errors = np.zeros(points.shape[:2], points.dtype)
    step, centres = 1, None
    while step < side:
        level = points[::step, ::step]
        across = _edge_errors(level, centres)
        along = _edge_errors(level.swapaxes(0, 1), None if centres is None else centres.T).T
        if joined:
            across[[0, -1]] = np.maximum(across[0], across[-1])
            along[:, [0, -1]] = np.maximum(along[:, 0], along[:, -1])[:, None]
        centres = _centre_errors(level)
        centres = np.maximum.reduce([centres, across[:-1], across[1:], along[:, :-1], along[:, 1:]])
        coarse = 2 * step
        errors[::coarse, step::coarse] = across
        errors[step::coarse, ::coarse] = along
        errors[step::coarse, step::coarse] = centres
        step = coarse
    return errors


def tolerance_for(errors: NDArray[Any], max_faces: int, blocks: int) -> float:
    """The smallest tolerance that leaves at most so many triangles (but two per block)."""
    added = np.full(errors.shape, 2)
    added[[0, -1]] = added[:, [0, -1]] = 1
    flat = errors.ravel()
    order = np.argsort(flat)[::-1]
    faces = 2 * blocks + np.cumsum(added.ravel()[order])
    allowed = int(np.searchsorted(faces, max_faces, side="right"))
    return float(flat[order[allowed]]) if allowed < flat.size else 0.0


def triangles(errors: NDArray[Any], side: int, tolerance: float) -> NDArray[np.int64]:
    """Corners (F, 3) as flat grid indices, counter-clockwise with rows running downwards.

    Args:
        errors: From `split_errors`.
        side: Cells along a block.
        tolerance: Triangles are split where the error exceeds this.
    """
    current, done = _first_triangles(errors.shape, side), []
    flat = errors.ravel()
    for _ in range(2 * int(np.log2(side))):
        apex, left, right = current.T
        middle = (left + right) // 2  # of flat indices, which are linear in the position
        split = flat[middle] > tolerance
        done.append(current[~split])
        apex, left, right, middle = (corner[split] for corner in (apex, left, right, middle))
        halves = [np.stack([middle, apex, left], axis=1), np.stack([middle, right, apex], axis=1)]
        current = np.concatenate(halves)
    return np.concatenate([*done, current])


def _first_triangles(shape: tuple[int, ...], side: int) -> NDArray[np.int64]:
    rows, columns = np.meshgrid(*(np.arange((n - 1) // side) for n in shape), indexing="ij")
    top_left = (rows * shape[1] + columns) * side
    top_right, bottom_left = top_left + side, top_left + side * shape[1]
    bottom_right = bottom_left + side
    even = (rows + columns) % 2 == 0
    # Apex first, then the ends of the diagonal.
    first = np.where(even, [bottom_left, bottom_right, top_left], [top_left, bottom_left, top_right])
    second = np.where(even, [top_right, top_left, bottom_right], [bottom_right, top_right, bottom_left])
    return np.concatenate([first.reshape(3, -1).T, second.reshape(3, -1).T]).astype(np.int64)


def _edge_errors(level: NDArray[Any], centres: NDArray[Any] | None) -> NDArray[Any]:
    """Of points in the middle of horizontal edges of length 2, and of the finer centres around them."""
    rows = level[::2]
    own = np.linalg.norm(rows[:, 1::2] - (rows[:, :-1:2] + rows[:, 2::2]) / 2, axis=-1)
    if centres is None:
        return own
    around = np.pad(centres, ((1, 1), (0, 0)))
    around = np.maximum(around[:, ::2], around[:, 1::2])
    return np.maximum(own, np.maximum(around[::2], around[1::2]))


def _centre_errors(level: NDArray[Any]) -> NDArray[Any]:
    """Of the centres of squares of side 2, from their diagonal, which alternates like a chequerboard."""
    middle, corners = level[1::2, 1::2], level[::2, ::2]
    falling = (corners[:-1, :-1] + corners[1:, 1:]) / 2
    rising = (corners[:-1, 1:] + corners[1:, :-1]) / 2
    rows, columns = np.indices(middle.shape[:2])
    even = ((rows + columns) % 2 == 0)[..., None]
    return np.linalg.norm(middle - np.where(even, falling, rising), axis=-1)
