"""Holes of masks: gaps that are seen through, or parts of the object that look like what is behind it."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from scipy import ndimage
from torch import Tensor

from .space import Samples

CONTRADICTED = 8
"""A hole is filled where other views show object so many times as often as background."""


def without_false_holes(
    masks: Bool[Tensor, "N H W"], space: Samples, share: float, least: int
) -> Bool[Tensor, "N H W"]:
    """Masks, with the holes filled that the other views contradict: a face may be as pale as the wall.

    Were a hole a gap, the object would have a tunnel along the rays through it. Pixels of other views whose
    rays meet nothing but this tunnel would then show background. They are counted: those in holes of their own
    views speak for a gap, those that show object against it. Measured: against a pale face before a pale wall
    spoke 30 to 500 times as many as for it; where gaps between the columns of a temple were wider than 1 % of
    the mask, at most 6 times as many.

    Args:
        masks: Of all views.
        space: Samples of the region of the object.
        share: Share of the views that a sample of the object has on its side, at least.
        least: Views that show a sample of the object, at least.
    """
    whole = torch.from_numpy(
        np.stack([np.asarray(ndimage.binary_fill_holes(mask)) for mask in masks.numpy()])
    )
    solid = space.agreed(whole.float(), share, least)
    pixels, seen = space.pixels[:, solid], space.seen[:, solid]
    samples = torch.stack(
        [torch.bincount(p[s], minlength=masks[0].numel()) for p, s in zip(pixels, seen, strict=True)]
    )
    filled = masks.clone()
    for view in range(len(masks)):
        parts: Any = ndimage.label((whole[view] & ~masks[view]).numpy())
        labels = torch.from_numpy(parts[0])
        for number in range(1, parts[1] + 1):
            hole = labels == number
            tunnel = hole.flatten()[pixels[view]] & seen[view]
            others = [i for i in range(len(masks)) if i != view]
            shown = [_through(pixels[i][tunnel & seen[i]], samples[i]) for i in others]
            against = sum(int(masks[i].flatten()[p].sum()) for i, p in zip(others, shown, strict=True))
            enclosed = sum(int(whole[i].flatten()[p].sum()) for i, p in zip(others, shown, strict=True))
            if against > CONTRADICTED * (enclosed - against):
                filled[view] |= hole
    return filled


def _through(tunnel: Int[Tensor, "T"], samples: Int[Tensor, "P"]) -> Int[Tensor, "Q"]:
    """The pixels of a view that show no sample beside those of a tunnel.

    Args:
        tunnel: The pixel of each sample of the tunnel.
        samples: How many samples each pixel shows.
    """
    pixels, count = tunnel.unique(return_counts=True)
    return pixels[count == samples[pixels]]
