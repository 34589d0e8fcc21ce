"""Which faces of a mesh are turned inward."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ..shapes import Mesh, sample_surface
from .closest import unit_box, warp_mesh
from .launch import in_parts, launch
from .measures import face_areas
from .normals import face_normals
from .orientation_kernels import open_sides
from .topology import component_labels, face_neighbours, merge_vertices

DIRECTIONS, PLACES, LEAST = 40, 4_000, 4
"""Directions that are looked into, places in all, and on every patch if it has so many faces."""


def inward_faces(mesh: Mesh) -> Bool[Tensor, " F"]:
    """The faces that should be turned round, so that what is seen of a shape from around is its outside.

    Faces that agree across their common edge form a patch, and a patch is turned if more of its back than of
    its front is visible from far away (Takayama et al. 2014, with the same 40 directions from every place).
    Patches that are never seen, walls of cavities for instance, do as most of the seen area does.

    Source: Takayama et al. 2014, votes of rays.

    Args:
        mesh: Any mesh with an area.
    """
    patch = _patches(mesh)
    centre, scale = unit_box(mesh)
    unit = replace(mesh, vertices=((mesh.vertices.detach().double() - centre) / scale).float())
    places, face = _places(unit, patch)
    front, either = _open_sides(unit, places, face_normals(unit.vertices, unit.faces)[face])
    count = int(patch.max()) + 1
    balance, seen = (front.new_zeros(count).index_add_(0, patch[face], x) for x in (front, either))
    inward, known = (balance < 0)[patch], (seen > 0)[patch]
    area = face_areas(unit.vertices, unit.faces)
    mostly = area[inward & known].sum() > area[known].sum() / 2
    return torch.where(known, inward, mostly)


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
    return component_labels(torch.stack([i, neighbour[i, edge]], dim=1), len(faces))


def _places(mesh: Mesh, patch: Int64[Tensor, " F"]) -> tuple[Float[Tensor, "N 3"], Int64[Tensor, " N"]]:
    """Places all over the area, and the middles of some faces of every patch; with their faces."""
    device = mesh.vertices.device
    spread, face = sample_surface(mesh, PLACES, torch.Generator(device).manual_seed(0))
    order = patch.argsort(stable=True)
    sizes = torch.bincount(patch)
    rank = torch.arange(len(order), device=device) - (sizes.cumsum(0) - sizes)[patch[order]]
    chosen = order[rank < LEAST]
    middles = mesh.corners()[chosen].mean(dim=1)
    return torch.cat([spread, middles]), torch.cat([face, chosen])


def _open_sides(
    mesh: Mesh, places: Float[Tensor, "N 3"], normals: Float[Tensor, "N 3"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """How much more of the outside is seen from the front than from the back, and how much from either."""
    index = warp_mesh(mesh.vertices, mesh.faces)
    directions = _directions().to(places)
    balance, seen = (torch.zeros(len(places), device=places.device) for _ in range(2))
    places, normals = places.contiguous(), normals.contiguous()

    def run(_: int, start: int, stop: int) -> None:
        own = [array[start:stop] for array in (places, normals)]
        arguments = [index.id, *own, directions, balance[start:stop], seen[start:stop]]
        launch(open_sides, stop - start, arguments, places.device)

    in_parts(run, len(places), places.device)
    return balance, seen


def _directions() -> Float[Tensor, "K 3"]:
    """Directions spread evenly over the sphere, in a spiral by the golden angle."""
    k = torch.arange(DIRECTIONS) + 0.5
    height, angle = 1 - 2 * k / DIRECTIONS, k * torch.pi * (3 - 5**0.5)
    radius = (1 - height * height).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), height], dim=1)
