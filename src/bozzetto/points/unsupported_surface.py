"""What a mesh has too much of: pieces that hardly any points support, and handles that they cannot describe."""

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
