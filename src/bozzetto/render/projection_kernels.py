"""Warp functions that take world points to the image and gradients back, shared by all kernels here.

A camera is a 4x4 matrix with the rows X, Y, W, Z: a world point x lands on the pixel (X.x / W.x, Y.x / W.x)
at depth Z.x, where W = Z for a perspective camera and W.x = 1 for an orthographic one.

Inside the kernels a projected vertex is (u, v, q): the pixel, and q = 1 / depth (perspective) or the depth
itself (orthographic), because that is what varies linearly across the image. Negative q of a perspective
camera means behind it, which needs no clipping: see `coverage`.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.func
def project(camera: wp.mat44, x: wp.vec3, perspective: bool, near: float) -> wp.vec3:
    """World point to (u, v, q)."""
    p = camera * wp.vec4(x[0], x[1], x[2], 1.0)
    if not perspective:
        return wp.vec3(p[0], p[1], p[3])
    # A vertex in the camera's own plane projects to infinity; move it just behind.
    w = wp.where(wp.abs(p[2]) < 1.0e-3 * near, -1.0e-3 * near, p[2])
    return wp.vec3(p[0] / w, p[1] / w, 1.0 / w)


@wp.func
def edge_function_ordered(a: wp.vec3, b: wp.vec3, x: float, y: float) -> float:
    e = (a[0] - x) * (b[1] - y) - (a[1] - y) * (b[0] - x)
    if e == 0.0:
        e = 1.0e-30 * wp.where(a[1] != b[1], wp.sign(a[1] - b[1]), wp.sign(b[0] - a[0]))
    return e


@wp.func
def edge_function(i: wp.int32, a: wp.vec3, j: wp.int32, b: wp.vec3, x: float, y: float) -> float:
    """Twice the signed area of the triangle (pixel centre, a, b), never zero.

    The two triangles at an edge must see exactly opposite values, so that no pixel is lost or drawn twice:
    the end with the smaller vertex index comes first. A centre exactly on the edge counts as moved by an
    infinitesimal (d, d^2), which is the top-left rule.
    """
    if i > j:
        return -edge_function_ordered(b, a, x, y)
    return edge_function_ordered(a, b, x, y)


@wp.func
def edge_functions(face: wp.vec3i, a: wp.vec3, b: wp.vec3, c: wp.vec3, x: float, y: float) -> wp.vec3:
    """The edge functions opposite to the three corners, seen from a pixel centre."""
    return wp.vec3(
        edge_function(face[1], b, face[2], c, x, y),
        edge_function(face[2], c, face[0], a, x, y),
        edge_function(face[0], a, face[1], b, x, y),
    )


@wp.func
def coverage(e: wp.vec3, q: wp.vec3, perspective: bool) -> wp.vec3:
    """Homogeneous edge functions: all of one sign where the triangle covers the pixel centre.

    With p = (u w, v w, w) they are cross(p_j, p_k) (Olano and Greer 1997). Dividing the three by w_a w_b w_c
    leaves the plain edge functions times q. That holds wherever the corners are, so a triangle which reaches
    behind the camera needs no clipping, only the depth has to be tested. Divided by their sum these are the
    perspective-correct barycentric coordinates.
    """
    if perspective:
        return wp.cw_mul(e, q)
    return e


@wp.func
def sum3(a: wp.vec3) -> float:
    return a[0] + a[1] + a[2]


@wp.func
def depth_at(e: wp.vec3, q: wp.vec3, perspective: bool) -> float:
    """Depth of the triangle's plane at the pixel centre."""
    if perspective:
        return sum3(e) / wp.dot(e, q)
    return wp.dot(e, q) / sum3(e)


@wp.func
def back_project(camera: wp.mat44, p: wp.vec3, gradient: wp.vec2, perspective: bool) -> wp.vec3:
    """Adjoint of the projection: gradient with respect to (u, v) of a vertex to the world."""
    gu = gradient[0]
    gv = gradient[1]
    gw = -(p[0] * gu + p[1] * gv)
    g = wp.vec3(
        gu * camera[0, 0] + gv * camera[1, 0] + gw * camera[2, 0],
        gu * camera[0, 1] + gv * camera[1, 1] + gw * camera[2, 1],
        gu * camera[0, 2] + gv * camera[1, 2] + gw * camera[2, 2],
    )
    if perspective:
        return g * p[2]
    return g
