"""Synthetic chairs and machined parts from a known distribution: any number of independent shapes.

Points and distances are exact. Two sets of chairs have the same distribution, so that the true 1-NNA is one
half, which is not known for any data set of files. Machined parts are plates with holes, solids of revolution
and unions of them. Their walls are thick or thin and their edges are sharp, as in mechanical engineering, and
unlike those of `implicit`,
whose combinations only bound the distance.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ...values import value_type

MARGIN = 0.01
"""Overlap of parts, so that where they meet is inside of one of them."""


def chair_boxes(seed: int, index: int) -> Float[Tensor, "K 2 3"]:
    """Low and high corners of the boxes of a chair; y up, the back at low z, the seat about 1 wide.

    Four legs, side panels or a column below the seat; a plain back, slats or none; optionally arms. Chair
    `index` of a seed is reproducible.
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

    Points of all faces except those inside of another box. Faces must not coincide.
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
    """Signed distance to a union of boxes: exact outside, negative inside (there an upper bound)."""
    middle, half = boxes.mean(dim=1), (boxes[:, 1] - boxes[:, 0]) / 2
    q = (points[:, None] - middle).abs() - half
    outside = q.clamp(min=0).norm(dim=2)
    return (outside + q.amax(dim=2).clamp(max=0)).amin(dim=1)


def chairs(count: int, points: int, seed: int = 0, first: int = 0) -> Float[Tensor, "{count} {points} 3"]:
    """Point clouds of chairs, each with its bounding box centred and its longest side 2.

    Args:
        count: Number of chairs.
        points: Number of points on each.
        seed: Seed of the distribution.
        first: Number of the first chair; sets without common numbers are independent.
    """
    clouds = []
    for index in range(first, first + count):
        boxes = chair_boxes(seed, index)
        low, high = boxes[:, 0].amin(dim=0), boxes[:, 1].amax(dim=0)
        generator = torch.Generator().manual_seed((seed * 1_000_003 + index) % 2**63 + 1)
        cloud = union_points(boxes, points, generator)
        clouds.append((cloud - (low + high) / 2) * 2 / (high - low).max())
    return torch.stack(clouds)


CORNERS = 32
"""Number of corners of a round hole."""
KINDS = ("bar", "angle", "channel", "tee", "cross", "wheel")


@value_type
class Solid:
    """A solid by functions of its distance and of surface points.

    Attributes:
        distance: Function from points (P, 3) to signed distances (P,), negative inside. Exact; inside of a
            union, a bound.
        points: Function of a number and a generator to random points of its surface, uniform over the area.
        area: Area of the surface; of a union, an upper bound.
    """

    distance: Callable[[Tensor], Tensor]
    points: Callable[[int, torch.Generator], Tensor]
    area: float


class Polygon:
    """A region of the plane within rings of corners; holes are rings, too.

    Args:
        rings: Corners (M, 2) of each ring, in either direction, without crossings.
    """

    def __init__(self, rings: list[Float[Tensor, "_ 2"]]) -> None:
        self.start: Tensor = torch.cat(rings)
        self.edge: Tensor = torch.cat([ring.roll(-1, dims=0) for ring in rings]) - self.start
        self.length: Tensor = self.edge.norm(dim=1)

    def distance(self, points: Float[Tensor, "P 2"]) -> Float[Tensor, " P"]:
        """Signed distance to the outline, negative inside."""
        offset = points[:, None] - self.start
        t = ((offset * self.edge).sum(dim=2) / self.length.square()).clamp(0, 1)
        nearest = (offset - t[..., None] * self.edge).square().sum(dim=2).amin(dim=1)
        # A ray to the right crosses the outline an odd number of times, if it begins inside.
        low, high = self.start[:, 1], (self.start + self.edge)[:, 1]
        y = points[:, 1:]
        side = self.edge[:, 0] * offset[..., 1] - self.edge[:, 1] * offset[..., 0]
        crosses = ((low <= y) != (high <= y)) & ((side > 0) == (self.edge[:, 1] > 0))
        return torch.where(crosses.sum(dim=1) % 2 == 1, -1.0, 1.0) * (nearest + 1e-24).sqrt()

    def area(self) -> float:
        """Area of the region, for outer rings counter-clockwise and holes clockwise."""
        end = self.start + self.edge
        return float((self.start[:, 0] * end[:, 1] - end[:, 0] * self.start[:, 1]).sum() / 2)


def extruded(outline: Polygon, thickness: float) -> Solid:
    """A plate: a region of the xy-plane, from z = -thickness / 2 to thickness / 2."""
    half, cap = thickness / 2, outline.area()
    low = outline.start.amin(dim=0)
    size = outline.start.amax(dim=0) - low

    def distance(x: Tensor) -> Tensor:
        q = torch.stack([outline.distance(x[:, :2]), x[:, 2].abs() - half], dim=1)
        return _norm(q.clamp(min=0)) + q.amax(dim=1).clamp(max=0)

    def points(count: int, draw: torch.Generator) -> Tensor:
        wall = thickness * float(outline.length.sum())
        on_wall = int((torch.rand(count, generator=draw) < wall / (wall + 2 * cap)).sum())
        edge = torch.multinomial(outline.length, max(on_wall, 1), replacement=True, generator=draw)[:on_wall]
        flat = outline.start[edge] + torch.rand(on_wall, 1, generator=draw) * outline.edge[edge]
        height = (torch.rand(on_wall, 1, generator=draw) - 0.5) * thickness
        found = [torch.cat([flat, height], dim=1)]
        while sum(map(len, found)) < count:
            flat = low + torch.rand(2 * count, 2, generator=draw) * size
            flat = flat[outline.distance(flat) < 0]
            side = (torch.rand(len(flat), 1, generator=draw) < 0.5) * thickness - half
            found.append(torch.cat([flat, side], dim=1))
        return torch.cat(found)[:count]

    return Solid(distance, points, 2 * cap + thickness * float(outline.length.sum()))


def lathe(profile: Float[Tensor, "M 2"]) -> Solid:
    """A solid of revolution: a polyline of (radius, z) corners with positive radii, around the z-axis.

    Its ends are joined to the axis by flat faces.
    """
    ends = profile[[0, -1]] * torch.tensor([0.0, 1.0])
    line = torch.cat([ends[:1], profile, ends[1:]])
    whole = Polygon([torch.cat([profile, profile.flip(0) * torch.tensor([-1.0, 1.0])])])
    step = line.diff(dim=0)
    areas = math.pi * (line[1:, 0] + line[:-1, 0]) * step.norm(dim=1)

    def distance(x: Tensor) -> Tensor:
        return whole.distance(torch.stack([_norm(x[:, :2]), x[:, 2]], dim=1))

    def points(count: int, draw: torch.Generator) -> Tensor:
        part = torch.multinomial(areas, count, replacement=True, generator=draw)
        a, b = line[part, 0], line[part + 1, 0]
        u = torch.rand(count, generator=draw)
        radius = (a**2 + u * (b**2 - a**2)).sqrt()  # as many as the circumference is long
        t = torch.where((b - a).abs() > 1e-6, (radius - a) / (b - a), u)
        angle = 2 * math.pi * torch.rand(count, generator=draw)
        z = line[part, 1] + t * step[part, 1]
        return torch.stack([radius * angle.cos(), radius * angle.sin(), z], dim=1)

    return Solid(distance, points, float(areas.sum()))


def moved_solid(solid: Solid, rotation: Float[Tensor, "3 3"], by: Float[Tensor, "3"]) -> Solid:
    """A solid, rotated and then translated."""
    return Solid(
        lambda x: solid.distance((x - by) @ rotation),
        lambda count, draw: solid.points(count, draw) @ rotation.T + by,
        solid.area,
    )


def united(solids: list[Solid]) -> Solid:
    """The union. Faces must not coincide."""
    areas = torch.tensor([solid.area for solid in solids])

    def points(count: int, draw: torch.Generator) -> Tensor:
        found: list[Tensor] = []
        while sum(map(len, found)) < count:
            owner = torch.multinomial(areas, 2 * count, replacement=True, generator=draw)
            batch = []
            for i, solid in enumerate(solids):
                some = solid.points(int((owner == i).sum()), draw)
                others = [other.distance(some) > 0 for j, other in enumerate(solids) if j != i]
                batch.append(some[torch.stack(others).all(dim=0)] if others else some)
            mixed = torch.cat(batch)
            found.append(mixed[torch.randperm(len(mixed), generator=draw)])
        return torch.cat(found)[:count]

    return Solid(
        lambda x: torch.stack([solid.distance(x) for solid in solids]).amin(dim=0), points, float(areas.sum())
    )


def machined_part(seed: int) -> Solid:
    """One to three plates and solids of revolution, about 2 long, whose walls are 0.04 to 0.4 thick."""
    draw = torch.Generator().manual_seed(seed)
    pieces = []
    for _ in range(1 + int(_between(draw, 0, 2.999))):
        piece = _plate(draw) if _between(draw, 0, 1) < 0.7 else _turned_piece(draw)
        rotation = torch.linalg.qr(torch.randn(3, 3, generator=draw))[0]
        if _between(draw, 0, 1) < 0.5:  # along the axes, as most are
            rotation = torch.eye(3)[torch.randperm(3, generator=draw)]
        shift = torch.tensor([_between(draw, -0.5, 0.5) for _ in range(3)])
        pieces.append(moved_solid(piece, rotation, shift))
    return united(pieces)


def _plate(draw: torch.Generator) -> Solid:
    wall = 0.05 * 8 ** _between(draw, 0, 1)
    width, height = _between(draw, max(0.5, 2.5 * wall), 1.8), _between(draw, max(0.5, 2.5 * wall), 1.8)
    kind = KINDS[int(_between(draw, 0, len(KINDS) - 0.001))]
    outer = _outline(kind, width, height, wall, draw)
    region, rings = Polygon([outer]), [outer]
    low, size = outer.amin(dim=0), outer.amax(dim=0) - outer.amin(dim=0)
    for _ in range(int(_between(draw, 0, 5))):
        centre = (low + torch.rand(2, generator=draw) * size)[None]
        room = -float(Polygon(rings).distance(centre))
        if room > 0.06 and float(region.distance(centre)) < 0:
            angle = -2 * math.pi * torch.arange(CORNERS) / CORNERS
            circle = torch.stack([angle.cos(), angle.sin()], dim=1)
            rings.append(centre + _between(draw, 0.4, 0.8) * room * circle)
    thickness = 0.04 * 30 ** _between(draw, 0, 1)
    return extruded(Polygon(rings), thickness)


def _outline(kind: str, w: float, h: float, t: float, draw: torch.Generator) -> Tensor:
    """Corners of a profile of width w, height h and walls of t, counter-clockwise, centred."""
    if kind == "wheel":
        teeth = 6 + int(_between(draw, 0, 14.999))
        depth, radius = _between(draw, 0, 0.25), w / 2
        angle = 2 * math.pi * torch.arange(4 * teeth) / (4 * teeth)
        r = torch.tensor([radius, radius, radius * (1 - depth), radius * (1 - depth)]).repeat(teeth)
        return torch.stack([r * angle.cos(), r * angle.sin()], dim=1)
    left, right = (w - t) / 2, (w + t) / 2  # sides of a wall in the middle
    low, high = (h - t) / 2, (h + t) / 2
    corners = {
        "bar": [(0, 0), (w, 0), (w, h), (0, h)],
        "angle": [(0, 0), (w, 0), (w, t), (t, t), (t, h), (0, h)],
        "channel": [(0, 0), (w, 0), (w, h), (w - t, h), (w - t, t), (t, t), (t, h), (0, h)],
        "tee": [(0, 0), (w, 0), (w, t), (right, t), (right, h), (left, h), (left, t), (0, t)],
        "cross": [
            *[(left, 0), (right, 0), (right, low), (w, low), (w, high), (right, high)],
            *[(right, h), (left, h), (left, high), (0, high), (0, low), (left, low)],
        ],
    }[kind]
    return torch.tensor(corners) - torch.tensor([w / 2, h / 2])


def _turned_piece(draw: torch.Generator) -> Solid:
    steps = 1 + int(_between(draw, 0, 3.999))
    heights = torch.cumsum(torch.tensor([0.0] + [_between(draw, 0.08, 0.7) for _ in range(steps)]), dim=0)
    heights = (heights - heights.mean()).repeat_interleave(2)[1:-1]
    radii = torch.tensor([0.04 * 15 ** _between(draw, 0, 1) for _ in range(steps)]).repeat_interleave(2)
    slope = torch.tensor([1 + (_between(draw, -0.2, 0.2) if i % 2 else 0) for i in range(2 * steps)])
    return lathe(torch.stack([radii * slope, heights], dim=1))


def _norm(x: Float[Tensor, "P D"]) -> Float[Tensor, " P"]:
    """Length, with a gradient at zero."""
    return (x.square().sum(dim=1) + 1e-24).sqrt()


def _between(draw: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(1, generator=draw))
