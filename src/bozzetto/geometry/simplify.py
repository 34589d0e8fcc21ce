"""Fewer triangles for the same shape."""

from dataclasses import replace

import torch

from ..errors import InputError
from ..shapes import Mesh, normalisation
from .manifold_repair import separate
from .remesh import transfer
from .topology import drop_unused_vertices

_LEAST = 4  # faces: a tetrahedron
_HASTE = (3.0, 4.0, 5.0, 6.0, 7.0, 9.0)  # of fast-simplification, the most careful first
_SLACK = 1.02  # of the wanted number, up to which a careful result is good enough


def simplify(mesh: Mesh, faces: int) -> Mesh:
    """The shape with about this many faces at most: large ones where it is flat, small ones where it bends.

    Edges are collapsed in the order of the quadric error (Garland and Heckbert 1997) as the package
    fast-simplification does it: by rising thresholds instead of a queue. It does not watch the topology, so
    walls that collapsed are removed and surfaces that met are cut apart again (`separate`): a closed surface
    stays closed, a manifold stays manifold, and handles or necks thinner than the new triangles may be gone.
    Open borders stay, to within the same error.

    Source: Garland and Heckbert 1997, the quadric error.

    Args:
        mesh: Any triangle mesh; seams of doubled vertices are borders, `merge_vertices` sews them first.
        faces: How many are wanted, at least 4. A mesh that has no more is returned as it is.

    Returns:
        The simpler mesh on the device of the old one, in its frame, with colours from the nearest points.

    Raises:
        InputError: The mesh is empty or broken, or fewer than 4 faces are asked for.
    """
    import fast_simplification

    if faces < _LEAST:
        raise InputError(f"a mesh cannot be simplified to {faces} faces; ask for at least {_LEAST}")
    source = mesh.check().to("cpu")
    if len(source.faces) <= faces:
        return mesh
    frame = normalisation(source.vertices[source.used])  # thresholds of the package are lengths
    positions = frame.apply(source.vertices.double()).numpy()
    best = None
    for haste in _HASTE:
        found = fast_simplification.simplify(positions, source.faces.numpy(), target_count=faces, agg=haste)
        best = found if best is None or len(found[1]) < len(best[1]) else best
        if len(found[1]) <= _SLACK * faces:
            break
    assert best is not None
    vertices = frame.inverse().apply(torch.from_numpy(best[0].copy())).float()
    result = Mesh(vertices, torch.from_numpy(best[1].astype("int64")), offset=source.offset)
    result = drop_unused_vertices(separate(result))[0]
    if source.colors is not None:
        result = replace(result, colors=transfer(source, source.colors, result.vertices))
    return result.to(mesh.vertices.device)
