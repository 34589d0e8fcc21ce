"""Reduced pictures in which masks are searched for, and models of the colours of object and background.

Pictures show whole views, or crops to a region. Colours are modelled by histograms, per view and of all views.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...images.io import linear_to_srgb
from ...images.resizing import area_resize
from ...values import value_type
from ..camera import Cameras
from ..capture import Capture
from .space import Region, pixels_per_unit

BINS = 20
"""Number of bins along each of the three colour axes."""
SHARED = 0.8
"""Weight of the object's colours in all views relative to those in the view itself."""
TILES = 4
"""Number of parts of a picture along its longer side with their own background colours."""
FEW = 0.3
"""Number of examples in a part, as a fraction of the mean, below which colours of the whole view are used,
too."""
FLOOR = 5e-5
"""Probability of an empty bin."""


def color_bins(encoded: Float[Tensor, "N H W 3"]) -> Int[Tensor, "N H W"]:
    """The histogram bin of each sRGB-encoded colour, in axes of brightness and two colour differences."""
    red, green, blue = encoded.unbind(dim=-1)
    axes = [
        (red + 2 * green + blue) / 4,
        (red - blue) * 0.8 + 0.5,
        (2 * green - red - blue) * 0.625 + 0.5,
    ]
    levels = [(axis.clamp(0, 1) * (BINS - 1e-3)).long() for axis in axes]
    return (levels[0] * BINS + levels[1]) * BINS + levels[2]


def color_log_odds(
    bins: Int[Tensor, "N H W"],
    inside: Float[Tensor, "N H W"],
    outside: Float[Tensor, "N H W"],
    local: float = 0.5,
) -> Float[Tensor, "N H W"]:
    """Log-odds of object against background for the colour of each pixel.

    The object has similar colours in all views; colours that occur in few views have less weight (mean of
    square roots).

    Args:
        bins: Histogram bin of each pixel.
        inside: Weights of pixels as examples of the object.
        outside: Weights of pixels as examples of the background.
        local: Weight of the background's colours near the pixel relative to those in the whole view.
    """
    own = _normalised(_histograms(bins, inside))
    common = _normalised(own.sqrt().mean(dim=0, keepdim=True) ** 2)
    object_ = torch.lerp(own, common, SHARED)
    height, width = bins.shape[1:]
    rows, columns = (
        _tents(side, max(1, round(TILES * side / max(height, width)))) for side in (height, width)
    )
    places = torch.einsum("ah,bw->abhw", rows, columns).flatten(0, 1)
    odds = []
    for view, picture in enumerate(bins):
        near = _histograms(picture.expand(len(places), -1, -1), places * outside[view])
        whole = _normalised(near.sum(dim=0, keepdim=True))
        few = FEW * near.sum() / len(near)
        near = (near + few * whole) / (near.sum(dim=1, keepdim=True) + few).clamp(min=1e-6)
        index = picture.flatten()
        nearby = (near[:, index] * places.flatten(1)).sum(dim=0)
        behind = torch.lerp(whole[0, index], nearby, local)
        odds.append(torch.log(object_[view, index] + FLOOR) - torch.log(behind + FLOOR))
    return torch.stack(odds).reshape(bins.shape)


def _tents(length: int, count: int) -> Float[Tensor, "count length"]:
    """Overlapping weights along an axis that sum to 1 everywhere."""
    places = ((torch.arange(length) + 0.5) / length * count - 0.5).clamp(0, count - 1)
    return (1 - (places - torch.arange(count)[:, None]).abs()).clamp(min=0)


def _normalised(histograms: Float[Tensor, "N B"]) -> Float[Tensor, "N B"]:
    return histograms / histograms.sum(dim=1, keepdim=True).clamp(min=1e-6)


def _histograms(bins: Int[Tensor, "N H W"], weights: Float[Tensor, "N H W"]) -> Float[Tensor, "N B"]:
    """Smooth histograms of weighted pixels."""
    count = len(bins)
    found = torch.zeros(count, BINS**3)
    found.scatter_add_(1, bins.flatten(1), weights.flatten(1).float())
    grid = found.reshape(count, 1, BINS, BINS, BINS)
    kernel = torch.tensor([0.06, 0.24, 0.4, 0.24, 0.06])
    for axis in range(3):
        shape, padding = [1] * 5, [0] * 3
        shape[2 + axis], padding[axis] = 5, 2
        grid = torch.nn.functional.conv3d(grid, kernel.reshape(shape), padding=padding)
    return grid.reshape(count, -1)


AROUND = 1.05
"""Side of the crop to a region, as a multiple of the region's diameter."""


@value_type
class SmallViews:
    """Reduced views of a capture, or crops of them.

    Attributes:
        cameras: The views.
        colors: sRGB-encoded colours.
        known: Whether each pixel is known.
        bins: `color_bins` of the colours.
        contrast: Difference of colours that counts as an edge, per view.
        boxes: Left, top, width and height of each crop, as fractions of the whole picture.
    """

    cameras: Cameras
    colors: Float[np.ndarray, "N H W 3"]
    known: Bool[Tensor, "N H W"]
    bins: Int[Tensor, "N H W"]
    contrast: tuple[float, ...]
    boxes: Float[Tensor, "N 4"]

    @property
    def grey(self) -> Float[Tensor, "N H W"]:
        """Grey values, sRGB-encoded."""
        return torch.from_numpy(self.colors).float() @ torch.tensor([0.25, 0.5, 0.25])

    def from_whole(self, pictures: Float[Tensor, "N h w"]) -> Float[Tensor, "N H W"]:
        """Crop pictures of whole views to these crops."""
        size = self.known.shape[1:]
        return torch.cat([_part(p, box, size) for p, box in zip(pictures, self.boxes.tolist(), strict=True)])

    def to_whole(self, pictures: Float[Tensor, "N H W"], width: int, height: int) -> Float[Tensor, "N h w"]:
        """Paste pictures of the crops into whole views; 0 outside of the crops."""
        boxes = [[-left / w, -top / h, 1 / w, 1 / h] for left, top, w, h in self.boxes.tolist()]
        rows = [_part(p, box, (height, width)) for p, box in zip(pictures, boxes, strict=True)]
        return torch.cat(rows)


def _part(picture: Float[Tensor, "h w"], box: list[float], size: tuple[int, ...]) -> Float[Tensor, "1 H W"]:
    """Crop of a picture by linear interpolation; 0 outside."""
    left, top, width, height = box
    v, u = (
        ((torch.arange(n) + 0.5) / n * side + start)
        for n, side, start in zip(size, (height, width), (top, left), strict=True)
    )
    grid = torch.stack(torch.meshgrid(2 * u - 1, 2 * v - 1, indexing="xy"), dim=-1)
    return torch.nn.functional.grid_sample(picture[None, None], grid[None], align_corners=False)[0]


def small_views(capture: Capture, size: int) -> SmallViews:
    """The whole views reduced to a longer side of `size` pixels."""
    cameras = capture.cameras
    scale = min(1.0, size / max(cameras.width, cameras.height))
    width, height = (max(1, round(side * scale)) for side in (cameras.width, cameras.height))
    box = (0, 0, width, height)
    return _made_small(capture, [(width, height)] * len(capture), [box] * len(capture), (width, height))


def close_views(capture: Capture, region: Region, size: int) -> SmallViews:
    """Crops of each view to a region, at most `size` pixels wide and high; pictures are never enlarged."""
    cameras = capture.cameras.to("cpu")
    side = 2 * AROUND * region.radius * pixels_per_unit(cameras, region.center)
    side = side.clamp(8, 2 * max(cameras.width, cameras.height))
    length = min(size, math.ceil(float(side.max())))
    middles = cameras.project(region.center[None])[:, 0, :2]
    wholes, boxes = [], []
    for (u, v), full in zip(middles.tolist(), side.tolist(), strict=True):
        scale = min(1.0, length / full)
        whole = tuple(max(1, round(n * scale)) for n in (cameras.width, cameras.height))
        spans = [_span(middle * scale, length, n) for middle, n in zip((u, v), whole, strict=True)]
        wholes.append((whole[0], whole[1]))
        (left, right), (top, bottom) = spans
        boxes.append((left, top, right - left, bottom - top))
    return _made_small(capture, wholes, boxes, (length, length))


def _span(middle: float, length: int, end: int) -> tuple[int, int]:
    """First and last pixel of an interval around a centre, clipped to the picture, of at least one pixel."""
    start = round(middle - length / 2)
    first = min(max(0, start), end - 1)
    return first, min(end, max(start + length, first + 1))


def _made_small(
    capture: Capture,
    wholes: list[tuple[int, int]],
    boxes: list[tuple[int, int, int, int]],
    size: tuple[int, int],
) -> SmallViews:
    """Reduced crops of views, padded to a common size with unknown pixels at the right and bottom."""
    width, height = size
    colors = np.zeros((len(capture), height, width, 3), np.float32)
    known = torch.zeros(len(capture), height, width, dtype=torch.bool)
    K, contrast = capture.cameras.K.cpu().clone(), []
    for i, (whole, box) in enumerate(zip(wholes, boxes, strict=True)):
        left, top, columns, rows = box
        image = area_resize(capture.images[i][None], *whole, box)[0].clamp(0, 1).cpu()
        seen = area_resize(capture.known[i][None, ..., None].float(), *whole, box)[0, ..., 0].cpu() > 0.5
        encoded = linear_to_srgb(image)
        changes = [
            float((encoded.diff(dim=axis) ** 2).sum(-1).mean()) if encoded.shape[axis] > 1 else 0.0
            for axis in (0, 1)
        ]
        contrast.append(0.02 + math.sqrt(sum(changes) / 2))
        colors[i, :rows, :columns], known[i, :rows, :columns] = encoded.numpy(), seen
        K[i, 0] *= whole[0] / capture.cameras.width
        K[i, 1] *= whole[1] / capture.cameras.height
        K[i, 0, 2] -= left
        K[i, 1, 2] -= top
    cameras = replace(capture.cameras.to("cpu"), K=K, width=width, height=height)
    shares = [
        [left / w, top / h, width / w, height / h]
        for (w, h), (left, top, _, _) in zip(wholes, boxes, strict=True)
    ]
    bins = color_bins(torch.from_numpy(colors))
    return SmallViews(cameras, colors, known, bins, tuple(contrast), torch.tensor(shares))
