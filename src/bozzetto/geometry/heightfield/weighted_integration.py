"""Integration with weights per pixel: conjugate gradients, preconditioned by exact solves on the whole grid."""

from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import ndimage
from scipy.sparse import coo_array, csgraph
from torch import Tensor

from ...errors import InputError
from .differences import differences, divergence, steps
from .grid_solve import GridSpectrum

MAX_ITERATIONS = 2000


class WeightedGrid(NamedTuple):
    """What a weighted solve needs to know besides its tensors."""

    height: int
    width: int
    periodic: bool
    screening: float
    tolerance: float


def solve_weighted(gradients: Tensor, weights: Tensor, guide: Tensor | None, grid: WeightedGrid) -> Tensor:
    """Minimise sum w_e (step of h - step of g)^2 + a sum w (h - guide)^2, in float64.

    The weight of a step is the harmonic mean of its two pixels: what the mean of two measurements with
    variances 1 / w is worth. So nothing crosses into pixels of weight zero.

    Args:
        gradients: (*batch, H, W, 2).
        weights: (*batch or nothing, H, W), at least 0.
        guide: (*batch or nothing, H, W) or None.
        grid: The kind of grid.

    Raises:
        InputError: Conjugate gradients did not converge.
    """
    shape, dtype = gradients.shape[:-1], gradients.dtype
    gradients = gradients.double().reshape(-1, *gradients.shape[-3:])
    weights = weights.double().expand(shape).reshape(gradients.shape[:-1])
    periodic, inside = grid.periodic, weights > 0
    right, down = (_edge_weights(weights, dim, periodic) for dim in (-1, -2))
    across, along = (steps(gradients[..., k], -1 - k, periodic, inside) for k in (0, 1))
    rhs = -divergence(right * across, down * along, periodic)
    if guide is not None:
        rhs = rhs + grid.screening * weights * guide.double().expand(shape).reshape(weights.shape)
    systems = zip(rhs, right, down, weights, strict=True)
    return torch.stack([_Solve.apply(*system, grid) for system in systems]).reshape(shape).to(dtype)


def _edge_weights(weights: Tensor, dim: int, periodic: bool) -> Tensor:
    count = weights.shape[dim]
    after = weights.roll(-1, dim) if periodic else weights.narrow(dim, 1, count - 1)
    before = weights if periodic else weights.narrow(dim, 0, count - 1)
    total = before + after
    return 2 * before * after / torch.where(total > 0, total, 1)


class _Solve(torch.autograd.Function):
    """x of A(w) x = b with mean zero on every connected part; A is symmetric, so is its inverse."""

    @staticmethod
    def forward(
        ctx: Any, rhs: Tensor, right: Tensor, down: Tensor, weights: Tensor, grid: WeightedGrid
    ) -> Tensor:
        ctx.system = _System(right, down, weights, grid)
        x = ctx.system.solve(rhs)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        (x,), system = ctx.saved_tensors, ctx.system
        adjoint = system.solve(gradients[0])
        periodic = system.grid.periodic
        right, down = (-differences(adjoint, d, periodic) * differences(x, d, periodic) for d in (-1, -2))
        return adjoint, right, down, -system.grid.screening * adjoint * x, None


class _System:
    def __init__(self, right: Tensor, down: Tensor, weights: Tensor, grid: WeightedGrid) -> None:
        self.right, self.down, self.weights, self.grid = right, down, weights, grid
        self.inside = weights > 0
        self.iterations = 0
        # A ~ sqrt(w) L sqrt(w): the solve on the whole grid between two scalings (Concus and Golub 1973, Use of
        # fast direct methods for the efficient numerical solution of nonseparable elliptic equations). Around a
        # mask it goes on smoothly, so the number of iterations does not grow with the picture.
        self.scale = torch.where(self.inside, weights.clamp(min=1e-30).rsqrt(), 0)
        self.spectrum = GridSpectrum(grid.height, grid.width, grid.periodic, weights.device)
        values = self.spectrum.eigenvalues + grid.screening
        lowest = values[values > 1e-15].min() if values.numel() > 1 else values.new_tensor(1.0)
        self.response = 1 / torch.maximum(values, lowest)
        self.parts = None if grid.screening > 0 else _parts(right, down, self.inside, grid)

    def multiply(self, x: Tensor) -> Tensor:
        periodic = self.grid.periodic
        right, down = (
            w * differences(x, d, periodic) for w, d in zip((self.right, self.down), (-1, -2), strict=True)
        )
        return self.grid.screening * self.weights * x - divergence(right, down, periodic)

    def precondition(self, x: Tensor) -> Tensor:
        scaled = (x * self.scale).reshape(-1, 1)
        return self.spectrum.filter(scaled, self.response).reshape(x.shape) * self.scale

    def centred(self, x: Tensor) -> Tensor:
        """Zero outside, and of mean zero on every part."""
        if self.parts is None:
            return torch.where(self.inside, x, 0)
        count = int(self.parts.max()) + 1
        flat, values = self.parts.reshape(-1), x.reshape(-1)
        sums = values.new_zeros(count).index_add(0, flat, values)
        sizes = torch.bincount(flat, minlength=count).clamp(min=1)
        return torch.where(self.inside, x - (sums / sizes)[self.parts], 0)

    def solve(self, rhs: Tensor) -> Tensor:
        """Preconditioned conjugate gradients (Hestenes and Stiefel 1952) from zero."""
        residual = self.centred(rhs)
        x, goal = torch.zeros_like(rhs), self.grid.tolerance * residual.norm()
        direction, before = torch.zeros_like(rhs), rhs.new_tensor(torch.inf)
        for iteration in range(MAX_ITERATIONS):
            self.iterations = iteration
            if not bool(residual.norm() > goal):
                return self.centred(x)
            improved = self.centred(self.precondition(residual))
            now = (residual * improved).sum()
            direction = improved + direction * (now / before)
            before = now
            product = self.multiply(direction)
            step = now / (direction * product).sum()
            x = x + step * direction
            residual = residual - step * product
        raise InputError(
            f"integration did not converge in {MAX_ITERATIONS} steps; weights that differ by many orders of "
            "magnitude or gradients that are not finite do this, so clip them"
        )


def _parts(right: Tensor, down: Tensor, inside: Tensor, grid: WeightedGrid) -> Tensor:
    """A number per connected part; pixels outside have that of part 0."""
    mask = inside.cpu().numpy()
    labels = np.zeros(mask.shape, np.int64)
    count = int(ndimage.label(mask, output=labels))  # pyright: ignore[reportArgumentType] (it is a number then)
    if grid.periodic and count > 1:
        opposite = (labels[:, [0, -1]], labels[[0, -1]].T)
        ends = np.concatenate([pairs[(pairs > 0).all(axis=1)] for pairs in opposite])
        joined = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count + 1, count + 1))
        labels = csgraph.connected_components(joined, directed=False)[1][labels]
    return torch.from_numpy(labels).to(inside.device)
