"""Isotropic remeshing: nearly equilateral triangles with edges of a wanted length."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..errors import InputError
from ..shapes import Mesh
from .measures import face_areas
from .mesh_queries import SurfaceIndex
from .remeshing.creases import dihedral_angles, find_creases, find_tips, rough_creases, trace
from .remeshing.edge_operations import collapse_short_edges, flip_edges, split_long_edges
from .remeshing.relax import Original, relax
from .remeshing.sizing import curvature_lengths, find_details, is_rough, keeps_size, within_narrow_facets
from .remeshing.surface import NOWHERE, Balls, Features, Flags, Floats, WorkingMesh, area_vectors
from .self_intersections import CrossingSearch, untangle, without_crossings
from .topology import is_consistently_wound, is_manifold

FACE_LIMIT = 50_000_000
DEFAULT_FACES = 4000
STRICTER = 0.25  # of the tolerance: what is planned with if the tolerance was not kept
EQUILATERAL = 3**0.5 / 4  # area of an equilateral triangle over the square of its edge


def remesh(
    mesh: Mesh,
    edge_length: float | Float[Tensor, "V"] | None = None,
    iterations: int = 5,
    project: bool = True,
    split_above: float = 1.4,
    collapse_below: float = 0.7,
    seed: int = 0,
    crease_angle: float | None = math.radians(35),
    tolerance: float | None = 1e-3,
) -> Mesh:
    """Rebuild a mesh from nearly equilateral triangles without changing its shape or topology.

    Isotropic remeshing after Botsch & Kobbelt 2004, "A remeshing approach to multiresolution modeling",
    section 4: split long edges, collapse short ones, flip towards valence 6 (4 on the boundary), relax within
    the surface and project back onto the input. Each step is applied simultaneously to all elements that do not
    touch each other, and only where the link condition holds and no face is flipped. So a closed manifold stays
    closed and manifold, with the same genus. All loops are bounded. Faces of the result that
    cross a little are parted (`untangle`).

    Boundaries and creases are kept: their vertices slide along the input's lines, and corners, where lines
    meet, end or bend sharply, are fixed.

    Source: Botsch and Kobbelt 2004, section 4. Differs: each step happens at once in all places that do not
    touch each other, creases and volume may be kept, and thresholds are 1.4 and 0.7 (4/3 and 4/5 there).

    Source: Nicolet et al. 2021, its remesher, as released.

    Args:
        mesh: A consistently wound manifold, open or closed, of any number of pieces. Seams of doubled vertices
            are boundaries; `merge_vertices` joins them.
        edge_length: Target edge length, in the unit of the mesh, or one per vertex (a sizing field); an upper
            bound where `tolerance` requires shorter edges.
            Default: that of 4,000 equilateral triangles with the area of the mesh.
        iterations: Number of repetitions of the steps.
        project: Whether vertices are projected onto the input surface; otherwise, convex parts shrink slightly.
        split_above: Edges longer than this times the wanted length are split (4/3 in the paper; 1.4 and 0.7
            are what Nicolet et al. 2021 use).
        collapse_below: Edges shorter than this times the wanted length are collapsed (4/5 in the paper).
        seed: Seed of the order of equally good operations; the same seed gives the same mesh.
        crease_angle: Smallest dihedral angle of creases in radians, if the edge is part of a line; also the
            smallest bend of such a line that is a corner. None keeps boundaries only.
        tolerance: Largest relative change of volume and area. Edges are shorter than `edge_length` where
            curvature requires it and in narrow facets; facets of the input that even these would cut are kept.
            A rough surface, such as a scan, whose noise alone adds more area than this, gets uniform triangles,
            and only long creases that exceed the noise are kept. None: uniform triangles of one edge length,
            without a bound of the change.

    Returns:
        The new mesh on the device of the old one. Colours are interpolated at the nearest points of the
        input; `transfer` does the same for other attributes. Vertices that no face uses are dropped.

    Raises:
        InputError: The mesh is empty, broken, not manifold or not consistently wound, a length, angle or
            tolerance is out of range, or the result would have more than fifty million faces.
    """
    source = mesh.check().to("cpu")
    corners = source.faces
    whole = (corners != corners.roll(1, dims=1)).all(dim=1)  # a face that names a vertex twice has no area
    source = replace(source, faces=corners[whole])
    _check_options(split_above, collapse_below, crease_angle, tolerance)
    before, bend, kept = _surveyed(source, edge_length, crease_angle, tolerance)
    bound = None if kept.rough else tolerance

    def rebuilt(tolerance: float | None) -> WorkingMesh:
        surface, original = _prepared(source, before, bend, kept, tolerance, crease_angle)
        generator = np.random.default_rng(seed)
        for _ in range(iterations):
            surface = split_long_edges(surface, split_above, original)
            surface = collapse_short_edges(surface, collapse_below, split_above, original.curves, generator)
            surface = flip_edges(surface, generator)
            surface = relax(surface, original, project)
            surface = replace(surface, target=original.target_at(surface))
        return surface

    surface = rebuilt(bound)
    if bound is not None and not keeps_size(before, surface, bound):
        surface = rebuilt(STRICTER * bound)
    vertices = torch.from_numpy(surface.vertices).float()
    result = untangle(Mesh(vertices, torch.from_numpy(surface.faces), offset=mesh.offset))
    if source.colors is not None:
        result = replace(result, colors=transfer(source, source.colors, result.vertices))
    return result.to(mesh.vertices.device)


ATTEMPTS = 4
"""Times that a pass of remeshing is tried, on less and less of the surface, before it only splits edges."""
BESIDE = 3.0
"""How far around crossing faces edges stay as they are at the second attempt, in edge lengths."""


def remesh_pass(
    mesh: Mesh,
    edge_length: float | Float[Tensor, "V"],
    split_above: float = 1.4,
    collapse_below: float = 0.7,
    seed: int = 0,
) -> tuple[Mesh, CrossingSearch]:
    """Improve the triangles of a moving surface a little, without making faces cross.

    One pass of splits, collapses, flips and tangential relaxation as in `remesh`, without projection and with
    one length everywhere or given lengths. If faces cross then, collapses and flips are done again without the
    edges near them, and vertices are relaxed only as far as no faces cross (`without_crossings`). Faces that
    crossed before may still do so.

    Source: Botsch and Kobbelt 2004, section 4. Differs: one pass, no projection, no crossings.

    Args:
        mesh: A consistently wound manifold, open or closed.
        edge_length: Target edge length, in the unit of the mesh, or one per vertex.
        split_above: As in `remesh`.
        collapse_below: As in `remesh`.
        seed: As in `remesh`.

    Returns:
        The new mesh on the device of the old one, without colours (see `transfer`), and a search for crossings
        of its faces, which ignores those that cross already.

    Raises:
        InputError: As in `remesh`.
    """
    source = mesh.check().to("cpu")
    _check_options(split_above, collapse_below, None, None)
    before, bend, kept = _surveyed(source, edge_length, None, None)
    split, original = _prepared(source, before, bend, kept, None, None)
    split = split_long_edges(split, split_above, original)
    generator = np.random.default_rng(seed)

    def result(surface: WorkingMesh, search: CrossingSearch) -> tuple[Mesh, CrossingSearch]:
        vertices, faces = _tensors(surface)
        moved = Mesh(vertices, faces, offset=mesh.offset).to(mesh.vertices.device)
        if moved.faces.is_cuda:  # where the search has to be as well
            ignored = search.ignored.to(moved.faces.device)
            search = CrossingSearch(moved.vertices, moved.faces)
            search.ignored = ignored
        return moved, search

    def improved(still: Balls) -> WorkingMesh:
        surface = collapse_short_edges(split, collapse_below, split_above, original.curves, generator, still)
        return flip_edges(surface, generator, still)

    surface = improved(NOWHERE)
    relaxed = relax(surface, original, project=False)
    search, places = _crossings(relaxed)
    if len(places) == 0:
        return result(relaxed, search)
    crossed = _crossings(split)[1]
    places = np.concatenate([places, crossed])
    for attempt in range(ATTEMPTS):
        if attempt > 0:
            surface = improved(Balls(places, BESIDE * 2 ** (attempt - 1) * float(split.target.max())))
        search, found = _crossings(surface)
        if len(found) <= len(crossed):
            break
        places = np.concatenate([places, found])
    else:
        surface, search = split, _crossings(split)[0]
    (start, _), (end, _) = _tensors(surface), _tensors(relax(surface, original, project=False))
    vertices, _ = without_crossings(start, end, search)
    return result(replace(surface, vertices=vertices.double().numpy()), search)


def _tensors(surface: WorkingMesh) -> tuple[Float[Tensor, "V 3"], Int64[Tensor, "F 3"]]:
    return torch.from_numpy(surface.vertices).float(), torch.from_numpy(surface.faces)


def _crossings(surface: WorkingMesh) -> tuple[CrossingSearch, Floats]:
    """A search for further crossings, and the middles (N, 3) of the faces that cross now."""
    vertices, faces = _tensors(surface)
    search = CrossingSearch(vertices, faces)
    crossing = search.pairs(vertices).flatten().unique()
    search.ignored[crossing] = True
    return search, surface.vertices[surface.faces[crossing.numpy()]].mean(axis=1)


def transfer(mesh: Mesh, values: Float[Tensor, "V C"], points: Float[Tensor, "P 3"]) -> Float[Tensor, "P C"]:
    """Interpolate values at the vertices of a mesh at points near it, such as the vertices of another mesh.

    Args:
        mesh: The mesh with the values.
        values: Any attribute of its vertices; the result is differentiable with respect to them.
        points: The points, in the frame of the mesh.

    Returns:
        The values at the nearest points of the mesh, linear over each face.

    Raises:
        InputError: The mesh is empty or broken, or a point is not finite.
    """
    found = SurfaceIndex(mesh).closest(points)
    return torch.einsum("pk,pkc->pc", found.weights.to(values.dtype), values[mesh.faces[found.face]])


def _check_options(split: float, collapse: float, angle: float | None, tolerance: float | None) -> None:
    if not 0 < 2 * collapse <= split:
        raise InputError(
            f"split_above must be at least twice collapse_below, got {split} and {collapse}: "
            "otherwise both halves of a split edge are collapsed again"
        )
    if angle is not None and not 0 < angle <= math.pi:
        raise InputError(f"crease_angle must lie between 0 and pi radians, or be None, got {angle:g}")
    if tolerance is not None and not 0 < tolerance < 1:
        raise InputError(f"tolerance must lie between 0 and 1, or be None, got {tolerance:g}")


@dataclass(frozen=True)
class _Kept:
    """The features of a surface that are kept.

    Attributes:
        lines: (E,) boundaries and creases.
        tips: (V,) fixed vertices that are not on lines.
        rough: Whether the surface is too rough for the tolerance.
    """

    lines: Flags
    tips: Flags
    rough: bool


def _surveyed(
    mesh: Mesh, edge_length: float | Tensor | None, angle: float | None, tolerance: float | None
) -> tuple[WorkingMesh, Floats, _Kept]:
    """The surface of a mesh with the longest edges allowed, its dihedral angles, and the features that are
    kept."""
    if not is_manifold(mesh.faces, len(mesh.vertices)):
        raise InputError(
            "the mesh is not manifold (more than two faces share an edge, or surfaces touch in a vertex); "
            "remeshing needs a manifold, so repair it first"
        )
    if not is_consistently_wound(mesh.faces):
        raise InputError("neighbouring faces are wound in opposite directions; orient them alike first")
    vertices, faces = mesh.vertices.detach().double().numpy(), mesh.faces.numpy()
    none = np.zeros(len(vertices), bool)
    features = Features(np.empty((0, 2), np.int64), np.empty((0, 2)), none)
    surface = WorkingMesh(vertices, faces, _longest(mesh, edge_length), features)
    bend = dihedral_angles(surface)
    boundary = surface.edges.is_boundary
    creases = np.zeros_like(boundary) if angle is None else find_creases(surface, bend, angle)
    rough = tolerance is not None and is_rough(surface, bend, boundary | creases, tolerance)
    if angle is None:
        return surface, bend, _Kept(boundary, none, rough)
    if rough:
        return surface, bend, _Kept(boundary | rough_creases(surface, creases, angle), none, rough)
    lines = boundary | creases
    return surface, bend, _Kept(lines, find_tips(surface, lines, angle), rough)


def _prepared(
    mesh: Mesh, surface: WorkingMesh, bend: Floats, kept: _Kept, tolerance: float | None, angle: float | None
) -> tuple[WorkingMesh, Original]:
    """The surface to work on, with the lines that are kept, and the original for reference."""
    lines, target = kept.lines, surface.target
    of_face, planned = target[surface.faces].min(axis=1), None
    if tolerance is not None:
        planned = curvature_lengths(surface, bend, lines, tolerance)
        details = find_details(surface, bend, lines, planned, tolerance)
        lines = lines | details
        planned = curvature_lengths(surface, bend, lines, tolerance)
        planned = within_narrow_facets(surface, bend, lines, details, planned)
        planned = None if (planned == of_face).all() else planned
    of_face = of_face if planned is None else planned
    _check_count(surface, of_face)
    at_edge = surface.smaller_of_halves(np.repeat(of_face, 3))[lines]
    ends = surface.edges.ends[lines]
    curves, features = trace(surface.vertices, ends, at_edge, kept.tips, math.pi if angle is None else angle)
    original = Original(mesh, target, curves, planned)
    surface = replace(surface, features=features).compact()
    return replace(surface, target=original.target_at(surface)), original


def _check_count(surface: WorkingMesh, lengths: Floats) -> None:
    """Raise an error if lengths (F,) would give too many faces."""
    area = np.linalg.norm(area_vectors(surface.vertices[surface.faces]), axis=1) / 2
    count = (area / (EQUILATERAL * lengths**2)).sum()
    if count > FACE_LIMIT:
        raise InputError(
            f"an edge length of {lengths.mean():g} would give some {count:.0f} faces, "
            f"more than {FACE_LIMIT}; ask for longer edges"
        )


def _longest(mesh: Mesh, edge_length: float | Tensor | None) -> Floats:
    """(V,) the longest edge length allowed at every vertex."""
    if edge_length is None:
        area = float(face_areas(mesh.vertices.detach().double(), mesh.faces).sum())
        edge_length = math.sqrt(area / (EQUILATERAL * DEFAULT_FACES))
    lengths = np.asarray(torch.as_tensor(edge_length).detach().cpu(), dtype=np.float64)
    if lengths.shape not in ((), (len(mesh.vertices),)):
        raise InputError(
            f"edge_length must be one number or one per vertex ({len(mesh.vertices)}), "
            f"got shape {lengths.shape}"
        )
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise InputError(f"edge_length must be positive and finite, got {lengths.min():g}")
    return np.broadcast_to(lengths, len(mesh.vertices)).copy()
