"""Signed distance to any mesh, detection of inward faces, and a closed manifold surface from the distance."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ..errors import InputError, warn_input
from ..shapes import Mesh, sample_surface
from ..values import value_type
from .isosurface import isosurface
from .launch import in_parts, launch
from .measures import face_areas, largest_component
from .mesh_queries import INSIDE, WindingIndex, unit_box, warp_mesh
from .mesh_query_kernels import open_sides
from .normals import face_normals
from .self_intersections import intersecting_faces
from .shells import Shells, outer_distance, shells_of
from .topology import component_labels, face_neighbours, is_double_sided, merge_vertices, orientation_parity

DIRECTIONS, PLACES, LEAST = 40, 4_000, 4
"""Number of directions of rays, of sample points in total, and least number of points per patch."""


def inward_faces(mesh: Mesh) -> Bool[Tensor, " F"]:
    """The faces whose winding should be reversed so that the visible sides of a shape are the outer ones.

    Faces that are consistent across their common edge form a patch. A patch is reversed if more of its back
    than of its front is visible from far away (Takayama et al. 2014, with the same 40 directions from every
    point). Patches that are nowhere visible, for instance walls of cavities, follow the majority of the visible
    area.

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
    """The mesh with the winding of some faces reversed."""
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
    """Points spread over the area, and the middles of some faces of every patch; with their faces."""
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
    """Visibility of the outside from the front minus that from the back, and their sum."""
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


AMBIGUOUS = 0.1
"""The sign is doubtful where the winding number differs by less than this from one half."""
INSIDE_OUT = 0.001
"""Tolerated fraction of points inside of inverted parts: open meshes have some at their rims."""
LOOKED_AT = 500
"""Largest number of faces tested to decide whether components of negative volume are cavities."""


@value_type
class SolidDistance:
    """Signed distances of points to the solid that a mesh encloses.

    Attributes:
        distance: Distance to its outer surface, negative inside, in the unit of the mesh.
        winding: The generalised winding number that decides the sign: for closed surfaces, 1 inside and 0
            outside.
        turned: Number of faces whose winding was reversed because they were oriented inward.
        doubled: Number of faces that were left out because each has a partner of opposite winding.
        closed: Whether the surface has no boundary, so that winding numbers are integers.
    """

    distance: Float[Tensor, " P"]
    winding: Float[Tensor, " P"]
    turned: int
    doubled: int
    closed: bool

    @property
    def doubtful(self) -> int:
        """Number of points with a doubtful sign, near open or inconsistently oriented parts."""
        return 0 if self.closed else int(((self.winding - INSIDE).abs() < AMBIGUOUS).sum())


def signed_distance(mesh: Mesh, points: Float[Tensor, "P 3"], accuracy: float = 2.0) -> Float[Tensor, " P"]:
    """Distance from points to the solid that a mesh encloses, negative inside.

    The same as `solid_distance`, with an `InputWarning` of the numbers of reversed faces and of points with a
    doubtful sign, if any.

    Args:
        mesh: The surface, faces counter-clockwise seen from outside.
        points: Query points in the frame of the mesh, on its device.
        accuracy: Distance from a group of faces, in radii, from which it is approximated as one; larger is
            slower.

    Raises:
        InputError: The mesh is empty or broken or has no area, or a query point is not finite.
    """
    found = solid_distance(mesh, points, accuracy)
    if found.turned:
        warn_input(
            f"{found.turned} of the {len(mesh.faces)} faces of the mesh are turned inward; for the sign of its "
            "distance they are taken the other way round"
        )
    if found.doubled:
        warn_input(
            "every face of the mesh has another in the same place that looks to the other side; for the sign "
            "of its distance one of both counts"
        )
    if found.doubtful:
        warn_input(
            f"{found.doubtful} of {len(points)} points have a doubtful sign, as the mesh is open or turned "
            "inconsistently near them; inside is where its winding number exceeds one half"
        )
    return found.distance


def solid_distance(mesh: Mesh, points: Float[Tensor, "P 3"], accuracy: float = 2.0) -> SolidDistance:
    """Signed distance to a mesh that may be open, self-intersecting or turned inside out.

    Inside is where the generalised winding number (Jacobson et al. 2013; evaluated with the expansion of
    Barill et al. 2018) exceeds one half, so overlapping shells are one solid. Distances are to its outer
    surface: faces, or parts of faces, with the inside on both sides are ignored. Sheets, with the outside on
        both sides, are not.

    Inward patches of the mesh are reversed (`inward_faces`), if that improves it, where faces are inconsistent
    with their neighbours, where a closed component is inside out and not a cavity, or where more than one point
    in a thousand has a winding number near -1. If every face has a partner at the same position with opposite
    winding, nothing would be inside; then only one of each pair is used, if that closes the mesh.

    Source: Jacobson et al. 2013, the generalised winding number.

    Source: Barill et al. 2018, its fast expansion.

    Args:
        mesh: The surface, faces counter-clockwise seen from outside.
        points: Query points in the frame of the mesh, on its device.
        accuracy: Distance from a group of faces, in radii, from which it is approximated as one; larger is
            slower.

    Raises:
        InputError: The mesh is empty or broken or has no area, or a query point is not finite.
    """
    _check(mesh, points)
    index = WindingIndex(mesh, accuracy)
    shells = shells_of(index.vertices, mesh.faces)
    local = index.local(points)
    distance, winding, front = index.nearest(local)
    turned = doubled = 0
    if (candidate := _candidate(index, shells, winding)) is not None:
        other = WindingIndex(candidate, accuracy)
        _, its_winding, its_front = other.nearest(local)
        its_shells = shells_of(other.vertices, candidate.faces)
        if _faults(other, its_shells, its_winding) < _faults(index, shells, winding):
            doubled = len(mesh.faces) - len(candidate.faces)
            turned = 0 if doubled else int((candidate.faces != mesh.faces).any(dim=1).sum())
            index, shells, winding, front = other, its_shells, its_winding, its_front
    inside = winding > INSIDE
    hidden, pairs = _hidden(index, shells, local, inside, winding, front)
    if hidden.any():
        distance[hidden] = outer_distance(index, shells, local[hidden], pairs)
    distance = torch.where(inside, -distance, distance) * index.scale
    winding = winding.to(points.dtype)
    return SolidDistance(distance.to(points.dtype), winding, turned, doubled, shells.closed)


def distance_and_winding(
    mesh: Mesh, points: Float[Tensor, "P 3"], accuracy: float = 2.0
) -> tuple[Float[Tensor, " P"], Float[Tensor, " P"]]:
    """Unsigned distance to the nearest face and generalised winding number of a mesh, without corrections.

    Around a closed surface the winding number is 1 inside and 0 outside; values in between show how open the
    mesh is there, and negative values show inverted faces.

    Args:
        mesh: The surface.
        points: Query points in the frame of the mesh, on its device.
        accuracy: Distance from a group of faces, in radii, from which it is approximated as one; larger is
            slower.

    Raises:
        InputError: The mesh is empty or broken or has no area, or a query point is not finite.
    """
    _check(mesh, points)
    index = WindingIndex(mesh, accuracy)
    distance, winding, _ = index.nearest(index.local(points))
    return (distance * index.scale).to(points.dtype), winding.to(points.dtype)


def _check(mesh: Mesh, points: Tensor) -> None:
    mesh.check()
    if not torch.isfinite(points).all():
        raise InputError("query points must be finite, got NaN or infinite coordinates")


def _candidate(index: WindingIndex, shells: Shells, winding: Tensor) -> Mesh | None:
    """The mesh with inward faces reversed, or without doubled faces, if a test suggests that this is
    necessary."""
    mesh = index.mesh
    if shells.closed and not (winding > INSIDE).any() and is_double_sided(shells.faces):
        single = replace(mesh, faces=mesh.faces[orientation_parity(shells.faces) > 0])
        return turn(single, inward_faces(single))
    bad = shells.disagreements or _inside_out(winding) > INSIDE_OUT or _turned_pieces(index, shells)
    if bad and (inward := inward_faces(mesh)).any():
        return turn(mesh, inward)
    return None


def _faults(index: WindingIndex, shells: Shells, winding: Tensor) -> tuple[bool, int, bool, float]:
    """Defects of a mesh, the most important first; tuples of two meshes can be compared, and smaller is better.

    Whether it is not a closed surface with an inside; the number of edges with inconsistent neighbours; whether
    a closed component is inside out; and the fraction of points inside of inverted parts.
    """
    hollow = not shells.closed or not (winding > INSIDE).any()
    return hollow, shells.disagreements, _turned_pieces(index, shells), _inside_out(winding)


def _turned_pieces(index: WindingIndex, shells: Shells) -> bool:
    """Whether the winding number in front of a component of negative volume is negative: then it is no
    cavity."""
    faces = shells.inverted.nonzero()[:, 0]
    some = faces[:: len(faces) // LOOKED_AT + 1]
    return bool((index.winding_beside(index.corners(some), 1) < -INSIDE).any())


def _inside_out(winding: Tensor) -> float:
    return float((winding < -INSIDE).double().mean()) if len(winding) else 0.0


def _hidden(
    index: WindingIndex, shells: Shells, local: Tensor, inside: Tensor, winding: Tensor, front: Tensor
) -> tuple[Tensor, Tensor]:
    """Inner points whose nearest face may have the inside on both sides; and pairs of faces that intersect.

    Through a face, from its front to its back, the winding number increases by 1. So for an inner point on the
    front side of the nearest face, the other side is inside, too; for one on its back side, it is if the
    winding number exceeds 3/2. This holds unless faces coincide, which requires components that touch.
    """
    none = index.mesh.faces[:0, :2]
    if not inside.any():
        return inside, none
    if shells.may_touch and len(pairs := intersecting_faces(index.mesh)):
        return inside, pairs
    hidden = inside & (front | (winding > 1 + INSIDE))
    hidden[hidden.clone()] = index.beyond(local[hidden]) > INSIDE  # at sharp edges one may see a front, too
    return hidden, intersecting_faces(index.mesh) if hidden.any() else none


COARSENING = 4


def resurface(mesh: Mesh, spacing: float) -> Mesh:
    """The largest component of the solid that a mesh encloses, as a new closed manifold mesh.

    This lets a deforming mesh change its topology: inverted parts, which have passed through each other, are
    opened, and overlapping parts are joined. The signed distance is sampled at all points of a coarse grid, and
    on a fine grid only near the surface. Since its slope is at most 1, a coarse value excludes the surface
    within its distance.

    Args:
        mesh: Any mesh that encloses something.
        spacing: Distance of the grid points, which limits the detail that survives.

    Raises:
        InputError: The mesh is empty, broken or encloses nothing at this spacing.
    """
    # Half a spacing more, so that sides of the box, where a shape is often flat, lie between grid points.
    room = (2 * COARSENING + 0.5) * spacing
    low, high = mesh.bounds[0] - room, mesh.bounds[1] + room
    coarse_step = spacing * COARSENING
    counts = [int(n) for n in ((high - low) / coarse_step).ceil() + 1]
    coarse = _distance(mesh, _grid(low, counts, coarse_step)).view(counts)
    fine_counts = [(n - 1) * COARSENING + 1 for n in counts]
    values = torch.nn.functional.interpolate(
        coarse[None, None], size=fine_counts, mode="trilinear", align_corners=True
    )[0, 0].reshape(-1)
    # Interpolation errs by less than the diagonal of a coarse cell.
    near = (values.abs() < 3**0.5 * coarse_step + 2 * spacing).nonzero()[:, 0]
    points = _grid(low, fine_counts, spacing)
    values[near] = _distance(mesh, points[near])
    top = low + spacing * (torch.tensor(fine_counts, device=low.device) - 1)
    return largest_component(replace(isosurface(values.view(fine_counts), low, top), offset=mesh.offset))


def _distance(mesh: Mesh, points: Float[Tensor, "P 3"]) -> Float[Tensor, " P"]:
    """Signed distance to any face, negative inside: near the outer surface, it equals that of the solid."""
    distance, winding = distance_and_winding(mesh, points)
    return torch.where(winding > INSIDE, -distance, distance)


def _grid(low: Float[Tensor, "3"], counts: list[int], step: float) -> Float[Tensor, "P 3"]:
    axes = [low[a] + step * torch.arange(counts[a], device=low.device) for a in range(3)]
    return torch.cartesian_prod(*axes)
