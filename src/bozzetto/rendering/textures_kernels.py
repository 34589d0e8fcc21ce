"""Warp kernels of `sample_texture`: bilinear within a level, linear between two levels of a pyramid."""

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.struct
class Taps:
    """The four texels around a point of one level, as rows of the pyramid, and its place between them."""

    row: wp.vec4i  # (x0, y0), (x1, y0), (x0, y1), (x1, y1)
    s: float
    t: float


@wp.func
def wrapped(i: int, size: int, repeat: bool) -> int:
    if repeat:
        return (i % size + size) % size
    return wp.clamp(i, 0, size - 1)


@wp.func
def taps(uv: wp.vec2, level: wp.vec3i, repeat: bool) -> Taps:
    """Texel centres are at half-integers of (u * width, v * height)."""
    x = uv[0] * float(level[1]) - 0.5
    y = uv[1] * float(level[2]) - 0.5
    x0 = wrapped(int(wp.floor(x)), level[1], repeat)
    x1 = wrapped(int(wp.floor(x)) + 1, level[1], repeat)
    y0 = level[0] + level[1] * wrapped(int(wp.floor(y)), level[2], repeat)
    y1 = level[0] + level[1] * wrapped(int(wp.floor(y)) + 1, level[2], repeat)
    result = Taps()
    result.row = wp.vec4i(y0 + x0, y0 + x1, y1 + x0, y1 + x1)
    result.s = x - wp.floor(x)
    result.t = y - wp.floor(y)
    return result


@wp.kernel
def sample(
    texels: wp.array2d(dtype=float),  # (T, C) all levels of the pyramid
    levels: wp.array(dtype=wp.vec3i),  # (L,) first row, width, height
    uv: wp.array(dtype=wp.vec2),  # (P,)
    level: wp.array(dtype=float),  # (P,), or (0,) for the finest
    repeat: bool,
    start: int,
    out: wp.array2d(dtype=float),  # (P, C) starts at 0
):
    n = start + wp.tid()
    fine = int(0)
    share = float(0.0)
    if level.shape[0] > 0:
        fine = int(level[n])
        share = level[n] - float(fine)
    for step in range(2):
        weight = wp.where(step == 0, 1.0 - share, share)
        if weight > 0.0:
            p = taps(uv[n], levels[fine + step], repeat)
            for c in range(texels.shape[1]):
                low = (1.0 - p.s) * texels[p.row[0], c] + p.s * texels[p.row[1], c]
                high = (1.0 - p.s) * texels[p.row[2], c] + p.s * texels[p.row[3], c]
                out[n, c] = out[n, c] + weight * ((1.0 - p.t) * low + p.t * high)


@wp.kernel
def sample_adjoint(
    texels: wp.array2d(dtype=float),
    levels: wp.array(dtype=wp.vec3i),
    uv: wp.array(dtype=wp.vec2),
    level: wp.array(dtype=float),
    repeat: bool,
    grad_out: wp.array2d(dtype=float),  # (P, C)
    start: int,
    part: int,
    grad_texels: wp.array3d(dtype=float),  # (parts, T, C)
    grad_uv: wp.array(dtype=wp.vec2),  # (P,)
):
    n = start + wp.tid()
    fine = int(0)
    share = float(0.0)
    if level.shape[0] > 0:
        fine = int(level[n])
        share = level[n] - float(fine)
    gradient = wp.vec2(0.0, 0.0)
    for step in range(2):
        weight = wp.where(step == 0, 1.0 - share, share)
        if weight > 0.0:
            size = levels[fine + step]
            p = taps(uv[n], size, repeat)
            du = float(0.0)
            dv = float(0.0)
            for c in range(texels.shape[1]):
                g = weight * grad_out[n, c]
                a = texels[p.row[0], c]
                b = texels[p.row[1], c]
                d = texels[p.row[2], c]
                e = texels[p.row[3], c]
                du += g * ((1.0 - p.t) * (b - a) + p.t * (e - d))
                dv += g * ((1.0 - p.s) * (d - a) + p.s * (e - b))
                wp.atomic_add(grad_texels, part, p.row[0], c, g * (1.0 - p.s) * (1.0 - p.t))
                wp.atomic_add(grad_texels, part, p.row[1], c, g * p.s * (1.0 - p.t))
                wp.atomic_add(grad_texels, part, p.row[2], c, g * (1.0 - p.s) * p.t)
                wp.atomic_add(grad_texels, part, p.row[3], c, g * p.s * p.t)
            gradient += wp.vec2(du * float(size[1]), dv * float(size[2]))
    grad_uv[n] = gradient
