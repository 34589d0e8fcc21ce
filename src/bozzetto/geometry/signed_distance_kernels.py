"""Warp kernel of the signed-distance queries."""

import warp as wp


@wp.kernel
def signed_distance(
    mesh: wp.uint64,
    points: wp.array2d(dtype=float),  # (P, 3)
    accuracy: float,
    distance: wp.array(dtype=float),  # (P,)
):
    """Distance to the nearest point, negative where the winding number exceeds one half."""
    i = wp.tid()
    point = wp.vec3(points[i, 0], points[i, 1], points[i, 2])
    hit = wp.mesh_query_point_sign_winding_number(mesh, point, 1.0e18, accuracy, 0.5)
    nearest = wp.mesh_eval_position(mesh, hit.face, hit.u, hit.v)
    distance[i] = hit.sign * wp.length(point - nearest)
