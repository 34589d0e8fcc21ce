"""Masks of photographs without a plain background.

All views take turns: colours, places in space, a minimum cut per view, and what the other views say.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from ...errors import InputError, join_names, warn_input
from ...steps import counted, stage
from ...values import value_type
from ..agreement import agreement, outlines
from ..camera import doubtful_intrinsics
from ..capture import Capture
from .edges import minimum_cut, with_edges, without_false_holes
from .region import find_ground, standing_on, starting_region
from .small_views import SmallViews, close_views, color_log_odds, small_views
from .space import Region, region_samples
from .stereo import Stereo, plane_sweep

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


COARSE, FINE = 128, 256
"""Longer side, in pixels, of the pictures in which masks are searched for, and of the parts of them in which
masks are finished."""
SIZES = (0.6, 0.85, 1.2)
"""Radii of the balls that are tried, as shares of the radius that fits into half of the pictures."""
GROWN = (0.9, 1.2)
"""Or, where something stands on the ground, as shares of the radius around it."""
SURE, CONTRAST = 0.8, 0.5
"""Correlation and weight of pixels that are taken for points of the scene."""
TURNS = 4
"""Turns in the coarse pictures for every region, and once more for the best; the region may grow in each."""
LAST = 3
"""Turns in the fine ones."""
SAMPLES = 48
"""Samples along the diameter of a region in coarse pictures; twice as many in fine ones."""
DOUBTFUL = 0.1
"""Masks of which the others see more than this share as background are named."""


def segment(capture: Capture, around: Sequence[tuple[str, float, float]] = ()) -> Capture:
    """The capture with masks of the object that all views look at, whatever is behind it.

    After Campbell et al. 2007 and 2010: the object is what lies in a region that all views look at and differs
    in colour from what is around it. A ball is put there (`region`), and pixels are compared with other views
    at places inside and outside (`stereo`, after Kowdle et al. 2012). If there is a ground on which something
    stands, the region is what is around that, above the ground (`ground`); else balls of several sizes are
    tried. In turns, colours of object and background are learned from the masks so far, every view is segmented
    by a minimum cut, and space shows where the views agree: a pixel is object only if somewhere on its ray most
    other views have object, too. The region follows what they agree on. Deviations from the papers: views are
    cut one by one and not space as a whole, which keeps outlines sharp, and background colours are learned in
    parts of each picture.

    Source: Campbell et al. 2010, segmentation without user input.

    Source: Kowdle et al. 2012, stereo as a cue.

    Args:
        capture: Views of which nothing is known but pictures and cameras; points help to find the object.
        around: Pixels of the object, if it is not found by itself: name of the view, column and row.

    Returns:
        The views that show the object, with soft masks. What lies outside a frame stays unknown. Along soft
        edges the light of what is behind is subtracted from the pictures.

    Raises:
        InputError: No object is found, or `around` names none of the views.
    """
    if len(capture) < 3:
        raise InputError(
            f"masks cannot be found in {len(capture)} photographs with a room behind; expected 3 or more, "
            "take more or give a masks folder"
        )
    with stage("masks"):
        masks, views = _search(capture, around)
        size = capture.cameras.width, capture.cameras.height
        inside = views.to_whole(masks.inside.float(), *size) > 0.5
        kept = _with_object(capture, inside if masks.fitted is not None else torch.zeros_like(inside))
        blur = max(1.0, size[0] * float(views.boxes[:, 2].max()) / views.cameras.width)
        found = with_edges(replace(capture, masks=None).subset(kept), inside[kept], blur)
    _report(found)
    return found


def _search(capture: Capture, around: Sequence[tuple[str, float, float]]) -> tuple[Masks, SmallViews]:
    """Masks, and the parts of the views in which they are."""
    views, start = small_views(capture, COARSE), starting_region(capture, around)
    stereo = plane_sweep(views.grey, views.known, views.cameras, start)
    tried: list[tuple[float, Masks]] = []
    for region in counted(_candidates(capture, views, stereo, start), "object"):
        masks = first_masks(views, stereo, region, SAMPLES)
        tried += _turns(views, stereo, masks, TURNS, SAMPLES)
    best = max(tried, key=lambda t: t[0])
    best = max([best, *_turns(views, stereo, best[1], TURNS, SAMPLES)], key=lambda t: t[0])
    whole = small_views(capture, FINE)
    stereo = plane_sweep(whole.grey, whole.known, whole.cameras, best[1].region)
    close = close_views(capture, best[1].region, FINE)
    turns = _turns(close, stereo, carried_over(best[1], close), LAST, 2 * SAMPLES)
    return max(turns, key=lambda t: t[0])[1], close


def _candidates(capture: Capture, views: SmallViews, stereo: Stereo, start: Region) -> list[Region]:
    """Regions to try: around what stands on the ground, or of several sizes."""
    points = stereo.points(SURE, CONTRAST)
    if capture.points is not None:
        points = torch.cat([points, capture.points.positions.to(points)])
    start = replace(start, ground=find_ground(points, views.cameras, start))
    thing = standing_on(points, start)
    if thing is not None:
        return [replace(thing, radius=size * thing.radius) for size in GROWN]
    return [replace(start, radius=size * start.radius) for size in SIZES]


def _turns(
    views: SmallViews, stereo: Stereo, masks: Masks, turns: int, across: int
) -> list[tuple[float, Masks]]:
    """Masks after each turn, with their quality."""
    found = []
    for _ in counted(range(turns), "object"):
        masks = next_masks(views, stereo, masks, grown(masks.region, masks.fitted), across)
        found.append((quality(views, masks), masks))
    return found


def _with_object(capture: Capture, inside: Bool[Tensor, "N H W"]) -> list[int]:
    """The views in which there is some object and some background; the others are named."""
    shares = [float(m.float().mean()) for m in inside]
    kept = [i for i, share in enumerate(shares) if 1e-4 < share < 0.999]
    if 2 * len(kept) < len(capture):
        doubts = ", ".join(doubtful_intrinsics(capture.cameras))
        raise InputError(
            f"no object is found that the {len(capture)} photographs have in common; "
            + (f"{doubts}? If not, " if doubts else "")
            + "point at it with --around, or give a masks folder"
        )
    left = [name for i, name in enumerate(capture.names) if i not in kept]
    if left:
        warn_input(
            f"{len(left)} photographs that show no outline of the object are left out: {join_names(left)}"
        )
    return kept


def _report(capture: Capture) -> None:
    """Warn of masks that do not fit those of the other views."""
    try:
        missing = agreement(outlines(capture)).missing
    except InputError:
        return
    bad = [n for n, m in zip(capture.names, missing.tolist(), strict=True) if m > DOUBTFUL]
    if bad:
        warn_input(
            f"the masks of {join_names(bad)} do not fit those of the other photographs; mend them, or leave "
            "these photographs out"
        )


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
            masks.log_odds.numpy(),
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
    log_odds: Float[np.ndarray, "H W"],
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
        float((log_odds[beside] < 0).mean()) if beside.any() else 0.0,
        float(inside[rim].mean()),
    )
