"""Warp kernels that carve space by silhouettes."""

import warp as wp

from ..geometry.launch import kernel_struct


@kernel_struct
class Views:
    """Silhouettes and their cameras; see `carving.Silhouettes`."""

    distance: wp.array3d[float]
    rotation: wp.array[wp.mat33]
    translation: wp.array[wp.vec3]
    intrinsics: wp.array[wp.mat33]
    frame: wp.array[wp.vec4]
    per_pixel: wp.array[float]
    orthographic: int
    near: float


@wp.func
def depth_inside(views: Views, view: int, point: wp.vec3):
    """World-unit depth of a point inside a silhouette and inside the frame, and the size of a pixel there."""
    local = views.rotation[view] * point + views.translation[view]
    if views.orthographic == 0 and local[2] <= views.near:
        behind = views.near - local[2]
        return wp.vec3(behind, -behind, 0.0)
    plane = wp.vec3(local[0], local[1], 1.0)
    size = views.per_pixel[view]
    if views.orthographic == 0:
        plane = wp.vec3(local[0] / local[2], local[1] / local[2], 1.0)
        size = size * local[2]
    pixel = views.intrinsics[view] * plane
    height = views.distance.shape[1]
    width = views.distance.shape[2]
    x = pixel[0] - 0.5
    y = pixel[1] - 0.5
    cx = wp.clamp(x, 0.0, float(width - 1))
    cy = wp.clamp(y, 0.0, float(height - 1))
    i = wp.min(int(cx), wp.max(width - 2, 0))
    j = wp.min(int(cy), wp.max(height - 2, 0))
    i1 = wp.min(i + 1, width - 1)
    j1 = wp.min(j + 1, height - 1)
    a = cx - float(i)
    b = cy - float(j)
    top = wp.lerp(views.distance[view, j, i], views.distance[view, j, i1], a)
    bottom = wp.lerp(views.distance[view, j1, i], views.distance[view, j1, i1], a)
    # Outside of the frame nothing is known; the value grows with the distance to keep the function continuous.
    beyond = wp.length(wp.vec2(x - cx, y - cy))
    distance = wp.lerp(top, bottom, b) + beyond
    f = views.frame[view]
    horizontal = wp.min(pixel[0] - f[0], f[2] - pixel[0])
    vertical = wp.min(pixel[1] - f[1], f[3] - pixel[1])
    return wp.vec3(distance * size, wp.min(horizontal, vertical) * size, size)


@wp.kernel
def carve(
    start: int,
    points: wp.array[wp.vec3],  # (P,)
    views: Views,
    exclude: int,  # a view that is left out, or -1
    values: wp.array2d[float],  # (P, 2) smallest and second smallest depth, in world units
    which: wp.array2d[int],  # (P, 3) view of the smallest, views that see the point, views that carve it away
) -> None:
    """The two smallest depths inside silhouettes, the view of the smallest, and counts of views, per point."""
    p = start + wp.tid()
    smallest = float(1.0e30)
    second = float(1.0e30)
    view = int(-1)
    seen = int(0)
    carving = int(0)
    for v in range(views.rotation.shape[0]):
        if v != exclude:
            d = depth_inside(views, v, points[p])
            if d[1] >= 0.0:
                seen += 1
            if d[0] < 0.0:
                carving += 1
            if d[0] < smallest:
                second = smallest
                smallest = d[0]
                view = v
            elif d[0] < second:
                second = d[0]
    values[p, 0] = smallest
    values[p, 1] = second
    which[p, 0] = view
    which[p, 1] = seen
    which[p, 2] = carving


@wp.kernel
def classify(
    start: int,
    centers: wp.array[wp.vec3],  # (P,)
    views: Views,
    reach: float,  # radius of the balls in world units
    min_views: int,  # that must see a point of the hull
    tolerance: int,  # views that may contradict
    classes: wp.array[int],  # (P,)
) -> None:
    """Whether a ball around a centre is certainly outside (-1), certainly inside (1) or neither (0)."""
    p = start + wp.tid()
    carving = int(0)
    containing = int(0)
    surely_seen = int(0)
    maybe_seen = int(0)
    count = views.rotation.shape[0]
    for v in range(count):
        d = depth_inside(views, v, centers[p])
        # The interpolated distance is good to a pixel.
        if d[0] + reach + d[2] < 0.0:
            carving += 1
        if d[0] - reach - d[2] > 0.0:
            containing += 1
        if d[1] - reach >= 0.0:
            surely_seen += 1
        if d[1] + reach >= 0.0:
            maybe_seen += 1
    found = int(0)
    if carving > tolerance or maybe_seen < min_views:
        found = -1
    elif containing >= count - tolerance and surely_seen >= min_views:
        found = 1
    classes[p] = found


@wp.func
def grid_value(
    smallest: wp.array3d[float],
    second: wp.array3d[float],
    which: wp.array3d[int],
    left_out: int,
    place: wp.vec3,
):
    """Trilinear interpolation of the carving value at a position in units of cells."""
    i = wp.clamp(int(place[0]), 0, smallest.shape[0] - 2)
    j = wp.clamp(int(place[1]), 0, smallest.shape[1] - 2)
    k = wp.clamp(int(place[2]), 0, smallest.shape[2] - 2)
    a = wp.clamp(place[0] - float(i), 0.0, 1.0)
    b = wp.clamp(place[1] - float(j), 0.0, 1.0)
    c = wp.clamp(place[2] - float(k), 0.0, 1.0)
    total = float(0.0)
    for di in range(2):
        for dj in range(2):
            for dk in range(2):
                value = smallest[i + di, j + dj, k + dk]
                if which[i + di, j + dj, k + dk] == left_out:
                    value = second[i + di, j + dj, k + dk]
                wa = wp.where(di == 1, a, 1.0 - a)
                wb = wp.where(dj == 1, b, 1.0 - b)
                wc = wp.where(dk == 1, c, 1.0 - c)
                total += wa * wb * wc * value
    return total


@wp.kernel
def trace(
    first_row: int,
    origins: wp.array3d[wp.vec3],
    directions: wp.array3d[wp.vec3],
    smallest: wp.array3d[float],
    second: wp.array3d[float],
    which: wp.array3d[int],
    leave_out: int,
    slope: float,
    hits: wp.array3d[int],
) -> None:
    """Whether the ray of a pixel hits the hull, in units of cells, with the grid's first sample at the
    origin."""
    n, row, i = wp.tid()
    j = first_row + row
    origin = origins[n, j, i]
    direction = directions[n, j, i]
    entry = float(0.0)
    leave = float(1.0e30)
    for axis in range(3):
        top = float(smallest.shape[axis] - 1)
        if wp.abs(direction[axis]) > 1.0e-12:
            t0 = -origin[axis] / direction[axis]
            t1 = (top - origin[axis]) / direction[axis]
            entry = wp.max(entry, wp.min(t0, t1))
            leave = wp.min(leave, wp.max(t0, t1))
        elif origin[axis] < 0.0 or origin[axis] > top:
            leave = float(-1.0)
    left_out = int(-2)
    if leave_out == 1:
        left_out = n
    t = entry
    found = int(0)
    while t < leave and found == 0:
        value = grid_value(smallest, second, which, left_out, origin + t * direction)
        # Interpolation cuts the corners of the hull, by about as much as this adds.
        if value > -0.2:
            found = 1
        # Never shorter than a third of a cell, so that rays along the surface end.
        t = t + wp.max(-value / slope, 0.35)
    hits[n, j, i] = found


@wp.kernel
def fewest(
    start: int,
    origins: wp.array[wp.vec3],
    directions: wp.array[wp.vec3],
    smallest: wp.array3d[float],
    carving: wp.array3d[int],
    most: int,
    counts: wp.array[int],
    places: wp.array[wp.vec3],
) -> None:
    """The sample on a ray that the fewest views carve, of several the one with the largest depth; units of
    `trace`."""
    p = start + wp.tid()
    origin = origins[p]
    direction = directions[p]
    nx = smallest.shape[0]
    ny = smallest.shape[1]
    nz = smallest.shape[2]
    middle = wp.vec3(float(nx - 1), float(ny - 1), float(nz - 1)) * 0.5
    reach = wp.length(middle)
    t = wp.dot(middle - origin, direction) - reach
    steps = int(2.0 * reach) + 1
    count = most
    depth = float(-1.0e30)
    place = middle
    for _ in range(steps):
        at = origin + t * direction
        i = int(wp.round(at[0]))
        j = int(wp.round(at[1]))
        k = int(wp.round(at[2]))
        if i >= 0 and j >= 0 and k >= 0 and i < nx and j < ny and k < nz:
            c = carving[i, j, k]
            d = smallest[i, j, k]
            if c < count or (c == count and d > depth):
                count = c
                depth = d
                place = wp.vec3(float(i), float(j), float(k))
        t = t + 1.0
    counts[p] = count
    places[p] = place
