"""Visual hull: the largest shape that is consistent with all silhouettes (Laurentini 1994)."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import InputError
from ..geometry import connected_components, drop_unused_vertices, isosurface
from ..shapes import Mesh
from ..shapes.offsets import offset_of
from ..steps import counted
from .camera import Cameras
from .carving import Silhouettes, carve, classify, depths, prepare_silhouettes

BLOCK = 8
"""Number of samples along a side of the blocks of the hull's grid that are carved, filled or refined as a
whole."""
LEAVES = 64
"""Number of cells along the longest side of the object, for the octree that finds its bounds."""


def visual_hull(
    cameras: Cameras,
    masks: Float[Tensor, "N H W"],
    known: Bool[Tensor, "N H W"] | None = None,
    resolution: int = 128,
    tolerance: int = 0,
    min_views: int | None = None,
    names: Sequence[str] | None = None,
) -> Mesh:
    """Compute the visual hull as a watertight connected mesh.

    The carving function is continuous: its value at a point is the smallest depth inside any silhouette, from
    distance transforms of the soft masks, so the surface is accurate below the size of a cell. Only cells near
    the surface are evaluated at full resolution.

    Source: Laurentini 1994, the visual hull.

    Args:
        cameras: The views.
        masks: Coverage in [0, 1].
        known: Known pixels; unknown pixels, and points that project outside of the pictures, never carve. None
            takes all pixels as known.
        resolution: Number of grid cells along the longest side of the object.
        tolerance: Number of views (0 or 1) that may be wrong: space is carved only by more views than this.
        min_views: Points in the frame of fewer views are outside; None takes half of the views.
        names: Names of the views in messages.

    Returns:
        The largest connected component, in the frame of the cameras, with faces counter-clockwise seen from
        outside.

    Raises:
        InputError: The hull is empty (the message names the views that disagree), or a camera is inside the
            object.
    """
    silhouettes = prepare_silhouettes(cameras, masks, known_or_all(masks, known))
    least = min_views_or_half(cameras, min_views)
    bounds = bounds_of(silhouettes, least, tolerance, names)
    local = silhouettes.moved(bounds.mean(dim=0))
    _check_cameras_outside(local, least, names)
    values, half = carved_grid(local, bounds[1] - bounds[0], resolution, least, tolerance)
    if not bool((values > 0).any()):
        raise InputError(
            "no point of space is inside all masks; check the cameras and masks of the capture with doctor"
        )
    middle = bounds.mean(dim=0)
    surface = isosurface(-values, -half, half, close=True)
    mesh = largest_piece(surface)
    offset = offset_of(bounds)
    shift = middle - torch.tensor(offset, dtype=torch.float64)
    vertices = (mesh.vertices.double() + shift.to(mesh.vertices.device)).float()
    return replace(mesh, vertices=vertices, offset=offset)


def object_bounds(
    cameras: Cameras,
    masks: Float[Tensor, "N H W"],
    known: Bool[Tensor, "N H W"] | None = None,
    tolerance: int = 0,
    min_views: int | None = None,
) -> Float[Tensor, "2 3"]:
    """Low and high corner (float64, world) of a box around the visual hull, a few per cent too large at most.

    The arguments and errors are those of `visual_hull`.
    """
    silhouettes = prepare_silhouettes(cameras, masks, known_or_all(masks, known))
    return bounds_of(silhouettes, min_views_or_half(cameras, min_views), tolerance)


def known_or_all(masks: Float[Tensor, "N H W"], known: Bool[Tensor, "N H W"] | None) -> Bool[Tensor, "N H W"]:
    """`known`, or all True if it is None."""
    return torch.ones_like(masks, dtype=torch.bool) if known is None else known


def min_views_or_half(cameras: Cameras, min_views: int | None) -> int:
    """`min_views`, or half of the views but at least 2 if it is None."""
    return min(len(cameras), max(2, math.ceil(len(cameras) / 2))) if min_views is None else min_views


def bounds_of(
    silhouettes: Silhouettes, min_views: int, tolerance: int, names: Sequence[str] | None = None
) -> Float[Tensor, "2 3"]:
    """`object_bounds` of prepared silhouettes, by an octree over all space that the cameras can see.

    Raises:
        InputError: The hull is empty.
    """
    bounds = find_bounds(silhouettes, min_views, tolerance)
    if bounds is None:
        center, half = _seen_space(silhouettes)
        raise InputError(_disagreement(silhouettes.moved(center), half, min_views, tolerance, names))
    return bounds


def find_bounds(silhouettes: Silhouettes, min_views: int, tolerance: int) -> Float[Tensor, "2 3"] | None:
    """`bounds_of`, or None where the hull is empty, without the search for the views that make it so."""
    center, half = _seen_space(silhouettes)
    cells, size = _octree(silhouettes.moved(center), half, min_views, tolerance)
    if len(cells) == 0:
        return None
    low, high = cells.amin(dim=0) - size, cells.amax(dim=0) + size
    return torch.stack([low, high]).double().cpu() + center


def _octree(
    silhouettes: Silhouettes, half: float, min_views: int, tolerance: int
) -> tuple[Float[Tensor, "P 3"], float]:
    """Centres and half the side of small cubes that cover everything that is not certainly outside."""
    cells = torch.zeros(1, 3, device=silhouettes.distance.device)
    corners = torch.tensor([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]).to(cells)
    while True:
        half = half / 2
        cells = (cells[:, None] + half * corners).reshape(-1, 3)
        cells = cells[classify(silhouettes, cells, half * math.sqrt(3), min_views, tolerance) >= 0]
        if len(cells) == 0 or len(cells) > 200_000:
            return cells, half
        if half * 2 * LEAVES < float((cells.amax(dim=0) - cells.amin(dim=0)).amax()):
            return cells, half


def _disagreement(
    silhouettes: Silhouettes, half: float, min_views: int, tolerance: int, names: Sequence[str] | None
) -> str:
    """Error message for an empty hull: the views without which it would not be empty."""
    for wrong in range(tolerance + 1, len(silhouettes) // 3 + 1):
        cells, _ = _octree(silhouettes, half, min_views, wrong)
        if len(cells):
            carving = (depths(silhouettes, cells.cpu().double() + silhouettes.origin) < 0).float().mean(dim=1)
            worst = carving.argsort(descending=True)[:wrong].sort().values.tolist()
            views = ", ".join(_called(names, i) for i in worst)
            return f"nothing is inside all masks: {views} disagree with the others; check or remove them"
    return (
        "no point of space is inside all masks, so cameras and images do not match; "
        "check their order and the convention of the poses"
    )


def _seen_space(silhouettes: Silhouettes) -> tuple[Float[Tensor, "3"], float]:
    """Centre and half the side of a cube that contains the object."""
    cameras = silhouettes.cameras.to("cpu")
    middle = torch.tensor([cameras.width / 2, cameras.height / 2, 1.0], dtype=torch.float64).expand(
        len(cameras), 1, 3
    )
    ahead = cameras.unproject(middle)[:, 0]
    if cameras.orthographic:
        points, directions = ahead, cameras.forward
        inverse = torch.linalg.inv(cameras.K[:, :2, :2])
        sides = torch.tensor([cameras.width, cameras.height], dtype=torch.float64)
        reach = float(torch.einsum("nij,j->ni", inverse.abs(), sides).amax())
    else:
        points = cameras.centers
        directions = torch.nn.functional.normalize(ahead - points, dim=1)
        reach = 0.0
    # The point nearest to all viewing axes; the small term keeps it at the cameras if axes are parallel.
    off_axis = torch.eye(3, dtype=torch.float64) - directions[:, :, None] * directions[:, None, :]
    start = points.mean(dim=0)
    pull = 1e-6 * torch.eye(3, dtype=torch.float64)
    away = torch.einsum("nij,nj->i", off_axis, points - start)
    center = start + torch.linalg.solve(off_axis.sum(dim=0) + pull, away)
    if not cameras.orthographic:
        reach = float(torch.linalg.vector_norm(points - center, dim=1).amax()) or 1.0
    return center, 2 * reach


def carved_grid(
    silhouettes: Silhouettes, extent: Float[Tensor, "3"], resolution: int, min_views: int, tolerance: int
) -> tuple[Float[Tensor, "X Y Z"], Float[Tensor, "3"]]:
    """Carving values on a grid around the origin of `silhouettes`, positive inside the hull.

    Args:
        silhouettes: The views.
        extent: Sides of the box that the grid must cover.
        resolution: Cells along its longest side.
        min_views: See `visual_hull`.
        tolerance: See `visual_hull`.

    Returns:
        The samples and half the sides of the box that they span.
    """
    device = silhouettes.distance.device
    cell = float(extent.max()) / resolution
    blocks = torch.ceil((extent / cell + 1) / BLOCK).long().clamp(min=1)
    half = (blocks * BLOCK - 1) * (cell / 2)
    index = torch.stack(torch.meshgrid(*[torch.arange(int(b)) for b in blocks], indexing="ij"), dim=-1)
    corner = index.reshape(-1, 3).to(device) * (BLOCK * cell) - half.to(device).float()
    radius = (BLOCK - 1) / 2 * cell
    found = classify(silhouettes, corner + radius, radius * math.sqrt(3), min_views, tolerance)
    values = (found * cell).float()[:, None].expand(-1, BLOCK**3).clone()
    mixed = torch.nonzero(found == 0)[:, 0]
    steps = torch.arange(BLOCK, device=device) * cell
    offsets = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"), dim=-1).reshape(-1, 3)
    for part in counted(mixed.split(4096), "hull"):
        points = (corner[part, None] + offsets).reshape(-1, 3)
        depth, views = carve(silhouettes, points)
        value = depth[:, min(tolerance, 1)]
        value = torch.where(views[:, 1] >= min_views, value, value.clamp(max=-cell))
        values[part] = value.clamp(-cell, cell).reshape(len(part), -1)
    x, y, z = blocks.tolist()
    grid = values.reshape(x, y, z, BLOCK, BLOCK, BLOCK).permute(0, 3, 1, 4, 2, 5)
    return grid.reshape(x * BLOCK, y * BLOCK, z * BLOCK), half


def largest_piece(mesh: Mesh) -> Mesh:
    """The connected component of the mesh that encloses the largest volume."""
    labels = connected_components(mesh.faces, len(mesh.vertices))[mesh.faces[:, 0]]
    a, b, c = (mesh.corners().double() - mesh.bounds.double().mean(dim=0)).unbind(dim=1)
    signed = (a * torch.linalg.cross(b, c)).sum(dim=1) / 6
    volumes = torch.zeros(int(labels.max()) + 1, dtype=torch.float64, device=signed.device)
    keep = labels == volumes.index_add(0, labels, signed).argmax()
    return drop_unused_vertices(replace(mesh, faces=mesh.faces[keep]))[0]


def _called(names: Sequence[str] | None, view: int) -> str:
    return str(names[view]) if names else f"view {view}"


def _check_cameras_outside(silhouettes: Silhouettes, min_views: int, names: Sequence[str] | None) -> None:
    if silhouettes.cameras.orthographic:
        return
    centers = silhouettes.cameras.centers
    for i in range(len(silhouettes)):
        depth, views = carve(silhouettes, centers[i : i + 1], exclude=i)
        if float(depth[0, 0]) > 0 and int(views[0, 1]) >= min(min_views, len(silhouettes) - 1):
            raise InputError(
                f"the camera of {_called(names, i)} stands inside the object that the other "
                "views see; check its pose and the masks"
            )
