"""Warp kernels of `ImageLoss`: drawn pixels against fixed images, value and gradient in one pass."""

import warp as wp

wp.set_module_options({"enable_backward": False})

CHUNK: int = wp.constant(256)  # pixels that one thread sums before it adds to the shared result
L1: int = wp.constant(0)
L2: int = wp.constant(1)


@wp.func
def penalty(difference: float, kind: int, width: float) -> float:
    """|d|, d^2, or the Huber penalty: d^2 / (2 width) up to the width, |d| - width / 2 beyond."""
    size = wp.abs(difference)
    if kind == L1:
        return size
    if kind == L2:
        return size * size
    return wp.where(size < width, 0.5 * size * size / width, size - 0.5 * width)


@wp.func
def slope(difference: float, kind: int, width: float) -> float:
    """Derivative of the penalty; 0 at the kink of |d|."""
    if kind == L1:
        return float(difference > 0.0) - float(difference < 0.0)
    if kind == L2:
        return 2.0 * difference
    return wp.clamp(difference / width, -1.0, 1.0)


@wp.kernel
def drawn_pixels(
    values: wp.array2d[float],  # (Q, C)
    pixel: wp.array[wp.int64],  # (Q,)
    views: wp.array[wp.int32],  # (n,) which of the targets each view of the picture is
    targets: wp.array3d[float],  # (N, H * W, C)
    weights: wp.array2d[float],  # (N, H * W), or (0, 0)
    background: wp.array[float],  # (C,)
    kind: int,
    width: float,
    scale: float,
    start: int,
    stop: int,
    part: int,
    total: wp.array[wp.float64],  # (parts,)
    gradient: wp.array2d[float],  # (Q, C)
) -> None:
    """Add the loss of the drawn pixels minus that of the background there, and write the derivative."""
    first = start + wp.tid() * CHUNK
    result = wp.float64(0.0)
    for n in range(first, wp.min(first + CHUNK, stop)):
        size = targets.shape[1]
        flat = wp.int32(pixel[n])
        at = flat % size
        view = views[flat / size]
        weight = scale
        if weights.shape[0] > 0:
            weight *= weights[view, at]
        for c in range(values.shape[1]):
            target = targets[view, at, c]
            difference = values[n, c] - target
            more = penalty(difference, kind, width) - penalty(background[c] - target, kind, width)
            result += wp.float64(weight * more)
            gradient[n, c] = weight * slope(difference, kind, width)
    wp.atomic_add(total, part, result)


@wp.kernel
def background_rows(
    targets: wp.array3d[float],  # (N * H, W, C)
    weights: wp.array2d[float],  # (N * H, W), or (0, 0)
    background: wp.array[float],  # (C,)
    kind: int,
    width: float,
    start: int,
    total: wp.array[wp.float64],  # (N * H,)
) -> None:
    """Loss of one image row if nothing is drawn in it."""
    row = start + wp.tid()
    result = wp.float64(0.0)
    for x in range(targets.shape[1]):
        weight = float(1.0)
        if weights.shape[0] > 0:
            weight = weights[row, x]
        for c in range(targets.shape[2]):
            result += wp.float64(weight * penalty(background[c] - targets[row, x, c], kind, width))
    total[row] = result
