"""Warp kernel of the residual field."""

import warp as wp


@wp.kernel
def wendland_sum(
    grid: wp.uint64,
    centres: wp.array(dtype=wp.vec3),  # (P,)
    weights: wp.array(dtype=float),  # (P,)
    width: float,
    points: wp.array(dtype=wp.vec3),  # (N,)
    total: wp.array(dtype=float),  # (N,)
):
    """Sum of compactly supported functions (1 - r)^4 (4 r + 1), r = distance / width, around centres."""
    i = wp.tid()
    point = points[i]
    found = float(0.0)
    neighbours = wp.hash_grid_query(grid, point, width)
    index = int(0)
    while wp.hash_grid_query_next(neighbours, index):
        r = wp.length(point - centres[index]) / width
        if r < 1.0:
            left = (1.0 - r) * (1.0 - r)
            found += weights[index] * left * left * (4.0 * r + 1.0)
    total[i] = found
