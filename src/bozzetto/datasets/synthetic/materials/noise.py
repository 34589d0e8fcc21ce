"""Random fields that repeat: every map here fits its own copies on all sides.

Maps are square float32 arrays, row 0 on top. Positions are in tiles: x to the right and y downwards, both from
0 to 1.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Map: TypeAlias = NDArray[np.floating]
Rng: TypeAlias = np.random.Generator


def positions(side: int) -> tuple[Map, Map]:
    """x and y of all pixels."""
    steps = (np.arange(side, dtype=np.float32) + 0.5) / side
    x, y = np.meshgrid(steps, steps)
    return x, y


def fractal(
    rng: Rng,
    side: int,
    slope: float = 2.0,
    cycles: tuple[float, float] = (1.0, 1e9),
    stretch: float = 1.0,
    angle: float = 0.0,
) -> Map:
    """Gaussian noise whose power falls with the frequency, of mean 0 and standard deviation 1.

    Args:
        rng: Source of randomness.
        side: Pixels along a side.
        slope: Power of the frequency by which the spectrum of amplitudes falls: 0 white, 1 pink, 2 smooth.
        cycles: Fewest and most waves per tile.
        stretch: How much longer features are along the angle than across it.
        angle: In radians, from x towards y.
    """
    v = np.fft.fftfreq(side, 1 / side).astype(np.float32)[:, None]
    u = np.fft.rfftfreq(side, 1 / side).astype(np.float32)
    along = (u * np.cos(angle) + v * np.sin(angle)) * np.sqrt(stretch)
    across = (v * np.cos(angle) - u * np.sin(angle)) / np.sqrt(stretch)
    frequency = np.hypot(along, across)
    amplitude = np.maximum(frequency, 0.5) ** -slope
    amplitude *= np.exp(-((frequency / cycles[1]) ** 4)) * (1 - np.exp(-((frequency / cycles[0]) ** 4)))
    amplitude[0, 0] = 0
    noise = np.fft.rfft2(rng.standard_normal((side, side), np.float32))
    return normal(np.fft.irfft2(noise * amplitude, s=(side, side)))


def normal(values: NDArray[Any]) -> Map:
    """Of mean 0 and standard deviation 1; zeros for a constant."""
    centred = values - values.mean()
    return (centred / max(float(centred.std()), 1e-9)).astype(np.float32)


def to_unit_range(values: NDArray[Any]) -> Map:
    """From 0 to 1; zeros for a constant."""
    low = values.min()
    return ((values - low) / max(float(values.max() - low), 1e-9)).astype(np.float32)


def ramp(values: NDArray[Any], start: float, end: float) -> Map:
    """0 before the start, 1 after the end, smooth in between."""
    t = ((values - start) / (end - start)).clip(0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def periodic_blur(values: NDArray[Any], sigma: float) -> Map:
    """Gaussian blur with a standard deviation in pixels, across the borders."""
    return np.asarray(ndimage.gaussian_filter(values, sigma, mode="wrap", truncate=3.0), np.float32)


def displaced(values: NDArray[Any], right: NDArray[Any], down: NDArray[Any]) -> Map:
    """Every pixel takes the value from so many tiles away: a bent map."""
    side = len(values)
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    where = np.stack([rows + down * side, columns + right * side])
    return np.asarray(ndimage.map_coordinates(values, where, order=1, mode="grid-wrap"), np.float32)


def random_displacements(
    rng: Rng, side: int, amount: float, cycles: float = 4.0, slope: float = 2.0
) -> tuple[Map, Map]:
    """Random displacements in tiles, for positions before a pattern is drawn or for a finished map."""
    return (
        amount * fractal(rng, side, slope, (1.0, 8 * cycles)),
        amount * fractal(rng, side, slope, (1.0, 8 * cycles)),
    )


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """A number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
