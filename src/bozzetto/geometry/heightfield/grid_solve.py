"""Exact solves on a grid of texels: cosine and Fourier transforms diagonalise the grid's Laplacian."""

import math
from collections.abc import Sequence
from typing import Any

import scipy.fft
import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ..launch import thread_count


class GridSpectrum:
    """The eigenvectors of `grid_laplacian(height, width, periodic)` as a transform.

    For free borders, these are the cosines of the discrete cosine transform; for periodic borders, the waves of
    the discrete Fourier transform. The eigenvalues are
    2 - 2 cos(angle), summed over both sides (Strang 1999, The Discrete Cosine Transform).

    Args:
        height: Rows.
        width: Columns.
        periodic: Whether opposite borders are joined.
        device: Where the images will be.

    Attributes:
        eigenvalues: Between 0 and 8, one per frequency. A real Fourier transform stores only the first half of
            the frequencies along a row.
    """

    def __init__(
        self, height: int, width: int, periodic: bool = False, device: torch.device | str = "cpu"
    ) -> None:
        if height < 1 or width < 1:
            raise InputError(f"a grid needs at least one row and one column, got {height} x {width}")
        self.shape: tuple[int, int] = (height, width)
        self.periodic = periodic
        turn = 2 * math.pi if periodic else math.pi
        rows, columns = (
            2 - 2 * torch.cos(torch.arange(side, dtype=torch.float64, device=device) * (turn / side))
            for side in self.shape
        )
        if periodic:
            columns = columns[: width // 2 + 1]
        self.eigenvalues: Tensor = rows[:, None] + columns

    def filter(self, values: Float[Tensor, "n C"], response: Float[Tensor, "H K"]) -> Float[Tensor, "n C"]:
        """Multiply every coefficient of an image, given as its texels row by row, by a factor per
        eigenvalue."""
        images = values.detach().t().reshape(-1, *self.shape)
        response = response.to(values.dtype)
        if self.periodic:
            result = torch.fft.irfft2(torch.fft.rfft2(images) * response, s=self.shape)
        elif values.is_cuda:
            spectrum = dct(dct(images).mT).mT * response
            result = idct(idct(spectrum.mT).mT)
        else:  # SciPy has real cosine transforms, five times faster here
            result = _idct2(_dct2(images).mul_(response))
        return result.reshape(len(result), -1).t().contiguous()

    def mean(self, response: Float[Tensor, "H K"]) -> float:
        """Mean of a response over all frequencies: the fraction of an impulse that stays at its texel, on
        average."""
        if not self.periodic:
            return float(response.mean())
        twice = torch.full_like(response[0], 2)  # waves of the other half
        twice[0] = 1
        if self.shape[1] % 2 == 0:
            twice[-1] = 1
        return float((response * twice).sum()) / (self.shape[0] * self.shape[1])


class GridSolver:
    """Solves (I + smoothness * L) x = b with L = `grid_laplacian(height, width, periodic)`, exactly.

    Nothing is factorised, and the cost does not depend on the smoothness.

    Args:
        height: Rows.
        width: Columns.
        smoothness: lambda, at least 0.
        periodic: Whether opposite borders are joined.
        device: Where the right-hand sides will be.
    """

    method = "spectral"

    def __init__(
        self,
        height: int,
        width: int,
        smoothness: float,
        periodic: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        self.size: int = height * width
        self._spectrum = GridSpectrum(height, width, periodic, device)
        self._response = 1 / (1 + smoothness * self._spectrum.eigenvalues)

    def __call__(self, rhs: Float[Tensor, "n C"], adjoint: bool = False) -> Float[Tensor, "n C"]:
        return self._spectrum.filter(rhs, self._response)


def filter_cosines(
    images: Sequence[Float[Tensor, "*batch H W"]], responses: Sequence[Float[Tensor, "H W"]]
) -> Float[Tensor, "*batch H W"]:
    """Filter images by factors of their cosine coefficients and add them up; differentiable.

    On the CPU, gradients with respect to the responses cost more than those with respect to the images.
    """
    if images[0].is_cuda or any(response.requires_grad for response in responses):
        waves = [dct(dct(x).mT).mT * r for x, r in zip(images, responses, strict=True)]
        return idct(idct(sum(waves[1:], waves[0]).mT).mT)
    return _FilterCosines.apply(len(images), *images, *responses)


class _FilterCosines(torch.autograd.Function):
    """Filtering by SciPy's transforms, without autograd: the operator is symmetric and so its own adjoint."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor) -> Tensor:
        images, ctx.responses = tensors[:count], tensors[count:]
        total = None
        for image, response in zip(images, ctx.responses, strict=True):
            waves = _dct2(image).mul_(response)
            total = waves if total is None else total.add_(waves)
        assert total is not None
        return _idct2(total)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        waves = _dct2(gradients[0])
        wanted = zip(ctx.needs_input_grad[1:], ctx.responses, strict=False)
        grads = [_idct2(waves * response) if needed else None for needed, response in wanted]
        return None, *grads, *[None] * len(ctx.responses)


def _dct2(images: Tensor) -> Tensor:
    array = images.detach().contiguous().numpy()
    return torch.from_numpy(scipy.fft.dctn(array, axes=(-2, -1), workers=thread_count()))


def _idct2(waves: Tensor) -> Tensor:
    options = {"axes": (-2, -1), "workers": thread_count(), "overwrite_x": True}
    return torch.from_numpy(scipy.fft.idctn(waves.numpy(), **options))


def dct(signal: Float[Tensor, "*batch N"]) -> Float[Tensor, "*batch N"]:
    """The cosine transform of type II along the last dimension, X_k = sum_n x_n cos(pi k (2 n + 1) / (2 N)).

    By one real Fourier transform of the same length, of the even samples followed by the odd ones in reverse
    (Makhoul 1980, A fast cosine transform in one and two dimensions).

    Source: Makhoul 1980, the cosine transform by one Fourier transform.
    """
    length = signal.shape[-1]
    shuffled = torch.cat([signal[..., ::2], signal[..., 1::2].flip(-1)], dim=-1)
    turned = torch.fft.rfft(shuffled) * _phases(length, signal)
    backwards = -turned.imag[..., 1 : (length + 1) // 2].flip(-1)
    return torch.cat([turned.real, backwards], dim=-1)


def idct(spectrum: Float[Tensor, "*batch N"]) -> Float[Tensor, "*batch N"]:
    """The inverse of `dct`."""
    length = spectrum.shape[-1]
    half = length // 2 + 1
    imaginary = torch.zeros_like(spectrum[..., :half])
    imaginary[..., 1:] = -spectrum[..., length - half + 1 :].flip(-1)
    turned = torch.complex(spectrum[..., :half].contiguous(), imaginary)
    shuffled = torch.fft.irfft(turned * _phases(length, spectrum).conj(), n=length)
    signal = torch.empty_like(shuffled)
    even = (length + 1) // 2
    signal[..., ::2] = shuffled[..., :even]
    signal[..., 1::2] = shuffled[..., even:].flip(-1)
    return signal


def _phases(length: int, like: Tensor) -> Tensor:
    angles = torch.arange(length // 2 + 1, dtype=torch.float64, device=like.device) * (
        -math.pi / (2 * length)
    )
    return torch.polar(torch.ones_like(angles), angles).to(like.dtype.to_complex())
