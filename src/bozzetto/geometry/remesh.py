"""Isotropic remeshing: nearly equilateral triangles with edges of a wanted length."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..shapes import Mesh
from .closest import SurfaceIndex
from .remeshing.collapse import collapse_short_edges
from .remeshing.flip import flip_edges
from .remeshing.original import Original
from .remeshing.relax import relax
from .remeshing.split import split_long_edges
from .remeshing.surface import Floats, Surface, area_vectors
from .topology import is_consistently_wound, is_manifold, unique_edges

FACE_LIMIT = 50_000_000


def remesh(
    mesh: Mesh,
    edge_length: float | Float[Tensor, "V"] | None = None,
    iterations: int = 5,
    project: bool = True,
    split_above: float = 1.4,
    collapse_below: float = 0.7,
    seed: int = 0,
) -> Mesh:
    """Rebuild a mesh from nearly equilateral triangles without changing its shape or topology.

    Isotropic remeshing after Botsch & Kobbelt 2004, "A remeshing approach to multiresolution modeling",
    section 4: split long edges, collapse short ones, flip towards valence 6 (4 on the boundary), relax within
    the surface and project back onto the input. Each step happens at once in all places that do not touch
    each other, and only where the link condition holds and no face turns over, so a closed manifold stays
    closed and manifold with the same genus, whatever its shape. All loops are bounded.

    Boundary vertices stay on the input's boundary curve, and its corners are kept. Creases are not tracked:
    vertices stay on the surface, but edges may cut across a crease.

    Args:
        mesh: A consistently wound manifold, open or closed, of any number of pieces. Seams of doubled
            vertices are boundaries; `merge_vertices` sews them first.
        edge_length: The wanted length in the unit of the mesh, or one per vertex (a sizing field). Default:
            half the mean edge length, so the mesh gets about four times as many faces (Nicolet et al. 2021).
        iterations: How often the steps are repeated.
        project: Whether vertices go back onto the input surface; without, convex parts shrink a little.
        split_above: Edges longer than this times the wanted length are split (4/3 in the paper; 1.4 and 0.7
            are what Nicolet et al. 2021 use).
        collapse_below: Edges shorter than this times the wanted length are collapsed (4/5 in the paper).
        seed: Of the order in which equally good places are taken; the same seed gives the same mesh.

    Returns:
        The new mesh on the device of the old one. Colours are interpolated at the nearest points of the
        input; `transfer` does the same for other attributes. Vertices that no face uses are dropped.

    Raises:
        InputError: The mesh is empty, broken, not manifold or not consistently wound, a length is not a
            positive number, or the result would have more than fifty million faces.
    """
    source = mesh.check().to("cpu")
    corners = source.faces
    whole = (corners != corners.roll(1, dims=1)).all(dim=1)  # a face that names a vertex twice has no area
    source = replace(source, faces=corners[whole])
    surface = _surface(source, edge_length, split_above, collapse_below)
    original = Original(source, surface.target) if project else None
    generator = np.random.default_rng(seed)
    for _ in range(iterations):
        surface = split_long_edges(surface, split_above)
        surface = collapse_short_edges(surface, collapse_below, split_above, generator)
        surface = flip_edges(surface, generator)
        surface = relax(surface, original.project if original else None)
        if original:
            surface = replace(surface, target=original.target_at(surface.vertices))
    vertices = torch.from_numpy(surface.vertices).float()
    result = Mesh(vertices, torch.from_numpy(surface.faces), offset=mesh.offset)
    if source.colors is not None:
        result = replace(result, colors=transfer(source, source.colors, result.vertices))
    return result.to(mesh.vertices.device)


def transfer(mesh: Mesh, values: Float[Tensor, "V C"], points: Float[Tensor, "P 3"]) -> Float[Tensor, "P C"]:
    """Carry values at the vertices of a mesh over to points near it, the vertices of another mesh say.

    Args:
        mesh: Where the values live.
        values: Any attribute of its vertices; gradients flow from the result to them.
        points: Where they are wanted.

    Returns:
        The values at the nearest points of the mesh, linear over each face.

    Raises:
        InputError: The mesh is empty or broken, or a point is not finite.
    """
    found = SurfaceIndex(mesh).closest(points)
    return torch.einsum("pk,pkc->pc", found.weights.to(values.dtype), values[mesh.faces[found.face]])


def _surface(mesh: Mesh, edge_length: float | Tensor | None, split: float, collapse: float) -> Surface:
    if not 0 < 2 * collapse <= split:
        raise InputError(
            f"split_above must be at least twice collapse_below, got {split} and {collapse}: "
            "otherwise both halves of a split edge are collapsed again"
        )
    if not is_manifold(mesh.faces, len(mesh.vertices)):
        raise InputError(
            "the mesh is not manifold (more than two faces share an edge, or surfaces touch in a vertex); "
            "remeshing needs a manifold, so repair it first"
        )
    if not is_consistently_wound(mesh.faces):
        raise InputError("neighbouring faces are wound in opposite directions; orient them alike first")
    vertices, faces = mesh.vertices.detach().double().numpy(), mesh.faces.numpy()
    surface = Surface(vertices, faces, _target(mesh, edge_length))
    area = np.linalg.norm(area_vectors(vertices[faces]), axis=1) / 2
    count = (area / (3**0.5 / 4 * surface.target[faces].mean(axis=1) ** 2)).sum()
    if count > FACE_LIMIT:
        raise InputError(
            f"an edge length of {surface.target.mean():g} would give some {count:.0f} faces, "
            f"more than {FACE_LIMIT}; ask for longer edges"
        )
    return surface.compact()


def _target(mesh: Mesh, edge_length: float | Tensor | None) -> Floats:
    """(V,) the wanted length at every vertex."""
    if edge_length is None:
        a, b = mesh.vertices.detach().double()[unique_edges(mesh.faces)].unbind(dim=1)
        edge_length = float((a - b).norm(dim=1).mean()) / 2
    lengths = np.asarray(torch.as_tensor(edge_length).detach().cpu(), dtype=np.float64)
    if lengths.shape not in ((), (len(mesh.vertices),)):
        raise InputError(
            f"edge_length must be one number or one per vertex ({len(mesh.vertices)}), "
            f"got shape {lengths.shape}"
        )
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise InputError(f"edge_length must be positive and finite, got {lengths.min():g}")
    return np.broadcast_to(lengths, len(mesh.vertices)).copy()
