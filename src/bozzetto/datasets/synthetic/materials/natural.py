"""Recipes for what grows, breaks and weathers: cracks, rock, layers, ground, sand, bark, litter, pores."""

import numpy as np

from .cells import cells, scattered
from .noise import Rng, bends, displaced, fractal, log_uniform, normal, ramp, unit
from .scatter import SHAPES, scatter
from .surface import Surface, bent_positions, tint_of, turned, uneven_pieces


def cracks(rng: Rng, side: int) -> Surface:
    """Dried mud, old paint, asphalt: plates between cracks of changing width."""
    x, y = bent_positions(rng, side, 0.02)
    pieces = cells(x, y, scattered(rng, int(log_uniform(rng, 6, 120))))
    width = 0.012 * ramp(fractal(rng, side, 1.8), -1.2, 1.0) * log_uniform(rng, 0.4, 2)
    crack = 1 - ramp(pieces.border / (width + 1e-4), 0, 1)
    plates = uneven_pieces(rng, pieces, log_uniform(rng, 0.01, 0.3))
    curl = rng.uniform(-0.5, 0.5) * pieces.centre / max(float(pieces.centre.max()), 1e-6)
    rough = log_uniform(rng, 0.02, 0.4) * fractal(rng, side, rng.uniform(0.5, 1.8))
    height = plates + curl + rough - rng.uniform(0.5, 1.5) * crack
    return Surface(unit(height), (1 - crack) * (0.3 + 0.7 * unit(rough)))


def facets(rng: Rng, side: int) -> Surface:
    """Broken rock: tilted planes that meet in steps and edges, over several scales."""
    x, y = bent_positions(rng, side, 0.04)
    angle, stretch = rng.uniform(0, np.pi), log_uniform(rng, 1, 3)
    height, tint = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    count, weight = log_uniform(rng, 5, 30), 1.0
    for octave in range(int(rng.integers(1, 4))):
        pieces = cells(x, y, scattered(rng, int(count)), (1.0, stretch))
        tilt = pieces.right * (np.cos(angle) + 0.5 * pieces.per_piece(rng))
        tilt = tilt + pieces.down * (np.sin(angle) + 0.5 * pieces.per_piece(rng))
        height += weight * (tilt * np.sqrt(count) + rng.uniform(0.2, 1) * pieces.per_piece(rng))
        tint = tint_of(rng, pieces) if octave == 0 else tint
        count, weight = 4 * count, weight * rng.uniform(0.2, 0.5)
    height = normal(height) + rng.uniform(0, 0.3) * fractal(rng, side, rng.uniform(0.8, 1.6))
    return Surface(unit(height), unit(tint + 0.5 * fractal(rng, side, 1.2)))


def strata(rng: Rng, side: int) -> Surface:
    """Layers that come to light one below another."""
    angle = rng.uniform(0, np.pi)
    base = fractal(rng, side, rng.uniform(1.4, 2.2), (1.0, 1e9), log_uniform(rng, 1, 8), angle)
    base = unit(base) * rng.uniform(3, 12)
    base = base + 0.3 * fractal(rng, side, 1.2, (3.0, 1e9))
    steep = rng.uniform(0.05, 0.6)
    level = np.floor(base)
    height = level + ramp(base - level, 1 - steep, 1.0) + rng.uniform(0, 0.6) * (base - level)
    offsets = rng.uniform(0, 1, 64)
    return Surface(unit(height), unit(offsets[level.astype(int) % 64] + 0.2 * fractal(rng, side, 1.0)))


def fractals(rng: Rng, side: int) -> Surface:
    """Ground, plaster, concrete, rust: noise of one spectrum or several, smooth, billowy or ridged."""
    stretch = log_uniform(rng, 1, 20) if rng.random() < 0.35 else 1.0
    angle = rng.uniform(0, np.pi)
    base = fractal(rng, side, rng.uniform(0.6, 2.4), (1.0, 1e9), stretch, angle)
    kind = rng.random()
    if kind < 0.3:
        base = np.abs(base) * rng.choice([-1, 1])
    elif kind < 0.45:
        base = ramp(base, rng.uniform(-1.5, 0), rng.uniform(0.1, 1.5))
    if rng.random() < 0.5:
        base = displaced(base, *bends(rng, side, log_uniform(rng, 0.003, 0.05)))
    fine = fractal(rng, side, rng.uniform(0.3, 1.2), (log_uniform(rng, 6, 40), 1e9), stretch, angle)
    height = normal(base) + log_uniform(rng, 0.05, 0.7) * fine
    return Surface(unit(height), unit(fractal(rng, side, rng.uniform(0.8, 2))))


def ripples(rng: Rng, side: int) -> Surface:
    """Sand ripples, corrugation, brushed and ploughed surfaces."""
    x, y = bent_positions(rng, side, log_uniform(rng, 0.002, 0.06))
    waves = int(log_uniform(rng, 3, 40))
    turn = rng.integers(-2, 3) if rng.random() < 0.4 else 0
    phase = 2 * np.pi * (waves * y + turn * x)
    lean = rng.uniform(-0.6, 0.6)
    crest = (0.5 + 0.5 * np.sin(phase + lean * np.sin(phase))) ** log_uniform(rng, 0.5, 3)
    strength = ramp(fractal(rng, side, 2.2), -1.5, 1.0) if rng.random() < 0.6 else 1.0
    height = crest * strength + log_uniform(rng, 0.02, 0.3) * fractal(rng, side, rng.uniform(0.8, 1.8))
    return turned(rng, Surface(unit(height), unit(fractal(rng, side, 1.0, (1.0, 1e9), 6.0))))


def bark(rng: Rng, side: int) -> Surface:
    """Furrows and plates along one direction."""
    stretch = log_uniform(rng, 2.5, 12)
    along = rng.choice([0.0, np.pi / 2])
    base = fractal(rng, side, rng.uniform(0.9, 1.5), (log_uniform(rng, 2, 8), 1e9), stretch, along)
    base = displaced(base, *bends(rng, side, log_uniform(rng, 0.005, 0.03)))
    ridged = -(np.abs(base) ** rng.uniform(0.5, 1.2)) if rng.random() < 0.6 else base
    fine = fractal(rng, side, 0.8, (10.0, 1e9), stretch / 2, along)
    height = normal(ridged) + rng.uniform(0.05, 0.4) * fine
    return Surface(unit(height), unit(fractal(rng, side, 1.0, (2.0, 1e9), stretch, along)))


def debris(rng: Rng, side: int) -> Surface:
    """Stones, leaves, twigs, grass or chips on the ground."""
    ground = rng.uniform(0.1, 0.5) * unit(fractal(rng, side, rng.uniform(1.2, 2.2)))
    ground = ground + rng.uniform(0, 0.05) * fractal(rng, side, 0.5)
    height, tint = ground.astype(np.float32), np.zeros_like(ground)
    for _ in range(int(rng.integers(1, 3))):
        name = list(SHAPES)[rng.integers(len(SHAPES))]
        largest = log_uniform(rng, 0.03, 0.2 if name != "blade" else 0.12)
        slender = {"dome": rng.uniform(1, 1.8), "chip": 1.0, "leaf": rng.uniform(1.5, 4)}.get(name, 10.0)
        smallest = largest * rng.uniform(0.15, 0.7)
        area = 3 * smallest * largest / slender
        count = int(min(900, rng.uniform(0.3, 1.6) / area))
        angles = (0.0, 2 * np.pi) if rng.random() < 0.8 else (1.2, 1.9)
        thickness = rng.uniform(0.2, 0.8)
        height, own = scatter(
            rng, height, SHAPES[name], count, (smallest, largest), slender, thickness, angles
        )
        tint = np.where(own > 0, own, tint)
    return Surface(unit(height), tint)


def pits(rng: Rng, side: int) -> Surface:
    """Pores, holes, dents or bumps in an even surface."""
    flat = log_uniform(rng, 0.01, 0.2) * fractal(rng, side, rng.uniform(1, 2))
    largest = log_uniform(rng, 0.01, 0.1)
    count = int(min(600, rng.uniform(0.05, 0.5) / largest**2 / 3))
    bumps, label = scatter(
        rng, 0 * flat, SHAPES["dome"], count, (largest / 4, largest), rng.uniform(1, 1.5), 1.0
    )
    height = flat + bumps * (1 if rng.random() < 0.25 else -1)
    return Surface(unit(height), np.where(label > 0, rng.uniform(0, 0.3), unit(fractal(rng, side, 1.5))))
