"""Height, gradients and normals of a height map, one from another.

Heights and gradients are in the same unit, for instance both in pixels: a gradient is the height gained per
pixel. To go to millimetres, scale the heights by millimetres per pixel. Gradients are along columns (to the
right) and along rows (downwards), in this order; normals are in tangent space, x to the right, y up, z out
of the surface.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from ...errors import InputError

STEEPEST = 20.0
"""Largest slope, 87 degrees, to which normals are limited: steeper normals do not determine the height."""

CONVENTIONS = ("gl", "dx")
BOUNDARIES = ("free", "periodic")


def gradients_from_normals(
    normals: Float[Tensor, "*batch H W 3"], convention: str = "gl", steepest: float = STEEPEST
) -> Float[Tensor, "*batch H W 2"]:
    """Height gained per pixel to the right and per pixel downwards: (-x / z, y / z) of the normal.

    Args:
        normals: In tangent space, of any positive length.
        convention: `gl`, green or y is up (OpenGL); `dx`, green or y is down (DirectX).
        steepest: Largest slope. z is raised where the slope would be larger; normals that point down or are
            zero get slopes of this order, too.

    Raises:
        InputError: The convention is unknown.
    """
    across, up, out = check_convention(normals, convention).unbind(-1)
    flat = torch.hypot(across, up)
    out = torch.maximum(out, (flat / steepest).clamp(min=torch.finfo(normals.dtype).tiny))
    return torch.stack([-across / out, up / out], dim=-1)


def normals_from_gradients(
    gradients: Float[Tensor, "*batch H W 2"], convention: str = "gl"
) -> Float[Tensor, "*batch H W 3"]:
    """Unit normals of a surface with these gradients; the inverse of `gradients_from_normals`.

    Raises:
        InputError: The convention is unknown.
    """
    right, down = gradients.unbind(-1)
    normals = torch.stack([-right, down, torch.ones_like(right)], dim=-1)
    normals = normals / normals.norm(dim=-1, keepdim=True)
    return check_convention(normals, convention)


def gradients_from_height(
    height: Float[Tensor, "*batch H W"], boundary: str = "free", spectral: bool = False
) -> Float[Tensor, "*batch H W 2"]:
    """Height gained per pixel to the right and per pixel downwards.

    Args:
        height: Heights in pixels, for slopes without a unit.
        boundary: `free` uses one-sided differences of second order at the borders; `periodic` continues at the
            opposite border.
        spectral: Differentiate in the Fourier domain, which is exact for periodic, band-limited heights,
            instead of by central differences. Requires `periodic`.

    Raises:
        InputError: The boundary is unknown, or spectral derivatives are asked for without `periodic`.
    """
    periodic = check_boundary(boundary)
    if not spectral:
        return torch.stack([_central(height, -1, periodic), _central(height, -2, periodic)], dim=-1)
    if not periodic:
        raise InputError(
            "spectral derivatives need boundary='periodic', got 'free'; take central differences"
        )
    right, down = spectral_derivatives(height.shape[-2], height.shape[-1], height)
    waves = torch.fft.rfft2(height)
    slopes = [torch.fft.irfft2(waves * d, s=height.shape[-2:]) for d in (right, down)]
    return torch.stack(slopes, dim=-1)


def normals_from_height(
    height: Float[Tensor, "*batch H W"],
    boundary: str = "free",
    spectral: bool = False,
    convention: str = "gl",
) -> Float[Tensor, "*batch H W 3"]:
    """Unit normals of a height map in pixels. Arguments and errors are those of `gradients_from_height`."""
    return normals_from_gradients(gradients_from_height(height, boundary, spectral), convention)


def spectral_derivatives(height: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Factors of the coefficients of `rfft2` for derivatives along columns and rows: (1, K) and (H, 1).

    The derivative of the Nyquist frequency is zero at all pixels, so its factor is zero.
    """
    factors = []
    for side, frequencies in ((width, torch.fft.rfftfreq), (height, torch.fft.fftfreq)):
        turns = frequencies(side, dtype=torch.float64, device=like.device)
        factor = 2j * math.pi * torch.where(turns.abs() < 0.5, turns, 0)
        factors.append(factor.to(like.dtype.to_complex()))
    return factors[0][None, :], factors[1][:, None]


def check_convention(normals: Tensor, convention: str) -> Tensor:
    """The normals with y up if they came in this convention, or in this convention if they came with y up."""
    if convention not in CONVENTIONS:
        raise InputError(f"the normal convention must be 'gl' (y up) or 'dx' (y down), got {convention!r}")
    return normals if convention == "gl" else normals * normals.new_tensor([1.0, -1.0, 1.0])


def check_boundary(boundary: str) -> bool:
    """Whether a boundary is periodic."""
    if boundary not in BOUNDARIES:
        raise InputError(f"the boundary must be 'free' or 'periodic', got {boundary!r}")
    return boundary == "periodic"


def _central(height: Tensor, dim: int, periodic: bool) -> Tensor:
    side = height.shape[dim]
    if periodic:
        return (height.roll(-1, dim) - height.roll(1, dim)) / 2
    if side < 3:
        step = height.diff(dim=dim)
        return step.expand(height.shape) if side == 2 else torch.zeros_like(height)
    inner = (height.narrow(dim, 2, side - 2) - height.narrow(dim, 0, side - 2)) / 2
    first, second, third = (height.narrow(dim, k, 1) for k in (0, 1, 2))
    last, before, far = (height.narrow(dim, side - k, 1) for k in (1, 2, 3))
    start = (4 * second - 3 * first - third) / 2
    end = (3 * last - 4 * before + far) / 2
    return torch.cat([start, inner, end], dim=dim)


def differences(height: Tensor, dim: int, periodic: bool = False) -> Tensor:
    """Difference from each pixel to the next along a dimension; one fewer than pixels unless periodic."""
    return height.roll(-1, dim) - height if periodic else height.diff(dim=dim)


def divergence(right: Tensor, down: Tensor, periodic: bool = False) -> Tensor:
    """Minus the adjoint of `differences` along columns and rows, with zero flow across free borders."""
    if periodic:
        return right - right.roll(1, -1) + down - down.roll(1, -2)
    return pad(right, (0, 1)) - pad(right, (1, 0)) + pad(down, (0, 0, 0, 1)) - pad(down, (0, 0, 1, 0))


def steps(slope: Tensor, dim: int, periodic: bool = False, inside: Tensor | None = None) -> Tensor:
    """Difference from each pixel to the next of a height with these slopes at the pixels.

    The cubic through the nearest four pixels is integrated: weights (-1, 13, 13, -1) / 24, and (9, 19, -5, 1) /
    24 at free ends. The usual mean of two pixels attenuates a wavelength of five pixels by 14 %, the cubic by 4
    %.

    Args:
        slope: Height per pixel along the dimension.
        dim: The dimension: -1 or -2.
        periodic: Whether the last pixel is followed by the first.
        inside: Pixels that may be used. Where one of the four may not, the mean of two pixels is used.
    """
    slope = slope.movedim(dim, -1)
    means = _pairs(slope, periodic)
    if slope.shape[-1] < 4:
        return means.movedim(-1, dim)
    cubic = _cubic(slope, means, periodic)
    if inside is not None:
        cubic = torch.where(_four(inside.movedim(dim, -1), periodic), cubic, means)
    return cubic.movedim(-1, dim)


def _pairs(slope: Tensor, periodic: bool) -> Tensor:
    return (slope + slope.roll(-1, -1)) / 2 if periodic else (slope[..., 1:] + slope[..., :-1]) / 2


def _cubic(slope: Tensor, means: Tensor, periodic: bool) -> Tensor:
    if periodic:
        return means * (13 / 12) - (slope.roll(1, -1) + slope.roll(-2, -1)) / 24
    inner = means[..., 1:-1] * (13 / 12) - (slope[..., :-3] + slope[..., 3:]) / 24
    ends = slope.new_tensor([9, 19, -5, 1]) / 24
    first = (slope[..., :4] * ends).sum(-1, keepdim=True)
    last = (slope[..., -4:] * ends.flip(0)).sum(-1, keepdim=True)
    return torch.cat([first, inner, last], dim=-1)


def _four(inside: Tensor, periodic: bool) -> Tensor:
    """Whether all four pixels that a cubic uses are inside."""
    if periodic:
        return inside & inside.roll(1, -1) & inside.roll(-1, -1) & inside.roll(-2, -1)
    inner = inside[..., :-3] & inside[..., 1:-2] & inside[..., 2:-1] & inside[..., 3:]
    return torch.cat([inner[..., :1], inner, inner[..., -1:]], dim=-1)


def bordered(x: Tensor, margin: int, tiles: bool) -> Tensor:
    """The map padded at every side: circularly if it is periodic, else by repetition of the border."""
    if not tiles:
        return pad(x, (margin,) * 4, mode="replicate")
    rows, columns = (torch.arange(-margin, n + margin, device=x.device) % n for n in x.shape[-2:])
    return x[..., rows[:, None], columns]  # goes around more than once if it has to
