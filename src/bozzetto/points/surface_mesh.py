"""Surface reconstruction: from points to a mesh of a single sheet, closed, or open where the points end."""

import math
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ..errors import InputError, warn_input
from ..geometry import (
    boundary_edges,
    connected_components,
    euler_number,
    is_watertight,
    screened_poisson,
    simplify,
)
from ..geometry.poisson import FINE as FINE_CELLS
from ..shapes import Mesh, PointCloud
from ..shapes.frames import box_frame
from ..values import value_type
from .cloud_cleaning import clean_cloud, require_width
from .denoising import LEAST_POINTS, cleaned, estimate_noise
from .local_fits import FEW, neighbours, support_of
from .neighbourhoods import Spacing, spacing_of
from .orient import outward_normals
from .unsupported_surface import crumbly_points, handles, with_vertices, without_unsupported_pieces

Boundary = Literal["auto", "closed", "open"]
HOLE = 2.2  # distance from the nearest point, in spacings, above which there is a hole
RIM = 1.0  # width, in spacings, of the rim that an open sheet keeps beyond its last points
CELLS = (48, 256)  # smallest and largest number of cells along the longest side
FINE = 0.6  # size of cells in spacings
ROOM = 1.25  # see `screened_poisson`
SCREENING, LOOSE = 4.0, 0.6  # see `screened_poisson`: of exact points, and of noisy ones
WIDE, CLEAN = 2.3, 1.5  # smallest cell, in units of the noise of given points, and of removed noise
THIN, MANY = 1.0, 0.7  # cells in which points are replaced by their means, if at most this fraction is left
PER_HANDLE, SOME = 1000, 10  # points per handle, and number of handles that is always accepted
FEWEST_PER_HANDLE, WIDER = 300, 1.5  # points per handle below which all cells are enlarged, and the factor
FEW_HANDLES = 4  # number of handles above which cells are enlarged where handles are dense
STRAIGHT, PLANES = 0.4, 16  # spacings from points above which planes through this many of them are used
FACES = 9  # largest number of faces per point: cells are as fine everywhere as where points are densest
LIDS = 1.25  # largest ratio of the faces of a closed mesh to those near points
LEFT = 0.5  # fraction of the noise that remains after denoising
NOISY = 0.15  # noise, in spacings, above which a cloud is denoised first or cells are enlarged


@torch.no_grad()
def surface(
    cloud: PointCloud,
    resolution: int | None = None,
    boundary: Boundary = "auto",
    noise: float | None = None,
    name: str = "the cloud",
) -> Mesh:
    """Reconstruct the surface of a cloud as a mesh of a single sheet.

    Normals of the denoised points are oriented outwards, and screened Poisson reconstruction on nested grids
    gives the surface. It averages layers of scans that are misaligned by less than a cell. Where the result has
    more handles than the points can describe, cells are enlarged. Warnings report remaining faults. In
    contrast, marching cubes on the norm of a gradient field would give a double sheet, one on each side of the
    surface.

    Args:
        cloud: The points. Normals, if it has reliable ones, point outwards and define the inside. Outliers and
            duplicates are left out, see `clean_cloud`.
        resolution: Number of cells along the longest side of the bounding box, 8 to 1024. None takes about
            three cells for every two spacings of the points, between 48 and 256.
        boundary: "closed" closes holes; "open" ends the surface where the points end; "auto" does so only at
            holes that are wider than those between random points.
        noise: Standard deviation of the noise per coordinate, in the unit of the cloud; None estimates it, and
            0 takes points as exact.
        name: Name of the cloud in messages.

    Returns:
        The mesh, in the frame and unit of the cloud, counter-clockwise outward.

    Raises:
        InputError: The cloud has too few or invalid points, lies on a line, or has parts too far apart; or an
            option is out of range.
    """
    if resolution is not None and not 8 <= resolution <= 1024:
        raise InputError(f"the resolution must lie in 8 to 1024, got {resolution}")
    cloud = clean_cloud(cloud, name).cloud
    frame = box_frame(cloud.points, name)
    if len(cloud) < LEAST_POINTS:
        raise InputError(
            f"{name} has {len(cloud)} points; {LEAST_POINTS} or more are needed to find a surface"
        )
    require_width(cloud, name)
    given = None if cloud.normals is None else normalize(cloud.normals, dim=1)
    points, normals = thinned(frame.apply(cloud.points), given, 2 / (resolution or CELLS[1]) * THIN)
    ready = _prepared(points, normals, noise, frame.scale, name)
    points, normals = ready.points, ready.normals
    spacing = spacing_of(points, ready.noise)
    fine = max(FINE * float(spacing.gap.median()), ready.cell)
    cells = resolution or min(max(round(2 / fine), CELLS[0]), CELLS[1])
    mesh = closed_surface(points, normals, spacing, cells, ready.screening, resolution is None)
    away = gaps(points, spacing, mesh.vertices)
    hole = {"auto": HOLE, "open": RIM, "closed": math.inf}[boundary]
    if bool((away > hole).any()):
        mesh = trimmed(straightened(mesh, away, points, normals), away, hole)
        mesh = without_unsupported_pieces(mesh, points, skins=False)
    elif hole == math.inf:
        mesh = with_large_lids(mesh, away)
    if resolution is None:
        mesh = with_fewer_faces(mesh, FACES * len(points))
    warn_of_faults(mesh, len(points), boundary, name)
    return replace(mesh, vertices=frame.undo(mesh.vertices), offset=cloud.offset)


@value_type
class _Prepared:
    """Input of the surface reconstruction.

    Attributes:
        points: Normalised points.
        normals: Outward unit normals.
        noise: Standard deviation of the distance of points from the surface.
        cell: Smallest size of cells.
        screening: Screening weight: how closely the surface follows points.
    """

    points: Float[Tensor, "N 3"]
    normals: Float[Tensor, "N 3"]
    noise: float
    cell: float
    screening: float


def _prepared(
    points: Float[Tensor, "N 3"],
    normals: Float[Tensor, "N 3"] | None,
    noise: float | None,
    scale: float,
    name: str,
) -> _Prepared:
    """Prepare normalised points and normals for surface reconstruction.

    Noisy points without normals are denoised first, which needs large enough neighbourhoods and moves the sides
    of thin walls towards each other. If normals are given, points are not denoised, and the reconstruction
    averages them in larger cells.
    """
    level = estimate_noise(points) if noise is None else noise / scale
    if noise is None and len(points) < FEW:
        warn_input(
            f"{name} has {len(points)} points; fewer than {FEW} do not tell noise from shape, so they are "
            "taken as exact: say how strong the noise is"
        )
    some = points[:: max(len(points) // 2000, 1)]
    spacing = float(neighbours(support_of(points), some, 7)[0][:, -1].median())
    if spacing == 0:
        raise InputError(
            f"{name} has points so far from others that float32 cannot tell most of them apart; "
            "save its parts as separate files"
        )
    noisy = level > NOISY * spacing if noise is None else noise > 0
    if normals is not None:
        return _Prepared(
            points, normals, level, WIDE * level if noisy else 0.0, LOOSE if noisy else SCREENING
        )
    cell = CLEAN * level if noisy else 0.0
    if noisy:
        points, _ = cleaned(points, level)
        level *= LEFT
    return _Prepared(points, outward_normals(points, level), level, cell, SCREENING)


def thinned(
    points: Float[Tensor, "N 3"], normals: Float[Tensor, "N 3"] | None, cell: float
) -> tuple[Float[Tensor, "M 3"], Float[Tensor, "M 3"] | None]:
    """Means of the points and of their normals in the cells of a grid."""
    keys = ((points - points.amin(dim=0)) / cell).floor().long()
    _, index, counts = keys.unique(dim=0, return_inverse=True, return_counts=True)
    if len(counts) > MANY * len(points):
        return points, normals

    def mean(values: Tensor) -> Tensor:
        return values.new_zeros(len(counts), 3).index_add_(0, index, values) / counts[:, None]

    return mean(points), None if normals is None else normalize(mean(normals), dim=1)


def gaps(points: Float[Tensor, "N 3"], spacing: Spacing, x: Float[Tensor, "P 3"]) -> Float[Tensor, " P"]:
    """Distance to the nearest point, in units of the largest spacing of the points around it, at least the
    median."""
    gap = spacing.gap[spacing.beside].amax(dim=1)
    distance, index = neighbours(support_of(points), x, 1)
    return distance[:, 0] / gap[index[:, 0]].clamp(min=float(spacing.gap.median()))


def closed_surface(
    points: Float[Tensor, "N 3"],
    normals: Float[Tensor, "N 3"],
    spacing: Spacing,
    cells: int,
    screening: float = SCREENING,
    coarser: bool = True,
) -> Mesh:
    """Reconstruct the closed surface through normalised points, without tiny components.

    Layers of scans that are misaligned by more than a cell become connected by many small handles. These vanish
    with larger cells, while handles of the shape do not. So if `coarser` is set, cells twice as large are tried
    around points with many handles, see `crumbly_points`. If there are still more handles than the points can
    describe, all cells are enlarged as long as this helps.
    """

    def solved(cells: int, apart: Float[Tensor, " N"]) -> Mesh:
        side = round(ROOM * cells) + 1
        mesh = screened_poisson(points, normals, side, screening, ROOM, spacing.area, apart)
        return without_unsupported_pieces(mesh, points)

    mesh, apart = solved(cells, spacing.gap), spacing.gap
    if coarser and handles(mesh) > FEW_HANDLES:
        crumbly = crumbly_points(mesh, points, spacing)
        if bool(crumbly.any()):
            size = float((points.amax(dim=0) - points.amin(dim=0)).max())
            apart = torch.where(crumbly, apart.clamp(min=2 * size / cells / FINE_CELLS), apart)
            mesh = solved(cells, apart)
    while (
        coarser and handles(mesh) > max(len(points) / FEWEST_PER_HANDLE, SOME) and cells / WIDER >= CELLS[0]
    ):
        cells = round(cells / WIDER)
        other = solved(cells, apart)
        if handles(other) > handles(mesh) / 2:
            break
        mesh = other
    return mesh


def straightened(
    mesh: Mesh, away: Float[Tensor, " V"], points: Float[Tensor, "N 3"], normals: Float[Tensor, "N 3"]
) -> Mesh:
    """Move vertices beyond the last points to the mean of the planes at these points.

    The reason is that the smooth implicit function bends where points end. The planes are weighted as in
    implicit moving least squares (Kolluri 2005).

    Source: Kolluri 2005, the weights.

    Args:
        mesh: The reconstructed mesh.
        away: Distance from each vertex to the nearest point, in spacings.
        points: Points on the surface.
        normals: Unit normals of the points.
    """
    near = ((away > STRAIGHT) & (away < HOLE)).nonzero()[:, 0]
    x = mesh.vertices[near]
    distance, index = neighbours(support_of(points), x, PLANES)
    weight = torch.exp(-((distance / distance[:, :1].clamp(min=1e-12)) ** 2))[..., None]
    weight = weight / weight.sum(dim=1, keepdim=True)
    mean = normalize((weight * normals[index]).sum(dim=1), dim=1)
    heights = ((x[:, None] - points[index]) * (normals[index] + mean[:, None])).sum(dim=2, keepdim=True) / 2
    share = ((away[near] - STRAIGHT) / STRAIGHT).clamp(max=1)[:, None]
    moved = mesh.vertices.clone()
    moved[near] -= share * (weight * heights).sum(dim=1) * mean
    return replace(mesh, vertices=moved)


def is_crumbly(mesh: Mesh, points: int) -> bool:
    """Whether a closed mesh has more handles than the given number of points can describe."""
    return handles(mesh) > max(points / PER_HANDLE, SOME)


def with_large_lids(mesh: Mesh, away: Float[Tensor, " V"]) -> Mesh:
    """Simplify a closed mesh if many of its triangles lie where there are no points.

    Args:
        mesh: A closed mesh.
        away: Distance from each vertex to the nearest point, in spacings.
    """
    near = int((away[mesh.faces] < RIM).all(dim=1).sum())
    return with_fewer_faces(mesh, round(LIDS * near))


def with_fewer_faces(mesh: Mesh, most: int) -> Mesh:
    """Simplify a mesh to at most `most` faces, unless this would change its topology."""
    if len(mesh.faces) <= most:
        return mesh
    fewer = simplify(mesh, most)
    closed = is_watertight(fewer.faces) == is_watertight(mesh.faces)
    return fewer if closed and euler_number(fewer.faces) == euler_number(mesh.faces) else mesh


def warn_of_faults(mesh: Mesh, points: int, boundary: Boundary, name: str) -> None:
    """Warn of faults of a surface: open edges, separate components, too many handles."""
    pieces = int(connected_components(mesh.faces, len(mesh.vertices)).max()) + 1
    border = len(boundary_edges(mesh.faces))
    if boundary == "closed" and border:
        warn_input(f"the surface of {name} could not be closed: {border} edges lie on its border")
    if pieces > 1:
        warn_input(f"the surface of {name} has {pieces} separate pieces")
    if border == 0 and is_crumbly(mesh, points):
        warn_input(
            f"the surface of {name} has {handles(mesh)} handles (Euler number {euler_number(mesh.faces)}), "
            "more than its points describe: parts may be thinner than their spacing, scans misaligned, or "
            "normals wrong; give outward normals, more points or a lower resolution"
        )


def trimmed(mesh: Mesh, gap: Float[Tensor, " V"], hole: float = HOLE) -> Mesh:
    """Remove the parts of a mesh that span holes: those beyond `RIM` that extend farther than `hole` from
    points."""
    away = gap > RIM
    if not bool((gap > hole).any()):
        return mesh
    faces = mesh.faces[away[mesh.faces].all(dim=1)]
    label = connected_components(faces, len(mesh.vertices))
    spans = torch.zeros(int(label.max()) + 1, dtype=torch.bool, device=gap.device)
    spans[label[gap > hole]] = True
    return with_vertices(mesh, ~(away & spans[label]))
