"""Shapes as functions: signed distances, how they combine, and the surface where they are zero.

A `Field` maps points (P, 3) to values (P,), negative inside. Everything here makes fields from numbers or
from other fields, so that a model is one expression:

    nose = smooth_union(sphere(0.1), rounded_cone(bridge, tip, 0.04, 0.08), radius=0.05)
    mesh = surface(nose, (-1, -1, -1), (1, 1, 1), spacing=0.02)

Primitives are exact Euclidean distances unless they say otherwise. Combinations keep the zero set exact and
the slope at most 1, but away from the surface they are lower bounds of the distance (as usual for
constructive solid geometry). The formulas of the primitives are elementary geometry; the polynomial smooth
minimum is the quadratic one described by Inigo Quilez ("smooth minimum", 2013).
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..shapes import Mesh
from .isosurface import isosurface

Vector = Sequence[float | int]
Field = Callable[[Tensor], Tensor]

_TINY = 1e-12


def _like(values: Vector | Tensor, points: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=points.dtype, device=points.device)


def sphere(radius: float, centre: Vector = (0.0, 0.0, 0.0)) -> Field:
    """A ball."""
    return lambda p: (p - _like(centre, p)).norm(dim=-1) - radius


def ellipsoid(radii: Vector, centre: Vector = (0.0, 0.0, 0.0)) -> Field:
    """An ellipsoid along the axes; its zero set is exact, its value a first-order estimate of the distance.

    The value is g (g - 1) / |grad g| with g the scaled radius: exact to first order near the surface and
    smooth everywhere but at the centre. The slope can exceed 1 inside strongly flattened ones.
    """

    def field(p: Tensor) -> Tensor:
        scaled = (p - _like(centre, p)) / _like(radii, p)
        g = scaled.norm(dim=-1)
        slope = (scaled / _like(radii, p)).norm(dim=-1)
        inside = -min(radii)  # the limit at the centre, where value and slope are both zero
        return torch.where(slope > _TINY, g * (g - 1) / slope.clamp_min(_TINY), inside)

    return field


def capsule(a: Vector, b: Vector, radius: float) -> Field:
    """All points within `radius` of the segment from `a` to `b`."""
    return rounded_cone(a, b, radius, radius)


def rounded_cone(a: Vector, b: Vector, radius_a: float, radius_b: float) -> Field:
    """The convex hull of two balls.

    In the plane through the axis the surface is a line of slope s = (ra - rb) / |ab| between two arcs. The
    nearest ball of the family between the two is found by shifting the projection onto the axis along
    that line, which gives the exact distance outside and inside the cone.
    """

    def field(p: Tensor) -> Tensor:
        start = _like(a, p)
        axis = _like(b, p) - start
        length = float(axis.norm())
        if abs(radius_a - radius_b) >= length:  # one ball holds the other
            return (p - (start if radius_a >= radius_b else start + axis)).norm(dim=-1) - max(
                radius_a, radius_b
            )
        sine = (radius_a - radius_b) / length
        offset = p - start
        along = offset @ (axis / length)
        across = (offset - along[:, None] * (axis / length)).norm(dim=-1)
        place = (along - across * sine / (1 - sine * sine) ** 0.5).clamp(0.0, length)
        return torch.hypot(along - place, across) - (radius_a - sine * place)

    return field


def rounded_box(size: Vector, radius: float = 0.0, centre: Vector = (0.0, 0.0, 0.0)) -> Field:
    """A box along the axes with outer edge lengths `size` and edges rounded by `radius`."""

    def field(p: Tensor) -> Tensor:
        beyond = (p - _like(centre, p)).abs() - (_like(size, p) / 2 - radius)
        outside = beyond.clamp_min(0).norm(dim=-1)
        return outside + beyond.amax(dim=-1).clamp_max(0) - radius

    return field


def torus(major: float, minor: float, centre: Vector = (0.0, 0.0, 0.0)) -> Field:
    """A ring around the Y axis: circles of radius `minor` along a circle of radius `major`."""

    def field(p: Tensor) -> Tensor:
        x, y, z = (p - _like(centre, p)).unbind(dim=-1)
        return torch.hypot(torch.hypot(x, z) - major, y) - minor

    return field


def plane(normal: Vector, offset: float = 0.0) -> Field:
    """The half space `normal . p < offset` (the normal need not have unit length)."""
    length = sum(n * n for n in normal) ** 0.5
    if length == 0:
        raise InputError("the normal of a plane must not be zero; give the direction that points outside")
    return lambda p: p @ _like([n / length for n in normal], p) - offset / length


def revolution(profile: Float[Tensor, "N 2"]) -> Field:
    """A solid of revolution: a closed polygon of (radius, height) corners rotated around the Y axis.

    Args:
        profile: Corners in either direction, radius >= 0, without self-intersections. Edges on the axis
            (both radii 0) are inside the solid and do not count as surface.
    """

    def field(p: Tensor) -> Tensor:
        corner = profile.to(p)
        q = torch.stack((torch.hypot(p[:, 0], p[:, 2]), p[:, 1]), dim=-1)
        nearest = torch.full_like(q[:, 0], torch.inf)
        inside = torch.zeros_like(q[:, 0], dtype=torch.bool)
        for a, b in zip(corner, corner.roll(-1, dims=0), strict=True):
            if a[0] == 0 and b[0] == 0:
                continue
            edge, offset = b - a, q - a
            t = (offset @ edge / edge.square().sum().clamp_min(_TINY)).clamp(0, 1)
            nearest = torch.minimum(nearest, (offset - t[:, None] * edge).square().sum(dim=-1))
            crosses = (a[1] <= q[:, 1]) != (b[1] <= q[:, 1])
            side = edge[0] * offset[:, 1] - edge[1] * offset[:, 0]
            inside ^= crosses & ((side > 0) == (edge[1] > 0))
        return torch.where(inside, -1.0, 1.0) * nearest.sqrt()

    return field


def union(*fields: Field) -> Field:
    """Points in any of the fields."""

    def field(p: Tensor) -> Tensor:
        value = fields[0](p)
        for other in fields[1:]:
            value = torch.minimum(value, other(p))
        return value

    return field


def complement(inner: Field) -> Field:
    """Inside and outside exchanged."""
    return lambda p: -inner(p)


def intersection(*fields: Field) -> Field:
    """Points in all of the fields."""
    return complement(union(*map(complement, fields)))


def difference(first: Field, *others: Field) -> Field:
    """Points in the first field and in none of the others."""
    return intersection(first, *map(complement, others))


def smooth_min(a: Tensor, b: Tensor, radius: float) -> Tensor:
    """Quadratic smooth minimum: between min - radius / 4 and min, and equal to it from |a - b| = radius on.

    Continuously differentiable, and its gradient is a convex combination of the two gradients, so the
    slope of a signed distance stays at most 1.
    """
    blend = (radius - (a - b).abs()).clamp_min(0)
    return torch.minimum(a, b) - blend.square() / (4 * max(radius, _TINY))


def smooth_union(*fields: Field, radius: float) -> Field:
    """Union with a fillet: where two surfaces meet, the seam is filled over about `radius`."""

    def field(p: Tensor) -> Tensor:
        value = fields[0](p)
        for other in fields[1:]:
            value = smooth_min(value, other(p), radius)
        return value

    return field


def smooth_intersection(*fields: Field, radius: float) -> Field:
    """Intersection with edges rounded over about `radius`."""
    return complement(smooth_union(*map(complement, fields), radius=radius))


def smooth_difference(first: Field, *others: Field, radius: float) -> Field:
    """Difference with edges rounded over about `radius`."""
    return smooth_intersection(first, *map(complement, others), radius=radius)


def translate(inner: Field, offset: Vector) -> Field:
    """The field moved by `offset`."""
    return lambda p: inner(p - _like(offset, p))


def scale(inner: Field, factor: float) -> Field:
    """The field enlarged by `factor` > 0 around the origin; distances stay distances."""
    if factor <= 0:
        raise InputError(f"the scale of a field must be positive, got {factor:g}")
    return lambda p: inner(p / factor) * factor


def rotate(inner: Field, axis: Vector, degrees: float | int) -> Field:
    """The field rotated around an axis through the origin: counter-clockwise if the axis points to the
    viewer."""
    unit = torch.as_tensor(axis, dtype=torch.float64)
    if not unit.norm() > 0:
        raise InputError("the axis of a rotation must not be zero; give a direction")
    x, y, z = (unit / unit.norm() * torch.deg2rad(torch.tensor(float(degrees), dtype=torch.float64))).tolist()
    turn = torch.linalg.matrix_exp(torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64))
    return lambda p: inner(p @ turn.to(p))  # rows times the matrix: the inverse rotation of each point


def mirror(inner: Field, axis: int = 0) -> Field:
    """The half of the field on the positive side of an axis, and its mirror image on the other side."""

    def field(p: Tensor) -> Tensor:
        columns = list(p.unbind(dim=-1))
        columns[axis] = columns[axis].abs()
        return inner(torch.stack(columns, dim=-1))

    return field


def inflate(inner: Field, amount: float) -> Field:
    """The surface moved outwards by `amount` (inwards when negative), edges rounded."""
    return lambda p: inner(p) - amount


def displace(inner: Field, height: Field) -> Field:
    """Relief: the surface moved outwards by about `height(points)`.

    The result is a distance only as far as the relief is flat: its slope is up to 1 plus that of `height`.
    """
    return lambda p: inner(p) - height(p)


def bounded(inner: Field, low: Vector, high: Vector, margin: float) -> Field:
    """The same field, evaluated only within `margin` of a box that contains its surface: a speed-up.

    Farther points get the distance to the box, a lower bound of the field. So combinations that depend on
    values below `margin` only (smooth ones: below their radius) are unchanged.
    """
    size = [b - a for a, b in zip(low, high, strict=True)]
    box = rounded_box(size, 0.0, [(a + b) / 2 for a, b in zip(low, high, strict=True)])

    def field(p: Tensor) -> Tensor:
        value = box(p)
        near = (value < margin).nonzero()[:, 0]
        return value.index_copy(0, near, inner(p[near]))

    return field


def field_values(field: Field, points: Float[Tensor, "P 3"], chunk: int = 65536) -> Float[Tensor, "P"]:
    """Values of a field at many points, chunk by chunk, so that the many temporaries stay in the cache.

    One thread is used: each operation on a chunk takes microseconds, so that more threads would save as little
    as they cost, and cost much more while other programs use the cores.
    """
    if len(points) == 0:
        return points[:, 0]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return torch.cat([field(part) for part in points.split(chunk)])
    finally:
        torch.set_num_threads(threads)


def sample_grid(
    field: Field, low: Vector, high: Vector, spacing: float, band: float = 3.0
) -> tuple[Float[Tensor, "X Y Z"], Float[Tensor, "3"]]:
    """Samples of a field on a regular grid, computed from coarse to fine and exact only near the surface.

    Each level interpolates the coarser one and evaluates the field again where the interpolated value is
    below `band` coarse spacings, so the cost grows with the surface, not with the volume.

    Args:
        field: Negative inside; slope about 1 or less, details coarser than 8 spacings or part of a shape
            that is (a smaller one can be missed).
        low: Low corner of the grid.
        high: High corner; moved up to a whole number of coarse spacings.
        spacing: Distance between neighbouring samples.
        band: Half width of the band around the surface, in coarse spacings, in which the finer samples are
            evaluated.

    Returns:
        The values, and the high corner where the last sample lies.

    Raises:
        InputError: The corners are out of order or the spacing is not positive.
    """
    first, last = (torch.as_tensor(corner, dtype=torch.float32) for corner in (low, high))
    if not (spacing > 0 and (first < last).all()):
        raise InputError(f"a grid needs low < high and a positive spacing, got {low}, {high} and {spacing:g}")
    step = 8 * spacing
    count = ((last - first) / step).ceil().long().clamp_min(1) + 1
    values = torch.full(count.tolist(), 0.0)
    while True:
        near = (values.abs() < band * 2 * step).nonzero()
        values[tuple(near.T)] = field_values(field, first + near * step)
        if step <= spacing * 1.5:
            return values, first + (torch.tensor(values.shape) - 1) * step
        size = [2 * n - 1 for n in values.shape]
        values = torch.nn.functional.interpolate(
            values[None, None], size=size, mode="trilinear", align_corners=True
        )[0, 0]
        step /= 2


def zero_set(field: Field, low: Vector, high: Vector, spacing: float) -> Mesh:
    """The zero set of a field as a mesh in the same frame, faces counter-clockwise seen from outside.

    The mesh is closed when the surface stays inside the box. Arguments and errors as for `sample_grid`;
    also `InputError` when there is no surface in the box.
    """
    values, end = sample_grid(field, low, high, spacing)
    return isosurface(values, torch.as_tensor(low, dtype=torch.float32), end)
