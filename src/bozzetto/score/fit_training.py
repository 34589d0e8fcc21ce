"""Training of the networks that denoise: procedural shapes, noise of any level, exact distances."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ..geometry import implicit
from ..shapes import normalisation, sample_surface
from .denoising import one_pass, spread
from .fit_choice import FitChoice
from .local_fits import local_fits, support_of
from .procedural import chair_boxes, union_distance, union_points

Distance = Callable[[Tensor], Tensor]
LEVELS = (0.004, 0.04)
SIZES = (1500, 8000)
STEPS = 4000
ROWS = 1024
FAR = 3.0
"""Distance, in units of the noise, beyond which the loss grows slower than its square: few are so far."""


def training_shape(seed: int, points: int | None = None) -> tuple[Float[Tensor, "N 3"], Distance]:
    """Points of a shape within the unit sphere, and the signed distance to it.

    Every second one is a chair of boxes, with edges; the others unite rounded cones, a ring and a block.

    Args:
        seed: Of everything.
        points: How many; by default a random number within `SIZES`.
    """
    draw = torch.Generator().manual_seed(seed)
    low, high = SIZES
    random = int(low * (high / low) ** float(torch.rand(1, generator=draw)))
    count = points or random
    if seed % 2:
        boxes = chair_boxes(7, seed)
        to = normalisation(boxes.reshape(-1, 3))
        on_boxes = union_points(boxes, count, draw)
        return to.apply(on_boxes), lambda x: union_distance(boxes, to.inverse().apply(x)) * to.scale
    field = _blob(draw)
    mesh = implicit.surface(field, (-2, -2, -2), (2, 2, 2), 0.06)
    settled = _settled(field, sample_surface(mesh, count, draw)[0])
    to = normalisation(settled)
    return to.apply(settled), lambda x: field(to.inverse().apply(x)) * to.scale


def _blob(draw: torch.Generator) -> implicit.Field:
    def number(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand(1, generator=draw))

    def place() -> list[float]:
        return [number(-0.8, 0.8) for _ in range(3)]

    parts = [implicit.rounded_cone(place(), place(), number(0.08, 0.4), number(0.08, 0.4)) for _ in range(3)]
    ring = implicit.torus(number(0.4, 0.8), number(0.08, 0.2))
    parts.append(implicit.rotate(ring, [number(0.1, 1) for _ in range(3)], number(0, 360)))
    block = implicit.rounded_box([number(0.2, 1) for _ in range(3)], 0.02)
    parts.append(implicit.rotate(block, [number(0.1, 1) for _ in range(3)], number(0, 360)))
    return implicit.smooth_union(*parts, radius=number(0.02, 0.2))


def _settled(field: implicit.Field, points: Tensor) -> Tensor:
    """Newton steps from the mesh to the surface itself."""
    for _ in range(2):
        x = points.detach().requires_grad_()
        with torch.enable_grad():
            value = field(x)
            (slope,) = torch.autograd.grad(value.sum(), x)
        points = (x - slope * (value / slope.square().sum(dim=1).clamp(min=0.5))[:, None]).detach()
    return points


def train_denoiser(shapes: int = 100, rows: int = 1500, passes: int = 2, seed: int = 0) -> list[FitChoice]:
    """Train one network for each pass.

    Every pass sees clouds that the passes before have worked on, and minimises the mean squared distance to the
    surface, in units of the noise.

    Args:
        shapes: Clouds per pass.
        rows: Points of each that are learned from.
        passes: Networks.
        seed: Of shapes, noise and weights.
    """
    found: list[FitChoice] = []
    for index in range(passes):
        tables = []
        for shape in range(shapes):
            clean, distance = training_shape(2 * passes * shapes * seed + index * shapes + shape)
            draw = torch.Generator().manual_seed(seed + 1000 * shape + index)
            level = LEVELS[0] * (LEVELS[1] / LEVELS[0]) ** float(torch.rand(1, generator=draw))
            points = clean + level * torch.randn(clean.shape, generator=draw)
            for network in found:
                with torch.no_grad():
                    points, normals = one_pass(network, points, level)
                    points = spread(points, normals, level)  # other disorder than a first pass leaves
            chosen = torch.randperm(len(points), generator=draw)[:rows]
            fits = local_fits(support_of(points), points[chosen], level)
            tables.append((points[chosen], fits.moves, fits.features, distance, level))
        found.append(_fitted(tables, seed + index))
    return found


def _fitted(tables: list, seed: int) -> FitChoice:
    torch.manual_seed(seed)
    network = FitChoice()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=STEPS)
    for step in range(STEPS):
        points, moves, features, distance, level = tables[step % len(tables)]
        rows = torch.randint(len(points), (min(ROWS, len(points)),))
        left = distance(points[rows] + network(moves[rows], features[rows])) / level
        loss = (FAR**2 + left.square()).sqrt().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()
