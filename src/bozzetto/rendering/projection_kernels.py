"""Warp functions for the projection of world points and its adjoint, shared by all kernels here.

A camera is a 4x4 matrix with the rows X, Y, W, Z: a world point x is projected to the pixel (X.x / W.x, Y.x /
W.x)
at depth Z.x, where W = Z for a perspective camera and W.x = 1 for an orthographic one.

Inside the kernels a projected vertex is (u, v, q): the pixel, and q = 1 / depth (perspective) or the depth
itself (orthographic), because this is linear in the image. Negative q of a perspective camera means behind it,
which needs no clipping, see `turned`.
"""

import warp as wp

from ..geometry.launch import kernel_struct

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


@kernel_struct
class Edges:
    """The three edges of a projected triangle, each opposite to its corner: a point and the direction."""

    x: wp.vec3
    y: wp.vec3
    dx: wp.vec3
    dy: wp.vec3
    bias: wp.vec3


@wp.func
def edges(face: wp.vec3i, a: wp.vec3, b: wp.vec3, c: wp.vec3) -> Edges:
    """Set up the edge functions of a triangle.

    Both triangles at an edge must have exactly opposite values, so that no pixel is lost or drawn twice.
    Therefore every edge starts at the end with the smaller vertex index. A centre exactly on the edge counts as
    moved by an infinitesimal (d, d^2), the top-left rule: the bias decides where the edge function is zero, and
    is negligible elsewhere.
    """
    result = Edges()
    for k in range(3):
        i = (k + 1) % 3
        j = (k + 2) % 3
        p = wp.where(i == 0, a, wp.where(i == 1, b, c))
        q = wp.where(j == 0, a, wp.where(j == 1, b, c))
        dx = q[0] - p[0]
        dy = q[1] - p[1]
        start = wp.where(face[i] < face[j], p, q)
        result.x[k] = start[0]
        result.y[k] = start[1]
        result.dx[k] = dx
        result.dy[k] = dy
        result.bias[k] = 1.0e-30 * wp.where(dy != 0.0, -wp.sign(dy), wp.sign(dx))
    return result


@wp.func
def edge_functions(edge: Edges, x: float, y: float) -> wp.vec3:
    """Twice the signed areas of the triangles between a point and the edges, never zero."""
    to_x = edge.x - wp.vec3(x, x, x)
    to_y = edge.y - wp.vec3(y, y, y)
    return wp.cw_mul(to_x, edge.dy) - wp.cw_mul(to_y, edge.dx) + edge.bias


@wp.func
def turned(edge: Edges, sign: wp.vec3) -> Edges:
    """Multiply edge functions by signs, so that all are positive where the triangle covers a point.

    With p = (u w, v w, w) the homogeneous edge functions are cross(p_j, p_k) (Olano and Greer 1997), and a
    point is covered where all have one sign. Dividing the three by w_a w_b w_c leaves the plain edge functions
    times q. This holds for any positions of the corners, so a triangle that extends behind the camera needs no
    clipping: the signs are those of q times the orientation in the image. Only the depth has to be tested.
    """
    result = edge
    result.dx = wp.cw_mul(edge.dx, sign)
    result.dy = wp.cw_mul(edge.dy, sign)
    result.bias = wp.cw_mul(edge.bias, sign)
    return result


@wp.func
def sum3(a: wp.vec3) -> float:
    """Sum of the components."""
    return a[0] + a[1] + a[2]


@wp.func
def linear_depth_at(e: wp.vec3, q: wp.vec3) -> float:
    """q of the triangle's plane at an image point: 1 / depth (perspective) or the depth (orthographic)."""
    return wp.dot(e, q) / sum3(e)


@wp.func
def depth_at(e: wp.vec3, q: wp.vec3, perspective: bool) -> float:
    """Depth of the triangle's plane at an image point."""
    if perspective:
        return sum3(e) / wp.dot(e, q)
    return linear_depth_at(e, q)


@wp.func
def back_project(camera: wp.mat44, p: wp.vec3, gradient: wp.vec3, perspective: bool) -> wp.vec3:
    """Adjoint of `project`: from the gradient with respect to (u, v, q) of a vertex to that of its world
    position."""
    gu = gradient[0]
    gv = gradient[1]
    gw = float(0.0)
    gz = gradient[2]
    if perspective:
        gu = gu * p[2]
        gv = gv * p[2]
        gw = -(p[0] * gu + p[1] * gv)
        gz = -p[2] * p[2] * gz
    g = wp.vec4(gu, gv, gw, gz) * camera
    return wp.vec3(g[0], g[1], g[2])
