"""Warp kernels of the closest-point queries."""

import warp as wp


@wp.kernel
def closest(
    mesh: wp.uint64,
    points: wp.array2d(dtype=float),  # (P, 3)
    distance: wp.array(dtype=float),  # (P,)
    face: wp.array(dtype=wp.int64),  # (P,)
    weights: wp.array2d(dtype=float),  # (P, 3) barycentric
):
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
