"""More matches of two pictures whose epipolar geometry is known; nothing here but numpy."""

import math

import numpy as np

RATIO, ANGLE = 0.8, 0.7
"""The nearest descriptor is nearer than this times the second, and within so many radians."""
ERROR = 4.0
"""Pixels from the epipolar line (Sampson) within which a match is looked for."""


def unit_rows(descriptors: np.ndarray) -> np.ndarray:
    """Descriptors of length 1."""
    values = descriptors.astype(np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)


def near_line(first: np.ndarray, second: np.ndarray, F: np.ndarray) -> np.ndarray:
    """(M, N): whether two points are within `ERROR` of their epipolar lines.

    Args:
        first: Points of one picture, (M, 2).
        second: Points of the other, (N, 2).
        F: Fundamental matrix from the first to the second.
    """
    a, b = (np.concatenate([p, np.ones((len(p), 1))], axis=1) for p in (first, second))
    lines, back = a @ F.T, b @ F
    slopes = (lines[:, :2] ** 2).sum(axis=1)
    scale = 1 / np.sqrt(
        max(float(slopes.mean()), 1e-300)
    )  # F has any scale, single precision needs a fit one
    products = (lines * scale).astype(np.float32) @ b.astype(np.float32).T
    np.square(products, out=products)
    limit = ERROR**2 * scale**2
    products -= (limit * slopes).astype(np.float32)[:, None]
    return products < (limit * (back[:, :2] ** 2).sum(axis=1)).astype(np.float32)


def near_place(first: np.ndarray, second: np.ndarray, H: np.ndarray) -> np.ndarray:
    """(M, N): whether points of the second picture are within `ERROR` of where a homography takes the first."""
    moved = np.concatenate([first, np.ones((len(first), 1))], axis=1) @ H.T
    moved = moved[:, :2] / np.where(np.abs(moved[:, 2:]) < 1e-12, 1e-12, moved[:, 2:])
    moved, second = moved.astype(np.float32), second.astype(np.float32)
    near = np.abs(moved[:, None, 0] - second[None, :, 0]) < ERROR
    return near & (np.abs(moved[:, None, 1] - second[None, :, 1]) < ERROR)


def match_near(first: np.ndarray, second: np.ndarray, near: np.ndarray | np.bool_) -> np.ndarray:
    """Rows of the two sets that are each other's nearest among those that are `near`, (K, 2).

    Args:
        first: Descriptors of length 1, (M, 128).
        second: The same of the other picture, (N, 128).
        near: Which may match, (M, N); or np.True_ for all.
    """
    if not len(first) or not len(second):
        return np.zeros((0, 2), np.uint32)
    likeness = first @ second.T
    likeness *= near  # the others count as unlike
    best = likeness.argmax(axis=1)
    rows = np.arange(len(first))
    nearest = likeness[rows, best]
    mutual = nearest >= likeness.max(axis=0)[best]  # much faster than argmax along columns
    chosen = rows[mutual & (nearest > math.cos(ANGLE))]
    chosen = chosen[np.bincount(best[chosen], minlength=len(second))[best[chosen]] == 1]
    likeness[chosen, best[chosen]] = 0  # what is left are the second nearest of the chosen
    second_nearest = likeness[chosen].max(axis=1, initial=0)
    second_back = likeness[:, best[chosen]].max(axis=0, initial=0)
    next_one = np.arccos(np.clip(np.maximum(second_nearest, second_back), -1, 1))
    clear = np.arccos(np.clip(nearest[chosen], -1, 1)) < RATIO * next_one
    chosen = chosen[clear]
    return np.stack([chosen, best[chosen]], axis=1).astype(np.uint32)
