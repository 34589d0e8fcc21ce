"""Warp kernels of `interpolate` and `sample_texture`, and their adjoints.

Channels are handled one at a time or, twice as fast, in threes: a value is a float or a vec3. Textures are
read bilinearly within a level, and linearly between two levels of a pyramid.
"""

from typing import Any

import warp as wp

from ..geometry.launch import kernel_struct

wp.set_module_options({"enable_backward": False})


@wp.func
def corner_rows(face_index: wp.int64, faces: wp.array[wp.vec3i], per_corner: bool) -> wp.vec3i:
    """Rows of the attribute that belong to the corners of a triangle."""
    f = wp.int32(face_index)
    if per_corner:
        return wp.vec3i(3 * f, 3 * f + 1, 3 * f + 2)
    return faces[f]


@wp.func
def inner(a: float, b: float) -> float:
    """Inner product of two values."""
    return a * b


@wp.func
def inner(a: wp.vec3, b: wp.vec3) -> float:  # noqa: F811 (Warp overloads functions by type)
    """Inner product of two values."""
    return wp.dot(a, b)


@wp.kernel
def gather(
    face_index: wp.array[wp.int64],  # (P,)
    barycentric: wp.array[wp.vec3],  # (P,)
    faces: wp.array[wp.vec3i],
    attribute: wp.array2d[Any],  # (V or 3 F, C values)
    per_corner: bool,
    start: int,
    out: wp.array2d[Any],  # (P, C values)
) -> None:
    """Interpolate an attribute at pixels by barycentric coordinates."""
    n = start + wp.tid()
    i = corner_rows(face_index[n], faces, per_corner)
    b = barycentric[n]
    for c in range(attribute.shape[1]):
        out[n, c] = b[0] * attribute[i[0], c] + b[1] * attribute[i[1], c] + b[2] * attribute[i[2], c]


@wp.kernel
def gather_adjoint(
    face_index: wp.array[wp.int64],  # (P,)
    barycentric: wp.array[wp.vec3],  # (P,)
    faces: wp.array[wp.vec3i],
    attribute: wp.array2d[Any],  # (V or 3 F, C values)
    per_corner: bool,
    grad_out: wp.array2d[Any],  # (P, C values)
    start: int,
    part: int,
    grad_attribute: wp.array3d[Any],  # (parts, V or 3 F, C values), or no parts where not wanted
    grad_barycentric: wp.array[wp.vec3],  # (P,)
) -> None:
    """Gradients of `gather` with respect to the attribute and the barycentric coordinates."""
    n = start + wp.tid()
    i = corner_rows(face_index[n], faces, per_corner)
    b = barycentric[n]
    gb = wp.vec3(0.0, 0.0, 0.0)
    for c in range(attribute.shape[1]):
        g = grad_out[n, c]
        gb += wp.vec3(
            inner(g, attribute[i[0], c]), inner(g, attribute[i[1], c]), inner(g, attribute[i[2], c])
        )
        if grad_attribute.shape[0] > 0:
            wp.atomic_add(grad_attribute, part, i[0], c, g * b[0])
            wp.atomic_add(grad_attribute, part, i[1], c, g * b[1])
            wp.atomic_add(grad_attribute, part, i[2], c, g * b[2])
    grad_barycentric[n] = gb


def _for_values(kernel: wp.Kernel, names: dict[str, int]) -> dict[int, wp.Kernel]:
    """The kernel for channels one at a time (1) and in threes (3); names with the dimensions of the arrays."""
    kinds = {1: wp.float32, 3: wp.vec3}
    return {
        size: wp.overload(kernel, {name: wp.array(dtype=kind, ndim=ndim) for name, ndim in names.items()})
        for size, kind in kinds.items()
    }


GATHER = _for_values(gather, {"attribute": 2, "out": 2})
GATHER_ADJOINT = _for_values(gather_adjoint, {"attribute": 2, "grad_out": 2, "grad_attribute": 3})


wp.set_module_options({"enable_backward": False})


@kernel_struct
class Taps:
    """The four texels around a point of one level, as rows of the pyramid, and its position between them."""

    row: wp.vec4i  # (x0, y0), (x1, y0), (x0, y1), (x1, y1)
    s: float
    t: float


@wp.func
def wrapped(i: int, size: int, repeat: bool) -> int:
    """Index of a texel beyond the border: repeated, or the nearest one at the border."""
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
    texels: wp.array2d[float],  # (T, C) all levels of the pyramid
    levels: wp.array[wp.vec3i],  # (L,) first row, width, height
    uv: wp.array[wp.vec2],  # (P,)
    level: wp.array[float],  # (P,), or (0,) for the finest
    repeat: bool,
    start: int,
    out: wp.array2d[float],  # (P, C) starts at 0
) -> None:
    """Read a texture at pixels, bilinearly and between two levels."""
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
    texels: wp.array2d[float],
    levels: wp.array[wp.vec3i],
    uv: wp.array[wp.vec2],
    level: wp.array[float],
    repeat: bool,
    grad_out: wp.array2d[float],  # (P, C)
    start: int,
    part: int,
    grad_texels: wp.array3d[float],  # (parts, T, C)
    grad_uv: wp.array[wp.vec2],  # (P,)
) -> None:
    """Gradients of `sample` with respect to texels and uv."""
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
