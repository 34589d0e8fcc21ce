"""Antialiased pictures, and through them gradients of what is seen where (outlines, intersections)."""

from typing import Any

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from ..errors import InputError
from ..geometry.launch import fill_struct, in_parts, launch, part_count
from ..values import value_type
from . import antialiasing_kernels as kernels
from .rasterization import Fragments, Picture


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


def compose(
    fragments: Fragments,
    colors: Float[Tensor, "P C"],
    background: float | Float[Tensor, " D"] | Float[Tensor, "N H W D"] = 0.0,
    coverage: bool = False,
    edge_gain: float = 1.0,
) -> Picture:
    """Put the covered pixels on a background, with outlines placed exactly between pixel centres.

    Where an outline crosses between two pixel centres, the pixel that contains it receives its share of the
    other's colour (Laine et al. 2020, section 3.6). This makes the picture a continuous function of the
    vertex positions; its derivatives say how outlines, and lines where surfaces pass through each other,
    should move.

    An outline from a to b in the image passes between the centres of p, which sees it, and q beside it. Of two
    pixels of a row, with s = 1 if q is to the right and -1 if to the left:

        t = (p_y - a_y) / (b_y - a_y)
        d = s (a_x + t (b_x - a_x) - p_x)        where it crosses, from 0 at p to 1 at q
        dd/da = s (1 - t) n,  dd/db = s t n      how that moves with the ends
        n = (1, -(b_x - a_x) / (b_y - a_y))
        alpha = w (d - 1/2)                      how much colour passes over
        dE/dd = w (c_p - c_q) . dE/dc            what that does to the loss E

    with x and y exchanged in a column. The pixel that contains the crossing, q if alpha > 0 and else p,
    receives alpha (c_p - c_q) and has then the colour c; w is the square of the component, along p to q, of
    the unit normal of the outline. `rendering/reference.py` says it once more in short plain PyTorch.

    Deviations from that paper: the edges of the outline are followed instead of pairs of pixels looked at. An
    edge is found although no visible pixel belongs to its triangle, so triangles may be much smaller than
    pixels; and the cost is that of the outline, a percent or two of all edges. For the gradient the colours
    on both sides are extrapolated to the crossing, which takes away most of its bias where they vary. Every
    outline counts both between pixels of a row and of a column, mixed by its direction, which takes away most
    of the variance.

    Left as they are: outlines between the last pixel and the border of the image, edges that reach behind the
    camera, and lines where a connected surface passes through itself in triangles of less than about eight
    pixels.

    Source: Laine et al. 2020, section 3.6. Differs: edges are followed instead of pixel pairs, colours are
    extrapolated to the crossing for the gradient, and rows and columns are mixed by the direction of the
    outline, all for less bias and variance.

    Args:
        fragments: What is seen.
        colors: Colours of the covered pixels, any number of channels.
        background: What is behind: one number, one colour, or images, all channels of the result.
        coverage: Add a last channel that is 1 on the surface.
        edge_gain: Factor on the gradients that outlines send to the vertices (Large Steps uses 3). The
            picture does not change.

    Raises:
        InputError: The colours or the background do not fit the fragments.
    """
    if colors.ndim != 2 or len(colors) != len(fragments):
        raise InputError(
            f"antialiasing needs a colour per covered pixel, shape ({len(fragments)}, C), "
            f"got {tuple(colors.shape)}"
        )
    views, height, width = fragments.triangle.shape
    shape = (views, height, width, colors.shape[1] + coverage)
    behind = torch.as_tensor(background, dtype=torch.float32, device=colors.device)
    if behind.shape not in ((), shape[3:], shape):
        raise InputError(
            f"the background has shape {tuple(behind.shape)}, expected one number, ({shape[3]},) or {shape}"
        )
    behind = behind if behind.ndim == 4 else behind.expand(shape[3:])
    crossings = find_crossings(fragments)
    outside = behind.reshape(-1, shape[3])
    outside = outside[crossings.outside] if behind.ndim == 4 else outside.expand(len(crossings.outside), -1)
    values = _Mix.apply(colors, outside, fragments.vertices, crossings, fragments, edge_gain)
    return Picture(values, torch.cat([fragments.pixel, crossings.outside]), behind, shape)


def antialias(
    fragments: Fragments,
    colors: Float[Tensor, "P C"],
    background: float | Float[Tensor, " D"] | Float[Tensor, "N H W D"] = 0.0,
    coverage: bool = False,
    edge_gain: float = 1.0,
) -> Float[Tensor, "N H W D"]:
    """Antialiased images of the covered pixels' colours on a background: `compose` made dense."""
    return compose(fragments, colors, background, coverage, edge_gain).images()


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        colors: Tensor,
        outside: Tensor,
        vertices: Tensor,
        crossings: Crossings,
        fragments: Fragments,
        edge_gain: float,
    ) -> Tensor:
        colors, outside = colors.to(torch.float32).contiguous(), outside.contiguous()
        covered, channels = colors.shape
        out = colors.new_empty(covered + len(outside), outside.shape[1])
        out[:covered, :channels] = colors
        out[:covered, channels:] = 1.0
        out[covered:] = outside
        inputs = [colors, outside, crossings.rows, crossings.distance, crossings.weight, out]
        launch(kernels.mix, len(crossings), inputs, colors.device)
        ctx.save_for_backward(colors, outside, vertices)
        ctx.rest = crossings, fragments, edge_gain
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        colors, outside, vertices = ctx.saved_tensors
        crossings, fragments, edge_gain = ctx.rest
        grad_out, device = gradients[0].contiguous(), colors.device
        covered, channels = colors.shape
        grad_colors = grad_out[:covered, :channels].clone(memory_format=torch.contiguous_format)
        grad_outside = grad_out[covered:].clone()
        grad_distance = colors.new_empty(len(crossings))
        inputs = [colors, outside, crossings.rows, crossings.distance, crossings.weight]
        outputs = [grad_out, grad_colors, grad_outside, grad_distance]
        launch(kernels.mix_adjoint, len(crossings), inputs + outputs, device)
        grad_vertices = None
        if ctx.needs_input_grad[2]:
            grad_vertices = torch.zeros_like(vertices)
            scene = [scene_of(fragments), crossings.ends, grad_distance.mul_(edge_gain)]
            launch(kernels.distance_adjoint, len(crossings), [*scene, grad_vertices], device)
        return grad_colors, grad_outside, grad_vertices, None, None, None
