"""Carved space on a regular grid: what hulls of all views, or of all but one, look like."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..geometry.launch import in_parts, launch
from ..values import value_type
from . import carving_kernels
from .camera import Cameras
from .silhouettes import Silhouettes, carve


@value_type
class CarvedGrid:
    """`carve` on a regular grid, as it takes to know the hull of any views but one.

    Attributes:
        smallest: Depth inside the silhouettes, in cells.
        second: The same without the view in `which`.
        which: The view that decides.
        carving: Number of views that have the sample outside their silhouette; so many that nothing can be
            there where too few views see it.
        low: First sample, world.
        cell: Distance of samples, world.
        slope: Bound on how fast the values change per cell.
    """

    smallest: Float[Tensor, "X Y Z"]
    second: Float[Tensor, "X Y Z"]
    which: Int[Tensor, "X Y Z"]
    carving: Int[Tensor, "X Y Z"]
    low: Float[Tensor, "3"]
    cell: float
    slope: float


def carve_grid(
    silhouettes: Silhouettes, bounds: Float[Tensor, "2 3"], resolution: int, min_views: int
) -> CarvedGrid:
    """Carve all samples of a grid over a box, `resolution` cells along its longest side."""
    middle, extent = bounds.mean(dim=0), bounds[1] - bounds[0]
    local, cell = silhouettes.moved(middle), float(extent.max()) / resolution
    counts = [math.ceil(float(e) / cell) + 3 for e in extent]
    device = silhouettes.distance.device
    axes = [(torch.arange(n, device=device) - (n - 1) / 2) * cell for n in counts]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
    depth, views = carve(local, points)
    depth = depth / cell
    depth = torch.where(views[:, 1:2] >= min_views, depth, depth.clamp(max=-1))
    low = middle - (torch.tensor(counts, dtype=torch.float64) - 1) / 2 * cell
    smallest, second = (depth[:, i].reshape(counts).contiguous() for i in (0, 1))
    views[:, 2] += (views[:, 1] < min_views) * len(silhouettes)
    which, carving = (views[:, i].reshape(counts).contiguous() for i in (0, 2))
    return CarvedGrid(smallest, second, which, carving, low, cell, silhouettes.slope)


def grid_silhouettes(cameras: Cameras, grid: CarvedGrid, leave_out: bool) -> Bool[Tensor, "N H W"]:
    """What the hull in a grid looks like in every view, by sphere tracing.

    Args:
        cameras: The views that the grid was carved with.
        grid: The grid.
        leave_out: Each view sees the hull of all the *others*.
    """
    device = grid.smallest.device
    origins, directions = cameras.to("cpu").rays()
    origins = ((origins - grid.low) / grid.cell).float().contiguous().to(device)
    directions = directions.float().contiguous().to(device)
    hits = torch.zeros(origins.shape[:3], dtype=torch.int32, device=device)
    count, height, width = hits.shape

    def run(_: int, start: int, stop: int) -> None:
        fields = [grid.smallest, grid.second, grid.which]
        arguments = [start, origins, directions, *fields, int(leave_out), grid.slope, hits]
        launch(carving_kernels.trace, (count, stop - start, width), arguments, device)

    in_parts(run, height, device)
    return hits.bool()


def fewest_carving(
    grid: CarvedGrid, origins: Float[Tensor, "P 3"], directions: Float[Tensor, "P 3"]
) -> tuple[Int[Tensor, "P"], Float[Tensor, "P 3"]]:
    """Along rays, the smallest number of views that carve a sample of the grid, and that sample.

    Args:
        grid: The grid.
        origins: Where the rays start, world.
        directions: Unit directions.

    Returns:
        The numbers, and the places (float64, world). Rays that miss the grid get a number above that of the
        views and its middle.
    """
    device = grid.carving.device
    starts = ((origins - grid.low.to(device)) / grid.cell).float().contiguous()
    counts = torch.empty(len(starts), dtype=torch.int32, device=device)
    places = torch.empty_like(starts)

    def run(_: int, start: int, stop: int) -> None:
        rays = [starts, directions.float().contiguous()]
        arguments = [start, *rays, grid.smallest, grid.carving, 1 << 20, counts, places]
        launch(carving_kernels.fewest, stop - start, arguments, device)

    if len(starts):
        in_parts(run, len(starts), device)
    return counts, places.double() * grid.cell + grid.low.to(device)
