"""Normals of clouds by local fits, and by the surface that all oriented points define together."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ..geometry import screened_poisson
from ..shapes import Mesh
from .local_fits import neighbours, support_of
from .neighbourhoods import Spacing, plane_neighbourhoods, spacing_of
from .unsupported_surface import handles, without_unsupported_pieces

STIFFNESS = 1e-2
"""Weight of squared curvature against squared height residuals in fits, in units of the neighbourhood's
radius."""
ROUNDS, VOTES = 2, 6
"""Number of intermediate surfaces, and number of points to which each face contributes its normal."""
CELL, SIDES = 0.6, (64, 321)
"""Grid cell of these surfaces in spacings, and smallest and largest number of nodes along an axis."""
SCREENING, ROOM = 4.0, 1.25
LEAST_AGREEMENT = 1e-3


def normals_of(
    points: Float[Tensor, "N 3"], noise: float = 0.0, like: Float[Tensor, "N 3"] | None = None
) -> Float[Tensor, "N 3"]:
    """Estimate normals, with arbitrary sign, by quadratic fits to the nearest points.

    Args:
        points: Points on a surface.
        noise: Standard deviation of the distance of the points from the surface, see `plane_neighbourhoods`.
        like: Approximate normals. If given, quadratics are height functions along them, the result has their
            sign, and neighbours have the squared cosine between their normal and that of the point as weight,
            so that those behind a wall or beyond an edge are ignored.
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
    """Correct normals by the surface through the oriented points, and refine them by local fits.

    Follows Hou et al. 2022, "Iterative Poisson surface reconstruction": a closed surface has consistent normals
    even if a few of the normals that it was computed from were wrong. There, normals are random at first and
    the surface is computed about thirty times. Here, most normals are right, and quadratic fits restore the
    detail that the surface smooths away. The surface of an open sheet is closed by lids; normals that make the
    lids larger or add handles are rejected.

    Args:
        points: Points on a surface.
        normals: Normals, outward at most points.
        noise: Standard deviation of the distance of the points from the surface.
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
    """Normals of the faces with twice their area as length."""
    corners = mesh.corners()
    return torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def normals_from(mesh: Mesh, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """Mean normal, for each point, of the faces that have it among their nearest points; 0 if there are
    none."""
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
    """Orthonormal frames as columns, the normal first."""
    flat = torch.zeros_like(normals).scatter_(1, normals.abs().argmin(dim=1, keepdim=True), 1.0)
    u = normalize(torch.linalg.cross(normals, flat), dim=1)
    return torch.stack([normals, u, torch.linalg.cross(normals, u)], dim=2)
