"""Edges of masks at full resolution: where exactly they run, and how much of a pixel the object covers."""

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from ...images.io import linear_to_srgb
from ...steps import counted
from ..capture import Capture
from ..masks import CROSS, local_mean, matte
from .cut import minimum_cut

MOST = 3.0
"""Local colours count for at most so many nats."""
SMOOTHNESS = 2.0
"""Cost of an outline between equal colours, nats per pixel."""


def with_edges(capture: Capture, masks: Bool[Tensor, "N h w"], blur: float | None = None) -> Capture:
    """The capture with soft masks at its own resolution, from binary ones of small pictures.

    In a band along the outline, as wide as the pixels of the small masks demand, a minimum cut decides by the
    colours on both sides nearby and by edges. Then coverage is found as for plain backgrounds (`masks.matte`).
    Along soft edges what is behind the object is subtracted from the picture, as `Capture.foreground` expects.

    Args:
        capture: The views.
        masks: Their masks, in any size.
        blur: By how many pixels of the capture outlines may be wrong; by default the size of a mask's pixel.
    """
    size = (capture.cameras.height, capture.cameras.width)
    reach = max(2, math.ceil(1.5 * (blur or size[1] / masks.shape[2])))
    images = capture.images.clone()
    soft = torch.zeros(capture.known.shape, device=images.device)
    for i in counted(range(len(capture)), "edges"):
        enlarged = torch.nn.functional.interpolate(masks[i][None, None].float(), size, mode="bilinear")
        inside, image = (enlarged[0, 0] > 0.5).numpy(), images[i].cpu().numpy()
        box = _around(inside, 4 * reach + 8)
        part = image[box]
        refined = _refined(part, inside[box], capture.known[i].cpu().numpy()[box], reach)
        coverage, behind = matte(part, refined)
        soft[i][box] = torch.from_numpy(coverage).to(soft)
        mixed = ((coverage > 0) & (coverage < 1))[..., None]
        light = np.where(mixed, (part - (1 - coverage[..., None]) * behind).clip(0), part)
        images[i][box] = torch.from_numpy(light.astype(np.float32)).to(images)
    return replace(capture, images=images, masks=soft * capture.known)


def _around(inside: Bool[np.ndarray, "H W"], margin: int) -> tuple[slice, slice]:
    """The part of a picture that holds the object, and a margin; all of it if there is no object."""
    if not inside.any():
        return slice(None), slice(None)
    rows, columns = (np.nonzero(inside.any(axis=axis))[0] for axis in (1, 0))
    return (
        slice(max(0, rows[0] - margin), rows[-1] + margin + 1),
        slice(max(0, columns[0] - margin), columns[-1] + margin + 1),
    )


def _refined(
    image: Float[np.ndarray, "H W 3"],
    inside: Bool[np.ndarray, "H W"],
    known: Bool[np.ndarray, "H W"],
    reach: int,
) -> Bool[np.ndarray, "H W"]:
    """The mask with its outline moved by up to `reach` pixels to where colours and edges say."""
    cores = [
        np.asarray(ndimage.binary_erosion(side, CROSS, iterations=reach, border_value=1), dtype=bool)
        for side in (inside, ~inside)
    ]
    free = ~cores[0] & ~cores[1] & known
    encoded = linear_to_srgb(torch.from_numpy(image).clamp(0, 1)).numpy()
    odds, near = [], []
    for core in cores:
        mean, there = local_mean(encoded, core & known, 2 * reach)
        square, _ = local_mean(encoded**2, core & known, 2 * reach)
        variance = (square - mean**2).clip(0).mean(axis=-1) + 0.03**2
        distance = ((encoded - mean) ** 2).sum(axis=-1)
        odds.append(-distance / (2 * variance) - 1.5 * np.log(variance))
        near.append(there)
    log_odds = np.where(near[0] & near[1], (odds[0] - odds[1]).clip(-MOST, MOST), 0)
    changes = [np.abs(np.diff(encoded, axis=axis)).sum(axis=-1) for axis in (0, 1)]
    contrast = 0.02 + math.sqrt(np.mean([float((c**2).mean()) for c in changes]))
    return minimum_cut(log_odds, encoded, SMOOTHNESS, contrast, free, inside)
