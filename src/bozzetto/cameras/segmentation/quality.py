"""How good masks look, where nothing is known: to choose among the regions that were tried."""

import numpy as np
from jaxtyping import Bool, Float

from .rounds import Masks
from .small_views import SmallViews

TOUCHING = 0.5
"""Masks all along the border of the pictures are worth less by this share: they are the room."""


def quality(views: SmallViews, masks: Masks) -> float:
    """A number in [0, 1]: outlines on edges, background that looks like background, no object along the frame.

    It is the product of three means over the views: how much of a full edge the outline runs along; the share
    of the background inside the region whose colour speaks for background; and 1 less half of the share of the
    picture's border that is object. It follows the IoU of known masks only roughly.
    """
    found = [
        _of_view(*view)
        for view in zip(
            views.colors,
            views.contrast,
            views.known.numpy(),
            masks.inside.numpy(),
            ((masks.region.depth(views.cameras) > 0) & ~masks.inside & views.known).numpy(),
            masks.evidence.numpy(),
            strict=True,
        )
    ]
    edges, behind, border = (float(np.mean(column)) for column in zip(*found, strict=True))
    return edges * behind * (1 - TOUCHING * border)


def _of_view(
    colors: Float[np.ndarray, "H W 3"],
    contrast: float,
    known: Bool[np.ndarray, "H W"],
    inside: Bool[np.ndarray, "H W"],
    beside: Bool[np.ndarray, "H W"],
    evidence: Float[np.ndarray, "H W"],
) -> tuple[float, float, float]:
    edges = []
    for axis in (0, 1):
        first, last = (np.take(known, range(k, known.shape[axis] - 1 + k), axis) for k in (0, 1))
        outline = np.diff(inside, axis=axis) & first & last
        change = (np.diff(colors, axis=axis)[outline] ** 2).sum(axis=-1)
        edges.append(1 - np.exp(-change / (2 * contrast**2)))
    along = np.concatenate(edges)
    rim = np.ones_like(inside)
    rim[2:-2, 2:-2] = False
    return (
        float(along.mean()) if along.size else 0.0,
        float((evidence[beside] < 0).mean()) if beside.any() else 0.0,
        float(inside[rim].mean()),
    )
