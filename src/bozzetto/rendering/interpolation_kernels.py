"""Warp kernels of `interpolate`: attributes of corners to covered pixels, and the adjoint.

Channels are handled one at a time or, twice as fast, in threes: a value is a float or a vec3.
"""

from typing import Any

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.func
def corner_rows(face_index: wp.int64, faces: wp.array(dtype=wp.vec3i), per_corner: bool) -> wp.vec3i:
    """Rows of the attribute that belong to the corners of a triangle."""
    f = wp.int32(face_index)
    if per_corner:
        return wp.vec3i(3 * f, 3 * f + 1, 3 * f + 2)
    return faces[f]


@wp.func
def inner(a: float, b: float) -> float:
    return a * b


@wp.func
def inner(a: wp.vec3, b: wp.vec3) -> float:  # noqa: F811 (Warp overloads functions by type)
    return wp.dot(a, b)


@wp.kernel
def gather(
    face_index: wp.array(dtype=wp.int64),  # (P,)
    barycentric: wp.array(dtype=wp.vec3),  # (P,)
    faces: wp.array(dtype=wp.vec3i),
    attribute: wp.array2d(dtype=Any),  # (V or 3 F, C values)
    per_corner: bool,
    start: int,
    out: wp.array2d(dtype=Any),  # (P, C values)
):
    n = start + wp.tid()
    i = corner_rows(face_index[n], faces, per_corner)
    b = barycentric[n]
    for c in range(attribute.shape[1]):
        out[n, c] = b[0] * attribute[i[0], c] + b[1] * attribute[i[1], c] + b[2] * attribute[i[2], c]


@wp.kernel
def gather_adjoint(
    face_index: wp.array(dtype=wp.int64),  # (P,)
    barycentric: wp.array(dtype=wp.vec3),  # (P,)
    faces: wp.array(dtype=wp.vec3i),
    attribute: wp.array2d(dtype=Any),  # (V or 3 F, C values)
    per_corner: bool,
    grad_out: wp.array2d(dtype=Any),  # (P, C values)
    start: int,
    part: int,
    grad_attribute: wp.array3d(dtype=Any),  # (parts, V or 3 F, C values), or no parts where not wanted
    grad_barycentric: wp.array(dtype=wp.vec3),  # (P,)
):
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
