"""Exact solves on a grid of texels: cosine and Fourier transforms diagonalise the grid's Laplacian."""

import math

import scipy.fft
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from .launch import thread_count


class GridSolver:
    """Solves (I + smoothness * L) x = b with L = `grid_laplacian(height, width, periodic)`.

    Nothing is factorised: the eigenvectors of L are the cosines of the discrete cosine transform (borders
    where the grid ends) or the waves of the discrete Fourier transform (opposite borders joined), with
    eigenvalues 2 - 2 cos(angle) along each side (Strang 1999, The Discrete Cosine Transform).

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
        if height < 1 or width < 1:
            raise InputError(f"a grid needs at least one row and one column, got {height} x {width}")
        self.shape, self.size, self.periodic = (height, width), height * width, periodic
        # A real Fourier transform keeps only the first half of the waves along the last side.
        counts = (height, width // 2 + 1 if periodic else width)
        turn = 2 * math.pi if periodic else math.pi
        rows, columns = (
            2 - 2 * torch.cos(torch.arange(count, dtype=torch.float64) * (turn / side))
            for count, side in zip(counts, self.shape, strict=True)
        )
        self._damping = (1 / (1 + smoothness * (rows[:, None] + columns))).to(device)

    def __call__(self, rhs: Float[Tensor, "n C"], adjoint: bool = False) -> Float[Tensor, "n C"]:
        images = rhs.detach().t().reshape(-1, *self.shape)
        damping = self._damping.to(rhs.dtype)
        if self.periodic:
            solution = torch.fft.irfft2(torch.fft.rfft2(images) * damping, s=self.shape)
        elif rhs.is_cuda:
            spectrum = dct(dct(images).mT).mT * damping
            solution = idct(idct(spectrum.mT).mT)
        else:  # SciPy has real cosine transforms, five times faster here
            options = {"axes": (1, 2), "workers": thread_count()}
            spectrum = damping * torch.from_numpy(scipy.fft.dctn(images.numpy(), **options))
            solution = torch.from_numpy(scipy.fft.idctn(spectrum.numpy(), overwrite_x=True, **options))
        return solution.reshape(len(solution), -1).t().contiguous()


def dct(signal: Float[Tensor, "*batch N"]) -> Float[Tensor, "*batch N"]:
    """The cosine transform of type II along the last side, X_k = sum_n x_n cos(pi k (2 n + 1) / (2 N)).

    One real Fourier transform of the same length: the even samples followed by the odd ones backwards
    (Makhoul 1980, A fast cosine transform in one and two dimensions).
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
