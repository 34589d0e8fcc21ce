"""Warp kernels of the irradiance of a distant light: one quadratic form per colour channel."""

import warp as wp

wp.set_module_options({"enable_backward": False})

CHUNK: int = wp.constant(64)  # pixels that one thread sums before it adds to the shared result


@wp.func
def lifted(n: wp.vec3) -> wp.vec4:
    """(n / |n|, 1); a zero normal stays zero."""
    u = wp.normalize(n)
    return wp.vec4(u[0], u[1], u[2], 1.0)


@wp.kernel
def evaluate(
    normals: wp.array[wp.vec3],  # (P,)
    forms: wp.array[wp.mat44],  # (3,)
    start: int,
    out: wp.array[wp.vec3],  # (P,)
) -> None:
    """Quadratic forms of the unit normal, one per colour: irradiance."""
    n = start + wp.tid()
    h = lifted(normals[n])
    out[n] = wp.vec3(wp.dot(h, forms[0] * h), wp.dot(h, forms[1] * h), wp.dot(h, forms[2] * h))


@wp.kernel
def evaluate_adjoint(
    normals: wp.array[wp.vec3],  # (P,)
    forms: wp.array[wp.mat44],  # (3,)
    grad_out: wp.array[wp.vec3],  # (P,)
    start: int,
    grad_normals: wp.array[wp.vec3],  # (P,)
) -> None:
    """Gradient of `evaluate` with respect to the normals."""
    n = start + wp.tid()
    h = lifted(normals[n])
    g = grad_out[n]
    form = g[0] * forms[0] + g[1] * forms[1] + g[2] * forms[2]
    s = 2.0 * (form * h)
    unit = wp.vec3(h[0], h[1], h[2])
    flow = wp.vec3(s[0], s[1], s[2])
    length = wp.length(normals[n])
    if length > 0.0:
        grad_normals[n] = (flow - wp.dot(flow, unit) * unit) / length
    else:
        grad_normals[n] = wp.vec3(0.0, 0.0, 0.0)


@wp.kernel
def forms_adjoint(
    normals: wp.array[wp.vec3],  # (P,)
    grad_out: wp.array[wp.vec3],  # (P,)
    start: int,
    stop: int,
    part: int,
    grad_forms: wp.array2d[wp.mat44],  # (parts, 3)
) -> None:
    """Gradient of `evaluate` with respect to the forms, a sum over CHUNK normals per thread."""
    first = start + wp.tid() * CHUNK
    red = wp.mat44(0.0)
    green = wp.mat44(0.0)
    blue = wp.mat44(0.0)
    for n in range(first, wp.min(first + CHUNK, stop)):
        h = lifted(normals[n])
        g = grad_out[n]
        square = wp.outer(h, h)
        red += g[0] * square
        green += g[1] * square
        blue += g[2] * square
    wp.atomic_add(grad_forms, part, 0, red)
    wp.atomic_add(grad_forms, part, 1, green)
    wp.atomic_add(grad_forms, part, 2, blue)
