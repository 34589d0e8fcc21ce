"""Warp kernels that find pairs of intersecting faces of one mesh.

All predicates are evaluated in double precision on differences of single-precision coordinates, which are
exact unless they differ in size by more than a factor of some 1e8. A corner is on a plane only if its distance
is within the rounding error of 0, so that slivers along a plane are distinguished.
"""

import warp as wp

FLAT: wp.float64 = wp.constant(
    wp.float64(1.0e-12)
)  # area over that of a square of the triangle's size: without area
ROUNDING: wp.float64 = wp.constant(
    wp.float64(2.0e-15)
)  # error of a triple product over the product of the lengths
OVERLAP: wp.float64 = wp.constant(wp.float64(1.0e-10))  # common length over triangle size: more than touching
FOLD: wp.float64 = wp.constant(wp.float64(1.0e-6))  # angle in radians between faces folded onto each other


@wp.func
def corner(vertices: wp.array2d[float], i: wp.int64) -> wp.vec3d:
    """Position of vertex i in double precision."""
    return wp.vec3d(wp.float64(vertices[i, 0]), wp.float64(vertices[i, 1]), wp.float64(vertices[i, 2]))


@wp.func
def snapped(distance: wp.float64, tolerance: wp.float64) -> wp.float64:
    """The distance, or 0 if it is within the tolerance."""
    if wp.abs(distance) <= tolerance:
        return wp.float64(0.0)
    return distance


@wp.func
def largest_axis(v: wp.vec3d) -> int:
    """Axis along which a vector is longest."""
    axis = int(0)
    if wp.abs(v[1]) > wp.abs(v[0]):
        axis = 1
    if wp.abs(v[2]) > wp.abs(v[axis]):
        axis = 2
    return axis


@wp.func
def interval(distance: wp.vec3d, position: wp.vec3d) -> wp.vec2d:
    """Where a triangle meets the line common to both planes, from signed distances to the other plane."""
    low = wp.float64(1.0e300)
    high = wp.float64(-1.0e300)
    for i in range(3):
        j = (i + 1) % 3
        if distance[i] == wp.float64(0.0):
            low = wp.min(low, position[i])
            high = wp.max(high, position[i])
        if (distance[i] < wp.float64(0.0) and distance[j] > wp.float64(0.0)) or (
            distance[i] > wp.float64(0.0) and distance[j] < wp.float64(0.0)
        ):
            t = distance[i] / (distance[i] - distance[j])
            p = position[i] + (position[j] - position[i]) * t
            low = wp.min(low, p)
            high = wp.max(high, p)
    return wp.vec2d(low, high)


@wp.func
def edge_separates(n: wp.vec3d, p: wp.vec3d, q: wp.vec3d, t: wp.mat33d, tolerance: wp.float64) -> bool:
    """Whether the triangle with corner rows t lies outside the edge p to q of a triangle with normal n."""
    inward = wp.cross(n, q - p)
    return (
        wp.dot(inward, t[0] - p) <= tolerance
        and wp.dot(inward, t[1] - p) <= tolerance
        and wp.dot(inward, t[2] - p) <= tolerance
    )


@wp.func
def coplanar_overlap(a: wp.mat33d, n_a: wp.vec3d, b: wp.mat33d, n_b: wp.vec3d, size: wp.float64) -> bool:
    """Whether two coplanar triangles overlap in an area: no edge line separates them."""
    for i in range(3):
        j = (i + 1) % 3
        if edge_separates(n_a, a[i], a[j], b, OVERLAP * size * size * wp.length(n_a)):
            return False
        if edge_separates(n_b, b[i], b[j], a, OVERLAP * size * size * wp.length(n_b)):
            return False
    return True


@wp.func
def widest_corner(t: wp.mat33d) -> int:
    """The corner between the two shorter sides: there, the normal of a sliver has the least rounding."""
    a = wp.length(t[2] - t[1])
    b = wp.length(t[0] - t[2])
    c = wp.length(t[1] - t[0])
    corner = int(0)
    if b > a:
        corner = 1
    if c > wp.max(a, b):
        corner = 2
    return corner


@wp.func
def triangles_cross(a: wp.mat33d, b: wp.mat33d) -> bool:
    """Whether two triangles share a segment of positive length, or an area if they are coplanar.

    Interval test of Moller 1997. Triangles that only touch in a point, a shared corner for instance, do not
    cross. A triangle without area crosses nothing.
    """
    k_a = widest_corner(a)
    k_b = widest_corner(b)
    u_a = a[(k_a + 1) % 3] - a[k_a]
    v_a = a[(k_a + 2) % 3] - a[k_a]
    u_b = b[(k_b + 1) % 3] - b[k_b]
    v_b = b[(k_b + 2) % 3] - b[k_b]
    n_a = wp.cross(u_a, v_a)
    n_b = wp.cross(u_b, v_b)
    length_a = wp.length(n_a)
    length_b = wp.length(n_b)
    size = wp.max(wp.length(u_a - v_a), wp.length(u_b - v_b))
    error_a = ROUNDING * wp.length(u_a) * wp.length(v_a) * size
    error_b = ROUNDING * wp.length(u_b) * wp.length(v_b) * size
    if length_a <= FLAT * size * size or length_b <= FLAT * size * size:
        return False
    d_a = wp.vec3d()  # distances of the corners of a to the plane of b, times length_b
    d_b = wp.vec3d()
    for i in range(3):
        d_a[i] = snapped(wp.dot(n_b, a[i] - b[0]), error_b)
        d_b[i] = snapped(wp.dot(n_a, b[i] - a[0]), error_a)
    zero = wp.float64(0.0)
    if wp.min(d_a) > zero or wp.max(d_a) < zero or wp.min(d_b) > zero or wp.max(d_b) < zero:
        return False
    if wp.length(d_a) == zero or wp.length(d_b) == zero:
        return coplanar_overlap(a, n_a, b, n_b, size)
    axis = largest_axis(wp.cross(n_a, n_b))
    p_a = wp.vec3d(zero, a[1][axis] - a[0][axis], a[2][axis] - a[0][axis])
    p_b = wp.vec3d(b[0][axis] - a[0][axis], b[1][axis] - a[0][axis], b[2][axis] - a[0][axis])
    on_a = interval(d_a, p_a)
    on_b = interval(d_b, p_b)
    return wp.min(on_a[1], on_b[1]) - wp.max(on_a[0], on_b[0]) > OVERLAP * size


@wp.func
def folded(start: wp.vec3d, end: wp.vec3d, a: wp.vec3d, b: wp.vec3d) -> bool:
    """Whether two triangles at a common edge, with opposite corners a and b, are folded onto each other."""
    along = wp.normalize(end - start)
    height_a = (a - start) - along * wp.dot(along, a - start)
    height_b = (b - start) - along * wp.dot(along, b - start)
    inner = wp.dot(height_a, height_b)
    return inner > wp.float64(0.0) and wp.length(wp.cross(height_a, height_b)) <= FOLD * inner


@wp.func
def faces_intersect(vertices: wp.array2d[float], faces: wp.array2d[wp.int64], f: int, g: int) -> bool:
    """Whether faces f and g intersect, see `intersecting_faces`."""
    shared = int(0)
    own_f = int(0)  # the corner of f that g lacks, meaningful if they share an edge
    own_g = int(3)
    for i in range(3):
        found = int(0)
        for j in range(3):
            if faces[f, i] == faces[g, j]:
                found = 1
                own_g -= j
        shared += found
        if found == 0:
            own_f = i
    if shared >= 3:
        return True
    if shared == 2:
        return folded(
            corner(vertices, faces[f, (own_f + 1) % 3]),
            corner(vertices, faces[f, (own_f + 2) % 3]),
            corner(vertices, faces[f, own_f]),
            corner(vertices, faces[g, own_g]),
        )
    a = wp.matrix_from_rows(
        corner(vertices, faces[f, 0]), corner(vertices, faces[f, 1]), corner(vertices, faces[f, 2])
    )
    b = wp.matrix_from_rows(
        corner(vertices, faces[g, 0]), corner(vertices, faces[g, 1]), corner(vertices, faces[g, 2])
    )
    return triangles_cross(a, b)


@wp.kernel
def intersecting_pairs(
    bvh: wp.uint64,
    lower: wp.array2d[float],  # (F, 3) bounding boxes
    upper: wp.array2d[float],
    vertices: wp.array2d[float],  # (V, 3)
    faces: wp.array2d[wp.int64],  # (F, 3)
    chosen: wp.array[wp.int64],  # (N,) faces to look at
    every: bool,  # whether partners with a smaller index are looked for as well
    offset: wp.array[wp.int64],  # (N,) where each writes its pairs, or empty: only count
    count: wp.array[wp.int64],  # (N,) partners
    pairs: wp.array2d[wp.int64],  # (pairs, 2)
) -> None:
    """Faces with a larger index, or any, that intersect face `chosen[i]`, one thread per chosen face."""
    i = wp.tid()
    f = int(chosen[i])
    low = wp.vec3(lower[f, 0], lower[f, 1], lower[f, 2])
    high = wp.vec3(upper[f, 0], upper[f, 1], upper[f, 2])
    query = wp.bvh_query_aabb(bvh, low, high)
    found = wp.int64(0)
    g = int(0)
    while wp.bvh_query_next(query, g):
        if (g > f or (every and g < f)) and faces_intersect(vertices, faces, f, g):
            if offset.shape[0] > 0:
                pairs[offset[i] + found, 0] = wp.int64(f)
                pairs[offset[i] + found, 1] = wp.int64(g)
            found += wp.int64(1)
    count[i] = found
