"""Antialiased pictures, and through them gradients of what is seen where (outlines, intersections)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..geometry.launch import launch
from . import antialiasing_kernels as kernels
from .crossings import Crossings, find_crossings, scene_of
from .fragments import Fragments, Picture


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
