import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto import InputError
from bozzetto.score import denoised, log_density, score

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")),
]


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 3), st.integers(1, 40), st.floats(0.02, 2.0), st.integers(0, 1000))
def test_the_field_is_the_gradient_of_the_log_density(dimensions, count, sigma, seed):
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(count, dimensions, generator=generator, dtype=torch.float64)
    x = torch.randn(7, dimensions, generator=generator, dtype=torch.float64).requires_grad_()
    levels = torch.full((7,), sigma, dtype=torch.float64)
    (slope,) = torch.autograd.grad(log_density(points, x, levels).sum(), x)
    torch.testing.assert_close(score(points, x.detach(), levels), slope, rtol=1e-6, atol=1e-6)


def test_the_density_integrates_to_one():
    points = torch.tensor([[0.2, -0.1], [-0.5, 0.4], [0.3, 0.3]])
    axis = torch.linspace(-4, 4, 401)
    grid = torch.cartesian_prod(axis, axis)
    density = log_density(points, grid, torch.full((len(grid),), 0.3)).exp()
    assert float(density.sum()) * 0.02**2 == pytest.approx(1.0, abs=1e-4)


def test_one_point_attracts_all_and_far_levels_see_the_mean():
    x = torch.randn(5, 3)
    torch.testing.assert_close(denoised(torch.ones(1, 3), x, torch.full((5,), 0.1)), torch.ones(5, 3))
    points = torch.randn(50, 3)
    found = denoised(points, x, torch.full((5,), 1000.0))
    torch.testing.assert_close(found, points.mean(dim=0).expand(5, 3), atol=1e-4, rtol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_batches_and_small_levels_are_exact(device):
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(3, 600, 3, generator=generator) * 2 - 1
    x = points[:, :100] + 0.004 * torch.randn(3, 100, 3, generator=generator)
    sigma = torch.full((3, 100), 0.005)
    found = denoised(points.to(device), x.to(device), sigma.to(device)).cpu()
    exact = denoised(points.double(), x.double(), sigma.double())
    torch.testing.assert_close(found.double(), exact, atol=1e-4, rtol=0)


def test_empty_clouds_and_levels_of_zero_are_refused():
    with pytest.raises(InputError, match="empty"):
        denoised(torch.zeros(0, 3), torch.zeros(1, 3), torch.ones(1))
    with pytest.raises(InputError, match="positive"):
        score(torch.zeros(2, 3), torch.zeros(1, 3), torch.zeros(1))
