"""Where outlines and intersections of the surface pass between neighbouring pixel centres."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from ..geometry.launch import in_parts, launch, pack, part_count
from . import antialiasing_kernels as kernels
from .fragments import Fragments


@dataclass(frozen=True)
class Crossings:
    """Places between two neighbouring pixel centres p and q where what p sees ends in front of what q sees.

    Attributes:
        ends: Flat indices of the pixels p and q, and the vertices of the outline edge that crosses between
            them; or, where two triangles pass through each other, -1 - their indices.
        rows: Rows of p and q among the covered pixels followed by those of `outside`, then of the pixels
            beyond p and beyond q, or -1 if they are not covered or another crossing separates them.
        distance: Where the surface ends, from 0 at the centre of p to 1 at that of q.
        weight: How much it counts: the squared component, along p to q, of the normal of the outline.
        outside: Flat indices of the uncovered pixels that take part.
    """

    ends: Int32[Tensor, "K 4"]
    rows: Int32[Tensor, "K 4"]
    distance: Float[Tensor, " K"]
    weight: Float[Tensor, " K"]
    outside: Int64[Tensor, " X"]

    def __len__(self) -> int:
        return len(self.ends)


def scene_of(fragments: Fragments) -> Any:
    """The arguments that the kernels share."""
    return pack(
        kernels.Scene,
        vertices=fragments.vertices.detach().to(torch.float32).contiguous(),
        faces=fragments.faces,
        neighbours=fragments.topology.neighbours,
        component=fragments.topology.component,
        flags=fragments.flags,
        cameras=fragments.matrices,
        triangle=fragments.triangle.view(-1),
        width=fragments.cameras.width,
        height=fragments.cameras.height,
        perspective=not fragments.cameras.orthographic,
        near=fragments.cameras.near,
    )


def find_crossings(fragments: Fragments) -> Crossings:
    """All visible crossings, at most one per pixel pair: of several the one nearest to q, where q appears."""
    views, height, width = fragments.triangle.shape
    parts = part_count(views, fragments.pixel.device)
    outlines = _outline_edges(fragments, parts, capacity=len(fragments.faces) * -(-views // parts) // 8 + 64)
    capacity = 8 * (width + height) * -(-views // parts)
    while True:
        count, *found = _all_crossings(fragments, outlines, parts, capacity)
        most = int(count.max())
        if most <= capacity:
            break
        capacity = most
    used = torch.arange(capacity, device=count.device) < count[:, None]
    return _one_per_pair(fragments, *[column[used] for column in found])


def _outline_edges(fragments: Fragments, parts: int, capacity: int) -> list[Tensor]:
    """Outline edges (view, 3 * triangle + k) of every part of the views."""
    device, topology = fragments.pixel.device, fragments.topology
    count = torch.zeros(parts, dtype=torch.int32, device=device)
    edges = torch.empty(parts, capacity, 2, dtype=torch.int32, device=device)

    def run(part: int, start: int, stop: int) -> None:
        for view in range(start, stop):
            scene = [topology.neighbours, fragments.flags, view, part, topology.has_boundary]
            launch(kernels.outline_edges, len(fragments.faces), [*scene, count, edges], device)

    in_parts(run, len(fragments.cameras), device)
    counts = count.tolist()
    if max(counts) > capacity:
        return _outline_edges(fragments, parts, max(counts))
    return [edges[part, :n] for part, n in enumerate(counts)]


def _all_crossings(
    fragments: Fragments, outlines: list[Tensor], parts: int, capacity: int
) -> tuple[Tensor, ...]:
    """Number of crossings found per part, then sorting key, ends, distance and weight, with room to spare."""
    device = fragments.pixel.device
    count = torch.zeros(parts, dtype=torch.int32, device=device)
    key = torch.empty(parts, capacity, dtype=torch.int64, device=device)
    ends = torch.empty(parts, capacity, 4, dtype=torch.int32, device=device)
    distance = torch.empty(parts, capacity, device=device)
    scene = scene_of(fragments)
    weight = torch.empty_like(distance)
    found = pack(kernels.Found, count=count, key=key, ends=ends, distance=distance, weight=weight)

    def follow_outlines(part: int, start: int, stop: int) -> None:
        for i in range(start, stop):
            launch(kernels.outline_crossings, len(outlines[i]), [scene, outlines[i], part, found], device)

    def find_intersections(part: int, start: int, stop: int) -> None:
        inputs = [scene, fragments.pixel, start, part, found]
        launch(kernels.intersection_crossings, stop - start, inputs, device)

    in_parts(follow_outlines, len(outlines), device)
    in_parts(find_intersections, len(fragments), device)
    return count, key, ends, distance, weight


def _one_per_pair(
    fragments: Fragments, key: Tensor, ends: Tensor, distance: Tensor, weight: Tensor
) -> Crossings:
    """Keep the crossing nearest to q of every pixel pair and look up the rows of the pixels."""
    key, order = key.sort()
    pair = key >> 30
    first = torch.ones_like(pair, dtype=torch.bool)
    first[1:] = pair[1:] != pair[:-1]
    pair, chosen = pair[first], order[first]
    ends, distance, weight = ends[chosen], distance[chosen], weight[chosen]
    rows = torch.empty(len(ends), 4, dtype=torch.int32, device=ends.device)
    inputs = [ends, pair, fragments.cameras.width, fragments.row_start, fragments.pixel, rows]
    launch(kernels.find_rows, len(ends), inputs, ends.device)
    missing = rows[:, 1] < 0
    outside, slot = torch.unique(ends[missing, 1], return_inverse=True)
    rows[missing, 1] = (slot + len(fragments)).to(torch.int32)
    return Crossings(ends, rows, distance, weight, outside.long())
