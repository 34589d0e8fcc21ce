"""Pieces of a mesh."""

from collections.abc import Iterable
from dataclasses import replace

import torch

from ..errors import warn_input
from ..shapes import Mesh
from .measures import face_areas
from .topology import connected_components, drop_unused_vertices, is_watertight


def largest_component(mesh: Mesh) -> Mesh:
    """The piece with the largest area, for instance an object without the crumbs around it.

    Vertices keep their order; those of other pieces are dropped.

    Raises:
        InputError: The mesh is empty, has coordinates that are not finite or faces out of range.
    """
    mesh.check()
    label = connected_components(mesh.faces, len(mesh.vertices))[mesh.faces[:, 0]]
    areas = face_areas(mesh.vertices.detach().double(), mesh.faces)
    total = torch.zeros(int(label.max()) + 1, dtype=areas.dtype, device=areas.device).index_add_(
        0, label, areas
    )
    kept = mesh.faces[label == total.argmax()]
    return drop_unused_vertices(replace(mesh, faces=kept))[0]


def without_specks(mesh: Mesh, fraction: float = 0.01) -> Mesh:
    """The mesh without pieces that have less than a share of its area: crumbs and hollows of learned fields."""
    label = connected_components(mesh.faces, len(mesh.vertices))[mesh.faces[:, 0]]
    areas = face_areas(mesh.vertices, mesh.faces)
    total = areas.new_zeros(int(label.max()) + 1).index_add_(0, label, areas)
    kept = total[label] >= fraction * areas.sum()
    return drop_unused_vertices(replace(mesh, faces=mesh.faces[kept]))[0]


def is_one_solid(mesh: Mesh) -> bool:
    """Whether a mesh is closed and of one piece."""
    pieces = connected_components(mesh.faces, len(mesh.vertices))
    return is_watertight(mesh.faces) and not bool(pieces.any())


def warn_of_broken(meshes: Iterable[Mesh], attempts: int) -> None:
    """Say which invented meshes are not closed or not of one piece, after so many attempts for each."""
    whole = [is_one_solid(mesh) for mesh in meshes]
    broken = [str(i) for i, good in enumerate(whole, start=1) if not good]
    if broken:
        warn_input(
            f"{len(broken)} of {len(whole)} invented shapes are not closed or not of one piece after "
            f"{attempts} attempts: {', '.join(broken[:10])}; a smaller --truncation gives more typical ones"
        )
