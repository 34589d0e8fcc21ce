"""From gradients or normals to height: least squares, solved exactly by Fourier and cosine transforms.

All minimise |grad h - g|^2 + a |h - guide|^2. A periodic map is differentiated in the Fourier domain
(Frankot and Chellappa 1988, A method for enforcing integrability in shape from shading algorithms, with the
height as the unknown); one that ends at its borders by differences between neighbours, which the discrete
cosine transform diagonalises (Simchony, Chellappa and Shao 1990, Direct analytical methods for solving
Poisson equations in computer vision problems). With weights or a mask, the transforms precondition conjugate
gradients instead.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from scipy.sparse import coo_array, csgraph
from torch import Tensor

from ...errors import InputError
from .gradients import (
    check_boundary,
    differences,
    divergence,
    gradients_from_normals,
    spectral_derivatives,
    steps,
)
from .grid_solve import GridSpectrum, filter_cosines

MAX_ITERATIONS = 2000


class WeightedGrid(NamedTuple):
    """Settings of a weighted solve."""

    height: int
    width: int
    periodic: bool
    screening: float
    tolerance: float


def solve_weighted(gradients: Tensor, weights: Tensor, guide: Tensor | None, grid: WeightedGrid) -> Tensor:
    """Minimise sum w_e (step of h - step of g)^2 + a sum w (h - guide)^2, in float64.

    The weight of a step is the harmonic mean of the weights of its two pixels: the inverse variance of the mean
    of two measurements with variances 1 / w. So pixels of weight zero have no influence.

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
        """Set values outside to zero and subtract the mean of every part."""
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
    """Labels of connected parts; pixels outside have the label of part 0."""
    mask = inside.cpu().numpy()
    labels = np.zeros(mask.shape, np.int64)
    count = int(ndimage.label(mask, output=labels))  # pyright: ignore[reportArgumentType] (it is a number then)
    if grid.periodic and count > 1:
        opposite = (labels[:, [0, -1]], labels[[0, -1]].T)
        ends = np.concatenate([pairs[(pairs > 0).all(axis=1)] for pairs in opposite])
        joined = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count + 1, count + 1))
        labels = csgraph.connected_components(joined, directed=False)[1][labels]
    return torch.from_numpy(labels).to(inside.device)


def integrate_gradients(
    gradients: Float[Tensor, "*batch H W 2"],
    boundary: str = "free",
    mask: Bool[Tensor, "*#batch H W"] | None = None,
    weights: Float[Tensor, "*#batch H W"] | None = None,
    guide: Float[Tensor, "*#batch H W"] | None = None,
    guide_weight: float | Float[Tensor, "H K"] = 0.0,
    tolerance: float = 1e-6,
) -> Float[Tensor, "*batch H W"]:
    """The height whose gradients are closest to the given ones. Differentiable in every tensor.

    Source: Frankot and Chellappa 1988, of maps that tile.

    Source: Simchony et al. 1990, of maps that end.

    Args:
        gradients: Height gained per pixel to the right and per pixel downwards.
        boundary: `free`, the map ends at its borders; `periodic`, opposite borders are joined.
        mask: Pixels to integrate over. Heights elsewhere are zero, and unconnected parts are independent.
        weights: Weight of each pixel's gradient, at least 0. Only ratios matter unless there is a guide.
        guide: A height for the result to stay close to, for instance a blurred one with the overall shape.
        guide_weight: a of the minimised sum. A number applies to all frequencies: wavelengths above about 6.3 /
            sqrt(a) pixels follow the guide. A tensor has one number per frequency (see `crossover`) and cannot
            be combined with a mask or weights.
        tolerance: Residual at which conjugate gradients stop, relative to the right-hand side; without mask
            and weights the solution is exact up to rounding.

    Returns:
        Heights, whose mean in each connected part of the mask is zero or, with a guide, that of the guide.

    Raises:
        InputError: The boundary is unknown, a guide comes without a weight or the other way round, a weight
            is negative, or weights per wave are combined with a mask or weights.
    """
    periodic = check_boundary(boundary)
    _check(gradients, guide, guide_weight, weights)
    height, width = gradients.shape[-3:-1]
    if mask is not None or weights is not None:
        if isinstance(guide_weight, Tensor):
            raise InputError(
                "weights per wave cannot be combined with a mask or weights per pixel; give one guide_weight"
            )
        trust = gradients.new_ones(height, width) if weights is None else weights.to(gradients)
        trust = trust if mask is None else torch.where(mask, trust, 0)
        # What lies outside may be anything, also infinite.
        gradients = torch.where(trust[..., None] > 0, gradients, 0)
        grid = WeightedGrid(height, width, periodic, float(guide_weight), tolerance)
        return solve_weighted(gradients, trust, guide, grid)
    solver = _periodic if periodic else _free
    return solver(gradients, guide, guide_weight)


def integrate_normals(
    normals: Float[Tensor, "*batch H W 3"],
    boundary: str = "free",
    mask: Bool[Tensor, "*#batch H W"] | None = None,
    weights: Float[Tensor, "*#batch H W"] | None = None,
    convention: str = "gl",
) -> Float[Tensor, "*batch H W"]:
    """The height map, in pixels, whose normals are closest to the given ones.

    The projection is orthographic, from above. Arguments are as for `integrate_gradients`.

    Args:
        normals: Tangent space, of any positive length.
        boundary: `free` or `periodic`.
        mask: Pixels to integrate over.
        weights: Weight of each pixel, at least 0.
        convention: `gl`, y is up; `dx`, y is down.

    Raises:
        InputError: The same as for `integrate_gradients`, or the convention is unknown.
    """
    return integrate_gradients(gradients_from_normals(normals, convention), boundary, mask, weights)


def crossover(
    height: int,
    width: int,
    wavelength: float,
    boundary: str = "free",
    order: int = 4,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "H K"]:
    """A `guide_weight` per frequency: above a wavelength the guide determines the height, below the gradients.

    At wavelength l, the height is the fraction 1 / (1 + (wavelength / l)^order) of the guide plus the rest of
    the integrated gradients (a Butterworth filter). A number as `guide_weight` does the same with order 2.

    Args:
        height: Rows of the map.
        width: Columns of the map.
        wavelength: Wavelength of equal weight in pixels, positive.
        boundary: As given to `integrate_gradients`.
        order: Steepness of the transition, at least 2.
        device: Where the maps are.

    Raises:
        InputError: The boundary is unknown, or the wavelength or order is too small.
    """
    if wavelength <= 0 or order < 2:
        raise InputError(
            f"crossover needs a positive wavelength and an order of at least 2, got {wavelength} and {order}"
        )
    squares = _squares(height, width, check_boundary(boundary), torch.empty(0, device=device))
    cut = (2 * math.pi / wavelength) ** 2
    ratio = (cut / squares.clamp(min=1e-12)) ** (order / 2)
    return torch.where(squares > 0, squares * ratio.clamp(max=1e12), 1.0)


def _check(gradients: Tensor, guide: Tensor | None, guide_weight: float | Tensor, weights: Tensor | None):
    weighs = isinstance(guide_weight, Tensor) or guide_weight > 0
    if weighs != (guide is not None) or (not isinstance(guide_weight, Tensor) and guide_weight < 0):
        raise InputError("a guide needs a positive guide_weight, and a guide_weight needs a guide; give both")
    if weights is not None and not bool((weights.detach() >= 0).all()):
        raise InputError("weights must be at least 0 and not NaN, got others; clip them")
    if 0 in gradients.shape:
        raise InputError(f"gradients of shape {tuple(gradients.shape)} hold no pixel; check the input")


def _squares(height: int, width: int, periodic: bool, like: Tensor) -> Tensor:
    """Factors of the squared gradient per frequency, for squared coefficients."""
    if periodic:
        right, down = spectral_derivatives(height, width, like)
        return right.abs() ** 2 + down.abs() ** 2
    sides = [
        4 * torch.sin(torch.arange(n, dtype=torch.float64, device=like.device) * (math.pi / (2 * n))) ** 2
        for n in (height, width)
    ]
    return sides[0][:, None].to(like.dtype) + sides[1].to(like.dtype)


def _divide(weight: float | Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
    """1 / (squares + a) and a / (squares + a); 0 where squares + a is zero."""
    total = squares + weight
    inverse = torch.where(total > 0, 1 / torch.where(total > 0, total, 1), 0)
    return inverse, weight * inverse


def _periodic(gradients: Tensor, guide: Tensor | None, weight: float | Tensor) -> Tensor:
    height, width = gradients.shape[-3:-1]
    right, down = spectral_derivatives(height, width, gradients)
    inverse, share = _divide(weight, _squares(height, width, True, gradients))
    waves = torch.fft.rfft2(gradients[..., 0]) * right.conj()
    waves = waves + torch.fft.rfft2(gradients[..., 1]) * down.conj()
    waves = waves * inverse
    if guide is not None:
        waves = waves + torch.fft.rfft2(guide.to(gradients)) * share
    return torch.fft.irfft2(waves, s=(height, width))


def _free(gradients: Tensor, guide: Tensor | None, weight: float | Tensor) -> Tensor:
    source = -divergence(steps(gradients[..., 0], -1), steps(gradients[..., 1], -2))
    height, width = source.shape[-2:]
    responses = _divide(weight, _squares(height, width, False, gradients))
    if guide is None:
        return filter_cosines([source], responses[:1])
    return filter_cosines([source, guide.to(source).expand_as(source)], responses)
