import math

import pytest
import torch

from bozzetto import InputError
from bozzetto.geometry.heightfield import GridSolver, GridSpectrum
from bozzetto.geometry.heightfield.grid_solve import dct, idct


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 8])
def test_dct_is_its_definition(length):
    signal = torch.randn(3, length, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    n = torch.arange(length, dtype=torch.float64)
    cosines = torch.cos(math.pi * n[:, None] * (2 * n + 1) / (2 * length))
    torch.testing.assert_close(dct(signal), signal @ cosines.T)
    torch.testing.assert_close(idct(dct(signal)), signal)


def test_waves_are_damped_by_their_eigenvalue():
    columns = torch.arange(16, dtype=torch.float64)
    wave = torch.cos(math.pi * 3 * (columns + 0.5) / 16).expand(8, 16)
    expected = wave / (1 + 5 * (2 - 2 * math.cos(math.pi * 3 / 16)))
    solved = GridSolver(8, 16, 5.0)(wave.reshape(-1, 1)).reshape(8, 16)
    torch.testing.assert_close(solved, expected)
    wave = torch.sin(2 * math.pi * 3 * columns / 16).expand(8, 16)
    expected = wave / (1 + 5 * (2 - 2 * math.cos(2 * math.pi * 3 / 16)))
    solved = GridSolver(8, 16, 5.0, periodic=True)(wave.reshape(-1, 1)).reshape(8, 16)
    torch.testing.assert_close(solved, expected)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("height, width", [(4, 6), (3, 5), (5, 1), (1, 2)])
def test_mean_response_is_what_stays_of_impulses(periodic, height, width):
    spectrum = GridSpectrum(height, width, periodic)
    response = (1 + 0.7 * spectrum.eigenvalues) ** -2
    impulses = torch.eye(height * width, dtype=torch.float64)
    kept = spectrum.filter(impulses, response).diagonal().mean()
    assert spectrum.mean(response) == pytest.approx(float(kept))


def test_empty_grids_are_named():
    with pytest.raises(InputError, match="3 x 0"):
        GridSolver(3, 0, 1.0)
