"""Prediction of the height map of a photo of any size.

First the height of the whole photo is predicted at a small size. Then the size is doubled repeatedly, and
gradients are predicted in overlapping tiles. They are scaled to agree with the coarser height at low
frequencies, and combined with it by one exact linear solve over the whole map. So tiles leave no seams, and
periodic maps stay periodic.
"""

import math
import os
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError, warn_input
from ..geometry.heightfield import gradients_from_height
from ..images.color import as_rgb
from ..images.resizing import resized
from ..metrics.heightmap import seam_ratio
from ..steps import counted
from ..values import value_type
from .model import STRIDE, Estimate, FusionNetwork, fuse_gradients
from .photos import load_photo
from .predictor import Predictor, open_predictor

GLOBAL_SIDE = 256
"""Short side, in pixels, at which the whole photo is processed, as in training."""
TILE, OVERLAP = 512, 64
HANDOVER = 12.0
"""Wavelength, in pixels of a level, below which the height comes from the level's gradients."""
BLANK = 0.5 / 255
"""Largest standard deviation of photos that count as blank, since it can come from rounding."""
DARK = 1 / 8
"""Photos whose maximum is at most this use few of the bits of their file, or are too dark."""
CLUELESS = 0.8
"""Mean absolute error of a flat guess, for heights of standard deviation 1."""

TILES_BELOW = 1.5


@value_type
class PredictedHeight:
    """A predicted height map and its reliability.

    Attributes:
        height: Heights from 0 (low) to 1 (high).
        confidence: Confidence per pixel, from 0 (no better than a flat guess) to 1.
        upright: Probability that the sign is right, that hills are not hollows.
        tiles: Whether the photo was treated as periodic.
    """

    height: Float[Tensor, "H W"]
    confidence: Float[Tensor, "H W"]
    upright: float
    tiles: bool


def height_map(
    photo: Float[Tensor, "H W C"] | str | os.PathLike[str],
    predictor: Predictor | str = "auto",
    tiles: bool | None = None,
    detail: bool = True,
    name: str = "the photo",
) -> PredictedHeight:
    """Predict the height map of a photo; for a blank photo it is flat with confidence 0.

    Args:
        photo: sRGB values in [0, 1], grey or RGB, as read by `load_image`, or the path of a picture; alpha is
            ignored.
        predictor: The network: a predictor, or a name or path for `open_predictor`.
        tiles: Whether the photo is periodic; None decides by comparing opposite borders.
        detail: Whether to process the photo also at sizes of more than 256 pixels.
        name: Name of the photo in messages; a file is named by its path.

    Raises:
        InputError: The file cannot be read, or the photo is smaller than 16 pixels, a hundred times longer than
            wide, or has values that are not finite.
    """
    if isinstance(predictor, str):
        predictor = open_predictor(predictor)
    if not isinstance(photo, Tensor):
        photo, name = load_photo(Path(photo)), str(photo)
    image = as_rgb(photo).movedim(-1, 0).contiguous()
    _check(image, name)
    image = brightened(image, name)
    if float(image.std(dim=(1, 2)).max()) <= BLANK:
        warn_input(f"{name} is of one colour, so its height map is flat")
        flat = torch.zeros(image.shape[1:])
        return PredictedHeight(flat, flat.clone(), 0.5, looks_tileable(image) if tiles is None else tiles)
    tiles = looks_tileable(image) if tiles is None else tiles
    device = next(predictor.network.parameters()).device
    shift = canonical_shift(image) if tiles else (0, 0)
    image = image.roll((-shift[0], -shift[1]), (1, 2)).to(device)
    with torch.inference_mode():
        height, log_error, upright = _in_levels(image, predictor.network, tiles, detail)
    low, high = height.min(), height.max()
    height = (height - low) / (high - low) if high > low else torch.zeros_like(height)
    confidence = (1 - log_error.exp() / CLUELESS).clamp(0, 1)
    back = [maps.roll(shift, (0, 1)).cpu().clone() for maps in (height, confidence)]
    return PredictedHeight(back[0], back[1], upright, tiles)


def brightened(image: Float[Tensor, "3 H W"], name: str = "the photo") -> Float[Tensor, "3 H W"]:
    """Stretch photos with more than 8 bits that use little of the range to the whole range.

    Examples are 10 or 12 bits of a camera stored in 16, and much too dark photos. A warning says so. Other
    photos are returned unchanged.
    """
    low, high = float(image.min()), float(image.max())
    dark = high < DARK
    if not dark and float(image.std(dim=(1, 2)).max()) > BLANK:
        return image
    part = image[:, :: max(1, image.shape[1] // 512), :: max(1, image.shape[2] // 512)]
    levels = part.double().unique()
    step = max(float(levels.diff().min()) if len(levels) > 1 else 1.0, 2.0**-16)
    if step > 0.9 / 255 or float(image.std(dim=(1, 2)).max()) < 4 * step:
        return image
    low = 0.0 if dark else low
    warn_input(
        f"{name} uses only {100 * low:.2g} % to {100 * high:.2g} % of the brightness that can be stored; it is "
        "stretched to all of it before its height is predicted"
    )
    return (image - low) / (high - low)


def canonical_shift(image: Float[Tensor, "C H W"]) -> tuple[int, int]:
    """Rows and columns by which a periodic photo is rolled before prediction.

    The phase of the lowest frequency along either axis becomes zero. So the height of a rolled photo is the
    rolled height, in spite of the strides of the network.
    """
    brightness = image.double().sum(dim=0)
    shifts = []
    for dim, side in ((1, brightness.shape[0]), (0, brightness.shape[1])):
        angles = torch.arange(side, dtype=torch.float64) * (2 * math.pi / side)
        profile = (brightness**2).sum(dim=dim)
        phase = torch.atan2((profile * angles.sin()).sum(), (profile * angles.cos()).sum())
        shifts.append(round(float(phase) / (2 * math.pi) * side) % side)
    return shifts[0], shifts[1]


def _check(image: Tensor, name: str) -> None:
    height, width = image.shape[1:]
    if min(height, width) < STRIDE or max(height, width) > 100 * min(height, width):
        raise InputError(
            f"{name} has {width} x {height} pixels, which show too little of a surface; give one of at least "
            f"{STRIDE} x {STRIDE} pixels, and not a hundred times longer than wide"
        )
    if not bool(torch.isfinite(image).all()):
        raise InputError(f"{name} holds NaN or infinite values; export it again as 8 or 16 bits")


def _in_levels(
    image: Tensor, network: torch.nn.Module, tiles: bool, detail: bool
) -> tuple[Tensor, Tensor, float]:
    """Height, logarithm of its error at full size, and probability that the sign is right."""
    size = tuple(image.shape[1:])
    first, *finer = level_sizes(size, detail and isinstance(network, FusionNetwork))
    small = resized(image, first)
    height, log_error, upright = whole(small, network, tiles)
    if finer:
        assert isinstance(network, FusionNetwork)
        context = network.encode(small[None], tiles)[-1].mean(dim=(2, 3))
        for level in finer:
            height = refined(resized(image, level), height, network, tiles, context)
    if tuple(height.shape) != size:
        height = _interpolated(height, size, tiles)
    return height, _interpolated(log_error, size, tiles), upright


def level_sizes(size: tuple[int, ...], detail: bool = True) -> list[tuple[int, int]]:
    """Sizes at which a photo is processed: multiples of 16, doubling from a short side of 256 to its own
    size."""
    short = min(size)
    scale = min(1.0, GLOBAL_SIDE / short) if short > 1.4 * GLOBAL_SIDE else 1.0
    scales = [scale]
    while detail and scales[-1] < 1:
        doubled = 2 * scales[-1]
        scales.append(1.0 if doubled > 0.7 else doubled)
    if scale == 1.0 and short < GLOBAL_SIDE / 2:  # small photos are enlarged, as in training
        scales = [GLOBAL_SIDE / 2 / short]
    return [(_multiple(size[0] * s), _multiple(size[1] * s)) for s in scales]


def _multiple(length: float) -> int:
    return max(2, round(length / STRIDE)) * STRIDE


def whole(image: Tensor, network: torch.nn.Module, tiles: bool) -> tuple[Tensor, Tensor, float]:
    """Mean prediction of the network over the eight symmetries of a photo (3, h, w)."""
    heights, errors, logits = [], [], []
    for turn in counted(range(4), "views"):
        for mirror in (False, True):
            view = torch.rot90(image, turn, (1, 2))
            view = view.flip(2) if mirror else view
            seen: Estimate = network(view[None].contiguous(memory_format=torch.channels_last), tiles)
            maps = [seen.height[0], seen.height[0] * 0 if seen.log_error is None else seen.log_error[0]]
            maps = [torch.rot90(m.flip(1) if mirror else m, -turn, (0, 1)) for m in maps]
            heights.append(maps[0])
            errors.append(maps[1])
            logits.append(0.0 if seen.upright is None else float(seen.upright))
    height = torch.stack(heights).mean(dim=0)
    upright = 1 / (1 + math.exp(-sum(logits) / len(logits)))
    return height - height.mean(), torch.stack(errors).mean(dim=0), upright


def refined(
    image: Tensor, height: Tensor, network: FusionNetwork, tiles: bool, context: Tensor
) -> Float[Tensor, "H W"]:
    """Enlarge a coarser height to the size of the image, and add predicted detail."""
    size = tuple(image.shape[1:])
    guide = _interpolated(height, size, tiles)
    gradients = tiled_gradients(image, network, tiles, context)
    boundary = "periodic" if tiles else "free"
    amount = _agreement(gradients, gradients_from_height(guide, boundary))
    return fuse_gradients(guide[None], amount * gradients[None], tiles, HANDOVER)[0]


def _agreement(fine: Tensor, coarse: Tensor) -> Tensor:
    """Factor in [0, 2] on fine gradients with which they fit coarse ones best after blurring."""
    a, b = (F.avg_pool2d(g.permute(2, 0, 1)[None], 4) for g in (fine, coarse))
    return ((a * b).sum() / a.square().sum().clamp(min=1e-12)).clamp(0, 2)


def tiled_gradients(
    image: Tensor, network: FusionNetwork, tiles: bool, context: Tensor
) -> Float[Tensor, "H W 2"]:
    """Gradients of a large photo, predicted in overlapping tiles that are blended."""
    size = tuple(image.shape[1:])
    if max(size) <= TILE * 2:
        return _gradients(image, network, tiles, context)
    around = F.pad(image[None], (OVERLAP,) * 4, mode="circular" if tiles else "reflect")[0]
    total = image.new_zeros(2, *around.shape[1:])
    weight = image.new_zeros(around.shape[1:])
    fade = _fade(TILE, OVERLAP, image.device)
    for row in counted(_starts(around.shape[1]), "detail"):
        for column in counted(_starts(around.shape[2])):
            part = around[:, row : row + TILE, column : column + TILE]
            window = fade[: part.shape[1], : part.shape[2]]
            seen = _gradients(part, network, False, context).permute(2, 0, 1)
            total[:, row : row + TILE, column : column + TILE] += seen * window
            weight[row : row + TILE, column : column + TILE] += window
    total = (total / weight)[:, OVERLAP:-OVERLAP, OVERLAP:-OVERLAP]
    return total.permute(1, 2, 0).contiguous()


def _gradients(image: Tensor, network: FusionNetwork, tiles: bool, context: Tensor) -> Tensor:
    levels = network.encode(image[None].contiguous(memory_format=torch.channels_last), tiles)
    gradients = network.gradients(network.decode(levels, context)[1])
    return gradients[0]


def _starts(length: int) -> list[int]:
    """First pixels of tiles, multiples of 16: tiles overlap by at least 2 * `OVERLAP`, the last ends at the
    border."""
    step = TILE - 2 * OVERLAP
    last = max(0, length - TILE)
    return sorted({*range(0, last, step), last - last % STRIDE, last})


def _fade(side: int, margin: int, device: torch.device) -> Tensor:
    """Blending weights of a tile: 1 in the middle, falling smoothly at the margins, always positive."""
    place = torch.arange(side, device=device) + 0.5
    distance = torch.minimum(place, side - place)
    ramp = (0.5 - 0.5 * torch.cos(math.pi * (distance / (2 * margin)).clamp(max=1))).clamp(min=1e-3)
    return ramp[:, None] * ramp


def _interpolated(maps: Tensor, size: tuple[int, ...], tiles: bool) -> Tensor:
    """Resize maps: bicubic, with periodic borders if they tile; by averages over areas when reducing."""
    if tuple(maps.shape) == tuple(size):
        return maps
    rows, columns = maps.shape
    if size[0] <= rows and size[1] <= columns:
        return resized(maps[None], size)[0]
    margin = 4
    around = F.pad(maps[None, None], (margin,) * 4, mode="circular" if tiles else "replicate")
    y, x = (
        (torch.arange(n, device=maps.device) + 0.5) * (m / n) + margin
        for n, m in zip(size, maps.shape, strict=True)
    )
    grid = torch.stack(
        torch.broadcast_tensors(
            (2 * x / (columns + 2 * margin) - 1), (2 * y / (rows + 2 * margin) - 1)[:, None]
        ),
        dim=-1,
    )
    return F.grid_sample(around, grid[None], mode="bicubic", align_corners=False)[0, 0]


def looks_tileable(photo: Float[Tensor, "C H W"]) -> bool:
    """Whether a photo is periodic: differences across opposite borders are like those of neighbouring
    pixels."""
    return max(seam_ratio(photo.mean(dim=0))) <= TILES_BELOW
