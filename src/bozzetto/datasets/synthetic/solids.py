"""Chairs whose law is known: any number of independent shapes, exact points and exact distances.

Two sets drawn from it are equally distributed, so that the right 1-NNA is one half; of no collection of
files is that known.
"""

import torch
from jaxtyping import Float
from torch import Tensor

MARGIN = 0.01
"""Parts overlap by so much, so that where they meet is inside of one of them."""


def chair_boxes(seed: int, index: int) -> Float[Tensor, "K 2 3"]:
    """Low and high corners of the boxes of a chair; y up, the back at low z, the seat about 1 wide.

    Four legs, side panels or a column below the seat; a plain back, slats or none; perhaps arms. Chair `index`
    of a seed is always the same.
    """
    draw = torch.Generator().manual_seed((seed * 1_000_003 + index) % 2**63)

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand(1, generator=draw))

    w, d, h = between(0.4, 0.55), between(0.4, 0.55), between(0.6, 1.0)
    seat, leg = between(0.06, 0.14), between(0.05, 0.12)
    inset = between(0.0, 0.1)
    boxes = [((-w, h - seat, -d), (w, h, d))]
    boxes += _support(between(0, 1), w - inset, d - inset, h - seat / 2, leg)
    style, back, thick = between(0, 1), between(0.5, 1.1), between(0.05, 0.1)
    if style < 0.85:
        boxes += _back(style < 0.45, w, d, h - MARGIN, back, thick, 2 + int(between(1, 3.999)))
    if style < 0.85 and between(0, 1) < 0.4:
        boxes += _arms(w, d, h - MARGIN, between(0.2, 0.35), thick)
    return torch.tensor(boxes)


Box = tuple[tuple[float, float, float], tuple[float, float, float]]


def _support(style: float, w: float, d: float, top: float, leg: float) -> list[Box]:
    if style < 0.6:  # four legs
        xs, zs = ((-w, -w + leg), (w - leg, w)), ((-d, -d + leg), (d - leg, d))
        return [((x[0], 0.0, z[0]), (x[1], top, z[1])) for x in xs for z in zs]
    if style < 0.8:  # panels
        return [((-w, 0.0, -d), (-w + leg, top, d)), ((w - leg, 0.0, -d), (w, top, d))]
    foot = 0.06
    return [((-leg, foot / 2, -leg), (leg, top, leg)), ((-0.8 * w, 0.0, -0.8 * d), (0.8 * w, foot, 0.8 * d))]


def _back(plain: bool, w: float, d: float, h: float, back: float, thick: float, slats: int) -> list[Box]:
    if plain:
        return [((-w, h, -d), (w, h + back, -d + thick))]
    rail = 0.15
    boxes: list[Box] = [((-w, h + back - rail, -d), (w, h + back, -d + thick))]
    for i in range(slats):
        x = (-w + 0.04) + (2 * w - 0.08) * i / (slats - 1)
        boxes.append(((x - 0.04, h, -d + 0.2 * thick), (x + 0.04, h + back - rail / 2, -d + 0.8 * thick)))
    return boxes


def _arms(w: float, d: float, h: float, arm: float, thick: float) -> list[Box]:
    boxes: list[Box] = []
    for side in (-1, 1):
        low, high = sorted((side * w, side * (w - thick)))
        boxes.append(((low, h + arm - thick, -d + thick / 2), (high, h + arm, 0.8 * d)))
        boxes.append(((low, h, 0.8 * d - thick), (high, h + arm - thick / 2, 0.8 * d)))
    return boxes


def union_points(
    boxes: Float[Tensor, "K 2 3"], count: int, generator: torch.Generator | None = None
) -> Float[Tensor, "{count} 3"]:
    """Random points of the surface of a union of boxes, uniform over its area, exact.

    Points of all faces, less those inside of another box. Faces must not coincide.
    """
    low, high = boxes[:, 0], boxes[:, 1]
    size = high - low
    areas = torch.stack([size[:, 1] * size[:, 2], size[:, 2] * size[:, 0], size[:, 0] * size[:, 1]], dim=1)
    found: list[Tensor] = []
    while sum(map(len, found)) < count:
        face = torch.multinomial(areas.flatten(), 2 * count, replacement=True, generator=generator)
        box, axis = face // 3, face % 3
        place = torch.rand(2 * count, 3, generator=generator)
        side = torch.rand(2 * count, 1, generator=generator) < 0.5
        place.scatter_(1, axis[:, None], side.float())
        points = low[box] + place * size[box]
        inside = (points[:, None] > low).all(dim=2) & (points[:, None] < high).all(dim=2)
        inside[torch.arange(len(box)), box] = False  # rounding may put a point into its own box
        found.append(points[~inside.any(dim=1)])
    return torch.cat(found)[:count]


def union_distance(boxes: Float[Tensor, "K 2 3"], points: Float[Tensor, "P 3"]) -> Float[Tensor, " P"]:
    """Signed distance to a union of boxes: exact outside, negative inside (there a bound from above)."""
    middle, half = boxes.mean(dim=1), (boxes[:, 1] - boxes[:, 0]) / 2
    q = (points[:, None] - middle).abs() - half
    outside = q.clamp(min=0).norm(dim=2)
    return (outside + q.amax(dim=2).clamp(max=0)).amin(dim=1)


def chairs(count: int, points: int, seed: int = 0, first: int = 0) -> Float[Tensor, "{count} {points} 3"]:
    """Clouds of chairs, each centred on its box with longest side 2.

    Args:
        count: How many.
        points: Points on each.
        seed: Of the family.
        first: Number of the first chair: sets that share no number are independent.
    """
    clouds = []
    for index in range(first, first + count):
        boxes = chair_boxes(seed, index)
        low, high = boxes[:, 0].amin(dim=0), boxes[:, 1].amax(dim=0)
        generator = torch.Generator().manual_seed((seed * 1_000_003 + index) % 2**63 + 1)
        cloud = union_points(boxes, points, generator)
        clouds.append((cloud - (low + high) / 2) * 2 / (high - low).max())
    return torch.stack(clouds)
