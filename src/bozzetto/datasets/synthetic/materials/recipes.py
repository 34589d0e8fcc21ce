"""Random materials: one of the recipes or a mixture of two, with random parameters."""

from collections.abc import Callable

import numpy as np

from .patterns import (
    SHAPES,
    Map,
    MaterialSurface,
    Rng,
    bent_positions,
    cells,
    chamfered,
    courses,
    displaced,
    fractal,
    honeycomb,
    log_uniform,
    normal,
    positions,
    ramp,
    random_displacements,
    scatter,
    scattered,
    shape_distance,
    tint_of,
    to_unit_range,
    transposed_or_not,
    uneven_pieces,
)


def bricks(rng: Rng, side: int) -> MaterialSurface:
    """Bricks and blocks in courses."""
    rows = 2 * int(rng.integers(2, 10))
    columns = max(1, round(rows / log_uniform(rng, 1.2, 3.5)))
    x, y = bent_positions(rng, side, 0.15 / rows)
    uneven = rng.uniform(0.3, 1) if rng.random() < 0.4 else 0.0
    pieces = courses(rng, x, y, rows, columns, rng.choice([0.5, 0.33, -1]), uneven)
    joint = rng.uniform(0.01, 0.12) / rows
    body = chamfered(rng, pieces, joint, log_uniform(rng, 0.01, 0.3) / rows)
    height = body * (1 + uneven_pieces(rng, pieces, log_uniform(rng, 0.01, 0.25)))
    return MaterialSurface(to_unit_range(height), np.where(body > 0.2, 0.3 + 0.7 * tint_of(rng, pieces), 0))


def planks(rng: Rng, side: int) -> MaterialSurface:
    """Boards with grain along them, some with gaps."""
    rows = int(rng.integers(3, 13))
    x, y = positions(side)
    pieces = courses(rng, x, y, rows, int(rng.integers(1, 3)), -1, rng.uniform(0, 0.5))
    body = chamfered(rng, pieces, rng.uniform(0, 0.04) / rows, log_uniform(rng, 0.01, 0.2) / rows)
    grain = fractal(rng, side, rng.uniform(0.7, 1.4), (3.0, 1e9), log_uniform(rng, 8, 60))
    grain = displaced(grain, 0 * x, tint_of(rng, pieces))
    amount = log_uniform(rng, 0.01, 0.2)
    height = body * (1 + uneven_pieces(rng, pieces, log_uniform(rng, 0.01, 0.15))) + amount * grain * body
    tint = to_unit_range(tint_of(rng, pieces) + rng.uniform(0, 0.4) * grain) * (body > 0.1)
    return transposed_or_not(rng, MaterialSurface(to_unit_range(height), tint))


def slabs(rng: Rng, side: int) -> MaterialSurface:
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
    return MaterialSurface(to_unit_range(height), np.where(body > 0.3, 0.2 + 0.8 * tint_of(rng, pieces), 0))


def cobbles(rng: Rng, side: int) -> MaterialSurface:
    """Round stones side by side, at random or ordered positions."""
    count = int(log_uniform(rng, 12, 400))
    step = 1 / np.sqrt(count)
    x, y = bent_positions(rng, side, 0.12 * step)
    stretch = (1.0, log_uniform(rng, 0.6, 1.7))
    pieces = cells(x, y, scattered(rng, count, rng.uniform(0.4, 1)), stretch)
    joint = rng.uniform(0, 0.12) * step
    body = chamfered(rng, pieces, joint, rng.uniform(0.1, 0.5) * step)
    height = body * (1 + uneven_pieces(rng, pieces, log_uniform(rng, 0.02, 0.3)))
    return MaterialSurface(
        to_unit_range(height), np.where(body > 0.15, 0.25 + 0.75 * tint_of(rng, pieces), 0)
    )


def weave(rng: Rng, side: int) -> MaterialSurface:
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
    return MaterialSurface(
        to_unit_range(height), np.where(warp > weft, 1.0, rng.uniform(0, 1)) * to_unit_range(0.3 * fibre + 2)
    )


def scales(rng: Rng, side: int) -> MaterialSurface:
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
    return transposed_or_not(rng, MaterialSurface(to_unit_range(height), tint))


def panels(rng: Rng, side: int) -> MaterialSurface:
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
    return MaterialSurface(to_unit_range(height), tint.astype(np.float32))


def mail(rng: Rng, side: int) -> MaterialSurface:
    """Rings, knots and knitting: a small raised element per cell of a grid, tilted alternately."""
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
    return MaterialSurface(to_unit_range(height), tint.astype(np.float32))


def cracks(rng: Rng, side: int) -> MaterialSurface:
    """Dried mud, old paint, asphalt: plates between cracks of changing width."""
    x, y = bent_positions(rng, side, 0.02)
    pieces = cells(x, y, scattered(rng, int(log_uniform(rng, 6, 120))))
    width = 0.012 * ramp(fractal(rng, side, 1.8), -1.2, 1.0) * log_uniform(rng, 0.4, 2)
    crack = 1 - ramp(pieces.border / (width + 1e-4), 0, 1)
    plates = uneven_pieces(rng, pieces, log_uniform(rng, 0.01, 0.3))
    curl = rng.uniform(-0.5, 0.5) * pieces.centre / max(float(pieces.centre.max()), 1e-6)
    rough = log_uniform(rng, 0.02, 0.4) * fractal(rng, side, rng.uniform(0.5, 1.8))
    height = plates + curl + rough - rng.uniform(0.5, 1.5) * crack
    return MaterialSurface(to_unit_range(height), (1 - crack) * (0.3 + 0.7 * to_unit_range(rough)))


def facets(rng: Rng, side: int) -> MaterialSurface:
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
    return MaterialSurface(to_unit_range(height), to_unit_range(tint + 0.5 * fractal(rng, side, 1.2)))


def strata(rng: Rng, side: int) -> MaterialSurface:
    """Layers that are exposed one below another."""
    angle = rng.uniform(0, np.pi)
    base = fractal(rng, side, rng.uniform(1.4, 2.2), (1.0, 1e9), log_uniform(rng, 1, 8), angle)
    base = to_unit_range(base) * rng.uniform(3, 12)
    base = base + 0.3 * fractal(rng, side, 1.2, (3.0, 1e9))
    steep = rng.uniform(0.05, 0.6)
    level = np.floor(base)
    height = level + ramp(base - level, 1 - steep, 1.0) + rng.uniform(0, 0.6) * (base - level)
    offsets = rng.uniform(0, 1, 64)
    return MaterialSurface(
        to_unit_range(height), to_unit_range(offsets[level.astype(int) % 64] + 0.2 * fractal(rng, side, 1.0))
    )


def fractals(rng: Rng, side: int) -> MaterialSurface:
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
        base = displaced(base, *random_displacements(rng, side, log_uniform(rng, 0.003, 0.05)))
    fine = fractal(rng, side, rng.uniform(0.3, 1.2), (log_uniform(rng, 6, 40), 1e9), stretch, angle)
    height = normal(base) + log_uniform(rng, 0.05, 0.7) * fine
    return MaterialSurface(to_unit_range(height), to_unit_range(fractal(rng, side, rng.uniform(0.8, 2))))


def ripples(rng: Rng, side: int) -> MaterialSurface:
    """Sand ripples, corrugation, brushed and ploughed surfaces."""
    x, y = bent_positions(rng, side, log_uniform(rng, 0.002, 0.06))
    waves = int(log_uniform(rng, 3, 40))
    turn = rng.integers(-2, 3) if rng.random() < 0.4 else 0
    phase = 2 * np.pi * (waves * y + turn * x)
    lean = rng.uniform(-0.6, 0.6)
    crest = (0.5 + 0.5 * np.sin(phase + lean * np.sin(phase))) ** log_uniform(rng, 0.5, 3)
    strength = ramp(fractal(rng, side, 2.2), -1.5, 1.0) if rng.random() < 0.6 else 1.0
    height = crest * strength + log_uniform(rng, 0.02, 0.3) * fractal(rng, side, rng.uniform(0.8, 1.8))
    return transposed_or_not(
        rng, MaterialSurface(to_unit_range(height), to_unit_range(fractal(rng, side, 1.0, (1.0, 1e9), 6.0)))
    )


def bark(rng: Rng, side: int) -> MaterialSurface:
    """Furrows and plates along one direction."""
    stretch = log_uniform(rng, 2.5, 12)
    along = rng.choice([0.0, np.pi / 2])
    base = fractal(rng, side, rng.uniform(0.9, 1.5), (log_uniform(rng, 2, 8), 1e9), stretch, along)
    base = displaced(base, *random_displacements(rng, side, log_uniform(rng, 0.005, 0.03)))
    ridged = -(np.abs(base) ** rng.uniform(0.5, 1.2)) if rng.random() < 0.6 else base
    fine = fractal(rng, side, 0.8, (10.0, 1e9), stretch / 2, along)
    height = normal(ridged) + rng.uniform(0.05, 0.4) * fine
    return MaterialSurface(
        to_unit_range(height), to_unit_range(fractal(rng, side, 1.0, (2.0, 1e9), stretch, along))
    )


def debris(rng: Rng, side: int) -> MaterialSurface:
    """Stones, leaves, twigs, grass or chips on the ground."""
    ground = rng.uniform(0.1, 0.5) * to_unit_range(fractal(rng, side, rng.uniform(1.2, 2.2)))
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
    return MaterialSurface(to_unit_range(height), tint)


def pits(rng: Rng, side: int) -> MaterialSurface:
    """Pores, holes, dents or bumps in an even surface."""
    flat = log_uniform(rng, 0.01, 0.2) * fractal(rng, side, rng.uniform(1, 2))
    largest = log_uniform(rng, 0.01, 0.1)
    count = int(min(600, rng.uniform(0.05, 0.5) / largest**2 / 3))
    bumps, label = scatter(
        rng, 0 * flat, SHAPES["dome"], count, (largest / 4, largest), rng.uniform(1, 1.5), 1.0
    )
    height = flat + bumps * (1 if rng.random() < 0.25 else -1)
    return MaterialSurface(
        to_unit_range(height),
        np.where(label > 0, rng.uniform(0, 0.3), to_unit_range(fractal(rng, side, 1.5))),
    )


RECIPES: dict[str, Callable[[Rng, int], MaterialSurface]] = {
    f.__name__: f
    for f in (
        *(bricks, planks, slabs, cobbles, cracks, facets, strata, fractals, ripples),
        *(bark, weave, scales, panels, debris, pits, mail),
    )
}
"""All recipes by name; samples depend on this order."""


def make_surface(rng: Rng, side: int, recipe: str | None = None) -> MaterialSurface:
    """A surface of `side` x `side` pixels, of a random recipe or a mixture of two."""
    if recipe is not None:
        return RECIPES[recipe](rng, side)
    names = list(RECIPES)
    base = RECIPES[names[rng.integers(len(names))]](rng, side)
    if rng.random() < 0.3:
        base = layered(rng, base, RECIPES[names[rng.integers(len(names))]](rng, side))
    return detailed(rng, base)


def layered(rng: Rng, base: MaterialSurface, other: MaterialSurface) -> MaterialSurface:
    """One material over another: filled into its hollows, in patches, or as fine relief upon it."""
    side = len(base.height)
    kind = rng.random()
    if kind < 0.45:  # filled up to a level
        level = rng.uniform(0.2, 0.6) + rng.uniform(0, 0.15) * fractal(rng, side, 2.0)
        fill = level + rng.uniform(0.05, 0.25) * (other.height - 0.5)
        over = fill > base.height
        return MaterialSurface(
            to_unit_range(np.maximum(base.height, fill)),
            np.where(over, 0.3 * other.tint, 0.4 + 0.6 * base.tint),
        )
    if kind < 0.75:  # in patches
        share = ramp(fractal(rng, side, 1.8) + rng.uniform(-0.8, 0.8), -0.1, rng.uniform(0.0, 0.5))
        step = rng.uniform(-0.3, 0.3)
        height = base.height * (1 - share) + (rng.uniform(0.3, 1) * other.height + step) * share
        return MaterialSurface(to_unit_range(height), base.tint * (1 - share) + other.tint * share)
    amount = rng.uniform(0.1, 0.4)
    return MaterialSurface(
        to_unit_range(base.height + amount * other.height),
        np.where(rng.random() < 0.5, base.tint, other.tint),
    )


def detailed(rng: Rng, surface: MaterialSurface) -> MaterialSurface:
    """Add roughness, unevenness and another distribution of heights."""
    side, height = len(surface.height), surface.height
    if rng.random() < 0.7:
        rough = fractal(rng, side, rng.uniform(0.3, 1.5), (4.0, 1e9))
        spread = ramp(fractal(rng, side, 2.0), -1.0, 1.0) if rng.random() < 0.5 else 1.0
        height = height + log_uniform(rng, 0.005, 0.08) * rough * spread
    if rng.random() < 0.5:
        height = height + log_uniform(rng, 0.02, 0.2) * fractal(rng, side, 2.2, (1.0, 6.0))
    height = to_unit_range(height)
    if rng.random() < 0.4:
        height = height ** log_uniform(rng, 0.5, 1.8)
    return MaterialSurface(height.astype(np.float32), surface.tint.astype(np.float32))
