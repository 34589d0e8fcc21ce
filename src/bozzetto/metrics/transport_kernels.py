"""Warp kernels of the lower bound of the earth mover's distance."""

import warp as wp


@wp.func
def least_slack(
    clouds: wp.array2d(dtype=wp.vec3),  # (N, n)
    cloud: int,
    point: wp.vec3,
    values: wp.array(dtype=wp.float64),  # (k,)
):
    """min over the first k points p of a cloud of |p - point| - values[p]; a root only where it is less."""
    least = wp.float64(1.0e300)
    for i in range(values.shape[0]):
        x = wp.float64(clouds[cloud, i][0] - point[0])
        y = wp.float64(clouds[cloud, i][1] - point[1])
        z = wp.float64(clouds[cloud, i][2] - point[2])
        square = x * x + y * y + z * z
        limit = least + values[i]
        if limit > wp.float64(0.0) and square < limit * limit:
            least = wp.sqrt(square) - values[i]
    return least


@wp.kernel
def transform(
    clouds: wp.array2d(dtype=wp.vec3),  # (N, n)
    pairs: wp.array2d(dtype=int),  # (P, 2)
    side: int,  # which cloud of a pair holds `values`: 0 the first, 1 the second
    values: wp.array2d(dtype=wp.float64),  # (P, k) one dual variable per point, for the first k points
    result: wp.array2d(dtype=wp.float64),  # (P, n) out: the best dual variables of the other cloud
):
    """c-transform: the largest dual variables that are feasible against `values`."""
    p, j = wp.tid()
    result[p, j] = least_slack(clouds, pairs[p, side], clouds[pairs[p, 1 - side], j], values[p])
