"""Photographs and heights of procedural materials; sample k of a seed is reproducible."""

import io
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ....runs.workers import map_in_processes
from ....values import value_type
from .patterns import (
    Map,
    MaterialSurface,
    Rng,
    fractal,
    log_uniform,
    normal,
    periodic_blur,
    ramp,
    to_unit_range,
)
from .recipes import make_surface


@value_type
class MaterialSample:
    """A picture of a surface and its height; both are periodic.

    Attributes:
        color: (S, S, 3) uint8, sRGB.
        height: (S, S) uint16; 65535 is high.
    """

    color: npt.NDArray[Any]
    height: npt.NDArray[Any]


def make_sample(seed: int, number: int, side: int = 256, recipe: str | None = None) -> MaterialSample:
    """Sample `number` of a seed, of a random recipe or of the given one."""
    rng = np.random.default_rng([seed, number])
    surface = make_surface(rng, side, recipe)
    return MaterialSample(photograph(rng, surface), (surface.height * 65535 + 0.5).astype(np.uint16))


def make_samples(
    seed: int, numbers: Sequence[int], side: int = 256, workers: int | None = 1
) -> Generator[MaterialSample, None, None]:
    """Samples in the order of their numbers.

    Args:
        seed: Seed of all samples.
        numbers: Numbers of the samples.
        side: Pixels along a side.
        workers: Number of processes; 1 uses the current process, None one per core.
    """
    if workers == 1:
        yield from (make_sample(seed, number, side) for number in numbers)
        return
    yield from map_in_processes(make_sample, [(seed, number, side) for number in numbers], workers)


def photograph(rng: Rng, surface: MaterialSurface) -> npt.NDArray[Any]:
    """An sRGB picture (S, S, 3) uint8 of a surface from above; it is periodic like the surface.

    As in texture libraries, whose colour maps have most of the shading removed, 40 % of the pictures have only
    dirt and occlusion; 60 % have a sun, a third of these with cast shadows.
    """
    side = len(surface.height)
    relief = log_uniform(rng, 0.02, 0.12) * side  # depth in pixels
    height = surface.height * relief
    albedo = _albedo(rng, surface, height)
    hollow = _hollows(height)
    occlusion = np.exp(-rng.uniform(0.0, 1.5) * hollow)
    if rng.random() < 0.4:
        light = occlusion[..., None] * np.ones(3, np.float32)
        shine = 0.0
    else:
        light, shine = _light(rng, height, occlusion)
    linear = albedo * light + shine
    linear *= rng.uniform(0.25, 0.75) / max(float(np.percentile(linear, rng.uniform(70, 99))), 1e-3)
    return _camera(rng, linear, side)


def _albedo(rng: Rng, surface: MaterialSurface, height: Map) -> npt.NDArray[Any]:
    side = len(height)
    fields = [
        (rng.exponential(1.0), normal(surface.tint)),
        (rng.exponential(0.6), fractal(rng, side, rng.uniform(0.3, 2.2))),
        (rng.exponential(0.5), fractal(rng, side, rng.uniform(0.0, 0.8), (8.0, 1e9))),
        (rng.exponential(0.5) * rng.choice([-1, 1], p=[0.35, 0.65]), normal(height)),
        (
            rng.exponential(0.4) * rng.choice([-1, 1], p=[0.35, 0.65]),
            normal(height - periodic_blur(height, side / 40)),
        ),
    ]
    total = sum(weight for weight, _ in fields)
    mix = sum(((weight / abs(total)) * field for weight, field in fields), np.zeros_like(height))
    colors = _palette(rng, 4)
    t = to_unit_range(np.tanh(normal(mix) * 0.8))[..., None]
    albedo = colors[0] * (1 - t) + colors[1] * t
    if rng.random() < 0.5:  # stains that know nothing of the surface
        stain = ramp(fractal(rng, side, rng.uniform(1, 2.2)), rng.uniform(-0.5, 1.5), 1.6)[..., None]
        albedo = albedo + rng.uniform(0.2, 0.9) * stain * (colors[2] - albedo)
    if rng.random() < 0.6:  # dirt, moss or dust that gathers in hollows, or wear on what stands out
        sigma = log_uniform(rng, 1.0, side / 16)
        relative = normal(height - periodic_blur(height, sigma)) + 0.5 * fractal(rng, side, 1.5)
        sign = 1 if rng.random() < 0.3 else -1
        share = ramp(sign * relative, rng.uniform(0, 0.8), rng.uniform(1.0, 2.5))[..., None]
        target = colors[3] if rng.random() < 0.6 else colors[0] * (0.3 if sign < 0 else 1.6)
        albedo = albedo + rng.uniform(0.3, 0.95) * share * (target - albedo)
    return albedo.clip(0.01, 1).astype(np.float32)


def _palette(rng: Rng, count: int) -> npt.NDArray[Any]:
    """Linear colours (count, 3) of similar hue, occasionally with a different one."""
    hue, saturation = rng.choice([rng.uniform(0.02, 0.14), rng.uniform(0, 1)]), rng.beta(1.0, 4.0)
    center = rng.uniform(0.15, 0.85)
    colors = []
    for _ in range(count):
        h = (hue + (rng.normal(0, 0.03) if rng.random() < 0.8 else rng.uniform(0, 1))) % 1
        s = np.clip(saturation + rng.normal(0, 0.12), 0, 1)
        value = np.clip(center + rng.normal(0, 0.22), 0.03, 1)
        ramps = np.abs((h * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1
        colors.append((value * (1 - s + s * ramps.clip(0, 1))) ** 2.2)
    return np.array(colors, np.float32)


def _hollows(height: Map) -> Map:
    """Depth of a pixel below its surroundings, summed over several scales, as a slope: about 0 to 3."""
    total = np.zeros_like(height)
    for sigma in (1.0, 2.5, 6.0, 15.0):
        total += np.maximum(periodic_blur(height, sigma) - height, 0) / sigma
    return total


def _light(rng: Rng, height: Map, occlusion: Map) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Diffuse light and highlights (S, S, 3) under a sun and a sky, with or without cast shadows."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 1.35)
    flat = np.cos(elevation)
    sun = np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)], np.float32)
    right = (np.roll(height, -1, 1) - np.roll(height, 1, 1)) / 2
    down = (np.roll(height, -1, 0) - np.roll(height, 1, 0)) / 2
    length = np.sqrt(1 + right**2 + down**2)
    facing = np.maximum((sun[2] - right * sun[0] - down * sun[1]) / length, 0)
    lit = _shadow(height, sun, rng.uniform(0.5, 4)) if rng.random() < 0.33 else np.float32(1)
    share = rng.uniform(0.2, 0.85)
    warm = 1 + rng.uniform(-0.08, 0.08) * np.array([1, 0, -1], np.float32)
    light = share * (facing * lit)[..., None] * warm + (1 - share) * occlusion[..., None] * (2 - warm)
    if rng.random() < 0.5:
        return light, np.zeros_like(light)
    half = (sun + [0, 0, 1]) / np.linalg.norm(sun + [0, 0, 1])
    cos_half = np.maximum((half[2] - right * half[0] - down * half[1]) / length, 1e-3)
    return light, (rng.uniform(0.1, 1.0) * _highlight(rng, cos_half, half[2]) * facing * lit)[
        ..., None
    ] * warm


def _highlight(rng: Rng, cos_half: Map, view: float) -> Map:
    """GGX lobe (Walter et al. 2007) with Fresnel by Schlick for a dielectric, shadowing left out."""
    alpha = rng.uniform(0.25, 0.8) ** 2
    lobe = alpha**2 / (np.pi * (cos_half**2 * (alpha**2 - 1) + 1) ** 2)
    fresnel = 0.04 + 0.96 * (1 - view) ** 5
    return (fresnel * lobe / 4).clip(0, 2).astype(np.float32)


def _shadow(height: Map, sun: npt.NDArray[Any], softness: float) -> Map:
    """1 in the sun and 0 in shadow, where a height towards the sun is above the ray."""
    flat = float(np.hypot(sun[0], sun[1]))
    slope = sun[2] / flat
    above = np.zeros_like(height)
    reach = min(len(height) / 2, float(np.ptp(height)) / slope)
    step = 1.0
    while step <= reach:
        columns, rows = round(step * sun[0] / flat), round(step * sun[1] / flat)
        above = np.maximum(above, np.roll(height, (-rows, -columns), (0, 1)) - height - step * slope)
        step = step * 1.12 + 0.6
    return 1 - ramp(above, 0, softness)


def _camera(rng: Rng, linear: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    """Blur, noise, tone, sRGB, JPEG."""
    if rng.random() < 0.35:
        sigma = rng.uniform(0.3, 1.0)
        linear = np.stack([periodic_blur(linear[..., c], sigma) for c in range(3)], axis=-1)
    srgb = linear.clip(0, 1) ** (1 / 2.2)
    if rng.random() < 0.5:
        middle = srgb.mean()
        srgb = middle + (srgb - middle) * log_uniform(rng, 0.5, 1.5)
    srgb = srgb + log_uniform(rng, 0.001, 0.02) * rng.standard_normal((side, side, 1), np.float32)
    pixels = (srgb.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.7:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=int(rng.integers(50, 96)))
        pixels = np.asarray(Image.open(buffer))
    return pixels
