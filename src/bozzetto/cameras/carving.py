"""Silhouettes as signed distances in the image, and carving of space by them, on a regular grid."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from ..geometry.launch import fill_struct, in_parts, launch
from ..values import value_type
from . import carving_kernels
from .camera import Cameras


def silhouette_distance(
    coverage: Float[np.ndarray, "H W"], known: Bool[np.ndarray, "H W"]
) -> Float[np.ndarray, "H W"]:
    """Distance in pixels to the border of the silhouette, positive inside, accurate to a fraction of a pixel.

    Unknown pixels and everything outside the image count as inside: they never carve.
    Anti-aliased distance transform: the coverage of the nearest border pixel gives the position of the border
    in that pixel (Gustavson and Strand 2011, "Anti-aliased Euclidean distance transform", with the simplest
    of their estimates: the border crosses 0.5 - coverage away from the pixel's centre).
    """
    soft = np.pad(np.where(known, coverage, 1.0), 1, constant_values=1.0)
    inside = soft > 0.5
    border = np.zeros_like(inside)
    for axis in (0, 1):
        changes = np.diff(inside, axis=axis)
        border |= np.insert(changes, 0, False, axis=axis) | np.insert(
            changes, changes.shape[axis], False, axis=axis
        )
    if not border.any():
        return np.full(coverage.shape, 1e6 if inside.all() else -1e6, dtype=np.float32)
    found = distance_transform_edt(~border, return_indices=True)
    assert found is not None
    away, nearest = found
    shift = soft[tuple(nearest)] - 0.5
    return (np.where(inside, away, -away) + shift)[1:-1, 1:-1].astype(np.float32)


@value_type
class Silhouettes:
    """All silhouettes of a capture, prepared for carving.

    Attributes:
        cameras: The views, with the world's origin moved to `origin` (so that float32 suffices in kernels).
        distance: `silhouette_distance` of every mask.
        frame: Left, top, right and bottom edge of the known part of every image, in pixels.
        origin: World point that was subtracted from world coordinates.
    """

    cameras: Cameras
    distance: Float[Tensor, "N H W"]
    frame: Float[Tensor, "N 4"]
    origin: Float[Tensor, "3"]

    def __len__(self) -> int:
        return len(self.cameras)

    def moved(self, origin: Float[Tensor, "3"]) -> "Silhouettes":
        """The same with another world point as origin."""
        T = self.cameras.T_cam_world.clone()
        T[:, :3, 3] += T[:, :3, :3] @ (origin - self.origin).to(T)
        return replace(self, cameras=replace(self.cameras, T_cam_world=T), origin=origin)

    def subset(self, index: list[int]) -> "Silhouettes":
        """Some of the views."""
        return replace(
            self, cameras=self.cameras[index], distance=self.distance[index], frame=self.frame[index]
        )

    @property
    def slope(self) -> float:
        """Lipschitz constant of carving values in space: the secant of the widest viewing angle, plus 5 %.

        With d(u, v) changing at most by 1 per pixel, the gradient of d z/f is at most sec(angle) + d/f.
        """
        if self.cameras.orthographic:
            return 1.05
        corners = torch.tensor(
            [[0, 0], [1, 0], [0, 1], [1, 1]], dtype=torch.float64, device=self.distance.device
        )
        pixels = corners * corners.new_tensor([self.cameras.width, self.cameras.height])
        inverse = torch.linalg.inv(self.cameras.K[:, :2, :2])
        plane = torch.einsum("nij,npj->npi", inverse, pixels - self.cameras.K[:, None, :2, 2])
        return 1.05 * float(torch.sqrt(1 + (plane**2).sum(dim=-1)).max())

    def packed(self) -> Any:
        """The same as a Warp struct. Keep `self` alive as long as it is used."""
        T, K = self.cameras.T_cam_world, self.cameras.K
        focal = torch.sqrt(torch.linalg.det(K[:, :2, :2]).abs())
        return fill_struct(
            carving_kernels.Views,
            distance=self.distance,
            rotation=T[:, :3, :3].float().contiguous(),
            translation=T[:, :3, 3].float().contiguous(),
            intrinsics=K.float().contiguous(),
            frame=self.frame,
            per_pixel=(1 / focal).float().contiguous(),
            orthographic=int(self.cameras.orthographic),
            near=float(self.cameras.near),
        )


def prepare_silhouettes(
    cameras: Cameras, masks: Float[Tensor, "N H W"], known: Bool[Tensor, "N H W"]
) -> Silhouettes:
    """Distance transforms of all masks."""
    device = masks.device
    distances = [
        silhouette_distance(m, k) for m, k in zip(masks.cpu().numpy(), known.cpu().numpy(), strict=True)
    ]
    frames = []
    for k in known.cpu():
        rows, columns = torch.nonzero(k.any(dim=1)), torch.nonzero(k.any(dim=0))
        edges = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) if len(rows) else (0, 0, 0, 0)
        frames.append([float(e) for e in edges])
    return Silhouettes(
        cameras.to(device),
        torch.from_numpy(np.stack(distances)).to(device),
        torch.tensor(frames, dtype=torch.float32, device=device),
        torch.zeros(3, dtype=torch.float64),
    )


def carve(
    silhouettes: Silhouettes, points: Float[Tensor, "P 3"], exclude: int = -1
) -> tuple[Float[Tensor, "P 2"], Int[Tensor, "P 3"]]:
    """Depth of points inside the silhouettes of all views.

    Args:
        silhouettes: The views.
        points: Positions relative to `silhouettes.origin`.
        exclude: A view to leave out, or -1.

    Returns:
        The smallest and second smallest depth over the views, in world units: d z / f for a point at distance d
        pixels inside the silhouette (negative outside) and camera-space depth z. And three numbers: the view of
        the smallest depth, how many views have the point in their frame, and how many carve it.
    """
    points = points.float().contiguous()
    values = points.new_empty(len(points), 2)
    views = torch.empty(len(points), 3, dtype=torch.int32, device=points.device)
    packed = silhouettes.packed()

    def run(_: int, start: int, stop: int) -> None:
        arguments = [start, points, packed, exclude, values, views]
        launch(carving_kernels.carve, stop - start, arguments, points.device)

    if len(points):
        in_parts(run, len(points), points.device)
    return values, views


def depths(silhouettes: Silhouettes, points: Float[Tensor, "P 3"]) -> Float[Tensor, "N P"]:
    """Depth of world points inside every silhouette, in plain PyTorch; `carve` computes the minimum."""
    cameras, size = silhouettes.cameras, silhouettes.distance.shape[1:]
    pixels = cameras.project(points - silhouettes.origin.to(points))
    limits = torch.tensor([size[1], size[0]]).to(pixels) - 0.5
    clamped = torch.minimum(pixels[..., :2].clamp(min=0.5), limits)
    grid = (2 * clamped / torch.tensor([size[1], size[0]]).to(pixels) - 1)[:, None]
    distance = torch.nn.functional.grid_sample(
        silhouettes.distance[:, None].to(grid), grid, padding_mode="border", align_corners=False
    )[:, 0, 0]
    distance = distance + torch.linalg.vector_norm(pixels[..., :2] - clamped, dim=-1)
    focal = torch.sqrt(torch.linalg.det(cameras.K[:, :2, :2]).abs())[:, None]
    if cameras.orthographic:
        return distance / focal
    depth = pixels[..., 2]
    return torch.where(depth > cameras.near, distance * depth / focal, cameras.near - depth)


def classify(
    silhouettes: Silhouettes, centers: Float[Tensor, "P 3"], radius: float, min_views: int, tolerance: int = 0
) -> Int[Tensor, "P"]:
    """Classify balls: 1 if certainly all of it is inside the hull, -1 if all of it is outside, 0 otherwise.

    Args:
        silhouettes: The views.
        centers: Centres of the balls relative to `silhouettes.origin`.
        radius: Their radius.
        min_views: Points in the frame of fewer views than this are outside.
        tolerance: Number of views that may be wrong: a point is outside if more views than this carve it.
    """
    centers = centers.float().contiguous()
    classes = torch.empty(len(centers), dtype=torch.int32, device=centers.device)
    packed, reach = silhouettes.packed(), radius * silhouettes.slope

    def run(_: int, start: int, stop: int) -> None:
        arguments = [start, centers, packed, reach, min_views, tolerance, classes]
        launch(carving_kernels.classify, stop - start, arguments, centers.device)

    if len(centers):
        in_parts(run, len(centers), centers.device)
    return classes


@value_type
class CarvedGrid:
    """Results of `carve` on a regular grid, for the hull of all views and those of all views except one.

    Attributes:
        smallest: Depth inside the silhouettes, in cells.
        second: The same without the view in `which`.
        which: The view with the smallest depth.
        carving: Number of views that carve the sample; a large number where too few views see it.
        low: Position of the first sample in the world.
        cell: Distance of samples in world units.
        slope: Lipschitz constant of the values, per cell.
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
    """Silhouettes of the hull in every view, rendered by sphere tracing.

    Args:
        cameras: The views that the grid was carved with.
        grid: The grid.
        leave_out: Whether each view shows the hull of all *other* views instead of the hull of all views.
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
    """For each ray, the smallest number of views that carve a sample on it, and the position of this sample.

    Args:
        grid: The grid.
        origins: Origins of the rays in the world.
        directions: Unit directions of the rays.

    Returns:
        The numbers, and the positions (float64, world). Rays that miss the grid get a number above that of the
        views, and the centre of the grid.
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
