"""Do masks agree with each other? Every mask is held against the visual hull of the others."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from ..values import value_type
from .camera import Cameras
from .capture import Capture
from .carving import (
    CarvedGrid,
    Silhouettes,
    carve_grid,
    depths,
    fewest_carving,
    grid_silhouettes,
    prepare_silhouettes,
)
from .hull import bounds_of, min_views_or_half

TRACE_SIZE = 320
"""Hulls are looked at in pictures with a longer side of at most this many pixels."""
GRID = 128
"""Cells of the hull along its longest side, at most."""
ACCUSATIONS = 3.5
"""More object pixels of other views than this must accuse the neighbourhood of a background pixel."""
MARGIN = 2.5
"""Pixels by which a mask may pass the hull before it counts as wrong: grid, calibration and blur."""


@value_type
class Comparison:
    """Masks against the hulls of the other views.

    Attributes:
        hull_of_others: Silhouette of the hull of all other views.
        against: For object pixels that this hull does not reach, the smallest number of views that have to
            be wrong for anything to be there; 0 elsewhere.
        silhouettes: The silhouettes that were compared.
        grid: The carved space.
    """

    hull_of_others: Bool[Tensor, "N H W"]
    against: Int[Tensor, "N H W"]
    silhouettes: Silhouettes
    grid: CarvedGrid


@value_type
class Consistency:
    """How well each view fits the others, see `mask_consistency`; shares are of the area of the view's mask.

    Attributes:
        names: Names of the views.
        iou: Intersection over union of the mask with the silhouette of the hull of all other views. With few
            views that hull is larger than the object, so this stays below 1 even when all is well.
        missing: Share of the mask that lies outside that hull.
        excess: Share by which that hull is larger than the mask.
        stray: Share of the mask that two or more other views see past.
        blamed: Background pixels in which this view alone erases parts of the object in other views.
        verdicts: `good`, or what is wrong.
    """

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

    Raises:
        InputError: The masks have no common hull at all, or there are none.
    """
    result = compare_masks(capture)
    inside = _inside(capture)
    hull = result.hull_of_others & capture.known
    area = inside.sum(dim=(1, 2)).clamp(min=1)
    iou = (inside & hull).sum(dim=(1, 2)) / (inside | hull).sum(dim=(1, 2)).clamp(min=1)
    stray = (result.against > 1).sum(dim=(1, 2)) / area
    blamed = blamed_pixels(capture, result, result.against == 1).sum(dim=(1, 2)) / area
    missing = (inside & ~hull).sum(dim=(1, 2)) / area
    figures = zip(iou.tolist(), missing.tolist(), stray.tolist(), blamed.tolist(), strict=True)
    return Consistency(
        names=capture.names,
        iou=iou,
        missing=missing,
        excess=(hull & ~inside).sum(dim=(1, 2)) / area,
        stray=stray,
        blamed=blamed,
        verdicts=tuple(_verdict(*f) for f in figures),
    )


def _verdict(iou: float, missing: float, stray: float, blamed: float) -> str:
    if iou < 0.6 and missing > 0.1:  # with few views the hull of the others is much larger than the mask
        return "does not fit the other views; check its camera and mask"
    if blamed > 0.02:
        return "has background where the other views see the object"
    if stray > 0.02:
        return "has object where several other views see background"
    return "good"


def compare_masks(capture: Capture) -> Comparison:
    """The comparison behind `mask_consistency`."""
    inside, cameras = _inside(capture), capture.cameras
    assert capture.masks is not None
    least = min_views_or_half(cameras, None)
    silhouettes = prepare_silhouettes(cameras, capture.masks, capture.known)
    # The box must hold for the hull of any all but one views.
    bounds = bounds_of(silhouettes, least, 1 if len(cameras) > 3 else 0)
    # Cells smaller than a pixel would tell nothing more.
    pixels = float((bounds[1] - bounds[0]).max()) * _pixels_per_unit(cameras, bounds.mean(dim=0))
    grid = carve_grid(silhouettes, bounds, max(16, min(GRID, round(pixels))), least)
    others = _enlarge(grid_silhouettes(_traced_cameras(cameras), grid, leave_out=True), cameras)
    # A view does not carve at its own object pixels, so there the hull of the others is the hull.
    missing = inside & ~_grown(others, MARGIN)
    against = torch.zeros_like(missing, dtype=torch.int32)
    for view, pixels in enumerate(missing):
        if bool(pixels.any()):
            against[view][pixels] = _fewest_carving(grid, cameras, view, pixels)[0]
    return Comparison(others, against, silhouettes, grid)


def _inside(capture: Capture) -> Bool[Tensor, "N H W"]:
    return (capture.require_masks() > 0.5) & capture.known


def blamed_pixels(
    capture: Capture, result: Comparison, contradicting: Bool[Tensor, "N H W"]
) -> Bool[Tensor, "N H W"]:
    """Background pixels that erase object pixels of other views.

    Along the ray of an object pixel, take the place that the fewest views carve away. These views are to
    blame, at the pixels onto which the place projects.

    Args:
        capture: The views.
        result: Their comparison.
        contradicting: The object pixels that accuse, all with `result.against` above 0.
    """
    cameras, grid, inside = capture.cameras, result.grid, _inside(capture)
    seeds = torch.zeros(contradicting.shape, device=contradicting.device)
    for view, pixels in enumerate(contradicting):
        if bool(pixels.any()):
            places = _fewest_carving(grid, cameras, view, pixels)[1]
            guilty = depths(result.silhouettes, places) < 0
            coordinates = cameras.project(places)
            for other in torch.nonzero(guilty.any(dim=1))[:, 0].tolist():
                _count(seeds[other], coordinates[other, guilty[other], :2])
    # Places are as far apart as the samples of the grid; a few stray accusations count for nothing.
    width = 2 * math.ceil(grid.cell * _pixels_per_unit(cameras, grid.low)) + 1
    edges = [_grown(m[None], 0.05 * math.sqrt(float(m.sum())))[0] for m in inside]
    near = torch.stack(edges) | result.hull_of_others
    around = (
        torch.nn.functional.avg_pool2d(seeds[:, None], width, stride=1, padding=width // 2)[:, 0] * width**2
    )
    return (around > ACCUSATIONS) & near & ~inside & capture.known


def _count(seeds: Float[Tensor, "H W"], pixels: Float[Tensor, "P 2"]) -> None:
    """Add one at every pixel for each coordinate (u, v) that falls into it."""
    u, v = pixels.floor().long().unbind(dim=-1)
    there = (u >= 0) & (u < seeds.shape[1]) & (v >= 0) & (v < seeds.shape[0])
    seeds.index_put_((v[there], u[there]), torch.ones(1, device=seeds.device), accumulate=True)


def _fewest_carving(
    grid: CarvedGrid, cameras: Cameras, view: int, pixels: Bool[Tensor, "H W"]
) -> tuple[Int[Tensor, "P"], Float[Tensor, "P 3"]]:
    """`fewest_carving` along the rays of some pixels of one view; at least one view is always to blame."""
    centers = torch.nonzero(pixels).flip(1)[None].double() + 0.5
    origins, directions = cameras[[view]].to(grid.carving.device).rays_through(centers)
    counts, places = fewest_carving(grid, origins[0], directions[0])
    return counts.clamp(1, len(cameras)), places


def _pixels_per_unit(cameras: Cameras, place: Float[Tensor, "3"]) -> float:
    """How many pixels a unit of length covers at a place in the world, median over the views."""
    cameras = cameras.to("cpu")
    focal = cameras.K[:, 0, 0]
    depth = torch.ones_like(focal) if cameras.orthographic else cameras.project(place[None])[:, 0, 2]
    return float((focal / depth).abs().median())


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
    grown = [torch.from_numpy(_distance(r) <= distance) for r in regions.cpu().numpy()]
    return torch.stack(grown).to(regions.device)


def _distance(region: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if not region.any():
        return np.full(region.shape, np.inf)
    distance = distance_transform_edt(~region)
    assert isinstance(distance, np.ndarray)
    return distance
