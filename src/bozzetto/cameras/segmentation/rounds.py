"""Masks of all views in turns: colours, places in space, a minimum cut per view, and what other views say."""

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from ...values import value_type
from .colors import color_log_odds
from .cut import minimum_cut, without_false_holes
from .small_views import SmallViews
from .space import Region, region_samples
from .stereo import Stereo

MOST = 4.0
"""Colours count for at most so many nats: shadows and highlights look like nothing seen before."""
SMOOTHNESS = 1.5
"""Cost of an outline between equal colours, nats per pixel."""
AGREED = 0.9
"""Share of the other views that a place of the object has on its side, at least."""
CERTAIN = 0.95
"""Share of the other views that speak for a pixel."""
FIRST = 4.0
"""How much more the middle of the first region counts than its rim, as a power."""
SHOWN = 0.34
"""What fewer of the views have in their frame is not taken for object."""
IN_FRAME = 0.65
"""The region follows what so many of the views have in their frame."""
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
SUPPORT = 1.0
"""Nats for pixels deep inside what the other views agree on."""
STEREO = 10.0
"""Nats for a difference of correlations of 1 (`Stereo.log_odds`)."""
PLACES = 3.0
"""Places in space count for at most so many nats."""
GROUNDLESS = 0.5
"""What speaks for object counts so much where the ground is not known: it is in the region, too."""
FAT = 2
"""Pixels by which squares of pixels widen what stands in front: so near to outlines, places do not count."""


@value_type
class Masks:
    """Binary masks, and what the views made of them.

    Attributes:
        region: In which they were found.
        fitted: A region around what they agree on; None if nothing.
        inside: The object.
        agreeing: `Samples.agreeing` of these masks.
        log_odds: Log-odds of object by colour, in the last turn.
        places: Log-odds by places in space.
    """

    region: Region
    fitted: Region | None
    inside: Bool[Tensor, "N H W"]
    agreeing: Float[Tensor, "N H W"]
    log_odds: Float[Tensor, "N H W"]
    places: Float[Tensor, "N H W"]


def first_masks(views: SmallViews, stereo: Stereo, region: Region, across: int) -> Masks:
    """Masks of what differs from what is outside a region; the middle of the region counts most."""
    places = stereo_log_odds(views, stereo, region)
    examples = region.depth(views.cameras) ** FIRST * (2 * torch.sigmoid(places)).clamp(max=1)
    examples = torch.maximum(examples, 2 * torch.sigmoid(places) - 1)
    return _turn(views, region, examples, places, torch.zeros_like(places), across, 0.0)


def next_masks(views: SmallViews, stereo: Stereo, masks: Masks, region: Region, across: int) -> Masks:
    """Masks by the colours of earlier ones of the same views, and by what the views agree on."""
    examples = torch.maximum(masks.inside.float(), OTHERS * (masks.agreeing >= AGREED).float())
    places = stereo_log_odds(views, stereo, region)
    return _turn(views, region, examples, places, _prior(masks.inside, masks.agreeing), across, LOCAL)


def carried_over(masks: Masks, views: SmallViews) -> Masks:
    """Masks of whole views as parts of these views show them."""
    inside, *rest = (
        views.from_whole(p.float()) for p in (masks.inside, masks.agreeing, masks.log_odds, masks.places)
    )
    return Masks(masks.region, masks.fitted, inside > 0.5, *rest)


def stereo_log_odds(views: SmallViews, stereo: Stereo, region: Region) -> Float[Tensor, "N H W"]:
    """Log-odds of object by where pixels are in space; none near the outlines, which squares of pixels blur."""
    odds = (STEREO * stereo.preference(region)).clamp(-PLACES, PLACES)
    least = -torch.nn.functional.max_pool2d(-odds[:, None], 2 * FAT + 1, stride=1, padding=FAT)[:, 0]
    most = torch.nn.functional.max_pool2d(odds[:, None], 2 * FAT + 1, stride=1, padding=FAT)[:, 0]
    speaks = torch.where(odds > 0, odds * (least > -1), odds * (most < 1))
    if region.ground is None:
        speaks = torch.where(speaks > 0, GROUNDLESS * speaks, speaks)
    return views.from_whole(speaks)


def _turn(
    views: SmallViews,
    region: Region,
    inside: Float[Tensor, "N H W"],
    places: Float[Tensor, "N H W"],
    prior: Float[Tensor, "N H W"],
    across: int,
    local: float,
) -> Masks:
    known = views.known.float()
    log_odds = color_log_odds(views.bins, inside * known, (1 - inside) * known, local).clamp(-MOST, MOST)
    total = torch.where(views.known, log_odds + places + prior, prior.clamp(max=0))
    free = (region.depth(views.cameras) > 0).numpy()
    rows = zip(total.numpy(), views.colors, views.contrast, free, strict=True)
    cuts = [minimum_cut(e, c, SMOOTHNESS, edge, f, np.zeros_like(f)) for e, c, edge, f in rows]
    space = region_samples(region, views.cameras, views.known, across)
    half, more = (max(2, math.ceil(share * len(views.cameras))) for share in (SHOWN, IN_FRAME))
    masks = torch.from_numpy(np.stack(cuts))
    masks = without_false_holes(masks, space, AGREED, half)
    unclear = UNCLEAR * (log_odds + places > DOUBT).float()
    possible = torch.where(masks | ~views.known, 1.0, unclear)
    agreeing = space.agreeing(possible, half)
    return Masks(region, space.fitted(possible, more, AGREED), masks, agreeing, log_odds, places)


def grown(region: Region, fitted: Region | None) -> Region:
    """The region for the next turn: the fitted one, at most half as large again as the last, on its ground."""
    if fitted is None:
        return region
    return replace(region, center=fitted.center, radius=min(fitted.radius, 1.5 * region.radius))


def _prior(masks: Bool[Tensor, "N H W"], agreeing: Float[Tensor, "N H W"]) -> Float[Tensor, "N H W"]:
    """Log-odds of object by what the other views say."""
    against = -REFUSAL * ((AGREED - agreeing) / (1 - AGREED)).clamp(0, 1)
    hull = (agreeing >= CERTAIN).numpy()
    deep = np.stack([np.asarray(ndimage.distance_transform_edt(h)) for h in hull])
    reach = 0.15 * np.sqrt(masks.sum(dim=(1, 2)).numpy().clip(min=16))[:, None, None]
    support = SUPPORT * ((deep - 2) / reach).clip(0, 1)
    return against + torch.from_numpy(support.astype(np.float32))
