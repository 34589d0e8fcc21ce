"""A smooth field of residuals, so that a surface of a prior passes through what was observed."""

import torch
import warp as wp
from jaxtyping import Float, Int64
from torch import Tensor

from ..geometry.launch import in_parts, launch, stream
from .grid_kernels import wendland_sum
from .model import Decoder

WIDTHS = (0.2, 0.08, 0.03)
DENSITY = 4  # centres per width, along each axis, for all but the finest


class ResidualField:
    """The most probable smooth error of a decoder, given its error at observed points.

    A Gaussian process per width, coarse to fine, each on what the ones before leave (kriging; Wendland's
    compactly supported C2 function as covariance, Wendland 1995, table 1). Wide ones take the mean over cells
    of the points. The field fades to 0 within the largest width of the nearest observation, where nothing
    speaks against the prior.

    Source: Wendland 1995, table 1.

    Args:
        points: Where the decoder was observed to be wrong, in its frame.
        residuals: By how much: the value that should have been 0.
        noise: Standard deviation of that.
        widths: Radii of the functions.
    """

    def __init__(
        self,
        points: Float[Tensor, "P 3"],
        residuals: Float[Tensor, " P"],
        noise: float,
        widths: tuple[float, ...] = WIDTHS,
    ) -> None:
        self.parts: list[tuple[_Functions, Tensor]] = []
        rest = residuals.detach().float()
        for width in widths:
            cell, count = _cells(points, width / DENSITY if width > widths[-1] else 0.0)
            functions = _Functions(_means(points, cell, count), width)
            # What is left beyond the noise is the strength of the error that this width shall explain.
            strength = max(float(rest.square().mean()) - noise**2, 1e-16)
            ridge = (noise**2 / strength / count).clamp(1e-3, 100.0)
            weights = _solve(functions, ridge, _means(rest[:, None], cell, count)[:, 0])
            self.parts.append((functions, weights))
            rest = rest - functions(points, weights)

    def __call__(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
        """The error expected at points."""
        total = torch.zeros_like(points[:, 0], dtype=torch.float32)
        for functions, weights in self.parts:
            total += functions(points, weights)
        return total.to(points.dtype)


class _Functions:
    """Functions of one width around centres, found by a hash grid."""

    def __init__(self, centres: Float[Tensor, "C 3"], width: float) -> None:
        self.centres, self.width = centres.detach().float().contiguous(), width
        with stream(centres.device):
            self._grid = wp.HashGrid(64, 64, 64, device=str(centres.device))
            self._grid.build(wp.from_torch(self.centres, dtype=wp.vec3), width)

    def __call__(self, points: Float[Tensor, "N 3"], weights: Float[Tensor, " C"]) -> Float[Tensor, " N"]:
        points, weights = points.detach().float().contiguous(), weights.contiguous()
        total = torch.empty_like(points[:, 0])

        def run(_: int, start: int, stop: int) -> None:
            arguments = [self._grid.id, self.centres, weights, self.width]
            ends = [points[start:stop], total[start:stop]]
            launch(wendland_sum, stop - start, [*arguments, *ends], points.device)

        if len(points):
            in_parts(run, len(points), points.device)
        return total


def _cells(points: Float[Tensor, "P 3"], side: float) -> tuple[Int64[Tensor, " P"], Float[Tensor, " C"]]:
    """The cell that each point lies in, and how many points each cell has; a side of 0 keeps points apart."""
    if side == 0:
        return torch.arange(len(points), device=points.device), torch.ones_like(points[:, 0])
    _, cell, count = torch.unique(
        (points / side).floor().long(), dim=0, return_inverse=True, return_counts=True
    )
    return cell, count.to(points.dtype)


def _means(
    values: Float[Tensor, "P D"], cell: Int64[Tensor, " P"], count: Float[Tensor, " C"]
) -> Float[Tensor, "C D"]:
    total = values.new_zeros(len(count), values.shape[1]).index_add_(0, cell, values)
    return total / count[:, None]


def _solve(
    functions: _Functions,
    ridge: Float[Tensor, " C"],
    right: Float[Tensor, " C"],
    iterations: int = 200,
    tolerance: float = 1e-4,
) -> Float[Tensor, " C"]:
    """Weights with (functions + ridge) weights = right, by conjugate gradients (Hestenes, Stiefel 1952)."""
    solution, residual = torch.zeros_like(right), right.clone()
    way, power = residual, float(residual.square().sum())
    goal = tolerance**2 * power
    for _ in range(iterations):
        if power <= goal:
            break
        image = functions(functions.centres, way) + ridge * way
        step = power / float((way * image).sum())
        solution, residual = solution + step * way, residual - step * image
        before, power = power, float(residual.square().sum())
        way = residual + power / before * way
    return solution


def project(
    decoder: Decoder,
    code: Float[Tensor, " K"],
    vertices: Float[Tensor, "V 3"],
    field: ResidualField | None = None,
    iterations: int = 6,
    max_step: float = 0.02,
) -> Float[Tensor, "V 3"]:
    """Move vertices along the gradient of the decoder to where it, less a field of residuals, is 0.

    Args:
        decoder: The signed distance.
        code: Of the shape.
        vertices: Near its surface, in the frame of the decoder.
        field: Subtracted from the distance.
        iterations: Newton steps.
        max_step: Longest step, so that a flat spot of the decoder throws nothing away.
    """
    for _ in range(iterations):
        values, by_point = value_and_gradient(decoder, code, vertices)
        if field is not None:
            values = values - field(vertices)
        slope = by_point.norm(dim=1).clamp_min(0.3)
        step = (values / slope).clamp(-max_step, max_step)
        vertices = vertices - step[:, None] * by_point / slope[:, None]
    return vertices


def value_and_gradient(
    decoder: Decoder, code: Float[Tensor, " K"], points: Float[Tensor, "N 3"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N 3"]]:
    """Distances of a shape and their derivatives with respect to the point."""
    with torch.enable_grad():
        places = points.detach().clone().requires_grad_()
        values = decoder(code[None].to(places), places[None])[0]
        (by_point,) = torch.autograd.grad(values.sum(), places)
    return values.detach(), by_point
