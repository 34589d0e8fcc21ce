"""Recipes for pieces laid side by side: bricks, planks, slabs, cobbles."""

import numpy as np

from .cells import cells, courses, honeycomb, scattered
from .noise import Rng, displaced, fractal, log_uniform, positions, unit
from .surface import Surface, bent_positions, chamfered, tint_of, turned, uneven_pieces


def bricks(rng: Rng, side: int) -> Surface:
    """Bricks and blocks in courses."""
    rows = 2 * int(rng.integers(2, 10))
    columns = max(1, round(rows / log_uniform(rng, 1.2, 3.5)))
    x, y = bent_positions(rng, side, 0.15 / rows)
    uneven = rng.uniform(0.3, 1) if rng.random() < 0.4 else 0.0
    pieces = courses(rng, x, y, rows, columns, rng.choice([0.5, 0.33, -1]), uneven)
    joint = rng.uniform(0.01, 0.12) / rows
    body = chamfered(rng, pieces, joint, log_uniform(rng, 0.01, 0.3) / rows)
    height = body * (1 + uneven_pieces(rng, pieces, log_uniform(rng, 0.01, 0.25)))
    return Surface(unit(height), np.where(body > 0.2, 0.3 + 0.7 * tint_of(rng, pieces), 0))


def planks(rng: Rng, side: int) -> Surface:
    """Boards with grain along them, some with gaps."""
    rows = int(rng.integers(3, 13))
    x, y = positions(side)
    pieces = courses(rng, x, y, rows, int(rng.integers(1, 3)), -1, rng.uniform(0, 0.5))
    body = chamfered(rng, pieces, rng.uniform(0, 0.04) / rows, log_uniform(rng, 0.01, 0.2) / rows)
    grain = fractal(rng, side, rng.uniform(0.7, 1.4), (3.0, 1e9), log_uniform(rng, 8, 60))
    grain = displaced(grain, 0 * x, tint_of(rng, pieces))
    amount = log_uniform(rng, 0.01, 0.2)
    height = body * (1 + uneven_pieces(rng, pieces, log_uniform(rng, 0.01, 0.15))) + amount * grain * body
    tint = unit(tint_of(rng, pieces) + rng.uniform(0, 0.4) * grain) * (body > 0.1)
    return turned(rng, Surface(unit(height), tint))


def slabs(rng: Rng, side: int) -> Surface:
    """Square, oblong or hexagonal tiles and mosaics."""
    x, y = positions(side)
    count = int(log_uniform(rng, 2, 28))
    if rng.random() < 0.3:
        pieces = cells(x, y, honeycomb(max(2, count)))
    else:
        columns = max(1, round(count * log_uniform(rng, 0.5, 2)))
        pieces = courses(rng, x, y, count, columns, 0.5 if rng.random() < 0.3 else 0.0)
    joint = rng.uniform(0.01, 0.1) / count
    body = chamfered(rng, pieces, joint, log_uniform(rng, 0.01, 0.25) / count)
    height = body * (1 + uneven_pieces(rng, pieces, log_uniform(rng, 0.003, 0.15)))
    return Surface(unit(height), np.where(body > 0.3, 0.2 + 0.8 * tint_of(rng, pieces), 0))


def cobbles(rng: Rng, side: int) -> Surface:
    """Round stones set side by side, of random or ordered places."""
    count = int(log_uniform(rng, 12, 400))
    step = 1 / np.sqrt(count)
    x, y = bent_positions(rng, side, 0.12 * step)
    stretch = (1.0, log_uniform(rng, 0.6, 1.7))
    pieces = cells(x, y, scattered(rng, count, rng.uniform(0.4, 1)), stretch)
    joint = rng.uniform(0, 0.12) * step
    body = chamfered(rng, pieces, joint, rng.uniform(0.1, 0.5) * step)
    height = body * (1 + uneven_pieces(rng, pieces, log_uniform(rng, 0.02, 0.3)))
    return Surface(unit(height), np.where(body > 0.15, 0.25 + 0.75 * tint_of(rng, pieces), 0))
