"""The means of drawing textures: noise, colours, a canvas."""

import math
from functools import cache

import numpy as np
from PIL import Image
from scipy import ndimage

from ..materials.noise import Map, Rng, fractal

Color = tuple[float, float, float]
Picture = np.ndarray

CUT, DRAWN = 320, 1024
"""Sides up to which noise is cut out of a stock, and up to which it is drawn."""
PIGMENTS: tuple[Color, ...] = (
    *((0.72, 0.55, 0.25), (0.55, 0.30, 0.18), (0.42, 0.43, 0.25), (0.18, 0.27, 0.40), (0.25, 0.34, 0.56)),
    *((0.62, 0.22, 0.17), (0.85, 0.80, 0.68), (0.17, 0.16, 0.17), (0.48, 0.55, 0.50), (0.38, 0.15, 0.19)),
    *((0.76, 0.66, 0.52), (0.30, 0.42, 0.38), (0.60, 0.58, 0.56), (0.80, 0.45, 0.28), (0.45, 0.33, 0.25)),
)
"""Colours of paint, ink and cloth."""


def field(
    rng: Rng, shape: tuple[int, int], slope: float = 2.0, finest: float = 1e9, stretch: float = 1
) -> Map:
    """Noise of mean 0 and deviation 1; `finest` is the most waves over the longer side, `stretch` along x.

    Small ones are cut out of a larger one, large ones are drawn at a lower density.
    """
    longest = max(shape)
    if longest <= CUT and finest > 1e8:
        whole = _noise(int(rng.integers(3)), slope, stretch)
        y, x = rng.integers(0, len(whole) - np.array(shape) + 1)
        return whole[y : y + shape[0], x : x + shape[1]]
    side = min(64 * math.ceil(longest / 64), DRAWN)
    whole = fractal(rng, side, slope, (1.0, finest), stretch)
    fraction = side / longest if longest > side else 1.0
    cut = whole[: math.ceil(shape[0] * fraction), : math.ceil(shape[1] * fraction)]
    if cut.shape == shape:
        return cut
    return np.asarray(Image.fromarray(cut).resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


@cache
def _noise(seed: int, slope: float, stretch: float) -> Map:
    return fractal(np.random.default_rng(seed), 2 * CUT, slope, (1.0, 1e9), stretch)


def blended(fraction: Map, first: Color, second: Color) -> Picture:
    """From the first colour (0) to the second (1)."""
    t = fraction.clip(0, 1)[..., None]
    return ((1 - t) * np.array(first, np.float32) + t * np.array(second, np.float32)).astype(np.float32)


def canvas(shape: tuple[int, int], color: Color) -> Image.Image:
    """A picture of so many rows and columns in one colour."""
    return Image.new("RGB", (shape[1], shape[0]), ink_of(color))


def pixels(image: Image.Image) -> Picture:
    """What was drawn, with softened edges."""
    return ndimage.gaussian_filter(np.asarray(image, np.float32) / 255, (0.5, 0.5, 0))


def ink_of(color: Color) -> str:
    """A colour as Pillow takes it."""
    return "#" + "".join(f"{round(255 * min(max(c, 0), 1)):02x}" for c in color)


def pigment(rng: Rng, brightness: float = 1.0) -> Color:
    """A colour near one of the pigments."""
    color = np.array(PIGMENTS[rng.integers(len(PIGMENTS))]) * brightness * rng.uniform(0.8, 1.15)
    r, g, b = color.clip(0, 0.95).tolist()
    return r, g, b
