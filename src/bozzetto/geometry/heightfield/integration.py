"""From gradients or normals to height: least squares, solved exactly by Fourier and cosine transforms.

All minimise |grad h - g|^2 + a |h - guide|^2. A map that repeats is differentiated wave by wave (Frankot and
Chellappa 1988, A method for enforcing integrability in shape from shading algorithms, with the height as the
unknown); one that ends at its borders by differences between neighbours, which the discrete cosine transform
diagonalises (Simchony, Chellappa and Shao 1990, Direct analytical methods for solving Poisson equations in
computer vision problems). With weights or a mask, the transforms precondition conjugate gradients instead.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...errors import InputError
from .differences import divergence, steps
from .gradients import check_boundary, gradients_from_normals, spectral_derivatives
from .grid_solve import filter_cosines
from .weighted_integration import WeightedGrid, solve_weighted


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
        mask: Pixels to integrate over. Heights elsewhere are zero, and unconnected parts know nothing of
            each other.
        weights: How much each pixel's gradient counts, at least 0; only ratios matter unless there is a guide.
        guide: A height to stay close to, for instance a blurred one that holds the overall shape.
        guide_weight: a of the minimised sum. A number counts for all waves alike: waves longer than about
            6.3 / sqrt(a) pixels follow the guide. A tensor has one number per wave (see `crossover`) and
            cannot be had together with a mask or weights.
        tolerance: Residual at which conjugate gradients stop, relative to the right-hand side; without mask
            and weights the solution is exact up to rounding.

    Returns:
        Heights of mean zero, within each connected part of the mask; with a guide, of its mean.

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

    Orthographic: the surface is seen from straight above. Arguments as of `integrate_gradients`.

    Args:
        normals: Tangent space, of any positive length.
        boundary: `free` or `periodic`.
        mask: Pixels to integrate over.
        weights: How much each pixel counts.
        convention: `gl`, y is up; `dx`, y is down.

    Raises:
        InputError: As `integrate_gradients`, or the convention is unknown.
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
    """A `guide_weight` per wave that hands over from the guide to the gradients at a wavelength.

    A wave of length l takes a share 1 / (1 + (wavelength / l)^order) from the guide and the rest from the
    gradients (a Butterworth filter). A number as `guide_weight` does the same with order 2.

    Args:
        height: Rows of the map.
        width: Columns of the map.
        wavelength: In pixels, positive.
        boundary: As given to `integrate_gradients`.
        order: Steepness, at least 2.
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
    """What the squared gradient multiplies the square of every wave by."""
    if periodic:
        right, down = spectral_derivatives(height, width, like)
        return right.abs() ** 2 + down.abs() ** 2
    sides = [
        4 * torch.sin(torch.arange(n, dtype=torch.float64, device=like.device) * (math.pi / (2 * n))) ** 2
        for n in (height, width)
    ]
    return sides[0][:, None].to(like.dtype) + sides[1].to(like.dtype)


def _divide(weight: float | Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
    """1 / (squares + a) and a / (squares + a), nothing where both are zero."""
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
