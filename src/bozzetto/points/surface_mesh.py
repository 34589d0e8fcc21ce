"""From points to the mesh of their surface: one sheet, closed, or open where the points end."""

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
HOLE = 2.2  # spacings from the nearest point, from where there is a hole
RIM = 1.0  # so far a sheet goes on beyond its last points
CELLS = (48, 256)  # along the longest side, at least and at most
FINE = 0.6  # size of cells in spacings
ROOM = 1.25  # see `screened_poisson`
SCREENING, LOOSE = 4.0, 0.6  # the same, of exact points and of noisy ones that were not cleaned
WIDE, CLEAN = 2.3, 1.5  # least size of cells, in the noise of points as given, and of what was cleaned away
THIN, MANY = 1.0, 0.7  # cells in which points are replaced by their means, if that leaves so few of them
PER_HANDLE, SOME = 1000, 10  # points for a handle, and handles that any shape may have
FEWEST_PER_HANDLE, WIDER = 300, 1.5  # points for a handle below which all cells are widened, and by how much
FEW_HANDLES = 4  # from more on, cells are widened where these are crowded
STRAIGHT, PLANES = 0.4, 16  # spacings beyond points, from where planes through so many of them count
FACES = 9  # for each point, at most: cells are as fine everywhere as where points are densest
LIDS = 1.25  # faces of a closed mesh over those near points, at most
LEFT = 0.5  # of the noise, after cleaning
NOISY = 0.15  # noise, in spacings, from which a cloud is cleaned first, or joined in wider cells


@torch.no_grad()
def surface(
    cloud: PointCloud,
    resolution: int | None = None,
    boundary: Boundary = "auto",
    noise: float | None = None,
    name: str = "the cloud",
) -> Mesh:
    """The surface of a cloud as a mesh of a single sheet.

    Marching cubes on the norm of a gradient field gives a sheet on both sides of the surface. Here normals of
    the cleaned points are made to agree and to point outwards; screened Poisson on nested grids joins them,
    which averages layers of scans that miss each other by less than a cell. Where that still leaves more
    handles than the points can describe, cells are widened. Warnings say what is not one sheet.

    Args:
        cloud: Points; normals, where it has any that can be trusted, point outwards and decide what is inside.
            Strays and repeated points are left out, see `clean_cloud`.
        resolution: Cells along the longest side of the box; by default about three
            for every two spacings of the points, at least 48 and at most 256.
        boundary: "closed" closes holes, "open" ends the surface where points end, "auto" does so at holes wider
            than random points leave.
        noise: Standard deviation of the coordinates, in the unit of the cloud; None estimates it, and 0 takes
            points as they are.
        name: What messages call the cloud.

    Returns:
        The mesh, in the frame and unit of the cloud, counter-clockwise outward.

    Raises:
        InputError: The cloud is too small, broken, on a line, or of parts too far apart; an option is out of
            range.
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
    """What a surface is made of.

    Attributes:
        points: Normalised.
        normals: Outward.
        noise: How far points lie beside the surface.
        cell: Least size of cells.
        screening: How closely the surface follows points.
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
    """Normalised points and normals that a surface can be made of.

    Noisy points without normals are cleaned first, which needs neighbourhoods and moves the sides of thin walls
    towards each other. Where normals are given, the surface itself averages points in wider cells.
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
    """Means of the points, and of their normals, in the cells of a grid: no grid shows more."""
    keys = ((points - points.amin(dim=0)) / cell).floor().long()
    _, index, counts = keys.unique(dim=0, return_inverse=True, return_counts=True)
    if len(counts) > MANY * len(points):
        return points, normals

    def mean(values: Tensor) -> Tensor:
        return values.new_zeros(len(counts), 3).index_add_(0, index, values) / counts[:, None]

    return mean(points), None if normals is None else normalize(mean(normals), dim=1)


def gaps(points: Float[Tensor, "N 3"], spacing: Spacing, x: Float[Tensor, "P 3"]) -> Float[Tensor, " P"]:
    """Distance to the nearest point, in the widest spacing of the points around it, or in the median of all."""
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
    """The closed surface through normalised points, without specks.

    Layers of scans that miss each other by more than a cell are joined by many small handles, which vanish
    where cells are wider; those of the shape do not. So cells twice as wide are tried around the points that
    have so many handles, see `crumbly_points`, if allowed; and if even then there are more than the points can
    describe, wider cells everywhere, while that helps.
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
    """The mesh of which vertices beyond the last points are moved to the mean of the planes at these.

    A function that is smooth everywhere bends where points end. The planes are weighted as in implicit moving
    least squares (Kolluri 2005).

    Source: Kolluri 2005, the weights.

    Args:
        mesh: Any.
        away: Distance from each vertex to the nearest point, in spacings.
        points: On the surface.
        normals: Unit vectors there.
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
    """Whether a closed mesh has more handles than so many points can describe."""
    return handles(mesh) > max(points / PER_HANDLE, SOME)


def with_large_lids(mesh: Mesh, away: Float[Tensor, " V"]) -> Mesh:
    """A closed mesh with fewer and larger triangles, if many of them lie where there are no points.

    Args:
        mesh: Closed.
        away: Distance from each vertex to the nearest point, in spacings.
    """
    near = int((away[mesh.faces] < RIM).all(dim=1).sum())
    return with_fewer_faces(mesh, round(LIDS * near))


def with_fewer_faces(mesh: Mesh, most: int) -> Mesh:
    """The mesh with so many faces at most, if that leaves its topology as it is."""
    if len(mesh.faces) <= most:
        return mesh
    fewer = simplify(mesh, most)
    closed = is_watertight(fewer.faces) == is_watertight(mesh.faces)
    return fewer if closed and euler_number(fewer.faces) == euler_number(mesh.faces) else mesh


def warn_of_faults(mesh: Mesh, points: int, boundary: Boundary, name: str) -> None:
    """Say what is doubtful about a surface, with figures."""
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
    """The mesh without what spans holes: parts beyond `RIM` that reach farther than `hole` from points."""
    away = gap > RIM
    if not bool((gap > hole).any()):
        return mesh
    faces = mesh.faces[away[mesh.faces].all(dim=1)]
    label = connected_components(faces, len(mesh.vertices))
    spans = torch.zeros(int(label.max()) + 1, dtype=torch.bool, device=gap.device)
    spans[label[gap > hole]] = True
    return with_vertices(mesh, ~(away & spans[label]))
