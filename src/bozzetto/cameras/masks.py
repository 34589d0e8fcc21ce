"""Masks computed from a plain background of any colour, which may be uneven and as dark as shadows."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from skimage.filters import threshold_otsu
from torch import Tensor

from ..errors import InputError, warn_input
from ..images.io import linear_to_srgb
from ..steps import counted, stage
from ..values import value_type
from .agreement import agreement, outlines
from .capture import Capture
from .consistency import blamed_pixels, compare_masks

DEEP = 0.4
"""Pixels whose difference from the background is less than this fraction of the threshold look like
background."""
CLEAR = 1.5
"""Pixels whose difference is more than this multiple of the threshold are certainly object."""
ENCLOSED = 0.7
"""Smallest fraction of the surroundings of a shaded region that is object, for it to be possibly object."""
PLAIN = 0.06
"""Largest difference of a border pixel from the median border colour at which it belongs to a plain
background."""
PICTURE_NOISE = 0.01
"""Standard deviation of the noise of a pixel's colour, in linear light."""
SOFT_WIDTH = 1.3
"""Width of a soft edge in pixels."""
EXPECTED_WITHIN = 0.1
"""Standard deviation of the coverage predicted from the distance to the border of the mask."""
CROSS: np.ndarray = ndimage.generate_binary_structure(2, 1)


def auto_masks(capture: Capture) -> Capture:
    """The capture with masks computed from the difference of pixels to the colour along the image border.

    1. One threshold for all views on the difference from each view's border colour: the geometric mean of
       Otsu's thresholds of the differences and of their square roots (the first is too high with dark parts of
       the object, the second too low with uneven background). The largest connected component is the object.
    2. A hole, crack or concavity in it is background if it has the colour of the border, otherwise uncertain.
    3. The views check each other through their visual hull (`consistency`). Clearly different pixels are
    object. Background pixels of the few views that contradict them become unknown, since they may be shadow.
    Uncertain holes that the hull of the other views covers are shadows and are filled. Components that differ
    weakly and that other views carve away are removed. The masks before this step are kept as
    `Capture.uncorrected`. If most of these contradict each other, this step is left out.
    4. Soft edges: the coverage of a pixel is the position of its colour between those of object and background
    nearby, in linear light.

    Raises:
        InputError: A view has no object that differs from its border; the message names it.
    """
    difference, known = _differences(capture), capture.known.cpu().numpy()
    threshold = _threshold(difference[known])
    rows = list(zip(difference, known, capture.names, strict=True))
    first = [_segment(d, k, threshold, name) for d, k, name in counted(rows, "masks")]
    inside, uncertain = np.stack([s.inside for s in first]), np.stack([s.uncertain for s in first])
    uncorrected = _with_binary_masks(capture, inside, hidden=uncertain)
    clear = torch.from_numpy(difference > CLEAR * threshold).to(capture.known.device)
    with stage("compare masks"):
        mended = _agree(capture, inside, uncertain, clear)
    inside = mended.require_masks().cpu().numpy() > 0.5
    background = _border_colors(capture.images.cpu().numpy(), known)
    rows = list(zip(capture.images, inside, background, strict=True))
    soft = [
        matte(image.cpu().numpy(), mask, behind)[0] for image, mask, behind in counted(rows, "soft edges")
    ]
    return replace(
        mended,
        masks=torch.from_numpy(np.stack(soft)).to(capture.images),
        background=torch.from_numpy(background).to(capture.images),
        uncorrected=uncorrected,
    )


def plain_background(capture: Capture) -> bool:
    """Whether most pictures have a uniform colour along their border, so that masks can be computed from it."""
    encoded = linear_to_srgb(capture.images.clamp(0, 1)).cpu().numpy()
    known = capture.known.cpu().numpy()
    border = _border_colors(encoded, known)
    shares = []
    for image, seen, color in zip(encoded, known, border, strict=True):
        rim = _rim(seen) & seen
        near = np.abs(image[rim] - color).mean(axis=-1) < PLAIN
        shares.append(float(near.mean()) if near.size else 0.0)
    return float(np.median(shares)) > 0.7


def _with_binary_masks(
    capture: Capture, inside: Bool[np.ndarray, "N H W"], hidden: Bool[np.ndarray, "N H W"]
) -> Capture:
    """The capture with these masks, in which the pixels `hidden` are unknown."""
    masks, unknown = torch.from_numpy(inside).to(capture.images), torch.from_numpy(hidden)
    return replace(capture, masks=masks, known=capture.known & ~unknown.to(capture.known.device))


@value_type
class _Segment:
    inside: Bool[np.ndarray, "H W"]
    uncertain: Bool[np.ndarray, "H W"]


def _border_colors(
    images: Float[np.ndarray, "N H W 3"], known: Bool[np.ndarray, "N H W"]
) -> Float[np.ndarray, "N 3"]:
    """Median colour of the known pixels along the image border, one per view."""
    rim = _rim(known[0])
    chosen = [i[rim & k] if (rim & k).any() else i.reshape(-1, 3) for i, k in zip(images, known, strict=True)]
    return np.stack([np.median(c, axis=0) for c in chosen]).astype(np.float32)


def _rim(picture: npt.NDArray[Any]) -> Bool[np.ndarray, "H W"]:
    """The pixels along the border of a picture."""
    height, width = picture.shape
    rim = np.ones((height, width), dtype=bool)
    depth = max(2, min(height, width) // 60)
    rim[depth : height - depth, depth : width - depth] = False
    return rim


def _differences(capture: Capture) -> Float[np.ndarray, "N H W"]:
    """Mean absolute difference of the three sRGB-encoded channels from the border colour."""
    encoded = linear_to_srgb(capture.images.clamp(0, 1)).cpu().numpy()
    border = _border_colors(encoded, capture.known.cpu().numpy())
    return np.abs(encoded - border[:, None, None]).mean(axis=-1)


def _threshold(differences: Float[np.ndarray, "P"]) -> float:
    if float(np.ptp(differences)) < 1e-3:
        raise InputError(
            "the photographs are of one colour all over; masks cannot be made, give a masks folder"
        )
    sample = differences[:: max(1, len(differences) // 2_000_000)]
    return math.sqrt(float(threshold_otsu(sample)) * float(threshold_otsu(np.sqrt(sample))) ** 2)


def _segment(
    difference: Float[np.ndarray, "H W"], known: Bool[np.ndarray, "H W"], threshold: float, name: str
) -> _Segment:
    smooth = ndimage.gaussian_filter(difference, 0.7)
    labels, count = _label((smooth > threshold) & known)
    if count == 0:
        raise InputError(
            f"no object stands out from the background of {name}; give a masks folder or leave this view out"
        )
    weights = ndimage.sum_labels(difference, labels, np.arange(count + 1))
    weights[0] = 0
    inside = labels == int(weights.argmax())
    dark = smooth < DEEP * threshold
    closed = ndimage.binary_closing(np.pad(inside, 4, mode="edge"), CROSS, iterations=3)[4:-4, 4:-4]
    uncertain = (closed & ~inside & ~dark & known) | _bays(inside, ~inside & ~dark & known)
    holes, count = _label(ndimage.binary_fill_holes(inside) & ~inside)
    if count:
        index = np.arange(1, count + 1)
        tiny = ndimage.sum_labels(np.ones_like(difference), holes, index) < 2e-4 * inside.sum()
        shaded = ndimage.median(smooth, holes, index) > DEEP * threshold
        inside = inside | np.isin(holes, index[tiny])
        uncertain = uncertain | np.isin(holes, index[shaded])
    return _Segment(inside, uncertain & ~inside)


def _bays(inside: Bool[np.ndarray, "H W"], shaded: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Shaded regions that are mostly surrounded by object: concavities of its outline that may be in shadow."""
    # The opening removes the soft rim of the outline.
    cores, count = _label(ndimage.binary_opening(shaded, CROSS, iterations=2))
    bays = np.zeros_like(inside)
    for core in (cores == i for i in range(1, count + 1)):
        near, around = (
            np.asarray(ndimage.binary_dilation(core, CROSS, iterations=n), dtype=bool) for n in (1, 3)
        )
        if inside[around & ~near].mean() > ENCLOSED:
            bays |= around & shaded
    return bays


def _label(regions: Bool[np.ndarray, "H W"]) -> tuple[npt.NDArray[Any], int]:
    labels = np.zeros(regions.shape, dtype=np.int32)
    ndimage.label(regions, output=labels)
    return labels, int(labels.max())


def _agree(
    capture: Capture,
    inside: Bool[np.ndarray, "N H W"],
    uncertain: Bool[np.ndarray, "N H W"],
    clear: Bool[Tensor, "N H W"],
) -> Capture:
    """Step 3 of `auto_masks`: the capture with binary masks that the views agree on."""

    nothing = np.zeros_like(uncertain)
    if len(capture) < 4:
        return _with_binary_masks(capture, inside, nothing)
    few = min(3, len(capture) // 4)
    inside = inside.copy()
    try:
        now = _with_binary_masks(capture, inside, uncertain)
        if agreement(outlines(now)).contradicts:
            return _with_binary_masks(capture, inside, nothing)
        result = compare_masks(now)
        hidden = (
            blamed_pixels(now, result, clear & (result.against > 0) & (result.against <= few)).cpu().numpy()
        )
        result = compare_masks(_with_binary_masks(capture, inside, uncertain | hidden))
        covered = result.hull_of_others.cpu().numpy()
        for i in range(len(capture)):
            inside[i] |= _mostly(uncertain[i], covered[i], 0.9)
        stray = ((result.against > few) | (~clear & (result.against > 1))).cpu().numpy()
        inside &= ~stray
    except InputError as error:
        warn_input(f"the masks could not be checked against each other: {error}")
        return _with_binary_masks(capture, inside, nothing)
    hidden &= ~inside
    _report(capture.names, inside, stray, "beside the object were removed, other views see past them")
    _report(capture.names, inside, hidden, "of background may be shadow, other views see the object there")
    return _with_binary_masks(capture, inside, hidden)


def _report(
    names: tuple[str, ...],
    inside: Bool[np.ndarray, "N H W"],
    changed: Bool[np.ndarray, "N H W"],
    what: str,
) -> None:
    """Warn of changes of step 3 that concern more than one per cent of a mask."""
    counts = [
        (int(c.sum()), name)
        for c, m, name in zip(changed, inside, names, strict=True)
        if c.sum() > 0.01 * m.sum()
    ]
    if counts:
        most, name = max(counts)
        where = f"in {len(counts)} photographs, most in {name}" if len(counts) > 1 else f"in {name}"
        warn_input(f"masks from the background: {most} pixels {what} ({where})")


def _mostly(
    regions: Bool[np.ndarray, "H W"], covered: Bool[np.ndarray, "H W"], share: float
) -> Bool[np.ndarray, "H W"]:
    """Connected regions of which at least this fraction is covered."""
    labels, count = _label(regions)
    if not count:
        return regions
    index = np.arange(1, count + 1)
    return np.isin(labels, index[ndimage.mean(covered, labels, index) >= share])


def matte(
    image: Float[np.ndarray, "H W 3"],
    inside: Bool[np.ndarray, "H W"],
    background: Float[np.ndarray, "3"] | None = None,
    radius: int = 3,
) -> tuple[Float[np.ndarray, "H W"], Float[np.ndarray, "H W 3"]]:
    """Compute soft coverage along the border of a binary mask.

    Within `radius` pixels of the border, the coverage of a pixel is the position of its colour between the mean
    colours of object and background nearby, both taken farther away from the border. Where the two do not
    differ enough, the binary mask is kept.

    Without a plain background colours vary. Then coverage is the mean of two estimates, weighted by their
    inverse variances: the position between the colours, and the prediction from the distance to the border.

    Args:
        image: Linear light.
        inside: The mask.
        background: Colour of a plain background, used where no background is nearby; None if the background is
            not plain.
        radius: Largest distance of mixed pixels from the border, in pixels.

    Returns:
        Coverage, and the background's colour near the border.
    """
    object_core, behind_core = (
        np.asarray(ndimage.binary_erosion(side, CROSS, iterations=radius - 1, border_value=1), dtype=bool)
        for side in (inside, ~inside)
    )
    band = ~object_core & ~behind_core
    object_color, object_near = local_mean(image, object_core, radius + 1)
    behind_color, behind_near = local_mean(image, behind_core, radius + 1)
    if background is None:
        object_near = object_near & behind_near
    else:
        behind_color = np.where(behind_near[..., None], behind_color, background)
    axis = object_color - behind_color
    length = (axis**2).sum(axis=-1)
    place = ((image - behind_color) * axis).sum(axis=-1) / np.maximum(length, 1e-12)
    if background is not None:
        clear = band & object_near & (length > 0.02**2)
        return np.where(clear, place.clip(0, 1), inside).astype(np.float32), behind_color
    variance = PICTURE_NOISE**2 * np.ones_like(length)
    for core, mean in ((object_core, object_color), (behind_core, behind_color)):
        spread = (local_mean(image**2, core, radius + 1)[0] - mean**2).clip(0)
        variance += 0.5 * (spread * axis**2).sum(axis=-1) / np.maximum(length, 1e-12)
    within, beyond = (np.asarray(ndimage.distance_transform_edt(side)) for side in (inside, ~inside))
    expected = (0.5 + (within - beyond - np.where(inside, 0.5, -0.5)) / SOFT_WIDTH).clip(0, 1)
    weight = np.where(object_near, EXPECTED_WITHIN**2 * length / variance, 0)
    coverage = ((expected + weight * place) / (1 + weight)).clip(0, 1)
    return np.where(band, coverage, inside).astype(np.float32), behind_color


def local_mean(
    image: Float[np.ndarray, "H W 3"], chosen: Bool[np.ndarray, "H W"], radius: int
) -> tuple[Float[np.ndarray, "H W 3"], Bool[np.ndarray, "H W"]]:
    """Mean colour of the chosen pixels in a window around each pixel, and whether the window has any."""
    size = 2 * radius + 1
    weight = ndimage.uniform_filter(chosen.astype(np.float64), size)
    channels = [ndimage.uniform_filter(c * chosen, size) for c in np.moveaxis(image.astype(np.float64), 2, 0)]
    near = weight > 0.5 / size**2
    return np.stack(channels, axis=-1) / np.maximum(weight, 1e-9)[..., None], near
