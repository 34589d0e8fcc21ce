"""Masks of all views in turns: colours, a minimum cut per view, and what the other views say."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor

from ..camera import Cameras
from ..capture import Capture, area_resize
from ..images import linear_to_srgb
from .colors import color_bins, color_evidence
from .cut import minimum_cut
from .space import Ball, sampled

NEVER = -50.0
"""Evidence outside the ball, nats."""
MOST = 4.0
"""Colours count for at most so many nats: shadows and highlights look like nothing seen before."""
SMOOTHNESS = 1.5
"""Cost of an outline between equal colours, nats per pixel."""
AGREED = 0.85
"""Share of the other views that a place of the object has on its side, at least."""
CERTAIN = 0.9
"""Share of the other views that speak for a pixel."""
FIRST = 4.0
"""How much more the middle of the first ball counts than its rim, as a power."""
SHOWN = 0.34
"""What fewer of the views have in their frame is not taken for object."""
IN_FRAME = 0.65
"""The ball follows what so many of the views have in their frame."""
LOCAL = 0.5
"""Weight of the background's colours near a pixel beside those in the whole view."""
DOUBT = -1.0
"""A background pixel with more evidence than this speaks neither for nor against the object."""
UNCLEAR = 0.6
"""What these count for where 1 is object and 0 background."""
OTHERS = 0.5
"""Weight of pixels as examples of the object that only the other views take for object."""
REFUSAL = 6.0
"""Nats against pixels where no place is agreed on by most views."""
SUPPORT = 2.0
"""Nats for pixels deep inside what the other views agree on."""


@dataclass(frozen=True)
class Small:
    """Views of a capture made small.

    Attributes:
        cameras: The views.
        colors: sRGB-encoded.
        known: Pixels that count.
        bins: `color_bins` of the colours.
        contrast: Difference of colours that counts as an edge, per view.
    """

    cameras: Cameras
    colors: Float[np.ndarray, "N H W 3"]
    known: Bool[Tensor, "N H W"]
    bins: Int[Tensor, "N H W"]
    contrast: tuple[float, ...]

    def subset(self, index: list[int]) -> "Small":
        """The views at these positions."""
        contrast = tuple(self.contrast[i] for i in index)
        return Small(self.cameras[index], self.colors[index], self.known[index], self.bins[index], contrast)


def small_views(capture: Capture, size: int) -> Small:
    """The views of a capture with a longer side of `size` pixels, one after the other."""
    cameras = capture.cameras
    scale = min(1.0, size / max(cameras.width, cameras.height))
    width, height = (max(1, round(side * scale)) for side in (cameras.width, cameras.height))
    colors, known = [], []
    for image, seen in zip(capture.images, capture.known, strict=True):
        colors.append(linear_to_srgb(area_resize(image[None], width, height).clamp(0, 1))[0])
        known.append(area_resize(seen[None, ..., None].float(), width, height)[0, ..., 0] > 0.5)
    encoded = torch.stack(colors).cpu()
    contrast = [
        0.02 + math.sqrt(float((c.diff(dim=0) ** 2).sum(-1).mean() + (c.diff(dim=1) ** 2).sum(-1).mean()) / 2)
        for c in encoded
    ]
    return Small(
        cameras.to("cpu").resized(width, height),
        encoded.numpy(),
        torch.stack(known).cpu(),
        color_bins(encoded),
        tuple(contrast),
    )


@dataclass(frozen=True)
class Masks:
    """Binary masks, and what the views made of them.

    Attributes:
        ball: The region in which they were found.
        fitted: A ball around what they agree on; None if nothing.
        inside: The object.
        agreeing: `Samples.agreeing` of these masks.
        evidence: Log-odds of object by colour, in the last round.
    """

    ball: Ball
    fitted: Ball | None
    inside: Bool[Tensor, "N H W"]
    agreeing: Float[Tensor, "N H W"]
    evidence: Float[Tensor, "N H W"]


def first_masks(views: Small, ball: Ball, across: int = 48) -> Masks:
    """Masks of what differs in colour from what is outside a ball; the middle of the ball counts most."""
    depth = ball.depth(views.cameras)
    return _turn(views, ball, depth**FIRST, torch.zeros_like(depth), across, 0.0)


def next_masks(views: Small, masks: Masks, ball: Ball, across: int = 48) -> Masks:
    """Masks by the colours of earlier ones, which may be of another size, and by what the views agree on."""
    size = views.known.shape[1:]
    inside, agreeing = (
        torch.nn.functional.interpolate(p[:, None].float(), size, mode="bilinear")[:, 0]
        for p in (masks.inside, masks.agreeing)
    )
    examples = torch.maximum((inside > 0.5).float(), OTHERS * (agreeing >= AGREED).float())
    return _turn(views, ball, examples, _prior(inside > 0.5, agreeing), across, LOCAL)


def _turn(
    views: Small,
    ball: Ball,
    inside: Float[Tensor, "N H W"],
    prior: Float[Tensor, "N H W"],
    across: int,
    local: float,
) -> Masks:
    known = views.known.float()
    evidence = color_evidence(views.bins, inside * known, (1 - inside) * known, local=local).clamp(
        -MOST, MOST
    )
    total = torch.where(views.known, evidence + prior, prior.clamp(max=0))
    free = (ball.depth(views.cameras) > 0).numpy()
    rows = zip(total.numpy(), views.colors, views.contrast, free, strict=True)
    cuts = [minimum_cut(e, c, SMOOTHNESS, edge, f, np.zeros_like(f)) for e, c, edge, f in rows]
    masks = torch.from_numpy(np.stack(cuts))
    space = sampled(ball, views.cameras, views.known, across)
    half, more = (max(2, math.ceil(share * len(views.cameras))) for share in (SHOWN, IN_FRAME))
    unclear = UNCLEAR * (evidence > DOUBT).float()
    possible = torch.where(masks | ~views.known, 1.0, unclear)
    return Masks(ball, space.fitted(possible, more, AGREED), masks, space.agreeing(possible, half), evidence)


def grown(ball: Ball, fitted: Ball | None) -> Ball:
    """The ball for the next turn: the fitted one, at most half as large again as the last."""
    if fitted is None:
        return ball
    return Ball(fitted.center, min(fitted.radius, 1.5 * ball.radius))


def _prior(masks: Bool[Tensor, "N H W"], agreeing: Float[Tensor, "N H W"]) -> Float[Tensor, "N H W"]:
    """Log-odds of object by what the other views say."""
    against = -REFUSAL * ((AGREED - agreeing) / (1 - AGREED)).clamp(0, 1)
    hull = (agreeing >= CERTAIN).numpy()
    deep = np.stack([np.asarray(ndimage.distance_transform_edt(h)) for h in hull])
    reach = 0.15 * np.sqrt(masks.sum(dim=(1, 2)).numpy().clip(min=16))[:, None, None]
    support = SUPPORT * ((deep - 2) / reach).clip(0, 1)
    return against + torch.from_numpy(support.astype(np.float32))
