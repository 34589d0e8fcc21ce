"""Warp kernels of `interpolate`: attributes of corners to covered pixels, and the adjoint."""

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.func
def corner_rows(face_index: wp.int64, faces: wp.array(dtype=wp.vec3i), per_corner: bool) -> wp.vec3i:
    """Rows of the attribute that belong to the corners of a triangle."""
    f = wp.int32(face_index)
    if per_corner:
        return wp.vec3i(3 * f, 3 * f + 1, 3 * f + 2)
    return faces[f]


@wp.kernel
def gather(
    face_index: wp.array(dtype=wp.int64),  # (P,)
    barycentric: wp.array(dtype=wp.vec3),  # (P,)
    faces: wp.array(dtype=wp.vec3i),
    attribute: wp.array2d(dtype=float),  # (V or 3 F, C)
    per_corner: bool,
    start: int,
    out: wp.array2d(dtype=float),  # (P, C)
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
    attribute: wp.array2d(dtype=float),  # (V or 3 F, C)
    per_corner: bool,
    grad_out: wp.array2d(dtype=float),  # (P, C)
    start: int,
    part: int,
    grad_attribute: wp.array3d(dtype=float),  # (parts, V or 3 F, C), or (0, 0, 0) where not wanted
    grad_barycentric: wp.array(dtype=wp.vec3),  # (P,)
):
    n = start + wp.tid()
    i = corner_rows(face_index[n], faces, per_corner)
    b = barycentric[n]
    gb = wp.vec3(0.0, 0.0, 0.0)
    for c in range(attribute.shape[1]):
        g = grad_out[n, c]
        gb += g * wp.vec3(attribute[i[0], c], attribute[i[1], c], attribute[i[2], c])
        if grad_attribute.shape[0] > 0:
            wp.atomic_add(grad_attribute, part, i[0], c, g * b[0])
            wp.atomic_add(grad_attribute, part, i[1], c, g * b[1])
            wp.atomic_add(grad_attribute, part, i[2], c, g * b[2])
    grad_barycentric[n] = gb
