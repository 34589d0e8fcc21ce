import math

import pytest
import torch

from bozzetto import InputError
from bozzetto.geometry.heightfield import (
    crossover,
    gradients_from_height,
    gradients_from_normals,
    integrate_gradients,
    integrate_normals,
    normals_from_gradients,
    normals_from_height,
)
from bozzetto.geometry.heightfield.gradients import differences, divergence, steps
from bozzetto.geometry.heightfield.integration import WeightedGrid, _edge_weights, _System

BOUNDARIES = ["free", "periodic"]


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def waves(height=48, width=64, dtype=torch.float64):
    """A smooth map that repeats, in pixels, and its exact gradients."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    a, b = 2 * math.pi * 3 * x.to(dtype) / width, 2 * math.pi * 2 * y.to(dtype) / height
    right = 6 * math.pi / width * (a.cos() * 5 - (a + b).sin() * 2)
    down = -4 * math.pi / height * (a + b).sin() * 2
    return 5 * a.sin() + 2 * (a + b).cos(), torch.stack([right, down], dim=-1)


def dense(rhs_gradients, weights, periodic, screening=0.0, guide=None):
    """The same least squares problem with a matrix."""
    height, width = weights.shape
    eye = torch.eye(height * width, dtype=torch.float64).reshape(-1, height, width)
    rows, targets = [], []
    for k, dim in ((0, -1), (1, -2)):
        root = _edge_weights(weights, dim, periodic).sqrt()
        rows.append((differences(eye, dim, periodic) * root).flatten(1))
        targets.append((steps(rhs_gradients[..., k], dim, periodic, weights > 0) * root).flatten())
    if guide is not None:
        root = (screening * weights).sqrt()
        rows.append((eye * root).flatten(1))
        targets.append((guide * root).flatten())
    matrix, target = torch.cat(rows, dim=1).T, torch.cat(targets)
    return (torch.linalg.pinv(matrix) @ target).reshape(height, width)


def test_normals_and_gradients_are_inverse_in_both_conventions():
    gradients = random(2, 5, 7, 2)
    for convention in ("gl", "dx"):
        normals = normals_from_gradients(gradients, convention)
        torch.testing.assert_close(normals.norm(dim=-1), torch.ones(2, 5, 7, dtype=torch.float64))
        torch.testing.assert_close(gradients_from_normals(3 * normals, convention), gradients)


def test_a_slope_that_rises_to_the_right_and_to_the_top_has_the_normal_that_leans_the_other_way():
    y, x = torch.meshgrid(torch.arange(4.0), torch.arange(5.0), indexing="ij")
    normals = normals_from_height(0.5 * x - 0.25 * y)  # rows run downwards
    expected = torch.tensor([-0.5, -0.25, 1.0])
    torch.testing.assert_close(normals, (expected / expected.norm()).expand(4, 5, 3))
    flipped = normals_from_height(0.5 * x - 0.25 * y, convention="dx")
    torch.testing.assert_close(flipped, normals * torch.tensor([1.0, -1.0, 1.0]))


def test_slopes_at_the_horizon_stay_finite():
    normals = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.6, -0.8], [0.0, 0.0, 0.0]]])
    gradients = gradients_from_normals(normals, steepest=20.0)
    torch.testing.assert_close(gradients, torch.tensor([[[-20.0, 0.0], [0.0, 20.0], [0.0, 0.0]]]))


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (2, 3), (3, 1), (6, 5)])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_any_size_works(size, boundary):
    gradients = gradients_from_height(random(*size), boundary)
    assert integrate_gradients(gradients, boundary).shape == size
    mask = torch.ones(size, dtype=torch.bool)
    assert torch.isfinite(integrate_gradients(gradients, boundary, mask=mask)).all()


def test_spectral_gradients_are_exact_and_integrate_back():
    height, gradients = waves()
    torch.testing.assert_close(gradients_from_height(height, "periodic", spectral=True), gradients)
    torch.testing.assert_close(integrate_gradients(gradients, "periodic"), height)
    normals = normals_from_gradients(gradients)
    torch.testing.assert_close(integrate_normals(normals, "periodic"), height)


def test_parabolas_integrate_exactly_and_waves_nearly():
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in (9, 12)), indexing="ij")
    parabola = 0.1 * x**2 - 0.05 * y**2 + 0.2 * x * y
    result = integrate_gradients(gradients_from_height(parabola))
    torch.testing.assert_close(result, parabola - parabola.mean())
    height, gradients = waves()
    crop = (slice(5, 41), slice(3, 50))
    result = integrate_gradients(gradients[crop])
    expected = height[crop] - height[crop].mean()
    assert (result - expected).std() < 5e-4 * expected.std()


@pytest.mark.parametrize("periodic", [False, True])
def test_divergence_is_minus_the_adjoint_of_differences(periodic):
    x = random(5, 7)
    right, down = (random(*differences(x, d, periodic).shape, seed=1 - d) for d in (-1, -2))
    forward = sum((differences(x, d, periodic) * e).sum() for d, e in ((-1, right), (-2, down)))
    torch.testing.assert_close(forward, -(x * divergence(right, down, periodic)).sum())


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_weights_and_masks_are_the_least_squares_they_claim(boundary):
    gradients, weights = random(6, 7, 2), random(6, 7, seed=1).abs() + 0.05
    weights[2, 1:5] = 0
    weights[:, 5] = 0  # a part of its own, unless the map repeats
    periodic = boundary == "periodic"
    result = integrate_gradients(gradients, boundary, weights=weights, tolerance=1e-12)
    torch.testing.assert_close(result, dense(gradients, weights, periodic))
    masked = integrate_gradients(gradients, boundary, mask=weights > 0, tolerance=1e-12)
    torch.testing.assert_close(masked, dense(gradients, (weights > 0).double(), periodic))


def test_weights_with_a_guide_are_the_least_squares_they_claim():
    gradients, weights, guide = random(6, 7, 2), random(6, 7, seed=1).abs(), random(6, 7, seed=2)
    weights[1, 2:] = 0
    result = integrate_gradients(gradients, weights=weights, guide=guide, guide_weight=0.3, tolerance=1e-12)
    torch.testing.assert_close(result, dense(gradients, weights, False, 0.3, guide))


def test_what_lies_outside_the_mask_does_not_matter():
    height, gradients = waves(32, 32)
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[3:20, 4:29] = True
    gradients = torch.where(mask[..., None], gradients, torch.inf)
    result = integrate_gradients(gradients, mask=mask)
    expected = height[mask] - height[mask].mean()
    assert (result[mask] - expected).std() < 0.01 * expected.std()
    assert (result[~mask] == 0).all()


def test_the_number_of_iterations_does_not_grow_with_a_masked_picture():
    iterations = []
    for side in (32, 128):
        y, x = torch.meshgrid(*[torch.linspace(-1, 1, side)] * 2, indexing="ij")
        disc = ((x**2 + y**2 < 0.9) & ~(x**2 + (y - 0.3) ** 2 < 0.1)).double()
        edges = [_edge_weights(disc, d, False) for d in (-1, -2)]
        system = _System(*edges, disc, WeightedGrid(side, side, False, 0.0, 1e-6))
        system.solve(-divergence(*(w * random(*w.shape) for w in edges)))
        iterations.append(system.iterations)
    assert iterations[1] <= iterations[0] + 10 and iterations[1] < 40


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_gradients_reach_every_tensor(boundary):
    size = (3, 4)
    gradients, guide = random(*size, 2).requires_grad_(), random(*size, seed=1).requires_grad_()
    weights = (random(*size, seed=2).abs() + 0.2).requires_grad_()
    wave = crossover(*size, 4.0, boundary).double().requires_grad_()
    check = torch.autograd.gradcheck
    assert check(lambda g: integrate_gradients(g, boundary), gradients)
    assert check(lambda g, h: integrate_gradients(g, boundary, guide=h, guide_weight=0.2), (gradients, guide))
    assert check(
        lambda g, h, a: integrate_gradients(g, boundary, guide=h, guide_weight=a), (gradients, guide, wave)
    )

    def weighted(g, w):
        return integrate_gradients(g, boundary, weights=w, tolerance=1e-13)

    assert check(weighted, (gradients, weights))

    def screened(g, w, h):
        return integrate_gradients(g, boundary, None, w, h, 0.5, tolerance=1e-13)

    assert check(screened, (gradients, weights, guide))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_crossover_takes_long_waves_from_the_guide_and_short_ones_from_the_gradients(boundary):
    x = torch.arange(128, dtype=torch.float64) + 0.5
    turn = math.pi if boundary == "free" else 2 * math.pi
    long, short = (torch.cos(turn * k * x / 128).expand(64, 128) for k in (1, 20))
    guide, gradients = long + short + 3, gradients_from_height(0 * long, boundary)
    wavelength = 128 / 5 if boundary == "periodic" else 256 / 5
    response = crossover(64, 128, wavelength, boundary).double()
    fused = integrate_gradients(gradients, boundary, guide=guide, guide_weight=response)
    kept = [float(((fused - 3) * w).mean() / (w * w).mean()) for w in (long, short)]
    assert kept[0] == pytest.approx(1 / (1 + 5.0**-4), rel=1e-3)
    assert kept[1] == pytest.approx(1 / (1 + 4.0**4), rel=0.2)
    assert float(fused.mean()) == pytest.approx(3)


def test_batches_are_their_members():
    gradients = random(2, 3, 8, 9, 2, dtype=torch.float32)
    mask = random(8, 9, seed=1) > -0.5
    for boundary, inside in (("free", None), ("periodic", None), ("free", mask)):
        together = integrate_gradients(gradients, boundary, inside)
        torch.testing.assert_close(together[1, 2], integrate_gradients(gradients[1, 2], boundary, inside))


def test_bad_input_is_named():
    gradients = random(4, 5, 2)
    with pytest.raises(InputError, match="boundary must be"):
        integrate_gradients(gradients, "wrap")
    with pytest.raises(InputError, match="guide needs"):
        integrate_gradients(gradients, guide=gradients[..., 0])
    with pytest.raises(InputError, match="at least 0"):
        integrate_gradients(gradients, weights=-torch.ones(4, 5))
    with pytest.raises(InputError, match="per wave"):
        integrate_gradients(
            gradients,
            weights=torch.ones(4, 5),
            guide=gradients[..., 0],
            guide_weight=torch.ones(4, 5),
        )
    with pytest.raises(InputError, match="convention"):
        normals_from_gradients(gradients, "directx")
    with pytest.raises(InputError, match="spectral"):
        gradients_from_height(gradients[..., 0], spectral=True)
    with pytest.raises(InputError, match="crossover"):
        crossover(4, 4, 0.0)
