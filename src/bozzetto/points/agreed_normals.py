"""Normals of clouds, by fits to neighbours, and by the surface that all of them make together.

Pieces of that surface that hardly any points support, and handles that they cannot describe, are taken away.
"""

import math
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from ..errors import InputError
from ..geometry import connected_components, drop_unused_vertices, euler_number, screened_poisson
from ..shapes import Mesh
from .local_fits import neighbours, support_of
from .neighbourhoods import Spacing, plane_neighbourhoods, spacing_of

SMOOTHING_ROUNDS = 16
"""Times curvature is averaged with that of the points beside, which reaches some hundred points."""
PER_HANDLE = 30
"""Points for a handle: fewer hardly describe a ring."""
SPECK = 0.002
"""Share of the points below which a separate piece is left out."""
SKIN, ISLAND = 0.25, 0.02
"""Points for a face, over those of the whole mesh, and share of the points, below which a piece is a skin."""


def crumbly_points(mesh: Mesh, points: Float[Tensor, "N 3"], spacing: Spacing) -> Bool[Tensor, " N"]:
    """Points around which there is a handle for fewer than `PER_HANDLE` of them.

    By the theorem of Gauss and Bonnet every handle takes 4 pi from the total curvature, and bumps nothing. The
    curvature of a mesh is what the angles at its vertices lack to a full turn.

    Args:
        mesh: Closed.
        points: That it is the surface of.
        spacing: Of the points.
    """
    nearest = neighbours(support_of(points), mesh.vertices, 1)[1][:, 0]
    curvature = points.new_zeros(len(points)).index_add_(0, nearest, angle_defects(mesh))
    for _ in range(SMOOTHING_ROUNDS):
        curvature = (curvature + curvature[spacing.beside].sum(dim=1)) / (1 + spacing.beside.shape[1])
    return curvature < -4 * math.pi / PER_HANDLE


def handles(mesh: Mesh) -> int:
    """Of a closed mesh: 0 for spheres, 1 for a ring; from the Euler number."""
    pieces = int(connected_components(mesh.faces, len(mesh.vertices)).max()) + 1
    return (2 * pieces - euler_number(mesh.faces)) // 2


def angle_defects(mesh: Mesh) -> Float[Tensor, " V"]:
    """What the angles at each vertex lack to a full turn; their sum is 2 pi times the Euler number."""
    corners = mesh.corners().double()
    defects = torch.full((len(mesh.vertices),), math.tau, dtype=torch.float64, device=corners.device)
    for k in range(3):
        a, b = (corners[:, (k + s) % 3] - corners[:, k] for s in (1, 2))
        angle = torch.atan2(torch.linalg.cross(a, b).norm(dim=1), (a * b).sum(dim=1))
        defects.index_add_(0, mesh.faces[:, k], -angle)
    return defects.float()


def without_unsupported_pieces(mesh: Mesh, points: Float[Tensor, "N 3"], skins: bool = True) -> Mesh:
    """The mesh without separate pieces that hardly any of the points are nearest to.

    Args:
        mesh: Any.
        points: That it is the surface of.
        skins: Whether to keep small pieces with many faces but few points, which span what was not seen.
    """
    label = connected_components(mesh.faces, len(mesh.vertices))
    pieces = int(label.max()) + 1
    nearest = neighbours(support_of(mesh.vertices), points, 1)[1][:, 0]
    count = torch.bincount(label[nearest], minlength=pieces)
    kept = count > SPECK * len(points)
    if not skins:
        faces = torch.bincount(label[mesh.faces[:, 0]], minlength=pieces)
        thin = count / faces.clamp(min=1) < SKIN * len(points) / len(mesh.faces)
        kept &= ~(thin & (count < ISLAND * len(points)))
    return mesh if bool(kept.all()) else with_vertices(mesh, kept[label])


def with_vertices(mesh: Mesh, kept: Bool[Tensor, " V"]) -> Mesh:
    """The faces all vertices of which are kept."""
    faces = mesh.faces[kept[mesh.faces].all(dim=1)]
    if len(faces) == 0:
        raise InputError("no piece of the surface has points nearby; the cloud is too sparse for a mesh")
    return drop_unused_vertices(replace(mesh, faces=faces))[0]


STIFFNESS = 1e-2
"""Of curvatures in fits: their square is worth so much of a squared height, in units of reach."""
ROUNDS, VOTES = 2, 6
"""Surfaces that are made, and points that each of their faces gives its normal to."""
CELL, SIDES = 0.6, (61, 321)
"""Cells of their grid in spacings, and nodes along an axis, at least and at most."""
SCREENING, ROOM = 4.0, 1.25
LEAST_AGREEMENT = 1e-3


def normals_of(
    points: Float[Tensor, "N 3"], noise: float = 0.0, like: Float[Tensor, "N 3"] | None = None
) -> Float[Tensor, "N 3"]:
    """Normals of quadratics through the nearest points, with any sign.

    Args:
        points: On a surface.
        noise: How far they lie beside it, see `plane_neighbourhoods`.
        like: Approximate normals. Quadratics are heights along these, the result has their side, and neighbours
            count by the square of the cosine between their normal and that of the point: those behind a wall or
            beyond an edge do not.
    """
    normals = torch.empty_like(points)
    for part in plane_neighbourhoods(points, noise):
        reach = part.distance[:, -1:].clamp(min=1e-12)
        weight = torch.exp(-3 * (part.distance / reach) ** 2)[..., None]
        near = part.around(points)
        if like is None:
            centred = near - (weight * near).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True)
            axes = torch.linalg.eigh((weight * centred).mT @ centred).eigenvectors
        else:
            own = like[part.rows]
            weight = weight * (like[part.index] @ own[..., None]).clamp(min=LEAST_AGREEMENT).square()
            axes = _axes_along(own)
        height, u, v = (near @ axes / reach[..., None]).unbind(dim=-1)
        basis = torch.stack([torch.ones_like(u), u, v, u * u, u * v, v * v], dim=-1)
        penalty = torch.tensor([1e-6] + 2 * [1e-6 if like is None else 1e-4] + 3 * [STIFFNESS]).to(points)
        gram = (weight * basis).mT @ basis + torch.diag(penalty) * weight.sum(dim=1, keepdim=True)
        fit = torch.linalg.solve(gram, (weight * basis).mT @ height[..., None])[..., 0]
        local = torch.stack([torch.ones_like(fit[:, 0]), -fit[:, 1], -fit[:, 2]], dim=1)
        normals[part.rows] = (axes @ local[..., None])[..., 0]
    return normals if like is None else normalize(normals, dim=1)


def agreed_normals(
    points: Float[Tensor, "N 3"], normals: Float[Tensor, "N 3"], noise: float = 0.0
) -> Float[Tensor, "N 3"]:
    """Normals of the surface through oriented points, refined by fits to neighbours that agree.

    Hou et al. 2022, "Iterative Poisson surface reconstruction": a closed surface has a side everywhere, so that
    its normals at the points are right where a few of those that it was made of were wrong. There normals begin
    at random and the surface is made some thirty times; here they are nearly right, and quadratic fits give
    back what the surface smoothes away. The surface of an open sheet is closed by lids: normals by which these
    grow, or handles become more, are not taken.

    Args:
        points: On a surface.
        normals: Outward, at most points.
        noise: How far the points lie beside the surface.
    """
    spacing = spacing_of(points, noise)
    best = normals = normals_of(points, noise, normals)
    least, fewest = math.inf, math.inf
    for _ in range(ROUNDS):
        mesh = _surface(points, normals, spacing)
        area = float(_across(mesh).norm(dim=1).sum())
        if area > least or handles(mesh) > fewest:
            return best
        best, least, fewest = normals, area, handles(mesh)
        found = normals_from(mesh, points)
        known = found.norm(dim=1, keepdim=True) > 0.5
        normals = normals_of(points, noise, torch.where(known, found, normals))
    return normals


def _across(mesh: Mesh) -> Float[Tensor, "F 3"]:
    """Normals of the faces, twice as long as their areas."""
    corners = mesh.corners()
    return torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def normals_from(mesh: Mesh, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """Mean normals of the faces to which each point is one of the nearest; 0 for points near to none."""
    nearest = neighbours(support_of(points), mesh.corners().mean(dim=1), VOTES)[1]
    total, across = torch.zeros_like(points), _across(mesh)
    for index in nearest.T:
        total.index_add_(0, index, across)
    return normalize(total, dim=1)


def _surface(points: Tensor, normals: Tensor, spacing: Spacing) -> Mesh:
    size = float((points.amax(dim=0) - points.amin(dim=0)).max())
    side = round(ROOM * size / (CELL * float(spacing.gap.median()))) + 1
    side = min(max(side, SIDES[0]), SIDES[1])
    mesh = screened_poisson(points, normals, side, SCREENING, ROOM, spacing.area, spacing.gap)
    return without_unsupported_pieces(mesh, points)


def _axes_along(normals: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3 3"]:
    """Frames as columns, the normal first."""
    flat = torch.zeros_like(normals).scatter_(1, normals.abs().argmin(dim=1, keepdim=True), 1.0)
    u = normalize(torch.linalg.cross(normals, flat), dim=1)
    return torch.stack([normals, u, torch.linalg.cross(normals, u)], dim=2)
