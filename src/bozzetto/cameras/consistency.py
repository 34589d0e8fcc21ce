"""Consistency of masks: every mask is compared with the visual hull of the others."""

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
"""Hulls are rendered in pictures with a longer side of at most this many pixels."""
GRID = 128
"""Largest number of grid cells of the hull along its longest side."""
ACCUSATIONS = 3.5
"""Number of contradicting object pixels of other views above which the neighbourhood of a background pixel is
blamed."""
MARGIN = 2.5
"""Tolerance in pixels of masks outside of the hull, for grid, calibration and blur."""


@value_type
class Comparison:
    """Comparison of masks with the hulls of the other views.

    Attributes:
        hull_of_others: Silhouette of the hull of all other views.
        against: For object pixels outside of this hull, the smallest number of views that would have to be
            wrong for the pixel to be right; 0 elsewhere.
        silhouettes: The silhouettes that were compared.
        grid: The carved space.
    """

    hull_of_others: Bool[Tensor, "N H W"]
    against: Int[Tensor, "N H W"]
    silhouettes: Silhouettes
    grid: CarvedGrid


@value_type
class Consistency:
    """Consistency of each view with the others; fractions are of the area of the view's mask.

    Attributes:
        names: Names of the views.
        iou: Intersection over union of the mask with the silhouette of the hull of all other views. With few
            views that hull is larger than the object, so this is below 1 even if all masks are right.
        missing: Fraction of the mask that lies outside of that hull.
        excess: Fraction by which that hull is larger than the mask.
        stray: Fraction of the mask that two or more other views carve away.
        blamed: Number of background pixels by which this view alone carves away parts of the object in other
            views.
        verdicts: `good`, or a description of the fault.
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
        """Names of the views whose verdict is not `good`."""
        return tuple(n for n, v in zip(self.names, self.verdicts, strict=True) if v != "good")


def mask_consistency(capture: Capture) -> Consistency:
    """Compare every mask with the visual hull of the other views.

    Raises:
        InputError: The masks have no common hull, or the capture has no masks.
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
    # The box must contain the hull of all views except any one.
    bounds = bounds_of(silhouettes, least, 1 if len(cameras) > 3 else 0)
    # Cells smaller than a pixel would add no information.
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
    """Background pixels that carve away object pixels of other views.

    For the ray of a contradicting object pixel, take the point that the fewest views carve away. The pixels of
    these views onto which the point projects are blamed.

    Args:
        capture: The views.
        result: Their comparison.
        contradicting: The object pixels to explain, all with `result.against` above 0.
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
    # Points are as far apart as the samples of the grid; isolated counts are ignored.
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
    """`fewest_carving` along the rays of some pixels of one view; the number is at least one."""
    centers = torch.nonzero(pixels).flip(1)[None].double() + 0.5
    origins, directions = cameras[[view]].to(grid.carving.device).rays_through(centers)
    counts, places = fewest_carving(grid, origins[0], directions[0])
    return counts.clamp(1, len(cameras)), places


def _pixels_per_unit(cameras: Cameras, place: Float[Tensor, "3"]) -> float:
    """Number of pixels that a unit of length covers at a point of the world, median over the views."""
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
    """The regions, dilated by a distance in pixels."""
    grown = [torch.from_numpy(_distance(r) <= distance) for r in regions.cpu().numpy()]
    return torch.stack(grown).to(regions.device)


def _distance(region: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if not region.any():
        return np.full(region.shape, np.inf)
    distance = distance_transform_edt(~region)
    assert isinstance(distance, np.ndarray)
    return distance
