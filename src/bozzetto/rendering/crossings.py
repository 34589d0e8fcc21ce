"""Where outlines and intersections of the surface pass between neighbouring pixel centres."""

from typing import Any

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from ..geometry.launch import fill_struct, in_parts, launch, part_count
from ..values import value_type
from . import antialiasing_kernels as kernels
from .fragments import Fragments


@value_type
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
    return fill_struct(
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
    device, views = fragments.pixel.device, len(fragments.cameras)
    scene = scene_of(fragments)
    found = [_no_crossings(device)] * part_count(views, device)

    def run(part: int, start: int, stop: int) -> None:
        found[part] = _crossings_in(fragments, scene, start, stop)

    in_parts(run, views, device)
    return _joined(found, len(fragments))


def _no_crossings(device: torch.device) -> Crossings:
    integers, floats = torch.zeros(0, 4, dtype=torch.int32, device=device), torch.zeros(0, device=device)
    return Crossings(integers, integers, floats, floats, torch.zeros(0, dtype=torch.int64, device=device))


def _joined(parts: list[Crossings], covered: int) -> Crossings:
    """Crossings of consecutive views as one list."""
    if len(parts) == 1:
        return parts[0]
    rows, before = [], 0
    for part in parts:
        rows.append(torch.where(part.rows >= covered, part.rows + before, part.rows))
        before += len(part.outside)
    columns = [torch.cat([getattr(p, n) for p in parts]) for n in ("ends", "distance", "weight", "outside")]
    return Crossings(columns[0], torch.cat(rows), *columns[1:])


def _crossings_in(fragments: Fragments, scene: Any, start: int, stop: int) -> Crossings:
    """The crossings of the views from start to stop."""
    edges = _outline_edges(fragments, start, stop, capacity=len(fragments.faces) * (stop - start) // 8 + 64)
    size = fragments.cameras.width + fragments.cameras.height
    key, ends, distance, weight = _all_crossings(
        fragments, scene, edges, start, stop, 8 * size * (stop - start)
    )
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


def _outline_edges(fragments: Fragments, start: int, stop: int, capacity: int) -> Int32[Tensor, "L 2"]:
    """Outline edges (view, 3 * triangle + k) of the views from start to stop."""
    device, topology = fragments.pixel.device, fragments.topology
    count = torch.zeros(1, dtype=torch.int32, device=device)
    edges = torch.empty(capacity, 2, dtype=torch.int32, device=device)
    for view in range(start, stop):
        inputs = [topology.neighbours, fragments.flags, view, topology.has_boundary, count, edges]
        launch(kernels.outline_edges, len(fragments.faces), inputs, device)
    found = int(count)
    return edges[:found] if found <= capacity else _outline_edges(fragments, start, stop, found)


def _all_crossings(
    fragments: Fragments, scene: Any, edges: Tensor, start: int, stop: int, capacity: int
) -> list[Tensor]:
    """Sorting key, ends, distance and weight of the crossings in the views from start to stop."""
    device, height = fragments.pixel.device, fragments.cameras.height
    count = torch.zeros(1, dtype=torch.int32, device=device)
    columns = {
        "key": torch.empty(capacity, dtype=torch.int64, device=device),
        "ends": torch.empty(capacity, 4, dtype=torch.int32, device=device),
        "distance": torch.empty(capacity, device=device),
        "weight": torch.empty(capacity, device=device),
    }
    found = fill_struct(kernels.Found, count=count, **columns)
    launch(kernels.outline_crossings, len(edges), [scene, edges, found], device)
    first, last = fragments.row_start[[start * height, stop * height]].tolist()
    launch(kernels.intersection_crossings, last - first, [scene, fragments.pixel, first, found], device)
    total = int(count)
    if total > capacity:
        return _all_crossings(fragments, scene, edges, start, stop, total)
    return [column[:total] for column in columns.values()]
