"""Warp kernels of the vertex normals: sums over faces, unit vectors, and their adjoints by hand.

The sum at a vertex is taken over its faces with either the cross product of two edges (twice the area times
the normal) or the interior angle times the unit normal. A fourth number is the largest possible length of the
sum. Where the vector is shorter than SMALL times this, the faces are slivers or cancel, and its derivative is
damped so that a single bad vertex does not dominate.
"""

import warp as wp

SMALL: float = wp.constant(1.0e-4)


@wp.func
def row(array: wp.array2d[float], i: int):
    """Row i of an array of at least three columns."""
    return wp.vec3(array[i, 0], array[i, 1], array[i, 2])


@wp.func
def add_row(array: wp.array2d[float], i: int, value: wp.vec3) -> None:
    """Add a vector to the first three columns of row i."""
    wp.atomic_add(array, i, 0, value[0])
    wp.atomic_add(array, i, 1, value[1])
    wp.atomic_add(array, i, 2, value[2])


@wp.func
def angle(u: wp.vec3, v: wp.vec3):
    """Angle in radians between two vectors."""
    return wp.atan2(wp.length(wp.cross(u, v)), wp.dot(u, v))


@wp.func
def sliver_area(u: wp.vec3, v: wp.vec3):
    """Below this a cross product of u and v counts as one of a sliver."""
    return SMALL * (wp.dot(u, u) + wp.dot(v, v))


@wp.kernel
def sum_area(
    vertices: wp.array2d[float],  # (V, 3)
    faces: wp.array2d[wp.int64],  # (F, 3)
    sums: wp.array2d[float],  # (V, 4) added to
) -> None:
    """Area-weighted sums, one thread per face."""
    f = wp.tid()
    i, j, k = int(faces[f, 0]), int(faces[f, 1]), int(faces[f, 2])
    a = row(vertices, i)
    u, v = row(vertices, j) - a, row(vertices, k) - a
    normal = wp.cross(u, v)
    size = wp.dot(u, u) + wp.dot(v, v)
    add_row(sums, i, normal)
    add_row(sums, j, normal)
    add_row(sums, k, normal)
    wp.atomic_add(sums, i, 3, size)
    wp.atomic_add(sums, j, 3, size)
    wp.atomic_add(sums, k, 3, size)


@wp.kernel
def sum_angle(
    vertices: wp.array2d[float],  # (V, 3)
    faces: wp.array2d[wp.int64],  # (F, 3)
    sums: wp.array2d[float],  # (V, 4) added to
) -> None:
    """Angle-weighted sums, one thread per face."""
    f = wp.tid()
    i, j, k = int(faces[f, 0]), int(faces[f, 1]), int(faces[f, 2])
    a, b, c = row(vertices, i), row(vertices, j), row(vertices, k)
    normal = wp.normalize(wp.cross(b - a, c - a))
    at_a, at_b, at_c = angle(b - a, c - a), angle(c - b, a - b), angle(a - c, b - c)
    add_row(sums, i, at_a * normal)
    add_row(sums, j, at_b * normal)
    add_row(sums, k, at_c * normal)
    wp.atomic_add(sums, i, 3, at_a)
    wp.atomic_add(sums, j, 3, at_b)
    wp.atomic_add(sums, k, 3, at_c)


@wp.kernel
def unit(
    sums: wp.array3d[float],  # (parts, V, 4)
    normals: wp.array2d[float],  # (V, 3)
    scale: wp.array[float],  # (V,) by which the derivative of the sum is divided; 0 where there is none
) -> None:
    """Add the parts and normalise, one thread per vertex; a zero sum gives a zero normal."""
    i = wp.tid()
    total = wp.vec4()
    for part in range(sums.shape[0]):
        total += wp.vec4(sums[part, i, 0], sums[part, i, 1], sums[part, i, 2], sums[part, i, 3])
    largest = wp.max(wp.max(wp.abs(total[0]), wp.abs(total[1])), wp.abs(total[2]))
    normal = wp.vec3()
    length = float(0.0)
    if largest > 0.0:  # scaled first: squares of tiny areas would underflow
        scaled = wp.vec3(total[0], total[1], total[2]) / largest
        length = wp.length(scaled)
        normal = scaled / length
        length = wp.max(length * largest, SMALL * total[3])
    normals[i, 0] = normal[0]
    normals[i, 1] = normal[1]
    normals[i, 2] = normal[2]
    scale[i] = length


@wp.func
def sum_gradient(normals: wp.array2d[float], scale: wp.array[float], gradient: wp.array2d[float], i: int):
    """Derivative of the loss with respect to the sum at vertex i, from that with respect to its unit vector."""
    result = wp.vec3()
    if scale[i] > 0.0:
        normal, outer = row(normals, i), row(gradient, i)
        result = (outer - wp.dot(outer, normal) * normal) / scale[i]
    return result


@wp.kernel
def sum_area_adjoint(
    vertices: wp.array2d[float],  # (V, 3)
    faces: wp.array2d[wp.int64],  # (F, 3)
    normals: wp.array2d[float],  # (V, 3)
    scale: wp.array[float],  # (V,)
    gradient: wp.array2d[float],  # (V, 3) by the normals
    result: wp.array2d[float],  # (V, 3) by the vertices, added to
) -> None:
    """Adjoint of `sum_area` and `unit`, one thread per face."""
    f = wp.tid()
    i, j, k = int(faces[f, 0]), int(faces[f, 1]), int(faces[f, 2])
    a = row(vertices, i)
    u, v = row(vertices, j) - a, row(vertices, k) - a
    by_cross = sum_gradient(normals, scale, gradient, i)
    by_cross += sum_gradient(normals, scale, gradient, j)
    by_cross += sum_gradient(normals, scale, gradient, k)
    by_u, by_v = wp.cross(v, by_cross), wp.cross(by_cross, u)
    add_row(result, i, -by_u - by_v)
    add_row(result, j, by_u)
    add_row(result, k, by_v)


@wp.func
def angle_gradient(normal: wp.vec3, u: wp.vec3):
    """The derivative of the angle from u to v by v is this function of v; by u, minus this of u (normal = u x
    v)."""
    return wp.cross(normal, u) / wp.dot(u, u)


@wp.kernel
def sum_angle_adjoint(
    vertices: wp.array2d[float],  # (V, 3)
    faces: wp.array2d[wp.int64],  # (F, 3)
    normals: wp.array2d[float],  # (V, 3)
    scale: wp.array[float],  # (V,)
    gradient: wp.array2d[float],  # (V, 3) by the normals
    result: wp.array2d[float],  # (V, 3) by the vertices, added to
) -> None:
    """Adjoint of `sum_angle` and `unit`, one thread per face; faces without area pass nothing on."""
    f = wp.tid()
    i, j, k = int(faces[f, 0]), int(faces[f, 1]), int(faces[f, 2])
    a, b, c = row(vertices, i), row(vertices, j), row(vertices, k)
    u, v, w = b - a, c - a, c - b
    cross = wp.cross(u, v)
    if wp.dot(cross, cross) == 0.0:
        return
    normal = wp.normalize(cross)
    by_a = sum_gradient(normals, scale, gradient, i)
    by_b = sum_gradient(normals, scale, gradient, j)
    by_c = sum_gradient(normals, scale, gradient, k)
    # Through the unit normal.
    by_normal = angle(u, v) * by_a + angle(w, -u) * by_b + angle(-v, -w) * by_c
    by_cross = (by_normal - wp.dot(by_normal, normal) * normal) / wp.max(wp.length(cross), sliver_area(u, v))
    by_u, by_v = wp.cross(v, by_cross), wp.cross(by_cross, u)
    # Through the angles at a (u to v), b (w to -u) and c (-v to -w).
    at_a, at_b, at_c = wp.dot(by_a, normal), wp.dot(by_b, normal), wp.dot(by_c, normal)
    by_u += (at_b - at_a) * angle_gradient(normal, u)
    by_v += (at_a - at_c) * angle_gradient(normal, v)
    by_w = (at_c - at_b) * angle_gradient(normal, w)
    add_row(result, i, -by_u - by_v)
    add_row(result, j, by_u - by_w)
    add_row(result, k, by_v + by_w)
