"""Clouds to learn denoising from: shapes of our own making, with exact points and exact distances."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ..datasets.synthetic.machined_parts import machined_part
from ..datasets.synthetic.solids import chair_boxes, union_distance, union_points
from ..geometry import implicit
from ..shapes import normalisation, sample_surface

Distance = Callable[[Tensor], Tensor]
FAMILIES = ("blob", "chair", "part", "limbs")
SIZES = (1500, 8000)


def training_shape(
    seed: int, points: int | None = None, family: str | None = None
) -> tuple[Float[Tensor, "N 3"], Distance]:
    """Points of a shape within the unit sphere, and the signed distance to it.

    Args:
        seed: Of everything.
        points: How many; by default a random number within `SIZES`.
        family: `chair` of boxes; `blob`: rounded cones, a ring and a block; `part`, machined; `limbs`, thin and
            round. By default they take turns.
    """
    draw = torch.Generator().manual_seed(seed)
    low, high = SIZES
    random = int(low * (high / low) ** float(torch.rand(1, generator=draw)))
    count = points or random
    family = family or FAMILIES[seed % len(FAMILIES)]
    if family == "chair":
        boxes = chair_boxes(7, seed)
        return _normalised(union_points(boxes, count, draw), lambda x: union_distance(boxes, x))
    if family == "part":
        part = machined_part(seed)
        return _normalised(part.points(count, draw), part.distance)
    field = _blob(draw) if family == "blob" else _limbs(draw)
    mesh = implicit.zero_set(field, (-2, -2, -2), (2, 2, 2), 0.06 if family == "blob" else 0.05)
    return _normalised(_settled(field, sample_surface(mesh, count, draw)[0]), field)


def noisy_cloud(
    clean: Float[Tensor, "N 3"], level: float, count: int, draw: torch.Generator
) -> tuple[Float[Tensor, "M 3"], Float[Tensor, "K 3"]]:
    """Some of the points with normal noise; half of such clouds are denser in one place, a few have strays.

    Returns:
        The cloud, which begins with K noisy points and ends with strays, and these K without noise.
    """
    rows = torch.randperm(len(clean), generator=draw)
    if float(torch.rand(1, generator=draw)) < 0.5:
        slope = 1.5 * torch.randn(3, generator=draw)
        rows = torch.multinomial((clean @ slope).exp() + 1e-3, min(count, len(clean)), generator=draw)
    before = clean[rows[:count]]
    points = before + level * torch.randn(before.shape, generator=draw)
    if float(torch.rand(1, generator=draw)) < 0.15:
        strays = 2 * torch.rand(len(points) // 50, 3, generator=draw) - 1
        points = torch.cat([points, strays])
    return points, before


def _normalised(points: Tensor, distance: Distance) -> tuple[Tensor, Distance]:
    to = normalisation(points)
    return to.apply(points), lambda x: distance(to.inverse().apply(x)) * to.scale


def _number(draw: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(1, generator=draw))


def _blob(draw: torch.Generator) -> implicit.Field:
    def number(low: float, high: float) -> float:
        return _number(draw, low, high)

    def place() -> list[float]:
        return [number(-0.8, 0.8) for _ in range(3)]

    parts = [implicit.rounded_cone(place(), place(), number(0.08, 0.4), number(0.08, 0.4)) for _ in range(3)]
    ring = implicit.torus(number(0.4, 0.8), number(0.08, 0.2))
    parts.append(implicit.rotate(ring, [number(0.1, 1) for _ in range(3)], number(0, 360)))
    block = implicit.rounded_box([number(0.2, 1) for _ in range(3)], 0.02)
    parts.append(implicit.rotate(block, [number(0.1, 1) for _ in range(3)], number(0, 360)))
    return implicit.smooth_union(*parts, radius=number(0.02, 0.2))


def _limbs(draw: torch.Generator) -> implicit.Field:
    """A body with thin limbs, as animals and plants have."""
    places = [torch.zeros(3)]
    radii = [_number(draw, 0.15, 0.4)]
    parts = [implicit.ellipsoid([_number(draw, 0.2, 0.6) for _ in range(3)])]
    for _ in range(4 + int(_number(draw, 0, 5.999))):
        parent = int(_number(draw, 0, len(places) - 0.001))
        way = torch.randn(3, generator=draw)
        end = (places[parent] + _number(draw, 0.4, 0.9) * way / way.norm()).clamp(-1.5, 1.5)
        start, thick, tip = places[parent], min(radii[parent], 0.2), 0.04 * 4 ** _number(draw, 0, 1)
        parts.append(implicit.rounded_cone(start.tolist(), end.tolist(), max(0.6 * thick, tip), tip))
        places.append(end)
        radii.append(tip)
    return implicit.smooth_union(*parts, radius=_number(draw, 0.01, 0.08))


def _settled(field: implicit.Field, points: Tensor) -> Tensor:
    """Newton steps from the mesh to the surface itself."""
    for _ in range(2):
        x = points.detach().requires_grad_()
        with torch.enable_grad():
            value = field(x)
            (slope,) = torch.autograd.grad(value.sum(), x)
        points = (x - slope * (value / slope.square().sum(dim=1).clamp(min=0.5))[:, None]).detach()
    return points
