"""Warp kernels of `antialias`: where outlines cross between pixel centres, and how they mix colours.

A crossing belongs to two neighbouring pixel centres p and q. The surface in front is seen at p and ends, or
dives under another one, at the distance d in [0, 1] from p on the way to q.
"""

import warp as wp

from .projection_kernels import back_project, depth_at, edge_functions, project
from .rasterization_kernels import FRONT

wp.set_module_options({"enable_backward": False})


@wp.struct
class Scene:
    """What all kernels here look at."""

    vertices: wp.array(dtype=wp.vec3)
    faces: wp.array(dtype=wp.vec3i)
    neighbours: wp.array(dtype=wp.vec3i)  # see Topology
    cameras: wp.array(dtype=wp.mat44)
    triangle: wp.array(dtype=wp.int32)  # (N * H * W,)
    flags: wp.array2d(dtype=wp.uint8)  # (N, F)
    width: int
    height: int
    perspective: bool
    near: float


@wp.func
def corner(scene: Scene, view: int, vertex: int) -> wp.vec3:
    return project(scene.cameras[view], scene.vertices[vertex], scene.perspective, scene.near)


@wp.struct
class Plane:
    """A projected triangle."""

    face: wp.vec3i
    a: wp.vec3
    b: wp.vec3
    c: wp.vec3


@wp.func
def plane(scene: Scene, view: int, triangle: int) -> Plane:
    p = Plane()
    p.face = scene.faces[triangle]
    p.a = corner(scene, view, p.face[0])
    p.b = corner(scene, view, p.face[1])
    p.c = corner(scene, view, p.face[2])
    return p


@wp.func
def plane_depth(scene: Scene, p: Plane, x: float, y: float) -> float:
    """Depth of the plane of a triangle at a point of the image."""
    e = edge_functions(p.face, p.a, p.b, p.c, x, y)
    return depth_at(e, wp.vec3(p.a[2], p.b[2], p.c[2]), scene.perspective)


@wp.func
def ordered_key(p: int, q: int, depth: float) -> wp.int64:
    """Sorts crossings by pixel pair, then by depth."""
    pair = wp.int64(2) * wp.int64(wp.min(p, q)) + wp.where(wp.abs(p - q) == 1, wp.int64(0), wp.int64(1))
    bits = wp.cast(depth, wp.int32)
    if bits < 0:
        bits = bits ^ 0x7FFFFFFF
    return (pair << wp.int64(31)) | ((wp.int64(bits) + wp.int64(0x80000000)) >> wp.int64(1))


@wp.kernel
def outline_crossings(
    scene: Scene,
    view: int,
    part: int,
    has_boundary: bool,
    capacity: int,
    count: wp.array(dtype=wp.int32),  # (parts,) crossings found, also those beyond the capacity
    key: wp.array2d(dtype=wp.int64),  # (parts, capacity)
    crossing: wp.array2d(dtype=wp.vec4i),  # (parts, capacity) p, q and the ends of the edge
    distance: wp.array2d(dtype=float),  # (parts, capacity)
):
    """Crossings of the outline edges of one triangle in one view.

    An edge is part of the outline where a triangle that shows its outside meets one that shows its inside, or
    none. Steep edges are followed from image row to image row and flat ones from column to column, so that
    the crossings of an edge add up to the area it sweeps.
    """
    i = wp.tid()
    front = (scene.flags[view, i] & FRONT) != wp.uint8(0)
    if not front and not has_boundary:
        return
    neighbours = scene.neighbours[i]
    for k in range(3):
        other = neighbours[k]
        outline = other == -1
        if front and other >= 0:
            outline = (scene.flags[view, other] & FRONT) == wp.uint8(0)
        elif other < -1:
            other = -2 - other
            outline = i < other and front == ((scene.flags[view, other] & FRONT) != wp.uint8(0))
        if outline:
            follow_edge(scene, view, i, k, other, part, capacity, count, key, crossing, distance)


@wp.func
def follow_edge(
    scene: Scene,
    view: int,
    i: int,
    k: int,
    other: int,
    part: int,
    capacity: int,
    count: wp.array(dtype=wp.int32),
    key: wp.array2d(dtype=wp.int64),
    crossing: wp.array2d(dtype=wp.vec4i),
    distance: wp.array2d(dtype=float),
):
    face = scene.faces[i]
    va = face[k]
    vb = face[(k + 1) % 3]
    a = corner(scene, view, va)
    b = corner(scene, view, vb)
    if scene.perspective and wp.min(a[2], b[2]) <= 0.0:
        return
    # "Along" is the axis from line to line of pixels, "across" the one inside a line.
    along = int(1)
    across = int(0)
    lines = scene.height
    length = scene.width
    if wp.abs(b[1] - a[1]) < wp.abs(b[0] - a[0]):
        along = int(0)
        across = int(1)
        lines = scene.width
        length = scene.height
    first = wp.max(wp.ceil(wp.min(a[along], b[along]) - 0.5), 0.0)
    last = wp.min(wp.ceil(wp.max(a[along], b[along]) - 0.5) - 1.0, float(lines - 1))
    if not first <= last:
        return
    c = corner(scene, view, face[(k + 2) % 3])
    slope = (b[across] - a[across]) / (b[along] - a[along])
    side = c[across] - a[across] - slope * (c[along] - a[along])
    if scene.perspective and c[2] < 0.0:
        side = -side
    for line in range(int(first), int(last) + 1):
        s = float(line) + 0.5
        r = a[across] + slope * (s - a[along])
        low = wp.floor(r - 0.5)
        if low >= 0.0 and low + 1.0 < float(length):
            inner = int(low)
            outer = int(low) + 1
            if side > 0.0:
                inner = int(low) + 1
                outer = int(low)
            d = wp.abs(r - (float(inner) + 0.5))
            x = wp.where(along == 1, r, s)
            y = wp.where(along == 1, s, r)
            p = wp.where(along == 1, line * scene.width + inner, inner * scene.width + line)
            q = wp.where(along == 1, line * scene.width + outer, outer * scene.width + line)
            t = (s - a[along]) / (b[along] - a[along])
            depth = a[2] + t * (b[2] - a[2])
            if scene.perspective:
                depth = 1.0 / depth
            if visible(scene, view, i, other, p, q, x, y, depth):
                base = view * scene.width * scene.height
                n = wp.atomic_add(count, part, 1)
                if n < capacity:
                    key[part, n] = ordered_key(base + p, base + q, depth)
                    crossing[part, n] = wp.vec4i(base + p, base + q, va, vb)
                    distance[part, n] = d


@wp.func
def visible(
    scene: Scene, view: int, i: int, other: int, p: int, q: int, x: float, y: float, depth: float
) -> bool:
    """Whether the edge of triangle i ends what p sees, in front of what q sees."""
    base = view * scene.width * scene.height
    seen_p = scene.triangle[base + p]
    seen_q = scene.triangle[base + q]
    if seen_p < 0 or seen_p == seen_q or seen_q == i or seen_q == other or depth < scene.near:
        return False
    if seen_q >= 0:
        xq = float(q % scene.width) + 0.5
        yq = float(q / scene.width) + 0.5
        if plane_depth(scene, plane(scene, view, seen_q), xq, yq) < depth:
            return False
    return True


@wp.func
def row_of(
    flat: int, width: int, row_start: wp.array(dtype=wp.int32), pixel: wp.array(dtype=wp.int64)
) -> int:
    """Row of a covered pixel in the list of covered pixels, -1 if it is not in the list."""
    low = row_start[flat / width]
    stop = row_start[flat / width + 1]
    high = stop
    while low < high:
        middle = (low + high) / 2
        if pixel[middle] < wp.int64(flat):
            low = middle + 1
        else:
            high = middle
    if low < stop and pixel[low] == wp.int64(flat):
        return low
    return -1


@wp.kernel
def find_rows(
    crossing: wp.array(dtype=wp.vec4i),  # (K,)
    width: int,
    row_start: wp.array(dtype=wp.int32),
    pixel: wp.array(dtype=wp.int64),  # (P,)
    rows: wp.array2d(dtype=wp.int32),  # (K, 2) rows of p and q, -1 for background
):
    n = wp.tid()
    rows[n, 0] = row_of(crossing[n][0], width, row_start, pixel)
    rows[n, 1] = row_of(crossing[n][1], width, row_start, pixel)


@wp.kernel
def mix(
    source: wp.array2d(dtype=float),  # (Q, C) colours before
    rows: wp.array2d(dtype=wp.int32),  # (K, 2)
    distance: wp.array(dtype=float),  # (K,)
    out: wp.array2d(dtype=float),  # (Q, C) starts as a copy of source
):
    """Let the pixel that contains the outline receive its share of the other colour."""
    n = wp.tid()
    p = rows[n, 0]
    q = rows[n, 1]
    alpha = distance[n] - 0.5
    target = wp.where(alpha > 0.0, q, p)
    for c in range(source.shape[1]):
        wp.atomic_add(out, target, c, alpha * (source[p, c] - source[q, c]))


@wp.kernel
def mix_adjoint(
    source: wp.array2d(dtype=float),  # (Q, C)
    rows: wp.array2d(dtype=wp.int32),  # (K, 2)
    distance: wp.array(dtype=float),  # (K,)
    grad_out: wp.array2d(dtype=float),  # (Q, C)
    grad_source: wp.array2d(dtype=float),  # (Q, C) starts as a copy of grad_out
    grad_distance: wp.array(dtype=float),  # (K,)
):
    n = wp.tid()
    p = rows[n, 0]
    q = rows[n, 1]
    alpha = distance[n] - 0.5
    target = wp.where(alpha > 0.0, q, p)
    total = float(0.0)
    for c in range(source.shape[1]):
        g = grad_out[target, c]
        total += g * (source[p, c] - source[q, c])
        wp.atomic_add(grad_source, p, c, alpha * g)
        wp.atomic_add(grad_source, q, c, -alpha * g)
    grad_distance[n] = total


@wp.kernel
def distance_adjoint(
    scene: Scene,
    crossing: wp.array(dtype=wp.vec4i),  # (K,)
    grad_distance: wp.array(dtype=float),  # (K,)
    grad_vertices: wp.array(dtype=wp.vec3),  # (V,)
):
    """Adjoint of the distances with respect to the world positions of the ends of the edges."""
    n = wp.tid()
    p = crossing[n][0]
    q = crossing[n][1]
    va = crossing[n][2]
    vb = crossing[n][3]
    size = scene.width * scene.height
    view = p / size
    a = corner(scene, view, va)
    b = corner(scene, view, vb)
    g = grad_distance[n] * wp.where(q > p, 1.0, -1.0)
    if wp.abs(p - q) == 1:
        s = float((p / scene.width) % scene.height) + 0.5
        t = (s - a[1]) / (b[1] - a[1])
        outward = wp.vec2(g, -g * (b[0] - a[0]) / (b[1] - a[1]))
    else:
        s = float(p % scene.width) + 0.5
        t = (s - a[0]) / (b[0] - a[0])
        outward = wp.vec2(-g * (b[1] - a[1]) / (b[0] - a[0]), g)
    camera = scene.cameras[view]
    wp.atomic_add(grad_vertices, va, back_project(camera, a, (1.0 - t) * outward, scene.perspective))
    wp.atomic_add(grad_vertices, vb, back_project(camera, b, t * outward, scene.perspective))
