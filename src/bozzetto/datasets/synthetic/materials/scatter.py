"""Surfaces of many loose things that lie on each other: stones, leaves, twigs, blades of grass, pits."""

from collections.abc import Callable

import numpy as np

from .noise import Map, Rng

Shape = Callable[[Rng, Map, Map], Map]


def dome(rng: Rng, u: Map, v: Map) -> Map:
    """A stone: an ellipsoid, more or less flattened; below 0 outside."""
    inside = 1 - u * u - v * v
    return np.where(inside > 0, np.maximum(inside, 0) ** rng.uniform(0.35, 1.0), -1)


def leaf(rng: Rng, u: Map, v: Map) -> Map:
    """A leaf that narrows to both ends, with a rib, tilted and a little curled."""
    width = np.sqrt(np.maximum(1 - u * u, 0)) * (1 - 0.3 * u)
    inside = np.abs(v) < width
    tilt = rng.uniform(-0.3, 0.3) * u + rng.uniform(-0.3, 0.3) * v
    surface = 0.35 + tilt + rng.uniform(-0.2, 0.3) * v * v - 0.15 * np.exp(-((v / 0.1) ** 2))
    return np.where(inside, np.maximum(surface, 0.02), -1)


def twig(rng: Rng, u: Map, v: Map) -> Map:
    """A round rod along u, bent."""
    bend = rng.uniform(-0.6, 0.6) * (u * u - 0.3)
    return np.where(np.abs(u) < 1, np.sqrt(np.maximum(1 - (v - bend) ** 2, 0)) - 0.05, -1)


def blade(rng: Rng, u: Map, v: Map) -> Map:
    """A blade of grass that rises towards its tip and gets thinner."""
    bend = rng.uniform(-1.5, 1.5) * (u + 1) ** 2 / 4
    inside = np.abs(v - bend) < 0.55 - 0.45 * u
    return np.where(inside & (np.abs(u) < 1), 0.3 + 0.35 * (u + 1) - 0.2 * np.abs(v - bend), -1)


def chip(rng: Rng, u: Map, v: Map) -> Map:
    """A broken piece: a polygon with a tilted flat top."""
    sides = int(rng.integers(3, 7))
    angle = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(sides) / sides
    reach = rng.uniform(0.5, 0.9, sides)
    sides_of = [r - u * np.cos(a) - v * np.sin(a) for a, r in zip(angle, reach, strict=True)]
    edge = np.minimum.reduce(sides_of)
    top = 0.5 + rng.uniform(-0.35, 0.35) * u + rng.uniform(-0.35, 0.35) * v
    return np.where(edge > 0, np.minimum(top, 4 * edge), -1)


SHAPES: dict[str, Shape] = {"dome": dome, "leaf": leaf, "twig": twig, "blade": blade, "chip": chip}


def scatter(
    rng: Rng,
    ground: Map,
    shape: Shape,
    count: int,
    size: tuple[float, float],
    slender: float,
    thickness: float,
    angles: tuple[float, float] = (0.0, 2 * np.pi),
) -> tuple[Map, Map]:
    """Put things onto the ground one after another; each lies on what is under its middle.

    Args:
        rng: Source of randomness.
        ground: Heights in the unit of the result.
        shape: Height over the ellipse |(u, v)| <= 1; negative outside.
        count: How many.
        size: Smallest and largest half length, in tiles; small ones are more frequent.
        slender: Length over width.
        thickness: Of a thing of the largest size.
        angles: Range of directions.

    Returns:
        Heights, and a number from 0 to 1 for the thing on top: 0 where there is none.
    """
    side = len(ground)
    height, label = ground.copy(), np.zeros_like(ground)
    for _ in range(count):
        length = size[0] * (size[1] / size[0]) ** (rng.random() ** 1.5)
        reach = max(1, int(np.ceil(length * side)))
        steps = np.arange(-reach, reach + 1, dtype=np.float32) / (length * side)
        angle = rng.uniform(*angles)
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        u = steps * cos + steps[:, None] * sin
        v = (steps[:, None] * cos - steps * sin) * np.float32(slender)
        row, column = rng.integers(0, side, 2)
        window = np.ix_(
            np.arange(row - reach, row + reach + 1) % side,
            np.arange(column - reach, column + reach + 1) % side,
        )
        form = shape(rng, u, v)
        below = height[window]
        top = 0.7 * height[row, column] + 0.3 * ground[row, column] + thickness * (length / size[1]) * form
        on_top = (form > 0) & (top > below)
        height[window] = np.where(on_top, top, below)
        label[window] = np.where(on_top, np.float32(rng.uniform(0.05, 1)), label[window])
    return height, label
