"""Warp kernels of `rasterize`: visibility, barycentric coordinates, and their adjoint.

Pixels are grouped in image rows: row number view * height + y.
"""

import warp as wp

from ..geometry.launch import kernel_struct
from .projection_kernels import depth_at, edge_functions, edges, project, sum3, turned

wp.set_module_options({"enable_backward": False})

FRONT: wp.uint8 = wp.constant(wp.uint8(1))  # the triangle shows its outside
SPANS: wp.uint8 = wp.constant(wp.uint8(2))  # the triangle covers at least MANY pixel centres
MANY: int = wp.constant(8)
SMALLEST: float = wp.constant(1.0e-30)
EMPTY: wp.int64 = wp.constant(wp.int64(0x7FFFFFFFFFFFFFFF))


@wp.kernel
def project_vertices(
    vertices: wp.array[wp.vec3],  # (V,)
    cameras: wp.array[wp.mat44],  # (N,)
    view: int,
    perspective: bool,
    near: float,
    screen: wp.array[wp.vec3],  # (V,)
) -> None:
    """Project the vertices into one view."""
    i = wp.tid()
    screen[i] = project(cameras[view], vertices[i], perspective, near)


@wp.func
def clipped_bounds(a: wp.vec3, b: wp.vec3, near: float, bounds: wp.vec4) -> wp.vec4:
    """Extend (u min, u max, v min, v max) by a and by where the edge a, b meets the near plane."""
    result = bounds
    crosses = a[2] * b[2] < 0.0
    if a[2] > 0.0:
        result = wp.vec4(
            wp.min(result[0], a[0]), wp.max(result[1], a[0]), wp.min(result[2], a[1]), wp.max(result[3], a[1])
        )
    if crosses:
        # The inverse depth is linear along the edge in the image; one pixel of margin against rounding.
        t = (1.0 / near - a[2]) / (b[2] - a[2])
        u = a[0] + t * (b[0] - a[0])
        v = a[1] + t * (b[1] - a[1])
        result = wp.vec4(
            wp.min(result[0], u - 1.0),
            wp.max(result[1], u + 1.0),
            wp.min(result[2], v - 1.0),
            wp.max(result[3], v + 1.0),
        )
    return result


@wp.func
def depth_and_index(depth: float, index: int) -> wp.int64:
    """One word whose order is that of (depth, index), also for negative depths."""
    bits = wp.cast(depth, wp.int32)
    if bits < 0:
        bits = bits ^ 0x7FFFFFFF
    return (wp.int64(bits) << wp.int64(32)) | wp.int64(index)


@wp.kernel
def draw(
    faces: wp.array[wp.vec3i],  # (F,)
    screen: wp.array[wp.vec3],  # (V,)
    view: int,
    width: int,
    height: int,
    perspective: bool,
    near: float,
    nearest: wp.array[wp.int64],  # (H * W,) depth and triangle in one word
    flags: wp.array2d[wp.uint8],  # (N, F) FRONT, SPANS
) -> None:
    """Draw one triangle into one view; the smallest (depth, index) wins at every pixel."""
    i = wp.tid()
    face = faces[i]
    a = screen[face[0]]
    b = screen[face[1]]
    c = screen[face[2]]
    q = wp.vec3(a[2], b[2], c[2])
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    box = wp.vec4(
        wp.min(a[0], wp.min(b[0], c[0])),
        wp.max(a[0], wp.max(b[0], c[0])),
        wp.min(a[1], wp.min(b[1], c[1])),
        wp.max(a[1], wp.max(b[1], c[1])),
    )
    turn = wp.sign(area)
    if perspective and wp.min(q) <= 0.0:
        area *= q[0] * q[1] * q[2]
        box = wp.vec4(1.0e9, -1.0e9, 1.0e9, -1.0e9)
        box = clipped_bounds(a, b, near, box)
        box = clipped_bounds(b, c, near, box)
        box = clipped_bounds(c, a, near, box)
    flag = wp.where(area < 0.0, FRONT, wp.uint8(0))
    # First and last pixel whose centre lies in the box; most small triangles end here.
    x0 = wp.max(wp.ceil(box[0] - 0.5), 0.0)
    x1 = wp.min(wp.floor(box[1] - 0.5), float(width - 1))
    y0 = wp.max(wp.ceil(box[2] - 0.5), 0.0)
    y1 = wp.min(wp.floor(box[3] - 0.5), float(height - 1))
    if x0 <= x1 and y0 <= y1:
        side = wp.vec3(1.0, 1.0, 1.0)
        if perspective:
            side = wp.vec3(wp.sign(q[0]), wp.sign(q[1]), wp.sign(q[2]))
        edge = turned(edges(face, a, b, c), turn * side)
        covered = int(0)
        for y in range(int(y0), int(y1) + 1):
            for x in range(int(x0), int(x1) + 1):
                e = edge_functions(edge, float(x) + 0.5, float(y) + 0.5)
                if wp.min(e) > 0.0:
                    depth = depth_at(wp.cw_mul(e, side), q, perspective)
                    if depth >= near:
                        covered += 1
                        wp.atomic_min(nearest, y * width + x, depth_and_index(depth, i))
        if covered >= MANY:
            flag = flag | SPANS
    flags[view, i] = flag


@wp.kernel
def resolve(
    nearest: wp.array2d[wp.int64],  # (H, W)
    view: int,
    triangle: wp.array3d[wp.int32],  # (N, H, W)
    count: wp.array[wp.int32],  # (N * H,) covered pixels per row
) -> None:
    """Triangle index of every pixel of one row of one view."""
    y = wp.tid()
    covered = int(0)
    for x in range(nearest.shape[1]):
        word = nearest[y, x]
        index = wp.int32(-1)
        if word != EMPTY:
            index = wp.int32(word & wp.int64(0x7FFFFFFF))
            covered += 1
        triangle[view, y, x] = index
    count[view * nearest.shape[0] + y] = covered


@kernel_struct
class PixelCamera:
    """Rows of a camera whose image has a pixel centre as its origin: (u w, v w) and the depth."""

    x: wp.vec4
    y: wp.vec4
    z: wp.vec4


@wp.func
def pixel_camera(camera: wp.mat44, x: float, y: float) -> PixelCamera:
    """The camera with the image point (x, y) as the origin of its image."""
    result = PixelCamera()
    result.x = camera[0] - x * camera[2]
    result.y = camera[1] - y * camera[2]
    result.z = camera[3]
    return result


@wp.func
def seen(camera: PixelCamera, p: wp.vec3) -> wp.vec3:
    """(u w, v w) and the depth of a world point."""
    h = wp.vec4(p[0], p[1], p[2], 1.0)
    return wp.vec3(wp.dot(camera.x, h), wp.dot(camera.y, h), wp.dot(camera.z, h))


@wp.func
def seen_adjoint(camera: PixelCamera, g: wp.vec3) -> wp.vec3:
    """Gradient of `seen` with respect to the point."""
    h = g[0] * camera.x + g[1] * camera.y + g[2] * camera.z
    return wp.vec3(h[0], h[1], h[2])


@wp.func
def cross2(a: wp.vec3, b: wp.vec3) -> float:
    """Cross product of the x and y components."""
    return a[0] * b[1] - a[1] * b[0]


@wp.kernel
def fill(
    triangle: wp.array3d[wp.int32],  # (N, H, W)
    faces: wp.array[wp.vec3i],
    vertices: wp.array[wp.vec3],
    cameras: wp.array[wp.mat44],
    row_start: wp.array[wp.int32],  # (N * H + 1,)
    first_row: int,
    pixel: wp.array[wp.int64],  # (P,)
    face_index: wp.array[wp.int64],  # (P,)
    barycentric: wp.array[wp.vec3],  # (P,)
    depth: wp.array[float],  # (P,)
) -> None:
    """Write the fragments of the covered pixels of one row."""
    row = first_row + wp.tid()
    height = triangle.shape[1]
    width = triangle.shape[2]
    view = row / height
    y = row - view * height
    out = row_start[row]
    if out == row_start[row + 1]:
        return
    for x in range(width):
        t = triangle[view, y, x]
        if t >= 0:
            face = faces[t]
            camera = pixel_camera(cameras[view], float(x) + 0.5, float(y) + 0.5)
            r0 = seen(camera, vertices[face[0]])
            r1 = seen(camera, vertices[face[1]])
            r2 = seen(camera, vertices[face[2]])
            e = wp.vec3(cross2(r1, r2), cross2(r2, r0), cross2(r0, r1))
            # The pixel centre is inside, but may be outside of a sliver by rounding.
            sign = wp.sign(sum3(e))
            e = wp.max(sign * e, wp.vec3(0.0, 0.0, 0.0))
            b = e / wp.max(sum3(e), SMALLEST)
            pixel[out] = wp.int64(row * width + x)
            face_index[out] = wp.int64(t)
            barycentric[out] = b
            depth[out] = b[0] * r0[2] + b[1] * r1[2] + b[2] * r2[2]
            out += 1


@wp.kernel
def fill_adjoint(
    pixel: wp.array[wp.int64],  # (P,)
    face_index: wp.array[wp.int64],  # (P,)
    barycentric: wp.array[wp.vec3],  # (P,)
    grad_barycentric: wp.array[wp.vec3],  # (P,)
    grad_depth: wp.array[float],  # (P,)
    faces: wp.array[wp.vec3i],
    vertices: wp.array[wp.vec3],
    cameras: wp.array[wp.mat44],
    width: int,
    height: int,
    start: int,
    part: int,
    grad_vertices: wp.array2d[wp.vec3],  # (parts, V)
) -> None:
    """Adjoint of barycentric coordinates and depth with respect to the world positions of the corners.

    b_i = E_i / S with E_i = cross(p_j, p_k), S = E_0 + E_1 + E_2, p the homogeneous corners seen from the pixel
    centre, and the depth is sum b_i z_i.
    """
    n = start + wp.tid()
    flat = wp.int32(pixel[n])
    view = flat / (width * height)
    y = float((flat / width) % height) + 0.5
    x = float(flat % width) + 0.5
    face = faces[wp.int32(face_index[n])]
    camera = pixel_camera(cameras[view], x, y)
    b = barycentric[n]
    gz = grad_depth[n]

    p0 = seen(camera, vertices[face[0]])
    p1 = seen(camera, vertices[face[1]])
    p2 = seen(camera, vertices[face[2]])
    total = cross2(p1, p2) + cross2(p2, p0) + cross2(p0, p1)
    if wp.abs(total) < SMALLEST:
        return
    g = grad_barycentric[n] + gz * wp.vec3(p0[2], p1[2], p2[2])
    across = wp.dot(g, b)
    e = wp.vec3(g[0] - across, g[1] - across, g[2] - across) / total
    g0 = wp.vec3(e[2] * p1[1] - e[1] * p2[1], e[1] * p2[0] - e[2] * p1[0], gz * b[0])
    g1 = wp.vec3(e[0] * p2[1] - e[2] * p0[1], e[2] * p0[0] - e[0] * p2[0], gz * b[1])
    g2 = wp.vec3(e[1] * p0[1] - e[0] * p1[1], e[0] * p1[0] - e[1] * p0[0], gz * b[2])
    wp.atomic_add(grad_vertices, part, face[0], seen_adjoint(camera, g0))
    wp.atomic_add(grad_vertices, part, face[1], seen_adjoint(camera, g1))
    wp.atomic_add(grad_vertices, part, face[2], seen_adjoint(camera, g2))
