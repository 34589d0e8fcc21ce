import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto.errors import InputWarning
from bozzetto.points import denoise, estimate_noise
from bozzetto.points.local_fits import NOISE_SCALES, PROBES, noise_features, quadratic_fit
from bozzetto.shapes import PointCloud


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noisy(points: torch.Tensor, noise: float, seed: int = 1) -> torch.Tensor:
    return points + noise * torch.randn(points.shape, generator=draw(seed))


def plane(count: int) -> torch.Tensor:
    return 2 * torch.rand(count, 3, generator=draw()) * torch.tensor([1.0, 1.0, 0.0])


def ball(count: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, 3, generator=draw()), dim=1)


def slab(count: int, thickness: float = 0.08) -> torch.Tensor:
    points = plane(count)
    points[::2, 2] = thickness
    return points


def box(count: int, sides: tuple = (1.0, 1.0, 1.0)) -> torch.Tensor:
    """Points of a box, of area shares as they are."""
    size = torch.tensor(sides)
    area = size.prod() / size
    axis = torch.multinomial(area, count, replacement=True, generator=draw())
    points = torch.rand(count, 3, generator=draw(2))
    points.scatter_(1, axis[:, None], (points.gather(1, axis[:, None]) < 0.5).float())
    return points * size


def rod(count: int, radius: float = 0.08) -> torch.Tensor:
    angle, height = 2 * math.pi * torch.rand(count, generator=draw()), torch.rand(count, generator=draw(3))
    return torch.stack([radius * angle.cos(), radius * angle.sin(), 2 * height], dim=1)


SHAPES = {
    "plane": plane,
    "ball": ball,
    "slab": slab,
    "box": box,
    "flat box": lambda count: box(count, (1.5, 1.0, 0.1)),
    "bar": lambda count: box(count, (2.0, 0.15, 0.15)),
    "rod": rod,
}


@pytest.mark.parametrize("noise", [0.01, 0.02, 0.03])
@pytest.mark.parametrize("shape", SHAPES)
def test_noise_is_estimated_on_flat_round_and_thin_shapes(shape, noise):
    assert estimate_noise(noisy(SHAPES[shape](5000), noise)) == pytest.approx(noise, rel=0.25)


@pytest.mark.parametrize("count", [700, 100_000])
def test_noise_is_estimated_in_sparse_and_dense_clouds(count):
    """At 100,000 points most neighbours are within the noise, and look like a ball."""
    assert estimate_noise(noisy(box(count), 0.02)) == pytest.approx(0.02, rel=0.25)


def test_small_noise_of_many_points_is_seen():
    assert estimate_noise(noisy(ball(100_000), 5e-4)) == pytest.approx(5e-4, rel=0.25)


@pytest.mark.parametrize("shape", ["plane", "ball", "slab", "box"])
def test_clean_points_have_no_noise(shape):
    assert estimate_noise(SHAPES[shape](5000)) < 0.001


def test_strays_repeats_and_density_do_not_count():
    points = noisy(ball(5000), 0.02)
    strays = 3 * torch.rand(100, 3, generator=draw()) - 1.5
    assert estimate_noise(torch.cat([points, strays])) == pytest.approx(0.02, rel=0.25)
    dense = points[torch.multinomial((1.5 * points[:, 0]).exp(), 3000, generator=draw())]
    assert estimate_noise(dense) == pytest.approx(0.02, rel=0.25)


@given(scale=st.floats(1e-3, 1e4), angle=st.floats(0, 2 * math.pi), seed=st.integers(0, 100))
@settings(max_examples=5, deadline=None)
def test_features_are_ratios_of_lengths(scale, angle, seed):
    c, s = math.cos(angle), math.sin(angle)
    points = noisy(box(600), 0.02, seed)
    here, unit = noise_features(points, draw())
    turned = points @ torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    there, larger = noise_features(scale * turned, draw())
    assert larger == pytest.approx(scale * unit, rel=1e-2)
    assert float((there - here).abs().quantile(0.95)) < 0.02


@pytest.mark.parametrize("k", NOISE_SCALES[2:])
def test_what_a_quadratic_leaves_over_is_the_noise(k):
    """Of heights over a plane 6 of k degrees of freedom are fitted."""
    around = 2 * torch.rand(PROBES, k, 3, generator=draw()) - 1
    around[..., 2] = 1e-3 * torch.randn(PROBES, k, generator=draw())
    fit = quadratic_fit(around, torch.ones(PROBES, k), torch.ones(PROBES, 1))
    variance = float(fit.residual.square().sum(dim=1).mean()) / (k - 6)
    assert variance**0.5 == pytest.approx(1e-3, rel=0.04)


@pytest.mark.parametrize("count", [8, 40, 199])
def test_few_points_stay_and_that_is_said(count):
    points = noisy(box(count), 0.02)
    assert estimate_noise(points) == 0
    with pytest.warns(InputWarning, match=f"{count} points.*do not tell noise from shape"):
        found = denoise(PointCloud(points)).cloud.points
    torch.testing.assert_close(found, points, atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", ["plane", "ball", "box"])
def test_few_points_that_do_tell(shape):
    assert estimate_noise(noisy(SHAPES[shape](300), 0.02)) == pytest.approx(0.02, rel=0.25)
    assert estimate_noise(SHAPES[shape](300)) < 0.001


@pytest.mark.parametrize("shape", SHAPES)
def test_exact_points_stay_finite(shape):
    """Planes leave exactly nothing over."""
    points = SHAPES[shape](2000)
    found = denoise(PointCloud(points)).cloud.points
    assert float((found - points).abs().max()) < 0.005
