"""Lengths and areas of triangle meshes, differentiable by the positions, and faults of meshes."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..shapes import Mesh
from .topology import boundary_edges, is_consistently_wound, is_watertight, merge_vertices


def corner_edges(
    vertices: Float[Tensor, "V 3"], faces: Int64[Tensor, "F 3"]
) -> tuple[Float[Tensor, "F 3"], Float[Tensor, "F 3"], Float[Tensor, "F 3"]]:
    """The edge vectors b - a, c - a and c - b of every face (a, b, c)."""
    # index_select scatters its gradient by adding; indexing with brackets would sort first.
    a, b, c = vertices.index_select(0, faces.flatten()).reshape(-1, 3, 3).unbind(1)
    return b - a, c - a, c - b


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
    """Phrases that follow the name of a mesh, each about one fault that makes figures mean something else.

    Vertices in the same place are one here: seams are no holes.

    Args:
        mesh: Any mesh that has passed its check.
        solid: Whether it is about to be taken for a solid, so that holes matter.
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
