"""Do masks agree with each other? Every mask is held against the visual hull of the others."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from .camera import Cameras
from .capture import Capture
from .hull import bounds_of, min_views_or_half
from .silhouettes import CarvedGrid, carve_grid, grid_silhouettes, prepare_silhouettes

TRACE_SIZE = 640
"""Hulls are looked at in pictures with a longer side of at most this many pixels."""
GRID = 160
"""Cells of the hull along its longest side."""
MARGIN = 2.5
"""Pixels by which a mask may pass the hull before it counts as wrong: grid, calibration and blur."""


@dataclass(frozen=True)
class Comparison:
    """Masks against the hulls of the other views.

    Attributes:
        iou: Intersection over union of each mask with the silhouette of the hull of all other views. With
            few views the hull is larger than the object, so it stays below 1 even when all is well.
        missing: Share of the mask that lies outside that hull: some other view has background there.
        excess: Share by which that hull is larger than the mask.
        hull_of_others: Silhouette of that hull.
        stray: Object in this view where two or more others agree on background.
        grid: The carved space.
    """

    iou: Float[Tensor, "N"]
    missing: Float[Tensor, "N"]
    excess: Float[Tensor, "N"]
    hull_of_others: Bool[Tensor, "N H W"]
    stray: Bool[Tensor, "N H W"]
    grid: CarvedGrid


@dataclass(frozen=True)
class Consistency:
    """How well each view fits the others; see `mask_consistency`."""

    names: tuple[str, ...]
    iou: Float[Tensor, "N"]
    missing: Float[Tensor, "N"]
    excess: Float[Tensor, "N"]
    stray: Float[Tensor, "N"]
    blamed: Float[Tensor, "N"]
    verdicts: tuple[str, ...]

    @property
    def bad(self) -> tuple[str, ...]:
        """Names of the views that do not fit."""
        return tuple(n for n, v in zip(self.names, self.verdicts, strict=True) if v != "good")


def mask_consistency(capture: Capture) -> Consistency:
    """Hold every mask against the visual hull of the other views.

    Returns:
        Per view: the figures of `Comparison`; the share of its mask that several views see past (`stray`);
        the pixels, as a share of its mask, in which it alone sees background where that erases parts of the
        object in other views (`blamed`); and a verdict, `good` or what is wrong.

    Raises:
        InputError: The masks have no common hull at all.
    """
    result = compare_masks(capture)
    assert capture.masks is not None
    area = ((capture.masks > 0.5) & capture.known).sum(dim=(1, 2)).clamp(min=1)
    stray = result.stray.sum(dim=(1, 2)) / area
    blamed = blamed_pixels(capture, result).sum(dim=(1, 2)) / area
    verdicts = []
    for i, s, b in zip(result.iou.tolist(), stray.tolist(), blamed.tolist(), strict=True):
        if i < 0.6:
            verdicts.append("does not fit the other views; check its camera and mask")
        elif s > 0.01:
            verdicts.append("has object where several other views see background")
        elif b > 0.01:
            verdicts.append("has background where the other views see the object")
        else:
            verdicts.append("good")
    return Consistency(
        capture.names, result.iou, result.missing, result.excess, stray, blamed, tuple(verdicts)
    )


def compare_masks(capture: Capture) -> Comparison:
    """The comparison behind `mask_consistency`."""
    assert capture.masks is not None
    cameras, masks, known = capture.cameras, capture.masks, capture.known
    least = min_views_or_half(cameras, None)
    silhouettes = prepare_silhouettes(cameras, masks, known)
    # The bounds must hold for the hull of any all but one views.
    bounds = bounds_of(silhouettes, least, 1 if len(cameras) > 3 else 0)
    grid = carve_grid(silhouettes, bounds, GRID, least)
    small = _traced_cameras(cameras)
    others = _enlarge(grid_silhouettes(small, grid, leave_out=True), cameras)
    forgiving = CarvedGrid(grid.second, grid.second, grid.which, grid.low, grid.cell, grid.slope)
    reach = _enlarge(grid_silhouettes(small, forgiving, leave_out=False), cameras)
    inside = (masks > 0.5) & known
    stray = inside & ~_grown(reach, MARGIN)
    area = inside.sum(dim=(1, 2)).clamp(min=1)
    hull = others & known
    return Comparison(
        iou=(inside & hull).sum(dim=(1, 2)) / (inside | hull).sum(dim=(1, 2)).clamp(min=1),
        missing=(inside & ~hull).sum(dim=(1, 2)) / area,
        excess=(hull & ~inside).sum(dim=(1, 2)) / area,
        hull_of_others=others,
        stray=stray,
        grid=grid,
    )


def blamed_pixels(capture: Capture, result: Comparison) -> Bool[Tensor, "N H W"]:
    """Background pixels that alone erase parts of the object in other views.

    Take an object pixel that the hull does not reach. If somewhere along its ray all views but one agree that
    there is matter, that one is to blame, at the pixel onto which the place projects.
    """
    assert capture.masks is not None
    grid, cameras = result.grid, capture.cameras
    inside = (capture.masks > 0.5) & capture.known
    small = _traced_cameras(cameras)
    hull = _enlarge(grid_silhouettes(small, grid, leave_out=False), cameras)
    missing = inside & ~_grown(hull, MARGIN) & ~result.stray
    blamed = torch.zeros_like(inside)
    origins, directions = cameras.to("cpu").rays()
    for view in range(len(cameras)):
        pixels = missing[view].cpu()
        if bool(pixels.any()):
            places = _deepest_second(grid, origins[view][pixels], directions[view][pixels])
            _mark(blamed, cameras, grid, places)
    return _grown(blamed, 1.5) & ~inside & capture.known


def _deepest_second(
    grid: CarvedGrid, origins: Float[Tensor, "P 3"], directions: Float[Tensor, "P 3"]
) -> Float[Tensor, "Q 3"]:
    """Index of the grid sample, along each ray, that lies deepest inside all views but one."""
    shape = torch.tensor(grid.smallest.shape)
    center = grid.low + (shape - 1) / 2 * grid.cell
    radius = grid.cell * float(torch.linalg.vector_norm(shape.double())) / 2
    middle = ((center - origins) * directions).sum(dim=1, keepdim=True)
    steps = torch.arange(-radius, radius, grid.cell / 2, dtype=torch.float64)
    chosen = []
    second = grid.second.cpu()
    for o, d, m in zip(origins.split(4096), directions.split(4096), middle.split(4096), strict=True):
        index = ((o[:, None] + (m + steps)[..., None] * d[:, None] - grid.low) / grid.cell).round().long()
        valid = ((index >= 0) & (index < shape)).all(dim=-1)
        x, y, z = torch.minimum(index.clamp(min=0), shape - 1).unbind(dim=-1)
        depth = torch.where(valid, second[x, y, z], -1.0)
        best, at = depth.max(dim=1)
        rows = torch.nonzero(best > 0)[:, 0]
        chosen.append(index[rows, at[rows]])
    return torch.cat(chosen).double()


def _mark(
    blamed: Bool[Tensor, "N H W"], cameras: Cameras, grid: CarvedGrid, places: Float[Tensor, "Q 3"]
) -> None:
    """Set the pixels of the deciding views onto which grid samples project."""
    x, y, z = places.long().unbind(dim=1)
    culprit = grid.which.cpu()[x, y, z].long()
    pixels = cameras.to("cpu").project(grid.low + places * grid.cell)[culprit, torch.arange(len(places))]
    u, v = pixels[:, 0].floor().long(), pixels[:, 1].floor().long()
    there = (u >= 0) & (u < cameras.width) & (v >= 0) & (v < cameras.height)
    blamed[culprit[there], v[there], u[there]] = True


def _traced_cameras(cameras: Cameras) -> Cameras:
    scale = min(1.0, TRACE_SIZE / max(cameras.width, cameras.height))
    return cameras.resized(max(1, round(cameras.width * scale)), max(1, round(cameras.height * scale)))


def _enlarge(pictures: Bool[Tensor, "N h w"], cameras: Cameras) -> Bool[Tensor, "N H W"]:
    if pictures.shape[1:] == (cameras.height, cameras.width):
        return pictures
    size = (cameras.height, cameras.width)
    return torch.nn.functional.interpolate(pictures[:, None].float(), size, mode="bilinear")[:, 0] > 0.5


def _grown(regions: Bool[Tensor, "N H W"], distance: float) -> Bool[Tensor, "N H W"]:
    """All pixels within a distance of the regions."""
    grown = [
        torch.from_numpy(distance_transform_edt(~r) <= distance) if bool(r.any()) else torch.from_numpy(r)
        for r in regions.cpu().numpy()
    ]
    return torch.stack(grown).to(regions.device)
