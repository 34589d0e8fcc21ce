"""Lengths, areas and connected components of triangle meshes; lengths and areas are differentiable."""

from collections.abc import Iterable
from dataclasses import replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..errors import warn_input
from ..shapes import Mesh
from .topology import (
    boundary_edges,
    connected_components,
    drop_unused_vertices,
    is_consistently_wound,
    is_watertight,
    merge_vertices,
)


def corner_edges(
    vertices: Float[Tensor, "V 3"], faces: Int64[Tensor, "F 3"]
) -> tuple[Float[Tensor, "F 3"], Float[Tensor, "F 3"], Float[Tensor, "F 3"]]:
    """The edge vectors b - a, c - a and c - b of every face (a, b, c)."""
    # index_select scatters its gradient by adding; indexing with brackets would sort first.
    a, b, c = vertices.index_select(0, faces.flatten()).reshape(-1, 3, 3).unbind(1)
    return b - a, c - a, c - b


def vertex_areas(vertices: Float[Tensor, "V 3"], faces: Int64[Tensor, "F 3"]) -> Float[Tensor, "V"]:
    """A third of the area of the faces around each vertex, in the squared unit of the vertices."""
    areas = face_areas(vertices, faces) / 3
    return torch.zeros_like(vertices[:, 0]).index_add(0, faces.flatten(), areas.repeat_interleave(3))


def face_areas(vertices: Float[Tensor, "V 3"], faces: Int64[Tensor, "F 3"]) -> Float[Tensor, "F"]:
    """Area of every face in the squared unit of the vertices; the gradient is zero where the area is."""
    u, v, _ = corner_edges(vertices, faces)
    cross = torch.linalg.cross(u.double(), v.double())  # its square may leave the range of float32
    return (torch.linalg.vector_norm(cross, dim=1) / 2).to(vertices.dtype)


def edge_lengths(vertices: Float[Tensor, "V 3"], edges: Int64[Tensor, "E 2"]) -> Float[Tensor, "E"]:
    """Length of every edge, for instance of `unique_edges(faces)`, in the unit of the vertices."""
    a, b = vertices.index_select(0, edges.flatten()).reshape(-1, 2, 3).unbind(1)
    return torch.linalg.vector_norm(b - a, dim=1)


def mesh_faults(mesh: Mesh, solid: bool = False) -> list[str]:
    """Phrases for messages, each of which describes a defect of a mesh that distorts metrics.

    Vertices at the same position are merged first, so that seams are not holes.

    Args:
        mesh: Any mesh that has passed its check.
        solid: Whether the mesh is used as a solid, so that holes are defects.
    """
    faults = []
    if repeated := _repeated(mesh.faces):
        faults.append(f"has {repeated} of its {len(mesh.faces)} faces more than once; they count as often")
    merged = merge_vertices(mesh)[0]
    wound = is_consistently_wound(merged.faces)
    if not wound:
        faults.append(
            "has neighbouring faces that look to different sides; normals and inside are doubtful there"
        )
    if is_watertight(merged.faces):
        if wound and _volume(merged) < 0:
            faults.append(
                "is inside out: its faces look inwards, so normals are reversed and nothing is inside"
            )
    elif solid:
        holes = len(boundary_edges(merged.faces))
        about = f"is open ({holes} edges with one face)" if holes else "has edges with more than two faces"
        faults.append(f"{about}; inside is where its winding number exceeds one half")
    return faults


def _repeated(faces: Int64[Tensor, "F 3"]) -> int:
    """Faces beyond the first on the same three corners, whatever their order."""
    a, b, c = faces.sort(dim=1).values.unbind(dim=1)
    pair = torch.unique(a * (int(b.max()) + 1) + b, return_inverse=True)[1]
    return len(faces) - len(torch.unique(pair * (int(c.max()) + 1) + c))


def _volume(mesh: Mesh) -> float:
    corners = mesh.corners().detach().double()
    a, b, c = (corners - corners.mean(dim=(0, 1))).unbind(dim=1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


def largest_component(mesh: Mesh) -> Mesh:
    """The connected component with the largest area, for instance an object without stray fragments.

    Vertices keep their order; those of other components are dropped.

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
    """The mesh without components below a fraction of its area, such as artefacts of learned fields."""
    label = connected_components(mesh.faces, len(mesh.vertices))[mesh.faces[:, 0]]
    areas = face_areas(mesh.vertices, mesh.faces)
    total = areas.new_zeros(int(label.max()) + 1).index_add_(0, label, areas)
    kept = total[label] >= fraction * areas.sum()
    return drop_unused_vertices(replace(mesh, faces=mesh.faces[kept]))[0]


def is_one_solid(mesh: Mesh) -> bool:
    """Whether a mesh is closed and has one connected component."""
    pieces = connected_components(mesh.faces, len(mesh.vertices))
    return is_watertight(mesh.faces) and not bool(pieces.any())


def warn_of_broken(meshes: Iterable[Mesh], attempts: int) -> None:
    """Warn if generated meshes are not closed or have several components, after this many attempts for each."""
    whole = [is_one_solid(mesh) for mesh in meshes]
    broken = [str(i) for i, good in enumerate(whole, start=1) if not good]
    if broken:
        warn_input(
            f"{len(broken)} of {len(whole)} invented shapes are not closed or not of one piece after "
            f"{attempts} attempts: {', '.join(broken[:10])}; a smaller --truncation gives more typical ones"
        )
