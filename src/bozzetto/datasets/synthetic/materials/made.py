"""Recipes for what is woven, forged and roofed with: cloth, scales, panels, mail."""

import numpy as np

from .cells import courses, shape_distance
from .noise import Map, Rng, fractal, log_uniform, positions, ramp, unit
from .surface import Surface, bent_positions, turned


def weave(rng: Rng, side: int) -> Surface:
    """Cloth and wicker: threads that pass over and under each other, plain, basket or twill."""
    x, y = bent_positions(rng, side, 0.01)
    threads = 2 * int(log_uniform(rng, 4, 32))
    period, over = ((2, 1), (4, 2), (3, 2), (4, 1))[rng.integers(4)]
    threads = max(period, threads // period * period)
    u, v = x * threads, y * threads
    i, j = np.floor(u), np.floor(v)
    flat = rng.uniform(0.3, 1)

    def thread(across: Map, along: Map, which: Map, first_system: bool) -> Map:
        # How much of the neighbourhood along the thread it lies on top, smoothed between crossings.
        place = along - 0.5
        before = np.floor(place)
        t = ramp(place - before, 0, 1)
        tops = [(((before + k) + which) % period < over) == first_system for k in (0, 1)]
        profile = np.sqrt(np.maximum(1 - (flat * (2 * (across % 1) - 1)) ** 2, 0))
        return profile + 1.2 * (tops[0] * (1 - t) + tops[1] * t)

    warp, weft = thread(u, v, i, True), thread(v, u, j, False)
    height = np.maximum(warp, weft)
    fibre = fractal(rng, side, 0.3, (threads, 1e9))
    height = height + log_uniform(rng, 0.02, 0.2) * fibre
    return Surface(unit(height), np.where(warp > weft, 1.0, rng.uniform(0, 1)) * unit(0.3 * fibre + 2))


def scales(rng: Rng, side: int) -> Surface:
    """Shingles, roof tiles, scales and feathers: every row overlaps the next one."""
    rows = 2 * int(rng.integers(2, 9))
    columns = max(1, round(rows * log_uniform(rng, 0.6, 2)))
    x, y = bent_positions(rng, side, 0.1 / rows)
    y = y % 1
    round_end, gap = rng.uniform(0, 0.8), rng.uniform(0.85, 1.0)
    arch = rng.uniform(0, 0.5)
    jitter = rng.uniform(0, 0.15) * rng.standard_normal((rows, columns)).astype(np.float32)
    tints = rng.random((rows, columns)).astype(np.float32)
    height = np.zeros((side, side), np.float32)
    tint = np.zeros_like(height)
    row = np.floor(y * rows).astype(int)
    for back in (2, 1, 0):  # rows from below to above: a row lies on the one beneath it in the picture
        r = (row - 1 + back) % rows if back < 2 else (row + 1) % rows
        v = y * rows - row + (1 - back)
        u = x * columns + 0.5 * (r % 2)
        column = np.floor(u).astype(int) % columns
        across = 2 * (u - np.floor(u)) - 1
        end = 1.25 + jitter[r, column] + round_end * (np.sqrt(np.maximum(1 - across**2, 0)) - 0.8)
        inside = (v >= 0) & (v < end) & (np.abs(across) < gap)
        own = 0.2 + 0.5 * v - arch * across**2 + 0.3 * jitter[r, column]
        if back == 2:
            continue
        better = inside & ((own > height) | (tint == 0))
        height, tint = np.where(better, own, height), np.where(better, 0.1 + 0.9 * tints[r, column], tint)
    return turned(rng, Surface(unit(height), tint))


def panels(rng: Rng, side: int) -> Surface:
    """Metal plates, grates, treads and studs: grids of shapes, raised or sunk, on panels with seams."""
    x, y = positions(side)
    height = np.zeros((side, side), np.float32)
    tint = np.zeros_like(height)
    for _ in range(int(rng.integers(1, 4))):
        rows, columns = int(log_uniform(rng, 1, 14)), int(log_uniform(rng, 1, 14))
        grid = courses(rng, x, y, rows, columns, rng.choice([0.0, 0.0, 0.5]))
        cell = (0.5 / columns, 0.5 / rows)
        half = (cell[0] * rng.uniform(0.2, 0.95), cell[1] * rng.uniform(0.2, 0.95))
        if rng.random() < 0.3:
            half = (min(half), min(half))
        kind = str(rng.choice(["box", "box", "box", "disc", "cross", "ring", "lozenge"]))
        distance = shape_distance(rng, grid.right, grid.down, half, kind)
        form = ramp(-distance, 0, log_uniform(rng, 0.05, 0.8) * min(half))
        present = rng.random(grid.count)[grid.index] < rng.choice([1.0, 1.0, 0.6])
        height += rng.choice([-1, 1]) * rng.uniform(0.2, 1) * form * present
        tint = np.where((distance < 0) & present, rng.random(), tint)
    if rng.random() < 0.5:
        height += rng.uniform(0.02, 0.1) * fractal(rng, side, 1.8)
    return Surface(unit(height), tint.astype(np.float32))


def mail(rng: Rng, side: int) -> Surface:
    """Rings, knots and knitting: a small raised thing per place of a grid, leaning alternately."""
    rows = 2 * int(log_uniform(rng, 3, 16))
    x, y = bent_positions(rng, side, 0.05 / rows)
    height = np.zeros((side, side), np.float32)
    tint = np.zeros_like(height)
    slant = rng.uniform(0, 0.9)
    kind = str(rng.choice(["ring", "ring", "disc", "box"]))
    for k in (0, 1):  # two interlaced grids
        grid = courses(rng, x + 0.5 * k / rows, y + 0.5 * k / rows, rows, rows)
        size = 1.0 / rows
        half = (size * rng.uniform(0.45, 0.62), size * rng.uniform(0.35, 0.62))
        lean = slant * (1 - 2 * k)
        distance = shape_distance(rng, grid.right + lean * grid.down, grid.down, half, kind)
        inner = -distance / (0.3 * min(half))
        own = np.sqrt(np.maximum(inner, 0).clip(0, 1)) * (0.7 + lean * grid.right / size)
        tint = np.where(own > height, 0.5 + 0.5 * k, tint)
        height = np.maximum(height, own)
    return Surface(unit(height), tint.astype(np.float32))
