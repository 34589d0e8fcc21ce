"""Warp kernels of queries to a mesh: closest points, faces turned inward, winding numbers."""

import warp as wp


@wp.kernel
def closest(
    mesh: wp.uint64,
    points: wp.array2d[float],  # (P, 3)
    distance: wp.array[float],  # (P,)
    face: wp.array[wp.int64],  # (P,)
    weights: wp.array2d[float],  # (P, 3) barycentric
) -> None:
    """Nearest point of a triangle mesh, one thread per query point."""
    i = wp.tid()
    point = wp.vec3(points[i, 0], points[i, 1], points[i, 2])
    hit = wp.mesh_query_point_no_sign(mesh, point, 1.0e18)
    nearest = wp.mesh_eval_position(mesh, hit.face, hit.u, hit.v)
    distance[i] = wp.length(point - nearest)
    face[i] = wp.int64(hit.face)
    weights[i, 0] = hit.u
    weights[i, 1] = hit.v
    weights[i, 2] = 1.0 - hit.u - hit.v


RAY_OFFSET: wp.float32 = wp.constant(
    wp.float32(1.0e-5)
)  # where rays start, in front of or behind the surface


@wp.kernel(enable_backward=False)
def open_sides(
    mesh: wp.uint64,
    places: wp.array[wp.vec3],
    normals: wp.array[wp.vec3],
    directions: wp.array[wp.vec3],
    balance: wp.array[float],
    seen: wp.array[float],
) -> None:
    """Sums over the unoccluded directions from a point: of cosines with the normal, and of their absolute
    values."""
    i = wp.tid()
    for k in range(directions.shape[0]):
        cosine = wp.dot(normals[i], directions[k])
        start = places[i] + normals[i] * (RAY_OFFSET * wp.sign(cosine))
        hit = wp.mesh_query_ray(mesh, start, directions[k], 1.0e3)
        if not hit.result:
            balance[i] += cosine
            seen[i] += wp.abs(cosine)


SURFACE_OFFSET: wp.float32 = wp.constant(wp.float32(1.0e-5))  # distance behind the surface, in its size


@wp.func_native("return mesh_query_winding_number(mesh, point, accuracy);")
def winding_number(mesh: wp.uint64, point: wp.vec3, accuracy: float) -> float:  # type: ignore[empty-body]
    """The winding number of which Warp's `mesh_query_point_sign_winding_number` returns only the sign."""
    ...


@wp.kernel
def distance_and_winding(
    mesh: wp.uint64,
    points: wp.array[wp.vec3],
    accuracy: float,
    distance: wp.array[float],
    winding: wp.array[float],
    front: wp.array[float],
) -> None:
    """Distance to the nearest point of a mesh, infinite if none is found; and 1 on the front side of its
    face."""
    i = wp.tid()
    point = points[i]
    hit = wp.mesh_query_point_no_sign(mesh, point, 1.0e18)
    distance[i] = wp.inf
    front[i] = 0.0
    if hit.result:
        away = point - wp.mesh_eval_position(mesh, hit.face, hit.u, hit.v)
        distance[i] = wp.length(away)
        if wp.dot(away, wp.mesh_eval_face_normal(mesh, hit.face)) >= 0.0:
            front[i] = 1.0
    winding[i] = winding_number(mesh, point, accuracy)


@wp.kernel
def winding(mesh: wp.uint64, points: wp.array[wp.vec3], accuracy: float, winding: wp.array[float]) -> None:
    """Winding number around each point."""
    i = wp.tid()
    winding[i] = winding_number(mesh, points[i], accuracy)


@wp.kernel
def winding_beyond(
    mesh: wp.uint64, points: wp.array[wp.vec3], accuracy: float, winding: wp.array[float]
) -> None:
    """Winding number slightly behind the nearest point of the mesh; for points on it, behind its face."""
    i = wp.tid()
    hit = wp.mesh_query_point_no_sign(mesh, points[i], 1.0e18)
    nearest = wp.mesh_eval_position(mesh, hit.face, hit.u, hit.v)
    towards = nearest - points[i]
    if wp.length(towards) < SURFACE_OFFSET:
        towards = -wp.mesh_eval_face_normal(mesh, hit.face)
    winding[i] = winding_number(mesh, nearest + SURFACE_OFFSET * wp.normalize(towards), accuracy)
