"""Which faces of a mesh are turned inward."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Int64
from scipy.sparse import coo_array, csgraph
from torch import Tensor

from ..cameras import fibonacci_cameras
from ..geometry import face_areas, face_neighbours, face_normals, merge_vertices
from ..render import visible_triangles
from ..shapes import Mesh

VIEWS, SIZE = 40, 256


def inward_faces(mesh: Mesh) -> Bool[Tensor, " F"]:
    """The faces that should be turned round, so that what is seen of a shape from around is its outside.

    Faces that agree across their common edge form a patch, and a patch is turned if more of its back than of
    its front is visible (Takayama et al. 2014, with pictures from 40 directions in place of single rays).
    Patches that are never seen, walls of cavities for instance, do as most of the seen area does.

    Args:
        mesh: A shape within the unit sphere.
    """
    patch = _patches(mesh)
    cameras = fibonacci_cameras(VIEWS, distance=2.0, extent=2.0, size=SIZE)
    triangle = visible_triangles(mesh.vertices, mesh.faces, cameras).flatten(1)
    view, pixel = (triangle >= 0).nonzero(as_tuple=True)
    face = triangle[view, pixel].long()
    forward = cameras.forward.to(mesh.vertices)
    front = (face_normals(mesh.vertices, mesh.faces)[face] * forward[view]).sum(dim=1) < 0
    balance = torch.zeros(int(patch.max()) + 1, device=patch.device)
    balance.index_add_(0, patch[face], torch.where(front, 1.0, -1.0))
    seen = torch.zeros_like(balance, dtype=torch.bool)
    seen[patch[face]] = True
    inward, seen = (balance < 0)[patch], seen[patch]
    area = face_areas(mesh.vertices, mesh.faces)
    mostly = area[inward & seen].sum() > area[seen].sum() / 2
    return torch.where(seen, inward, mostly)


def turn(mesh: Mesh, inward: Bool[Tensor, " F"]) -> Mesh:
    """The mesh with some faces turned round."""
    return replace(mesh, faces=torch.where(inward[:, None], mesh.faces.flip(1), mesh.faces))


def _patches(mesh: Mesh) -> Int64[Tensor, " F"]:
    """A label per face, the same for faces that run along their common edge in opposite directions."""
    # Vertices in one place are one here; a face that this collapses keeps its row and has no neighbours.
    faces = merge_vertices(mesh)[1][mesh.faces]
    neighbour = face_neighbours(faces).long()
    start, stop = faces, faces.roll(-1, dims=1)
    theirs = faces[neighbour.clamp(min=0)]  # (F, 3 edges, 3 corners)
    reversed_there = (theirs == stop[..., None]) & (theirs.roll(-1, dims=2) == start[..., None])
    agree = (neighbour >= 0) & reversed_there.any(dim=2)
    i, edge = agree.nonzero(as_tuple=True)
    pairs = (i.cpu().numpy(), neighbour[i, edge].cpu().numpy())
    graph = coo_array((np.ones(len(i)), pairs), shape=(len(faces), len(faces)))
    labels = csgraph.connected_components(graph, directed=False)[1]
    return torch.from_numpy(labels.astype(np.int64)).to(faces.device)
