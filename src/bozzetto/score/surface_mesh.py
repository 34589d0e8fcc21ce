"""From points to the mesh of their surface: one sheet, closed, or open where the points end."""

import math
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import InputError
from ..geometry import connected_components, drop_unused_vertices, screened_poisson, sparse_isosurface
from ..geometry.cloud_cleaning import clean_cloud, require_width
from ..shapes import Mesh, PointCloud
from .denoising import LEAST_POINTS, denoise, estimate_noise
from .frames import box_frame
from .local_fits import neighbours, support_of
from .orient import outward_normals
from .oriented_field import OrientedField

Ends = Literal["auto", "closed", "open"]
HOLE = 2.5  # spacings from the nearest point, from where there is a hole
RIM = 1.2  # so far a sheet goes on beyond its last points
MARGIN = 0.15  # around the box of the points, of its half side
CELLS = (48, 256)
FEW = 10_000  # points up to which screened Poisson finds the surface
POISSON_SIDE, ROOM, SCREENING = 128, 1.25, 1.0  # of its grid, see `screened_poisson`
NOISY = 0.15  # noise, in spacings, from which a cloud is cleaned first
SPECK = 0.002  # share of the points below which a separate piece is left out


@torch.no_grad()
def surface(
    cloud: PointCloud,
    resolution: int | None = None,
    ends: Ends = "auto",
    noise: float | None = None,
    name: str = "the cloud",
) -> Mesh:
    """The surface of a cloud as a mesh of a single sheet.

    Marching cubes on the norm of a gradient field gives a sheet on both sides of the surface. Here normals of
    the cleaned points are made to agree and to point outwards. Up to 10,000 points of a closed surface
    are joined by screened Poisson, which is most exact where points are few. More points, and surfaces that
    end, where it would sag, are the zero set of a signed distance.

    Args:
        cloud: Points; normals, where it has any that can be trusted, point outwards and decide what is inside.
            Strays and repeated points are left out, see `clean_cloud`.
        resolution: Cells along the longest side of the box; by default 100, or for many points about two
            per spacing, at most 256.
        ends: "closed" closes holes, "open" ends the surface where points end, "auto" does so at holes wider
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
    points, normals = _clean(frame.apply(cloud.points), cloud.normals, noise, frame.scale, name)
    field = OrientedField(points, normals)
    step = 0.5 * float(field.spacing.median())
    cells = resolution or min(max(round(2 / step), CELLS[0]), CELLS[1])
    hole = {"auto": HOLE, "open": RIM, "closed": math.inf}[ends]
    mesh = None
    side = POISSON_SIDE if resolution is None else round(ROOM * resolution) + 1
    if len(points) <= FEW and side <= POISSON_SIDE:
        mesh = without_specks(screened_poisson(points, normals, side, SCREENING, ROOM), points)
    if mesh is None or bool((field.gaps(mesh.vertices) > hole).any()):
        mesh = without_specks(zero_set(field, 2 / cells), points)
        mesh = trimmed(mesh, field.gaps(mesh.vertices), hole)
    return replace(mesh, vertices=frame.undo(mesh.vertices), offset=cloud.offset)


def _clean(
    points: Float[Tensor, "N 3"],
    normals: Float[Tensor, "N 3"] | None,
    noise: float | None,
    scale: float,
    name: str,
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3"]]:
    """Normalised points without noise, and normals: those that were given, or outward ones."""
    level = estimate_noise(points) if noise is None else noise / scale
    some = points[:: max(len(points) // 2000, 1)]
    spacing = float(neighbours(support_of(points), some, 7)[0][:, -1].median())
    if spacing == 0:
        raise InputError(
            f"{name} has points so far from others that float32 cannot tell most of them apart; "
            "save its parts as separate files"
        )
    if noise != 0 and (noise is not None or level > NOISY * spacing):
        cleaned = denoise(PointCloud(points, normals), level, name=name).cloud
        points, normals = cleaned.points, cleaned.normals if normals is not None else None
    return points, outward_normals(points) if normals is None else normals


def zero_set(field: OrientedField, cell: float) -> Mesh:
    """Where a signed distance is zero, on a grid of cells around its points that are not larger than `cell`."""
    points = field.points
    first, last = points.amin(dim=0), points.amax(dim=0)
    middle, half = (last + first) / 2, (last - first) / 2
    margin = max(MARGIN, 4 * cell)
    counts = (2 * (half + margin) / cell).ceil().long() + 1
    low = middle - (counts - 1) * (cell / 2)
    high = low + (counts - 1) * cell

    def within_box(x: Tensor) -> Tensor:  # what would leave the grid ends at a wall just before it
        return torch.maximum(field(x), ((x - middle).abs() - half).amax(dim=1) - margin + 2 * cell)

    size = counts.tolist()
    return sparse_isosurface(
        within_box, size, low.cpu(), high.cpu(), lipschitz=2.0, device=points.device
    ).mesh


def without_specks(mesh: Mesh, points: Float[Tensor, "N 3"]) -> Mesh:
    """The mesh without separate pieces that hardly any of the points are nearest to."""
    label = connected_components(mesh.faces, len(mesh.vertices))
    nearest = neighbours(support_of(mesh.vertices), points, 1)[1][:, 0]
    count = torch.bincount(label[nearest], minlength=int(label.max()) + 1)
    kept = count[label] > SPECK * len(points)
    return mesh if bool(kept.all()) else _with_vertices_of(mesh, kept)


def trimmed(mesh: Mesh, gap: Float[Tensor, " V"], hole: float = HOLE) -> Mesh:
    """The mesh without what spans holes: parts beyond `RIM` that reach farther than `hole` from points."""
    away = gap > RIM
    if not bool((gap > hole).any()):
        return mesh
    faces = mesh.faces[away[mesh.faces].all(dim=1)]
    label = connected_components(faces, len(mesh.vertices))
    spans = torch.zeros(int(label.max()) + 1, dtype=torch.bool, device=gap.device)
    spans[label[gap > hole]] = True
    return _with_vertices_of(mesh, ~(away & spans[label]))


def _with_vertices_of(mesh: Mesh, kept: Bool[Tensor, " V"]) -> Mesh:
    faces = mesh.faces[kept[mesh.faces].all(dim=1)]
    if len(faces) == 0:
        raise InputError("no piece of the surface has points nearby; the cloud is too sparse for a mesh")
    return drop_unused_vertices(replace(mesh, faces=faces))[0]
