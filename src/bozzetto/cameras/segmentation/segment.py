"""Segmentation of the object in photographs without a plain background.

The steps are repeated: learning colours, positions in space by stereo, a minimum cut per view, and agreement of
the views.
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
"""Largest log-odds by colours, in nats, since shadows and highlights have colours without examples."""
SMOOTHNESS = 1.5
"""Cost of an outline between equal colours, nats per pixel."""
AGREED = 0.9
"""Smallest fraction of the other views that agree on a point of the object."""
CERTAIN = 0.95
"""Fraction of agreeing other views at which a pixel is certainly object."""
FIRST = 4.0
"""Exponent of the larger weight of the centre of the first region."""
SHOWN = 0.34
"""Smallest fraction of the views with a point of the object in their frame."""
IN_FRAME = 0.65
"""Fraction of the views that must have points in their frame for the region to follow them."""
LOCAL = 0.5
"""Weight of the background's colours near a pixel relative to those in the whole view."""
DOUBT = -1.0
"""Log-odds above which a background pixel counts as undecided."""
UNCLEAR = 0.6
"""Value of undecided pixels, where 1 is object and 0 background."""
OTHERS = 0.5
"""Weight, as examples of the object, of pixels that are object only according to the other views."""
REFUSAL = 6.0
"""Log-odds against pixels without a point on their ray that most views agree on, in nats."""
SUPPORT = 1.0
"""Log-odds for pixels deep inside the part that the other views agree on, in nats."""
STEREO = 10.0
"""Log-odds per difference of correlations of 1 (`stereo_log_odds`), in nats."""
PLACES = 3.0
"""Largest log-odds by positions in space, in nats."""
GROUNDLESS = 0.5
"""Factor on positive log-odds by positions if the ground is unknown, since it is inside the region, too."""
FAT = 2
"""Distance from outlines, in pixels, within which positions are not used, since windows widen foreground
objects."""


@value_type
class Masks:
    """Binary masks, and quantities from which they were computed.

    Attributes:
        region: Region in which they were found.
        fitted: A region around the part that the views agree on; None if there is none.
        inside: Whether each pixel is object.
        agreeing: `RegionSamples.agreeing` of these masks.
        log_odds: Log-odds of object by colour, in the last round.
        places: Log-odds of object by positions in space.
    """

    region: Region
    fitted: Region | None
    inside: Bool[Tensor, "N H W"]
    agreeing: Float[Tensor, "N H W"]
    log_odds: Float[Tensor, "N H W"]
    places: Float[Tensor, "N H W"]


def first_masks(views: SmallViews, stereo: Stereo, region: Region, across: int) -> Masks:
    """First masks: pixels whose colours differ from those outside of a region; its centre has the largest
    weight."""
    places = stereo_log_odds(views, stereo, region)
    examples = region.depth(views.cameras) ** FIRST * (2 * torch.sigmoid(places)).clamp(max=1)
    examples = torch.maximum(examples, 2 * torch.sigmoid(places) - 1)
    return _turn(views, region, examples, places, torch.zeros_like(places), across, 0.0)


def next_masks(views: SmallViews, stereo: Stereo, masks: Masks, region: Region, across: int) -> Masks:
    """Next masks, from the colours of earlier masks of the same views and from the agreement of the views."""
    examples = torch.maximum(masks.inside.float(), OTHERS * (masks.agreeing >= AGREED).float())
    places = stereo_log_odds(views, stereo, region)
    return _turn(views, region, examples, places, _prior(masks.inside, masks.agreeing), across, LOCAL)


def carried_over(masks: Masks, views: SmallViews) -> Masks:
    """Crop masks of whole views to parts of these views."""
    inside, *rest = (
        views.from_whole(p.float()) for p in (masks.inside, masks.agreeing, masks.log_odds, masks.places)
    )
    return Masks(masks.region, masks.fitted, inside > 0.5, *rest)


def stereo_log_odds(views: SmallViews, stereo: Stereo, region: Region) -> Float[Tensor, "N H W"]:
    """Log-odds of object by positions of pixels in space; 0 near outlines, which windows blur."""
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
    """The region for the next round: the fitted one, at most 1.5 times as large as the last, on the same
    ground."""
    if fitted is None:
        return region
    return replace(region, center=fitted.center, radius=min(fitted.radius, 1.5 * region.radius))


def _prior(masks: Bool[Tensor, "N H W"], agreeing: Float[Tensor, "N H W"]) -> Float[Tensor, "N H W"]:
    """Log-odds of object by agreement of the other views."""
    against = -REFUSAL * ((AGREED - agreeing) / (1 - AGREED)).clamp(0, 1)
    hull = (agreeing >= CERTAIN).numpy()
    deep = np.stack([np.asarray(ndimage.distance_transform_edt(h)) for h in hull])
    reach = 0.15 * np.sqrt(masks.sum(dim=(1, 2)).numpy().clip(min=16))[:, None, None]
    support = SUPPORT * ((deep - 2) / reach).clip(0, 1)
    return against + torch.from_numpy(support.astype(np.float32))


COARSE, FINE = 128, 256
"""Longer side, in pixels, of the pictures in which masks are searched for, and of the crops in which they are
refined."""
SIZES = (0.6, 0.85, 1.2)
"""Radii of the balls that are tried, as fractions of the radius that fits into half of the pictures."""
GROWN = (0.9, 1.2)
"""Radii that are tried if there is an object on the ground, as fractions of the radius around it."""
SURE, CONTRAST = 0.8, 0.5
"""Smallest correlation and weight of pixels that are used as points of the scene."""
TURNS = 4
"""Number of rounds in coarse pictures for every region, and again for the best; the region may grow in each."""
LAST = 3
"""Number of rounds in fine pictures."""
SAMPLES = 48
"""Number of samples along the diameter of a region in coarse pictures; twice as many in fine ones."""
DOUBTFUL = 0.1
"""Fraction of a mask that is background for the others above which a warning names it."""


def segment(capture: Capture, around: Sequence[tuple[str, float, float]] = ()) -> Capture:
    """The capture with masks of the object that all views look at, with any background.

    Following Campbell et al. 2007 and 2010, the object lies in a region that all views look at, and differs in
    colour from its surroundings. The region is a ball (`starting_region`). Pixels are compared with other views
    at positions inside and outside of it (`stereo`, after Kowdle et al. 2012). If there is a ground with an
    object on it, the region is around this object, above the ground (`find_ground`); otherwise balls of several
    sizes are tried. In every round, colours of object and background are learned from the current masks, every
    view is segmented by a minimum cut, and the views are compared in space: a pixel is object only if most
    other views have object at some point of its ray. The region follows the part that they agree on. Deviations
    from the papers: views are cut one by one instead of space as a whole, which keeps outlines sharp, and
    background colours are learned in parts of each picture.

    Source: Campbell et al. 2010, segmentation without user input.

    Source: Kowdle et al. 2012, stereo as a cue.

    Args:
        capture: Views with pictures and cameras; scene points help to find the object.
        around: Pixels on the object, if it is not found automatically: name of the view, column and row.

    Returns:
        The views that show the object, with soft masks. Unknown pixels stay unknown. Along soft edges the
        background is subtracted from the pictures.

    Raises:
        InputError: No object is found, or `around` names a view that does not exist.
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
    """Masks, and the crops of the views to which they belong."""
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
    """Regions to try: around an object on the ground, or balls of several sizes."""
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
    """Masks after each round, with their quality."""
    found = []
    for _ in counted(range(turns), "object"):
        masks = next_masks(views, stereo, masks, grown(masks.region, masks.fitted), across)
        found.append((quality(views, masks), masks))
    return found


def _with_object(capture: Capture, inside: Bool[Tensor, "N H W"]) -> list[int]:
    """The views with both object and background; a warning names the others."""
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
    """Warn of masks that contradict those of the other views."""
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
"""Factor by which the quality of masks along the whole border of the pictures is reduced, since they are
background."""


def quality(views: SmallViews, masks: Masks) -> float:
    """Quality of masks in [0, 1]: outlines on edges, background of background colours, no object at the border.

    It is the product of three means over the views: the strength of edges along the outline; the fraction of
    the background inside the region whose colour is more likely background; and 1 minus half of the fraction of
    the picture's border that is object. It is only roughly correlated with the IoU with true masks.
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
