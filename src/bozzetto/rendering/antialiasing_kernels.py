"""Warp kernels of `compose`: where outlines cross between pixel centres, and how they mix colours.

A crossing belongs to two neighbouring pixel centres p and q. The surface in front is seen at p and ends, or
dives under another one, at the distance d in [0, 1] from p on the way to q.
"""

import warp as wp

from ..geometry.launch import kernel_struct
from .projection_kernels import (
    Edges,
    back_project,
    depth_at,
    edge_functions,
    edges,
    linear_depth_at,
    project,
    sum3,
)
from .rasterization_kernels import FRONT, SPANS

wp.set_module_options({"enable_backward": False})


MOST_STEPS: int = wp.constant(6)  # steps from triangle to triangle in the search for an intersection
LEAST: float = wp.constant(1.0e-3)  # crossings with less weight are left out


@kernel_struct
class Scene:
    """The scene as an argument of the kernels."""

    vertices: wp.array[wp.vec3]
    faces: wp.array[wp.vec3i]
    neighbours: wp.array[wp.vec3i]  # see Topology
    component: wp.array[wp.int32]  # (F,), or (0,) if there is one
    flags: wp.array2d[wp.uint8]  # (N, F)
    cameras: wp.array[wp.mat44]
    triangle: wp.array[wp.int32]  # (N * H * W,)
    width: int
    height: int
    perspective: bool
    near: float


@kernel_struct
class Found:
    """A list of crossings to append to; crossings beyond its capacity are only counted."""

    count: wp.array[wp.int32]  # (1,)
    key: wp.array[wp.int64]  # (capacity,)
    ends: wp.array[wp.vec4i]  # (capacity,) see Crossings
    distance: wp.array[float]  # (capacity,)
    weight: wp.array[float]  # (capacity,)


@kernel_struct
class Plane:
    """A projected triangle."""

    edge: Edges
    q: wp.vec3


@wp.func
def corner(scene: Scene, view: int, vertex: int) -> wp.vec3:
    """Image position of a vertex, and its q (see `linear_depth_at`)."""
    return project(scene.cameras[view], scene.vertices[vertex], scene.perspective, scene.near)


@wp.func
def plane(scene: Scene, view: int, triangle: int) -> Plane:
    """Edges of a triangle in the image, and q at its corners."""
    face = scene.faces[triangle]
    a = corner(scene, view, face[0])
    b = corner(scene, view, face[1])
    c = corner(scene, view, face[2])
    result = Plane()
    result.edge = edges(face, a, b, c)
    result.q = wp.vec3(a[2], b[2], c[2])
    return result


@wp.func
def center(scene: Scene, flat: int) -> wp.vec2:
    """Image position of the centre of a pixel, given by its index in the flattened (N, H, W) pictures."""
    return wp.vec2(float(flat % scene.width) + 0.5, float((flat / scene.width) % scene.height) + 0.5)


@wp.func
def pair_key(p: int, q: int) -> wp.int64:
    """A symmetric key of two neighbouring pixels."""
    return wp.int64(2) * wp.int64(wp.min(p, q)) + wp.where(wp.abs(p - q) == 1, wp.int64(0), wp.int64(1))


@wp.func
def add_crossing(found: Found, ends: wp.vec4i, distance: float, weight: float) -> None:
    """Append a crossing. Its key sorts by pixel pair, and within a pair puts the one nearest to q first."""
    n = wp.atomic_add(found.count, 0, 1)
    if n < found.key.shape[0]:
        nearness = wp.int64(wp.cast(1.0 - wp.clamp(distance, 0.0, 1.0), wp.int32))
        found.key[n] = (pair_key(ends[0], ends[1]) << wp.int64(30)) | nearness
        found.ends[n] = ends
        found.distance[n] = distance
        found.weight[n] = weight


@wp.kernel
def outline_edges(
    neighbours: wp.array[wp.vec3i],  # (F,) see Topology
    flags: wp.array2d[wp.uint8],  # (N, F)
    view: int,
    has_boundary: bool,
    count: wp.array[wp.int32],  # (1,)
    edge: wp.array[wp.vec2i],  # (capacity,) view, 3 * triangle + k
) -> None:
    """List the outline edges of one triangle in one view.

    They are the edges between a front-facing triangle and a back-facing one or none.
    """
    i = wp.tid()
    front = (flags[view, i] & FRONT) != wp.uint8(0)
    if not front and not has_boundary:
        return
    for k in range(3):
        other = neighbours[i][k]
        outline = other == -1
        if front and other >= 0:
            outline = (flags[view, other] & FRONT) == wp.uint8(0)
        elif other < -1:
            other = -2 - other
            outline = i < other and front == ((flags[view, other] & FRONT) != wp.uint8(0))
        if outline:
            n = wp.atomic_add(count, 0, 1)
            if n < edge.shape[0]:
                edge[n] = wp.vec2i(view, 3 * i + k)


@wp.kernel
def outline_crossings(
    scene: Scene,
    edge: wp.array[wp.vec2i],  # (L,) view, 3 * triangle + k
    found: Found,
) -> None:
    """Find where one outline edge crosses the image rows and columns.

    Crossings with rows alone add up to the area that the edge sweeps when it moves, and so do crossings with
    columns. They are weighted by the squared components of the normal of the edge: steep edges count in rows,
    flat ones in columns, with a continuous transition.
    """
    n = wp.tid()
    view = edge[n][0]
    triangle = edge[n][1] / 3
    k = edge[n][1] % 3
    face = scene.faces[triangle]
    a = corner(scene, view, face[k])
    b = corner(scene, view, face[(k + 1) % 3])
    if scene.perspective and wp.min(a[2], b[2]) <= 0.0:
        return
    du = b[0] - a[0]
    dv = b[1] - a[1]
    steepness = dv * dv / (du * du + dv * dv)
    if steepness > LEAST:
        follow_edge(scene, view, triangle, k, a, b, True, steepness, found)
    if 1.0 - steepness > LEAST:
        follow_edge(scene, view, triangle, k, a, b, False, 1.0 - steepness, found)


@wp.func
def follow_edge(
    scene: Scene,
    view: int,
    triangle: int,
    k: int,
    a: wp.vec3,
    b: wp.vec3,
    by_rows: bool,
    weight: float,
    found: Found,
) -> None:
    """Crossings of one edge with image rows or columns."""
    face = scene.faces[triangle]
    va = face[k]
    vb = face[(k + 1) % 3]
    # "Along" is the axis that leads from line to line of pixels, "across" the one inside a line.
    along = wp.where(by_rows, 1, 0)
    across = 1 - along
    lines = wp.where(by_rows, scene.height, scene.width)
    length = wp.where(by_rows, scene.width, scene.height)
    first = wp.max(wp.ceil(wp.min(a[along], b[along]) - 0.5), 0.0)
    last = wp.min(wp.ceil(wp.max(a[along], b[along]) - 0.5) - 1.0, float(lines - 1))
    if not first <= last:
        return
    c = corner(scene, view, face[(k + 2) % 3])
    slope = (b[across] - a[across]) / (b[along] - a[along])
    side = c[across] - a[across] - slope * (c[along] - a[along])
    if scene.perspective and c[2] < 0.0:
        side = -side
    base = view * scene.width * scene.height
    step = wp.where(by_rows, 1, scene.width)
    for line in range(int(first), int(last) + 1):
        s = float(line) + 0.5
        r = a[across] + slope * (s - a[along])
        # A centre exactly on the edge counts as moved by (d, d^2), as in the coverage test.
        low = wp.where(not by_rows and slope > 0.0, wp.floor(r - 0.5), wp.ceil(r - 0.5) - 1.0)
        if low >= 0.0 and low + 1.0 < float(length):
            p = base + wp.where(by_rows, line * scene.width + int(low), int(low) * scene.width + line)
            q = p + step
            d = r - (low + 0.5)
            if side > 0.0:
                p = q
                q = p - step
                d = 1.0 - d
            t = (s - a[along]) / (b[along] - a[along])
            depth = a[2] + t * (b[2] - a[2])
            if scene.perspective:
                depth = 1.0 / depth
            x = wp.where(by_rows, r, s)
            y = wp.where(by_rows, s, r)
            if ends_surface(scene, view, triangle, p, q, depth, x, y):
                add_crossing(found, wp.vec4i(p, q, va, vb), d, weight)


@wp.func
def ends_surface(
    scene: Scene, view: int, triangle: int, p: int, q: int, depth: float, x: float, y: float
) -> bool:
    """Whether an outline at this depth belongs to the surface at p and is in front of that at q."""
    seen_p = scene.triangle[p]
    seen_q = scene.triangle[q]
    if seen_p < 0 or seen_p == seen_q or seen_q == triangle or depth < scene.near:
        return False
    if seen_q < 0:
        return True
    behind = plane(scene, view, seen_q)
    return depth_at(edge_functions(behind.edge, x, y), behind.q, scene.perspective) > depth


@wp.func
def gap(scene: Scene, a: Plane, b: Plane, x: float, y: float) -> float:
    """Distance of plane a in front of plane b at an image point, in a unit that is linear in the image."""
    difference = linear_depth_at(edge_functions(a.edge, x, y), a.q) - linear_depth_at(
        edge_functions(b.edge, x, y), b.q
    )
    return wp.where(scene.perspective, difference, -difference)


@kernel_struct
class Exit:
    """Where a path leaves a triangle."""

    distance: float  # along the path, more than 1 if it ends inside
    next: int  # the triangle behind that edge, -1 if the surface ends or turns over there


@wp.func
def leave(scene: Scene, view: int, triangle: int, p: Plane, start: wp.vec2, end: wp.vec2) -> Exit:
    """Follow the path from one image point to another out of a triangle."""
    at_start = edge_functions(p.edge, start[0], start[1])
    at_end = edge_functions(p.edge, end[0], end[1])
    sign = wp.sign(sum3(at_start))
    result = Exit()
    result.distance = 2.0
    result.next = -1
    k = int(0)
    for i in range(3):
        fall = sign * (at_start[i] - at_end[i])
        if fall > 0.0:
            if sign * at_start[i] < result.distance * fall:
                result.distance = sign * at_start[i] / fall
                k = (i + 1) % 3
    other = scene.neighbours[triangle][k]
    same = scene.flags[view, triangle] & FRONT
    if other < -1:
        other = -2 - other
        same = same ^ FRONT
    if other >= 0:
        if (scene.flags[view, other] & FRONT) == same:
            result.next = other
    return result


@wp.func
def cross_at_intersection(scene: Scene, view: int, p: int, q: int, found: Found) -> None:
    """Add the crossing between p and q if their visible surfaces intersect in between.

    If the planes of two triangles intersect outside of one of them, the search continues in its neighbour.
    """
    at_p = center(scene, p)
    at_q = center(scene, q)
    seen_a = scene.triangle[p]
    seen_b = scene.triangle[q]
    start_a = float(0.0)
    start_b = float(0.0)
    a = plane(scene, view, seen_a)
    b = plane(scene, view, seen_b)
    step = int(0)
    while step < MOST_STEPS:  # not unrolled: this is long
        step += 1
        if scene.perspective and wp.min(wp.min(a.q), wp.min(b.q)) <= 0.0:
            return
        ahead = gap(scene, a, b, at_p[0], at_p[1])
        behind = gap(scene, a, b, at_q[0], at_q[1])
        if not (ahead > 0.0 and behind < 0.0):
            return
        d = ahead / (ahead - behind)
        exit_a = leave(scene, view, seen_a, a, at_p, at_q)
        exit_b = leave(scene, view, seen_b, b, at_q, at_p)
        if exit_a.next == seen_b or exit_b.next == seen_a:
            return  # one surface
        if d > exit_a.distance:
            if exit_a.next < 0:
                return
            seen_a = exit_a.next
            start_a = exit_a.distance
            a = plane(scene, view, seen_a)
        elif 1.0 - d > exit_b.distance:
            if exit_b.next < 0:
                return
            seen_b = exit_b.next
            start_b = exit_b.distance
            b = plane(scene, view, seen_b)
        else:
            if d >= start_a and 1.0 - d >= start_b:
                # The gap's slopes along and across the pair are the normal of the line of intersection.
                slope = behind - ahead
                other = gap(scene, a, b, at_p[0] + at_q[1] - at_p[1], at_p[1] + at_q[0] - at_p[0]) - ahead
                weight = slope * slope / (slope * slope + other * other)
                if weight > LEAST:
                    add_crossing(found, wp.vec4i(p, q, -1 - seen_a, -1 - seen_b), d, weight)
            return


@wp.func
def shares_corner(f: wp.vec3i, g: wp.vec3i) -> bool:
    """Whether two triangles have a common vertex."""
    for i in range(3):
        if f[i] == g[0] or f[i] == g[1] or f[i] == g[2]:
            return True
    return False


@wp.func
def may_intersect(scene: Scene, a: int, b: int, p: int) -> bool:
    """Cheap test whether the surfaces at two neighbouring pixels may intersect.

    Different components always may. A component may intersect itself only where triangles cover several pixel
    centres, since otherwise nearly all pairs would have to be tested.
    """
    if b < 0 or a == b:
        return False
    if scene.component.shape[0] > 0:
        if scene.component[a] != scene.component[b]:
            return True
    view = p / (scene.width * scene.height)
    if (scene.flags[view, a] & scene.flags[view, b] & SPANS) == wp.uint8(0):
        return False
    return not shares_corner(scene.faces[a], scene.faces[b])


@wp.kernel
def intersection_crossings(
    scene: Scene,
    pixel: wp.array[wp.int64],  # (P,)
    start: int,
    found: Found,
) -> None:
    """Crossings where visible surfaces intersect, between a pixel and its right and lower neighbour."""
    p = wp.int32(pixel[start + wp.tid()])
    if scene.component.shape[0] == 0:
        if (scene.flags[p / (scene.width * scene.height), scene.triangle[p]] & SPANS) == wp.uint8(0):
            return
    for axis in range(2):
        inside = wp.where(
            axis == 0, p % scene.width + 1 < scene.width, (p / scene.width) % scene.height + 1 < scene.height
        )
        if inside:
            q = p + wp.where(axis == 0, 1, scene.width)
            if may_intersect(scene, scene.triangle[p], scene.triangle[q], p):
                cross_at_intersection(scene, p / (scene.width * scene.height), p, q, found)


@wp.func
def row_of(flat: int, width: int, row_start: wp.array[wp.int32], pixel: wp.array[wp.int64]) -> int:
    """Row of a pixel in the sorted list of covered pixels, -1 if it is not there."""
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


@wp.func
def row_beyond(
    flat: int,
    neighbour: int,
    width: int,
    row_start: wp.array[wp.int32],
    pixel: wp.array[wp.int64],
    pair: wp.array[wp.int64],
) -> int:
    """Row of the pixel on the other side of `flat` than its neighbour, -1 if something crosses between."""
    beyond = 2 * flat - neighbour
    if beyond < 0 or beyond >= (row_start.shape[0] - 1) * width:
        return -1
    i = wp.lower_bound(pair, pair_key(flat, beyond))
    if i < pair.shape[0] and pair[i] == pair_key(flat, beyond):
        return -1
    return row_of(beyond, width, row_start, pixel)


@wp.kernel
def find_rows(
    ends: wp.array[wp.vec4i],  # (K,)
    pair: wp.array[wp.int64],  # (K,) sorted
    width: int,
    row_start: wp.array[wp.int32],
    pixel: wp.array[wp.int64],  # (P,)
    rows: wp.array[wp.vec4i],  # (K,) of p, q, the pixel behind p and the one behind q; -1 for none
) -> None:
    """Rows among the covered pixels of the two pixels of each crossing, and of those behind them."""
    n = wp.tid()
    p = ends[n][0]
    q = ends[n][1]
    rows[n] = wp.vec4i(
        row_of(p, width, row_start, pixel),
        row_of(q, width, row_start, pixel),
        row_beyond(p, q, width, row_start, pixel, pair),
        row_beyond(q, p, width, row_start, pixel, pair),
    )


@wp.func
def before(colors: wp.array2d[float], outside: wp.array2d[float], row: int, channel: int) -> float:
    """Colour before mixing; a channel beyond those given is the coverage."""
    if row >= colors.shape[0]:
        return outside[row - colors.shape[0], channel]
    if channel < colors.shape[1]:
        return colors[row, channel]
    return 1.0


@wp.kernel
def mix(
    colors: wp.array2d[float],  # (P, C) colours before
    outside: wp.array2d[float],  # (X, C) background of the uncovered pixels that follow
    rows: wp.array[wp.vec4i],  # (K,)
    distance: wp.array[float],  # (K,)
    weight: wp.array[float],  # (K,)
    out: wp.array2d[float],  # (P + X, C) starts as the colours before
) -> None:
    """Blend the pixel that contains the outline with the colour of the other."""
    n = wp.tid()
    p = rows[n][0]
    q = rows[n][1]
    alpha = weight[n] * (distance[n] - 0.5)
    target = wp.where(alpha > 0.0, q, p)
    for c in range(out.shape[1]):
        change = alpha * (before(colors, outside, p, c) - before(colors, outside, q, c))
        wp.atomic_add(out, target, c, change)


@wp.kernel
def mix_adjoint(
    colors: wp.array2d[float],  # (P, C)
    outside: wp.array2d[float],  # (X, C)
    rows: wp.array[wp.vec4i],  # (K,)
    distance: wp.array[float],  # (K,)
    weight: wp.array[float],  # (K,)
    grad_out: wp.array2d[float],  # (P + X, C)
    grad_colors: wp.array2d[float],  # (P, C) starts as a copy of its part of grad_out
    grad_outside: wp.array2d[float],  # (X, C) likewise
    grad_distance: wp.array[float],  # (K,)
) -> None:
    """Gradients of `mix`; for that of the distances, colours are extrapolated to the outline."""
    n = wp.tid()
    p = rows[n][0]
    q = rows[n][1]
    alpha = weight[n] * (distance[n] - 0.5)
    target = wp.where(alpha > 0.0, q, p)
    total = float(0.0)
    for c in range(grad_out.shape[1]):
        g = grad_out[target, c]
        at_p = before(colors, outside, p, c)
        at_q = before(colors, outside, q, c)
        cp = at_p
        cq = at_q
        if rows[n][2] >= 0:
            cp += distance[n] * (at_p - before(colors, outside, rows[n][2], c))
        if rows[n][3] >= 0 and q < colors.shape[0]:
            cq += (1.0 - distance[n]) * (at_q - before(colors, outside, rows[n][3], c))
        total += g * (cp - cq)
        if c < colors.shape[1]:
            wp.atomic_add(grad_colors, p, c, alpha * g)
        if q >= colors.shape[0]:
            wp.atomic_add(grad_outside, q - colors.shape[0], c, -alpha * g)
        elif c < colors.shape[1]:
            wp.atomic_add(grad_colors, q, c, -alpha * g)
    grad_distance[n] = weight[n] * total


@wp.func
def outline_adjoint(scene: Scene, ends: wp.vec4i, gradient: float, grad_vertices: wp.array[wp.vec3]) -> None:
    """Adjoint of the distance at an outline with respect to the two ends of its edge."""
    p = ends[0]
    q = ends[1]
    view = p / (scene.width * scene.height)
    a = corner(scene, view, ends[2])
    b = corner(scene, view, ends[3])
    at_p = center(scene, p)
    g = gradient * wp.where(q > p, 1.0, -1.0)
    if wp.abs(p - q) == 1:
        t = (at_p[1] - a[1]) / (b[1] - a[1])
        outward = wp.vec3(g, -g * (b[0] - a[0]) / (b[1] - a[1]), 0.0)
    else:
        t = (at_p[0] - a[0]) / (b[0] - a[0])
        outward = wp.vec3(-g * (b[1] - a[1]) / (b[0] - a[0]), g, 0.0)
    camera = scene.cameras[view]
    wp.atomic_add(grad_vertices, ends[2], back_project(camera, a, (1.0 - t) * outward, scene.perspective))
    wp.atomic_add(grad_vertices, ends[3], back_project(camera, b, t * outward, scene.perspective))


@wp.func
def plane_adjoint(
    scene: Scene,
    view: int,
    triangle: int,
    at: wp.vec2,
    gradient: float,
    grad_vertices: wp.array[wp.vec3],
) -> None:
    """Adjoint of the plane's linear depth at an image point with respect to its corners.

    A corner that moves by (du, dv, dq) moves it by its weight times dq - Qu du - Qv dv, Q the linear depth.
    """
    p = plane(scene, view, triangle)
    e = edge_functions(p.edge, at[0], at[1])
    here = linear_depth_at(e, p.q)
    slope_u = linear_depth_at(edge_functions(p.edge, at[0] + 1.0, at[1]), p.q) - here
    slope_v = linear_depth_at(edge_functions(p.edge, at[0], at[1] + 1.0), p.q) - here
    weight = (gradient / (e[0] + e[1] + e[2])) * e
    face = scene.faces[triangle]
    for k in range(3):
        g = weight[k] * wp.vec3(-slope_u, -slope_v, 1.0)
        x = corner(scene, view, face[k])
        wp.atomic_add(grad_vertices, face[k], back_project(scene.cameras[view], x, g, scene.perspective))


@wp.func
def intersection_adjoint(
    scene: Scene, ends: wp.vec4i, gradient: float, grad_vertices: wp.array[wp.vec3]
) -> None:
    """Adjoint of the distance at an intersection, d = ahead / (ahead - behind), with respect to all corners."""
    view = ends[0] / (scene.width * scene.height)
    seen_p = -1 - ends[2]
    seen_q = -1 - ends[3]
    a = plane(scene, view, seen_p)
    b = plane(scene, view, seen_q)
    at_p = center(scene, ends[0])
    at_q = center(scene, ends[1])
    ahead = gap(scene, a, b, at_p[0], at_p[1])
    behind = gap(scene, a, b, at_q[0], at_q[1])
    scale = wp.where(scene.perspective, gradient, -gradient) / ((ahead - behind) * (ahead - behind))
    plane_adjoint(scene, view, seen_p, at_p, -behind * scale, grad_vertices)
    plane_adjoint(scene, view, seen_p, at_q, ahead * scale, grad_vertices)
    plane_adjoint(scene, view, seen_q, at_p, behind * scale, grad_vertices)
    plane_adjoint(scene, view, seen_q, at_q, -ahead * scale, grad_vertices)


@wp.kernel
def distance_adjoint(
    scene: Scene,
    ends: wp.array[wp.vec4i],  # (K,)
    grad_distance: wp.array[float],  # (K,)
    grad_vertices: wp.array[wp.vec3],  # (V,)
) -> None:
    """Gradients of the distances of crossings with respect to the vertices."""
    n = wp.tid()
    if ends[n][2] >= 0:
        outline_adjoint(scene, ends[n], grad_distance[n], grad_vertices)
    else:
        intersection_adjoint(scene, ends[n], grad_distance[n], grad_vertices)
