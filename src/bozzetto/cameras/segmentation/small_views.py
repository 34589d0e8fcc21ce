"""Small pictures in which masks are searched for: whole views, or the part of each that shows a region."""

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...images.io import linear_to_srgb
from ...values import value_type
from ..camera import Cameras
from ..capture import Capture, area_resize
from .colors import color_bins
from .space import Region, pixels_per_unit

AROUND = 1.05
"""Side of the part that shows a region, as a multiple of the region's diameter."""


@value_type
class SmallViews:
    """Views of a capture made small, or parts of them.

    Attributes:
        cameras: The views.
        colors: sRGB-encoded.
        known: Pixels that count.
        bins: `color_bins` of the colours.
        contrast: Difference of colours that counts as an edge, per view.
        boxes: Left, top, width and height of each part, as shares of the whole picture.
    """

    cameras: Cameras
    colors: Float[np.ndarray, "N H W 3"]
    known: Bool[Tensor, "N H W"]
    bins: Int[Tensor, "N H W"]
    contrast: tuple[float, ...]
    boxes: Float[Tensor, "N 4"]

    @property
    def grey(self) -> Float[Tensor, "N H W"]:
        """sRGB-encoded."""
        return torch.from_numpy(self.colors).float() @ torch.tensor([0.25, 0.5, 0.25])

    def from_whole(self, pictures: Float[Tensor, "N h w"]) -> Float[Tensor, "N H W"]:
        """Pictures of whole views, as these parts show them."""
        size = self.known.shape[1:]
        return torch.cat([_part(p, box, size) for p, box in zip(pictures, self.boxes.tolist(), strict=True)])

    def to_whole(self, pictures: Float[Tensor, "N H W"], width: int, height: int) -> Float[Tensor, "N h w"]:
        """The other way round; 0 outside the parts."""
        boxes = [[-left / w, -top / h, 1 / w, 1 / h] for left, top, w, h in self.boxes.tolist()]
        rows = [_part(p, box, (height, width)) for p, box in zip(pictures, boxes, strict=True)]
        return torch.cat(rows)


def _part(picture: Float[Tensor, "h w"], box: list[float], size: tuple[int, ...]) -> Float[Tensor, "1 H W"]:
    """Part of a picture, by linear interpolation; 0 outside."""
    left, top, width, height = box
    v, u = (
        ((torch.arange(n) + 0.5) / n * side + start)
        for n, side, start in zip(size, (height, width), (top, left), strict=True)
    )
    grid = torch.stack(torch.meshgrid(2 * u - 1, 2 * v - 1, indexing="xy"), dim=-1)
    return torch.nn.functional.grid_sample(picture[None, None], grid[None], align_corners=False)[0]


def small_views(capture: Capture, size: int) -> SmallViews:
    """The whole views with a longer side of `size` pixels, one after the other."""
    cameras = capture.cameras
    scale = min(1.0, size / max(cameras.width, cameras.height))
    width, height = (max(1, round(side * scale)) for side in (cameras.width, cameras.height))
    box = (0, 0, width, height)
    return _made_small(capture, [(width, height)] * len(capture), [box] * len(capture), (width, height))


def close_views(capture: Capture, region: Region, size: int) -> SmallViews:
    """The part of each view that shows a region, `size` pixels wide and high, or less: nothing is enlarged."""
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
    """Beginning and end of the pixels around a middle that a picture has; at least one of them."""
    start = round(middle - length / 2)
    first = min(max(0, start), end - 1)
    return first, min(end, max(start + length, first + 1))


def _made_small(
    capture: Capture,
    wholes: list[tuple[int, int]],
    boxes: list[tuple[int, int, int, int]],
    size: tuple[int, int],
) -> SmallViews:
    """Parts of views that are made small; what is missing to the size at the right and bottom is unknown."""
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
