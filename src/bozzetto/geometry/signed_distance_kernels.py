"""Warp kernel of the signed-distance queries."""

import warp as wp


@wp.func_native("return mesh_query_winding_number(mesh, point, accuracy);")
def winding_number(mesh: wp.uint64, point: wp.vec3, accuracy: float) -> float:  # type: ignore[empty-body]
    """The number behind the sign of `mesh_query_point_sign_winding_number`, which Warp does not hand out."""
    ...


@wp.kernel
def distance_and_winding(
    mesh: wp.uint64,
    points: wp.array2d(dtype=float),  # (P, 3)
    accuracy: float,
    distance: wp.array(dtype=float),  # (P,)
    winding: wp.array(dtype=float),  # (P,)
):
    """Distance to the nearest point of a mesh built with winding numbers (infinite where none is found)."""
    i = wp.tid()
    point = wp.vec3(points[i, 0], points[i, 1], points[i, 2])
    hit = wp.mesh_query_point_no_sign(mesh, point, 1.0e18)
    distance[i] = wp.inf
    if hit.result:
        distance[i] = wp.length(point - wp.mesh_eval_position(mesh, hit.face, hit.u, hit.v))
    winding[i] = winding_number(mesh, point, accuracy)
