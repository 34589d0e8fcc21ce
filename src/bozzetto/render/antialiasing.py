"""Antialiased images, and through them gradients of what is seen where (outlines)."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from ..errors import InputError
from ..geometry.launch import in_parts, launch, pack, part_count
from . import antialiasing_kernels as kernels
from .fragments import Fragments


@dataclass(frozen=True)
class Crossings:
    """Where outlines pass between two neighbouring pixel centres, at most once per pair.

    Attributes:
        ends: Flat indices of the pixels p and q, p in front, and the vertices of the edge between them.
        rows: Rows of p and q among the covered pixels, then the background pixels of `outside`.
        distance: Where the edge crosses, from 0 at the centre of p to 1 at that of q.
        outside: Flat indices of the uncovered pixels that take part.
    """

    ends: Int32[Tensor, "K 4"]
    rows: Int32[Tensor, "K 2"]
    distance: Float[Tensor, " K"]
    outside: Int64[Tensor, " X"]


def _scene(fragments: Fragments) -> Any:
    """The arguments that the kernels share."""
    cameras = fragments.cameras
    vertices = fragments.vertices.detach().to(torch.float32).contiguous()
    return pack(
        kernels.Scene,
        vertices=vertices,
        faces=fragments.faces,
        neighbours=fragments.topology.neighbours,
        cameras=fragments.matrices,
        triangle=fragments.triangle.view(-1),
        flags=fragments.flags,
        width=cameras.width,
        height=cameras.height,
        perspective=not cameras.orthographic,
        near=cameras.near,
    )


def find_crossings(fragments: Fragments) -> Crossings:
    """Find the crossings of all outlines that are visible, the nearest one where several compete."""
    views, height, width = fragments.triangle.shape
    parts = part_count(views, fragments.pixel.device)
    capacity = 4 * (width + height) * -(-views // parts)
    while True:
        count, key, ends, distance = _list_crossings(fragments, parts, capacity)
        most = int(count.max())
        if most <= capacity:
            break
        capacity = most
    used = torch.arange(capacity, device=count.device) < count[:, None]
    return _nearest(fragments, key[used], ends[used], distance[used])


def _list_crossings(fragments: Fragments, parts: int, capacity: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Number of crossings per part of the views, then sorting key, ends and distance, with room to spare."""
    device, faces, topology = fragments.pixel.device, fragments.faces, fragments.topology
    count = torch.zeros(parts, dtype=torch.int32, device=device)
    key = torch.empty(parts, capacity, dtype=torch.int64, device=device)
    ends = torch.empty(parts, capacity, 4, dtype=torch.int32, device=device)
    distance = torch.empty(parts, capacity, device=device)
    scene = _scene(fragments)

    def run(part: int, start: int, stop: int) -> None:
        for view in range(start, stop):
            inputs = [scene, view, part, topology.has_boundary, capacity, count, key, ends, distance]
            launch(kernels.outline_crossings, len(faces), inputs, device)

    in_parts(run, len(fragments.cameras), device)
    return count, key, ends, distance


def _nearest(fragments: Fragments, key: Tensor, ends: Tensor, distance: Tensor) -> Crossings:
    """Keep the nearest crossing of every pixel pair and look up the pixels' rows."""
    key, order = key.sort()
    pair = key >> 31
    first = torch.ones_like(pair, dtype=torch.bool)
    first[1:] = pair[1:] != pair[:-1]
    ends, distance = ends[order[first]], distance[order[first]]
    rows = torch.empty(len(ends), 2, dtype=torch.int32, device=ends.device)
    inputs = [ends, fragments.cameras.width, fragments.row_start, fragments.pixel, rows]
    launch(kernels.find_rows, len(ends), inputs, ends.device)
    missing = rows[:, 1] < 0
    outside, slot = torch.unique(ends[missing, 1], return_inverse=True)
    rows[missing, 1] = (slot + len(fragments)).to(torch.int32)
    return Crossings(ends, rows, distance, outside.long())


def antialias(
    fragments: Fragments,
    colors: Float[Tensor, "P C"],
    background: float | Float[Tensor, " C"] | Float[Tensor, "N H W C"] = 0.0,
    edge_gain: float = 1.0,
) -> Float[Tensor, "N H W C"]:
    """Make images of the covered pixels' colours, with outlines placed exactly between pixel centres.

    Where an outline crosses between two pixel centres, the pixel that contains it receives its share of the
    other's colour (Laine et al. 2020, section 3.6). This makes the images continuous functions of the vertex
    positions: their derivatives say how outlines should move.

    Unlike that paper this goes through the edges of the outline, not through pairs of pixels: an edge that
    no visible pixel belongs to is found as well, so triangles may be much smaller than pixels.

    Args:
        fragments: What is seen.
        colors: Colours of the covered pixels, any number of channels.
        background: What is behind: one number, one colour, or images.
        edge_gain: Factor on the gradients of vertex positions (Large Steps uses 3). The images do not change.

    Raises:
        InputError: The colours or the background do not fit the fragments.
    """
    views, height, width = fragments.triangle.shape
    if colors.ndim != 2 or len(colors) != len(fragments):
        raise InputError(
            f"antialias needs one colour per covered pixel, shape ({len(fragments)}, C), "
            f"got {tuple(colors.shape)}"
        )
    background = torch.as_tensor(background, dtype=torch.float32, device=colors.device)
    dense = background.expand(views, height, width, colors.shape[1]).reshape(-1, colors.shape[1])
    crossings = find_crossings(fragments)
    source = torch.cat([colors, dense[crossings.outside]])
    mixed = _Mix.apply(source, fragments.vertices, crossings, fragments, edge_gain)
    image = dense.index_put((torch.cat([fragments.pixel, crossings.outside]),), mixed)
    return image.view(views, height, width, -1)


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        source: Tensor,
        vertices: Tensor,
        crossings: Crossings,
        fragments: Fragments,
        edge_gain: float,
    ) -> Tensor:
        source = source.contiguous()
        out = source.clone()
        inputs = [source, crossings.rows, crossings.distance, out]
        launch(kernels.mix, len(crossings.rows), inputs, source.device)
        ctx.save_for_backward(source, vertices)
        ctx.rest = crossings, fragments, edge_gain
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        source, vertices = ctx.saved_tensors
        crossings, fragments, edge_gain = ctx.rest
        grad_out, device, count = gradients[0].contiguous(), source.device, len(crossings.rows)
        grad_source = grad_out.clone()
        grad_distance = source.new_empty(count)
        inputs = [source, crossings.rows, crossings.distance, grad_out, grad_source, grad_distance]
        launch(kernels.mix_adjoint, count, inputs, device)
        grad_vertices = vertices.new_zeros(vertices.shape)
        scene = _scene(fragments)
        launch(kernels.distance_adjoint, count, [scene, crossings.ends, grad_distance, grad_vertices], device)
        return grad_source, grad_vertices.mul_(edge_gain), None, None, None
