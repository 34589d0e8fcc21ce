"""Warp kernels: trilinear interpolation of feature grids, and the residual field."""

import warp as wp


@wp.kernel
def wendland_sum(
    grid: wp.uint64,
    centres: wp.array[wp.vec3],  # (P,)
    weights: wp.array[float],  # (P,)
    width: float,
    points: wp.array[wp.vec3],  # (N,)
    total: wp.array[float],  # (N,)
) -> None:
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


@wp.kernel(enable_backward=False)
def trilinear(
    points: wp.array[wp.vec3],
    side: int,
    nodes: wp.array2d[int],
    weights: wp.array2d[float],
) -> None:
    """The eight nodes around each point in a volume of side^3 nodes that fills [-1, 1]^3, and their weights.

    Nodes are numbered with x fastest. Outside of the volume the border values continue, as in torch's
    `grid_sample` with
    padding "border" and aligned corners, which takes several times longer than a weighted sum over rows.
    """
    point = wp.tid()
    node = int(0)
    stride = int(1)
    for corner in range(8):
        weights[point, corner] = 1.0
    for axis in range(3):
        position = wp.clamp((points[point][axis] + 1.0) * 0.5 * float(side - 1), 0.0, float(side - 1))
        near = wp.min(int(position), side - 2)
        far = position - float(near)
        node += near * stride
        stride *= side
        for corner in range(8):
            weights[point, corner] *= wp.where((corner >> axis) & 1 == 1, far, 1.0 - far)
    for corner in range(8):
        nodes[point, corner] = node + (corner & 1) + side * ((corner >> 1) & 1) + side * side * (corner >> 2)
