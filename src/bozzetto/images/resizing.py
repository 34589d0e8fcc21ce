"""Resizing of pictures and maps: area averages for reduction, bilinear interpolation for enlargement."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d


def area_resize(
    images: Float[Tensor, "N H W C"], width: int, height: int, box: tuple[int, int, int, int] | None = None
) -> Float[Tensor, "N h w C"]:
    """Resize so that every new pixel is the mean over its area, for any ratio of the sizes.

    Args:
        images: Pictures.
        width: New number of columns.
        height: New number of rows.
        box: Left, top, width and height of the part of the new pictures to return; None for all.
    """
    left, top, columns, rows = box or (0, 0, width, height)
    for axis, size, start, count in ((1, height, top, rows), (2, width, left, columns)):
        if images.shape[axis] != size:
            images = _averages(images, axis, images.shape[axis] / size, 0, range(start, start + count))
        else:
            images = images.narrow(axis, start, count)
    return images


def area_resize_rows(
    rows: Float[Tensor, "N r W C"], ratio: float, first: int, top: int, bottom: int
) -> Float[Tensor, "N t W C"]:
    """Rows of the result of `area_resize`, from the old rows that they cover.

    Args:
        rows: Old rows, starting with row `first`.
        ratio: Old rows per new one.
        first: Number of the first of the old rows.
        top: Number of the first new row.
        bottom: Number of the row after the last new row.
    """
    return _averages(rows, 1, ratio, first, range(top, bottom))


def _averages(images: Tensor, axis: int, ratio: float, first: int, new: range) -> Tensor:
    """Means over intervals of one axis, given its cells from number `first` on."""
    edges = torch.arange(new.start, new.stop + 1, dtype=torch.float64) * ratio
    start = (edges[:-1] + 1e-9).floor().long()
    count = max(1, int(((edges[1:] - 1e-9).ceil().long() - start).max()))
    total: Tensor | None = None
    for k in range(count):
        cell = start + k
        share = (torch.minimum(edges[1:], cell + 1) - torch.maximum(edges[:-1], cell)).clamp(min=0) / ratio
        index = (cell - first).clamp(0, images.shape[axis] - 1).to(images.device)
        weight = share.to(images).reshape([-1] + [1] * (images.ndim - 1 - axis))
        part = images.index_select(axis, index) * weight
        total = part if total is None else total.add_(part)
    assert total is not None
    return total


def resized(maps: Float[Tensor, "C H W"], size: Sequence[int]) -> Float[Tensor, "C h w"]:
    """Resize by area averages if smaller, bilinearly if larger."""
    shape = tuple(maps.shape[-2:])
    if shape == tuple(size):
        return maps
    smaller = (min(shape[0], size[0]), min(shape[1], size[1]))
    maps = adaptive_avg_pool2d(maps, smaller)
    if smaller == tuple(size):
        return maps
    return torch.nn.functional.interpolate(maps[None], size=tuple(size), mode="bilinear")[0]
