"""Warp kernel that looks from places of a surface to the outside."""

import warp as wp

OFF = wp.constant(wp.float32(1.0e-5))  # where rays start, in front of or behind the surface


@wp.kernel(enable_backward=False)
def open_sides(
    mesh: wp.uint64,
    places: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    balance: wp.array(dtype=float),
    seen: wp.array(dtype=float),
):
    """Sums over the directions that are free from a place: of cosines with the normal, and of their sizes."""
    i = wp.tid()
    for k in range(directions.shape[0]):
        cosine = wp.dot(normals[i], directions[k])
        start = places[i] + normals[i] * (OFF * wp.sign(cosine))
        hit = wp.mesh_query_ray(mesh, start, directions[k], 1.0e3)
        if not hit.result:
            balance[i] += cosine
            seen[i] += wp.abs(cosine)
