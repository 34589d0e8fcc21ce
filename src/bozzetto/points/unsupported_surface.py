"""Parts of a mesh without sufficient support by points: separate components and handles."""

import math
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import InputError
from ..geometry import connected_components, drop_unused_vertices, euler_number
from ..shapes import Mesh
from .local_fits import neighbours, support_of
from .neighbourhoods import Spacing

SMOOTHING_ROUNDS = 16
"""Number of rounds of averaging curvature over neighbours, which covers some hundred points."""


PER_HANDLE = 30
"""Smallest number of points per handle; fewer can hardly describe a ring."""


SPECK = 0.002
"""Smallest fraction of the points of a connected component that is kept."""


SKIN, ISLAND = 0.25, 0.02
"""Number of points per face, relative to that of the whole mesh, and fraction of the points below which a
component is a skin without support."""


def crumbly_points(mesh: Mesh, points: Float[Tensor, "N 3"], spacing: Spacing) -> Bool[Tensor, " N"]:
    """Points in regions with more than one handle per `PER_HANDLE` points.

    By the theorem of Gauss and Bonnet every handle lowers the total curvature by 4 pi, and bumps do not change
    it. The curvature of a mesh is the sum of the angle defects of its vertices.

    Args:
        mesh: A closed mesh.
        points: The points of which it is the surface.
        spacing: Spacing of the points.
    """
    nearest = neighbours(support_of(points), mesh.vertices, 1)[1][:, 0]
    curvature = points.new_zeros(len(points)).index_add_(0, nearest, angle_defects(mesh))
    for _ in range(SMOOTHING_ROUNDS):
        curvature = (curvature + curvature[spacing.beside].sum(dim=1)) / (1 + spacing.beside.shape[1])
    return curvature < -4 * math.pi / PER_HANDLE


def handles(mesh: Mesh) -> int:
    """Number of handles of a closed mesh, from its Euler number: 0 for spheres, 1 for a torus."""
    pieces = int(connected_components(mesh.faces, len(mesh.vertices)).max()) + 1
    return (2 * pieces - euler_number(mesh.faces)) // 2


def angle_defects(mesh: Mesh) -> Float[Tensor, " V"]:
    """Angle defect of each vertex, 2 pi minus its angles, in radians; their sum is 2 pi times the Euler
    number."""
    corners = mesh.corners().double()
    defects = torch.full((len(mesh.vertices),), math.tau, dtype=torch.float64, device=corners.device)
    for k in range(3):
        a, b = (corners[:, (k + s) % 3] - corners[:, k] for s in (1, 2))
        angle = torch.atan2(torch.linalg.cross(a, b).norm(dim=1), (a * b).sum(dim=1))
        defects.index_add_(0, mesh.faces[:, k], -angle)
    return defects.float()


def without_unsupported_pieces(mesh: Mesh, points: Float[Tensor, "N 3"], skins: bool = True) -> Mesh:
    """Remove connected components of a mesh that are nearest to hardly any of the points.

    Args:
        mesh: Any mesh.
        points: The points of which it is the surface.
        skins: Whether to keep small components with many faces but few points, which span unobserved parts.
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
    """Keep the faces whose vertices are all kept."""
    faces = mesh.faces[kept[mesh.faces].all(dim=1)]
    if len(faces) == 0:
        raise InputError("no piece of the surface has points nearby; the cloud is too sparse for a mesh")
    return drop_unused_vertices(replace(mesh, faces=faces))[0]
