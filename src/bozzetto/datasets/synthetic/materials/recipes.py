"""Materials at random: one of the recipes or two of them mixed, with everything about it random."""

from collections.abc import Callable

import numpy as np

from .laid import bricks, cobbles, planks, slabs
from .made import mail, panels, scales, weave
from .natural import bark, cracks, debris, facets, fractals, pits, ripples, strata
from .noise import Rng, fractal, log_uniform, ramp, unit
from .surface import Surface

RECIPES: dict[str, Callable[[Rng, int], Surface]] = {
    f.__name__: f
    for f in (
        *(bricks, planks, slabs, cobbles, cracks, facets, strata, fractals, ripples),
        *(bark, weave, scales, panels, debris, pits, mail),
    )
}
"""All of them by name, in the order that samples are drawn from."""


def make_surface(rng: Rng, side: int, recipe: str | None = None) -> Surface:
    """A surface of some recipe, or of two of them mixed, of `side` x `side` pixels."""
    if recipe is not None:
        return RECIPES[recipe](rng, side)
    names = list(RECIPES)
    base = RECIPES[names[rng.integers(len(names))]](rng, side)
    if rng.random() < 0.3:
        base = mixed(rng, base, RECIPES[names[rng.integers(len(names))]](rng, side))
    return detailed(rng, base)


def mixed(rng: Rng, base: Surface, other: Surface) -> Surface:
    """One material over another: filled into its hollows, in patches, or as fine relief upon it."""
    side = len(base.height)
    kind = rng.random()
    if kind < 0.45:  # filled up to a level
        level = rng.uniform(0.2, 0.6) + rng.uniform(0, 0.15) * fractal(rng, side, 2.0)
        fill = level + rng.uniform(0.05, 0.25) * (other.height - 0.5)
        over = fill > base.height
        return Surface(
            unit(np.maximum(base.height, fill)), np.where(over, 0.3 * other.tint, 0.4 + 0.6 * base.tint)
        )
    if kind < 0.75:  # in patches
        share = ramp(fractal(rng, side, 1.8) + rng.uniform(-0.8, 0.8), -0.1, rng.uniform(0.0, 0.5))
        step = rng.uniform(-0.3, 0.3)
        height = base.height * (1 - share) + (rng.uniform(0.3, 1) * other.height + step) * share
        return Surface(unit(height), base.tint * (1 - share) + other.tint * share)
    amount = rng.uniform(0.1, 0.4)
    return Surface(
        unit(base.height + amount * other.height), np.where(rng.random() < 0.5, base.tint, other.tint)
    )


def detailed(rng: Rng, surface: Surface) -> Surface:
    """With roughness, unevenness and another distribution of heights."""
    side, height = len(surface.height), surface.height
    if rng.random() < 0.7:
        rough = fractal(rng, side, rng.uniform(0.3, 1.5), (4.0, 1e9))
        spread = ramp(fractal(rng, side, 2.0), -1.0, 1.0) if rng.random() < 0.5 else 1.0
        height = height + log_uniform(rng, 0.005, 0.08) * rough * spread
    if rng.random() < 0.5:
        height = height + log_uniform(rng, 0.02, 0.2) * fractal(rng, side, 2.2, (1.0, 6.0))
    height = unit(height)
    if rng.random() < 0.4:
        height = height ** log_uniform(rng, 0.5, 1.8)
    return Surface(height.astype(np.float32), surface.tint.astype(np.float32))
