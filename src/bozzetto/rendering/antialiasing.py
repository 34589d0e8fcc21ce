"""Antialiasing of rendered pictures, which makes visibility differentiable (outlines, intersections)."""

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
    """Points between neighbouring pixel centres p and q where the surface at p ends in front of that at q.

    Attributes:
        ends: Flat indices of the pixels p and q, and the vertices of the outline edge that crosses between
            them; or, where two triangles pass through each other, -1 - their indices.
        rows: Rows of p and q among the covered pixels followed by those of `outside`, then of the pixels
            beyond p and beyond q, or -1 if they are not covered or another crossing separates them.
        distance: Position of the end of the surface, from 0 at the centre of p to 1 at that of q.
        weight: Weight of the crossing: the squared component, along p to q, of the normal of the outline.
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
    """Find all visible crossings, at most one per pixel pair: of several the one nearest to q."""
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
    """Composite the covered pixels on a background, antialiased at outlines.

    Where an outline crosses between two pixel centres, the pixel that contains the crossing is blended with the
    colour of the other, by the covered area (Laine et al. 2020, section 3.6). This makes the picture a
    continuous function of the vertex positions. Its derivatives include the motion of outlines and of lines
    where surfaces intersect.

    Let an outline from a to b in the image pass between the centres of p, at which its surface is visible, and
    of its neighbour q. For two pixels of a row, with s = 1 if q is to the right and -1 if it is to the left:

        t = (p_y - a_y) / (b_y - a_y)
        d = s (a_x + t (b_x - a_x) - p_x)        where it crosses, from 0 at p to 1 at q
        dd/da = s (1 - t) n,  dd/db = s t n      how that moves with the ends
        n = (1, -(b_x - a_x) / (b_y - a_y))
        alpha = w (d - 1/2)                      how much colour passes over
        dE/dd = w (c_p - c_q) . dE/dc            what that does to the loss E

    with x and y exchanged in a column. The pixel that contains the crossing, q if alpha > 0 and else p,
    changes by alpha (c_p - c_q) and has then the colour c; w is the square of the component, along p to q, of
    the unit normal of the outline. `rendering/reference.py` has the same in short plain PyTorch.

    Deviations from that paper: edges of the outline are traversed instead of pairs of pixels. So an edge is
    found even if no visible pixel belongs to its triangle, triangles may be much smaller than pixels, and the
    cost is proportional to the outline, a percent or two of all edges. For the gradient, the colours on both
    sides are extrapolated to the crossing, which removes most of its bias where they vary. Every outline has
    crossings between pixels of a row and of a column, weighted by its direction, which removes most of the
    variance.

    Not antialiased are outlines between the last pixel and the border of the image, edges that extend behind
    the camera, and self-intersections of a connected surface in triangles of less than about eight pixels.

    Source: Laine et al. 2020, section 3.6. Differs: edges are followed instead of pixel pairs, colours are
    extrapolated to the crossing for the gradient, and rows and columns are mixed by the direction of the
    outline, all for less bias and variance.

    Args:
        fragments: The visible surface.
        colors: Colours of the covered pixels, any number of channels.
        background: Background: one number, one colour, or images, with all channels of the result.
        coverage: Whether to add a last channel that is 1 on the surface.
        edge_gain: Factor on the gradients of vertices from outlines (Large Steps uses 3). The picture does not
            depend on it.

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
    """Dense antialiased images of the covered pixels on a background: `compose(...).images()`."""
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
