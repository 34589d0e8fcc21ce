"""From one photo of any size to its height map.

The whole photo is seen at a small size first. Then it is seen at twice that size and so on, in tiles that
overlap; of these only gradients are taken, scaled so that they agree with what is known about long waves, and
joined with the coarser height by one exact solve over the whole map. So tiles leave no seams, and a map that
tiles stays one.
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
"""Short side, in pixels, at which the whole is seen, as in training."""
TILE, OVERLAP = 512, 64
HANDOVER = 12.0
"""Waves shorter than this many pixels of a finer level come from its gradients."""
BLANK = 0.5 / 255
"""Photos of no larger standard deviation show no surface but rounding."""
DARK = 1 / 8
"""Photos nowhere brighter than this have been stored with fewer bits than their file has, or are too dark."""
CLUELESS = 0.8
"""Mean absolute difference between a standard deviation's worth of heights and a flat guess."""

TILES_BELOW = 1.5


@value_type
class PredictedHeight:
    """A height map and what the network thinks of it.

    Attributes:
        height: From 0 to 1; 1 is high.
        confidence: From 0, as good as a flat guess, to 1, per pixel.
        upright: Probability that hills are hills and not hollows.
        tiles: Whether it was taken to tile.
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
    """The height map of a photo; flat, and without confidence, where the photo is blank.

    Args:
        photo: sRGB values in [0, 1], grey or RGB, as `load_image` reads them, or the path of a picture; alpha
            is left out.
        predictor: The network: a predictor, or what `open_predictor` takes, a name or a path.
        tiles: Whether opposite borders fit; None finds out by comparing them.
        detail: Look at the photo at more than 256 pixels, too.
        name: How messages call the photo; a file is called by its path.

    Raises:
        InputError: The file cannot be read, or the photo is smaller than 16 pixels, a hundred times longer
            than wide, or not finite.
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
    """A photo whose bits are more than 8, but of which hardly anything is used, over the whole range; others
    as they are.

    So come 10 or 12 bits of a camera in 16, and photos that are much too dark. A warning says what is done.
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
    """Rows and columns by which a map that tiles is turned before it is looked at.

    The phase of the longest wave along either side goes to zero. A turned photo is thereby looked at from the
    same place, so its height is the same but turned: strides of the network make no difference.
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
    """Height and logarithm of its error at full size, and the probability of the sign."""
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
    """Sizes at which a photo is looked at: multiples of 16, doubling from a short side of 256 to its own."""
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
    """The mean of what the network sees in the eight symmetric views of a photo (3, h, w)."""
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
    """A coarser height at the size of this image, with the detail that can be seen in it."""
    size = tuple(image.shape[1:])
    guide = _interpolated(height, size, tiles)
    gradients = tiled_gradients(image, network, tiles, context)
    boundary = "periodic" if tiles else "free"
    amount = _agreement(gradients, gradients_from_height(guide, boundary))
    return fuse_gradients(guide[None], amount * gradients[None], tiles, HANDOVER)[0]


def _agreement(fine: Tensor, coarse: Tensor) -> Tensor:
    """By what to multiply fine gradients so that their blurred part fits coarse ones best; 0 to 2."""
    a, b = (F.avg_pool2d(g.permute(2, 0, 1)[None], 4) for g in (fine, coarse))
    return ((a * b).sum() / a.square().sum().clamp(min=1e-12)).clamp(0, 2)


def tiled_gradients(
    image: Tensor, network: FusionNetwork, tiles: bool, context: Tensor
) -> Float[Tensor, "H W 2"]:
    """Gradients of a large photo, from tiles that overlap and fade into each other."""
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
    """Where tiles begin, multiples of 16: at least two overlaps shared, the last one at the end."""
    step = TILE - 2 * OVERLAP
    last = max(0, length - TILE)
    return sorted({*range(0, last, step), last - last % STRIDE, last})


def _fade(side: int, margin: int, device: torch.device) -> Tensor:
    """1 in the middle of a tile, falling smoothly at its margins; never quite 0."""
    place = torch.arange(side, device=device) + 0.5
    distance = torch.minimum(place, side - place)
    ramp = (0.5 - 0.5 * torch.cos(math.pi * (distance / (2 * margin)).clamp(max=1))).clamp(min=1e-3)
    return ramp[:, None] * ramp


def _interpolated(maps: Tensor, size: tuple[int, ...], tiles: bool) -> Tensor:
    """Bicubic, across the borders where they are joined; averaged over areas where it gets smaller."""
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
    """Whether steps across the joined borders of a photo are like those inside."""
    return max(seam_ratio(photo.mean(dim=0))) <= TILES_BELOW
