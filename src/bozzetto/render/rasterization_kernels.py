"""Warp kernels of `rasterize`: visibility, barycentric coordinates, and their adjoint.

Pixels are grouped in image rows: row number view * height + y.
"""

import warp as wp

from .projection_kernels import coverage, depth_at, edge_functions, edges, project, sum3

wp.set_module_options({"enable_backward": False})

FRONT = wp.constant(wp.uint8(1))  # the triangle shows its outside
SPANS = wp.constant(wp.uint8(2))  # the triangle covers at least two pixel centres
EMPTY = wp.constant(wp.int64(0x7FFFFFFFFFFFFFFF))


@wp.kernel
def project_vertices(
    vertices: wp.array(dtype=wp.vec3),  # (V,)
    cameras: wp.array(dtype=wp.mat44),  # (N,)
    view: int,
    perspective: bool,
    near: float,
    screen: wp.array(dtype=wp.vec3),  # (V,)
):
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
    faces: wp.array(dtype=wp.vec3i),  # (F,)
    screen: wp.array(dtype=wp.vec3),  # (V,)
    view: int,
    width: int,
    height: int,
    perspective: bool,
    near: float,
    nearest: wp.array(dtype=wp.int64),  # (H * W,) depth and triangle in one word
    flags: wp.array2d(dtype=wp.uint8),  # (N, F) FRONT, SPANS
):
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
        edge = edges(face, a, b, c)
        covered = int(0)
        for y in range(int(y0), int(y1) + 1):
            for x in range(int(x0), int(x1) + 1):
                e = edge_functions(edge, float(x) + 0.5, float(y) + 0.5)
                w = coverage(e, q, perspective)
                if (w[0] > 0.0) == (w[1] > 0.0) and (w[1] > 0.0) == (w[2] > 0.0):
                    depth = depth_at(e, q, perspective)
                    if depth >= near:
                        covered += 1
                        wp.atomic_min(nearest, y * width + x, depth_and_index(depth, i))
        if covered > 1:
            flag = flag | SPANS
    flags[view, i] = flag


@wp.kernel
def resolve(
    nearest: wp.array2d(dtype=wp.int64),  # (H, W)
    view: int,
    triangle: wp.array3d(dtype=wp.int32),  # (N, H, W)
    count: wp.array(dtype=wp.int32),  # (N * H,) covered pixels per row
):
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


@wp.kernel
def fill(
    triangle: wp.array3d(dtype=wp.int32),  # (N, H, W)
    faces: wp.array(dtype=wp.vec3i),
    vertices: wp.array(dtype=wp.vec3),
    cameras: wp.array(dtype=wp.mat44),
    perspective: bool,
    near: float,
    row_start: wp.array(dtype=wp.int32),  # (N * H + 1,)
    first_row: int,
    pixel: wp.array(dtype=wp.int64),  # (P,)
    face_index: wp.array(dtype=wp.int64),  # (P,)
    barycentric: wp.array(dtype=wp.vec3),  # (P,)
    depth: wp.array(dtype=float),  # (P,)
):
    """Write the covered pixels of one row one after the other."""
    row = first_row + wp.tid()
    height = triangle.shape[1]
    width = triangle.shape[2]
    view = row / height
    y = row - view * height
    out = row_start[row]
    if out == row_start[row + 1]:
        return
    camera = cameras[view]
    for x in range(width):
        t = triangle[view, y, x]
        if t >= 0:
            face = faces[t]
            a = project(camera, vertices[face[0]], perspective, near)
            b = project(camera, vertices[face[1]], perspective, near)
            c = project(camera, vertices[face[2]], perspective, near)
            q = wp.vec3(a[2], b[2], c[2])
            e = edge_functions(edges(face, a, b, c), float(x) + 0.5, float(y) + 0.5)
            w = coverage(e, q, perspective)
            pixel[out] = wp.int64(row * width + x)
            face_index[out] = wp.int64(t)
            barycentric[out] = w / sum3(w)
            depth[out] = depth_at(e, q, perspective)
            out += 1


@wp.func
def shifted(camera: wp.mat44, p: wp.vec3, x: float, y: float) -> wp.vec2:
    """Homogeneous image point (u w, v w) with the pixel centre as origin."""
    h = camera * wp.vec4(p[0], p[1], p[2], 1.0)
    return wp.vec2(h[0] - x * h[2], h[1] - y * h[2])


@wp.kernel
def fill_adjoint(
    pixel: wp.array(dtype=wp.int64),  # (P,)
    face_index: wp.array(dtype=wp.int64),  # (P,)
    barycentric: wp.array(dtype=wp.vec3),  # (P,)
    grad_barycentric: wp.array(dtype=wp.vec3),  # (P,)
    grad_depth: wp.array(dtype=float),  # (P,)
    faces: wp.array(dtype=wp.vec3i),
    vertices: wp.array(dtype=wp.vec3),
    cameras: wp.array(dtype=wp.mat44),
    width: int,
    height: int,
    start: int,
    part: int,
    grad_vertices: wp.array2d(dtype=wp.vec3),  # (parts, V)
):
    """Adjoint of barycentric coordinates and depth with respect to the world positions of the corners.

    b_i = E_i / S with E_i = cross(r_j, r_k), S = E_0 + E_1 + E_2, r the shifted homogeneous corners, and the
    depth is sum b_i z_i.
    """
    n = start + wp.tid()
    flat = wp.int32(pixel[n])
    view = flat / (width * height)
    y = float((flat / width) % height) + 0.5
    x = float(flat % width) + 0.5
    face = faces[wp.int32(face_index[n])]
    camera = cameras[view]
    b = barycentric[n]
    gz = grad_depth[n]

    row_x = wp.vec3(
        camera[0, 0] - x * camera[2, 0], camera[0, 1] - x * camera[2, 1], camera[0, 2] - x * camera[2, 2]
    )
    row_y = wp.vec3(
        camera[1, 0] - y * camera[2, 0], camera[1, 1] - y * camera[2, 1], camera[1, 2] - y * camera[2, 2]
    )
    row_z = wp.vec3(camera[3, 0], camera[3, 1], camera[3, 2])

    p0 = vertices[face[0]]
    p1 = vertices[face[1]]
    p2 = vertices[face[2]]
    r0 = shifted(camera, p0, x, y)
    r1 = shifted(camera, p1, x, y)
    r2 = shifted(camera, p2, x, y)
    total = (
        (r1[0] * r2[1] - r1[1] * r2[0]) + (r2[0] * r0[1] - r2[1] * r0[0]) + (r0[0] * r1[1] - r0[1] * r1[0])
    )
    if total == 0.0:
        return
    z = wp.vec3(wp.dot(row_z, p0), wp.dot(row_z, p1), wp.dot(row_z, p2))
    g = grad_barycentric[n] + gz * z
    e = (g - wp.vec3(1.0, 1.0, 1.0) * wp.dot(g, b)) / total
    g0 = e[1] * wp.vec2(-r2[1], r2[0]) + e[2] * wp.vec2(r1[1], -r1[0])
    g1 = e[2] * wp.vec2(-r0[1], r0[0]) + e[0] * wp.vec2(r2[1], -r2[0])
    g2 = e[0] * wp.vec2(-r1[1], r1[0]) + e[1] * wp.vec2(r0[1], -r0[0])
    wp.atomic_add(grad_vertices, part, face[0], g0[0] * row_x + g0[1] * row_y + (gz * b[0]) * row_z)
    wp.atomic_add(grad_vertices, part, face[1], g1[0] * row_x + g1[1] * row_y + (gz * b[1]) * row_z)
    wp.atomic_add(grad_vertices, part, face[2], g2[0] * row_x + g2[1] * row_y + (gz * b[2]) * row_z)
