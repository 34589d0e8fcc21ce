import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto.errors import InputError
from bozzetto.points import denoise, estimate_noise, orient_normals, surface, upsample
from bozzetto.points.fit_training import training_shape
from bozzetto.shapes import PointCloud, sample_surface, torus

from .conftest import BAD_CLOUDS

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def sphere(count: int, noise: float = 0.0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    points = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    return points + noise * torch.randn(count, 3, generator=generator)


def ring(count: int, noise: float = 0.0) -> torch.Tensor:
    """Points about a torus of radii 0.7 and 0.25 around z."""
    generator = torch.Generator().manual_seed(1)
    points = sample_surface(torus(0.7, 0.25, 192, 96), count, generator)[0]
    return points + noise * torch.randn(count, 3, generator=generator)


def ring_distance(x: torch.Tensor) -> torch.Tensor:
    return torch.hypot(torch.hypot(x[:, 0], x[:, 1]) - 0.7, x[:, 2]) - 0.25


def rms(values: torch.Tensor) -> float:
    return float(values.square().mean().sqrt())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_points_of_a_sphere_come_to_it(noise, device):
    cloud = PointCloud(sphere(2500, noise).to(device))
    result = denoise(cloud, noise)
    assert result.cloud.points.device == cloud.points.device
    assert rms(result.cloud.points.norm(dim=1) - 1) < 0.4 * noise
    cosine = torch.nn.functional.cosine_similarity(result.cloud.normals, result.cloud.points).abs()
    assert float(cosine.mean()) > 0.97
    assert (result.cloud.normals.norm(dim=1) - 1).abs().max() < 1e-4


def test_points_of_a_ring_come_to_it_and_a_second_pass_helps():
    noisy = ring(3000, 0.02)
    once, twice = (denoise(PointCloud(noisy), 0.02, iterations=n).cloud.points for n in (1, 2))
    assert rms(ring_distance(once)) < 0.5 * rms(ring_distance(noisy))
    assert rms(ring_distance(twice)) < rms(ring_distance(once))


def test_points_of_a_plane_stay_in_its_rim():
    points = torch.rand(2000, 3, generator=torch.Generator().manual_seed(3)) * torch.tensor([1.0, 1.0, 0.0])
    noisy = points + 0.01 * torch.randn(2000, 3, generator=torch.Generator().manual_seed(4))
    clean = denoise(PointCloud(noisy), 0.01).cloud.points
    assert rms(clean[:, 2]) < 0.4 * 0.01
    assert float((clean[:, :2] - noisy[:, :2]).norm(dim=1).max()) < 5 * 0.01


@given(
    scale=st.floats(1e-3, 1e3),
    place=st.tuples(*[st.floats(-20, 20)] * 3),
    angle=st.floats(0, 2 * math.pi),
)
@settings(max_examples=3, deadline=None)
def test_frame_and_unit_are_those_of_the_cloud(scale, place, angle):
    turn = torch.tensor(
        [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]
    )
    noisy, shift = ring(600, 0.02), torch.tensor(place)
    here = denoise(PointCloud(noisy), 0.02).cloud.points
    there = denoise(PointCloud((noisy @ turn.T + shift) * scale), 0.02 * scale).cloud.points
    assert ((there / scale - shift) @ turn - here).abs().max() < 0.004


def test_normals_keep_their_side_and_colours_their_points():
    noisy = sphere(800, 0.01)
    colors = torch.rand(800, 3, generator=torch.Generator().manual_seed(0))
    result = denoise(PointCloud(noisy, -noisy, colors), 0.01).cloud
    assert ((result.normals * result.points).sum(dim=1) < 0).float().mean() > 0.995
    assert torch.equal(result.colors, colors)
    again = denoise(PointCloud(noisy, -noisy, colors), 0.01).cloud
    assert torch.equal(result.points, again.points)


def chamfer(a: torch.Tensor, b: torch.Tensor) -> float:
    """Squared, both directions."""
    pairs = torch.cdist(a, b)
    return float(pairs.amin(dim=0).square().mean() + pairs.amin(dim=1).square().mean())


HELD_OUT = [("chair", 900_003), ("part", 950_001), ("blob", 900_002), ("limbs", 900_005)]
"""Shapes that nothing was learned from."""


@pytest.mark.parametrize("noise", [0.01, 0.03])
@pytest.mark.parametrize(("family", "seed"), HELD_OUT)
def test_estimated_noise_is_as_good_as_the_true_one(family, seed, noise):
    clean, distance = training_shape(seed, 2000, family)
    noisy = clean + noise * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    found = denoise(PointCloud(noisy))
    told = denoise(PointCloud(noisy), noise).cloud.points
    assert found.noise == pytest.approx(noise, rel=0.25)
    assert chamfer(found.cloud.points, clean) < 1.05 * chamfer(told, clean)
    assert chamfer(found.cloud.points, clean) < chamfer(noisy, clean)
    assert rms(distance(found.cloud.points)) < 0.95 * rms(distance(noisy))


@pytest.mark.parametrize("noise", [0.0, 0.0025])
@pytest.mark.parametrize(("family", "seed"), HELD_OUT)
def test_clouds_with_little_noise_are_left_nearly_alone(family, seed, noise):
    clean, distance = training_shape(seed, 3000, family)
    noisy = clean + noise * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    found = denoise(PointCloud(noisy)).cloud.points
    assert rms((found - noisy).norm(dim=1)) < 0.001 + 1.5 * noise
    assert rms(distance(found)) < rms(distance(noisy)) + 0.001
    if noise:
        assert chamfer(found, clean) < chamfer(noisy, clean)


def test_clean_points_stay():
    clean = ring(4000)
    assert estimate_noise(clean) < 0.002
    moved = denoise(PointCloud(clean)).cloud.points - clean
    assert rms(moved.norm(dim=1)) < 0.001


def test_the_same_points_come_to_the_same_places():
    """Of the shipped networks: a change of weights or of what they see is meant, or it is a mistake."""
    result = denoise(PointCloud(ring(900, 0.03)))
    assert result.noise == pytest.approx(0.0352007, rel=1e-3)
    known = [[0.7024, 0.2150, -0.2412], [-0.3446, -0.7420, -0.2298], [-0.5921, -0.0568, 0.2271]]
    torch.testing.assert_close(result.cloud.points[[0, 300, 600]], torch.tensor(known), atol=2e-4, rtol=0)


def ring_normals(x: torch.Tensor) -> torch.Tensor:
    middle = torch.nn.functional.normalize(x * torch.tensor([1.0, 1, 0]), dim=1) * 0.7
    return torch.nn.functional.normalize(x - middle, dim=1)


def test_normals_agree_and_point_outwards():
    round_part, small = ring(1500), sphere(300)
    cloud = torch.cat([round_part, 0.2 * small + 2])  # two pieces
    truth = torch.cat([ring_normals(round_part), small])
    arbitrary = truth * torch.randn(len(cloud), 1, generator=torch.Generator().manual_seed(0)).sign()
    assert ((orient_normals(cloud, arbitrary) * truth).sum(dim=1) > 0).float().mean() > 0.999


def test_upsampling_keeps_points_and_adds_to_the_surface():
    old = ring(1500)
    dense = upsample(PointCloud(old), 6000)
    assert torch.equal(dense.points[:1500], old) and len(dense) == 6000
    assert rms(ring_distance(dense.points)) < 0.004
    nearest = torch.cdist(dense.points, dense.points).fill_diagonal_(9).amin(dim=1)
    random = torch.cdist(ring(6000), ring(6000)).fill_diagonal_(9).amin(dim=1)
    assert float(nearest[1500:].mean()) > 1.15 * float(random.mean())


@pytest.mark.parametrize(("points", "words"), BAD_CLOUDS)
@pytest.mark.parametrize("task", [denoise, lambda cloud: upsample(cloud, 50)])
def test_bad_clouds_are_refused(task, points, words):
    with pytest.raises(InputError, match=words):
        task(PointCloud(points))


@pytest.mark.parametrize("options", [{"noise": 0.0}, {"noise": math.nan}, {"iterations": 0}])
def test_bad_options_are_refused(options):
    with pytest.raises(InputError, match="got"):
        denoise(PointCloud(sphere(50)), **options)
    with pytest.raises(InputError, match="already"):
        upsample(PointCloud(sphere(50)), 50)


def test_points_on_a_line_do_no_harm():
    line = torch.linspace(0, 1, 200)[:, None] * torch.tensor([1.0, 2.0, 3.0])
    result = denoise(PointCloud(line)).cloud
    assert torch.isfinite(result.points).all() and float((result.points - line).abs().max()) < 0.05


def test_a_cloud_without_normals_gets_outward_ones_that_surfaces_take():
    cloud = denoise(PointCloud(sphere(1500, 0.01))).cloud
    assert cloud.normals is not None
    assert bool(((cloud.normals * cloud.points).sum(dim=1) > 0).all())
    surface(cloud)  # a warning would be an error: normals are taken, not estimated again
