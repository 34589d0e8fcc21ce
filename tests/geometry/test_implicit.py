import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto import InputError
from bozzetto.geometry import euler_number, is_watertight
from bozzetto.geometry import implicit as im

SQUARE = torch.tensor([(0.0, -0.5), (0.7, -0.5), (0.7, 0.5), (0.0, 0.5)])

EXACT = {
    "sphere": im.sphere(0.7, (0.1, -0.2, 0.3)),
    "capsule": im.capsule((-0.4, 0.1, 0), (0.5, 0.2, 0.1), 0.3),
    "rounded_cone": im.rounded_cone((-0.4, 0.1, 0), (0.5, 0.2, 0.1), 0.45, 0.15),
    "swallowed_cone": im.rounded_cone((0, 0, 0), (0.1, 0, 0), 0.2, 0.6),
    "rounded_box": im.rounded_box((1.2, 0.8, 1.0), 0.15),
    "torus": im.torus(0.7, 0.25),
    "plane": im.plane((1.0, 2.0, -2.0), 0.6),
    "revolution": im.revolution(SQUARE),
    "transformed": im.translate(im.rotate(im.scale(im.torus(0.6, 0.2), 1.3), (1, 2, 3), 40), (0.1, 0, 0.2)),
}


def points(count: int = 4000, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) * 3 - 1.5


def gradient(field: im.Field, p: torch.Tensor) -> torch.Tensor:
    """Central differences in double precision."""
    p, step = p.double(), 1e-5
    shifts = step * torch.eye(3, dtype=p.dtype)
    return torch.stack([(field(p + s) - field(p - s)) / (2 * step) for s in shifts], dim=-1)


@pytest.mark.parametrize("name", EXACT)
def test_exact_primitives_have_unit_slope_nearly_everywhere(name):
    slope = gradient(EXACT[name], points()).norm(dim=-1)
    assert ((slope - 1).abs() < 1e-4).float().mean() > 0.995  # the rest straddles the medial axis
    assert slope.max() < 1 + 1e-4


@pytest.mark.parametrize("name", EXACT)
def test_walking_the_distance_along_the_gradient_reaches_the_surface(name):
    field, p = EXACT[name], points().double()
    value = field(p)
    foot = p - value[:, None] * gradient(field, p)
    assert (field(foot).abs() < 1e-4).double().mean() > 0.995


@pytest.mark.parametrize("name", EXACT)
def test_value_is_the_distance_to_the_nearest_surface_sample(name):
    field = EXACT[name]
    seeds = points(60000, seed=1).double()
    foot = seeds - field(seeds)[:, None] * gradient(field, seeds)
    foot = foot[field(foot).abs() < 1e-5]
    p = points(200, seed=2).double() * 0.7
    nearest = torch.cdist(p, foot).amin(dim=-1)
    assert (nearest >= field(p).abs() - 1e-5).all()
    assert (nearest - field(p).abs()).median() < 0.02  # the samples lie that dense


def test_known_values():
    def at(field: im.Field, *p: float | int) -> float:
        return float(field(torch.tensor([p], dtype=torch.float32)))

    assert at(im.sphere(1.0), 2, 0, 0) == pytest.approx(1)
    assert at(im.rounded_box((2, 2, 2)), 0, 0, 0) == pytest.approx(-1)
    assert at(im.rounded_box((2, 2, 2)), 2, 2, 0) == pytest.approx(math.sqrt(2))
    assert at(im.torus(2.0, 0.5), 0, 0, 0) == pytest.approx(1.5)
    assert at(im.capsule((0, 0, 0), (1, 0, 0), 0.25), 3, 0, 0) == pytest.approx(1.75)
    assert at(im.capsule((0, 0, 0), (0, 0, 0), 0.25), 1, 0, 0) == pytest.approx(0.75)
    assert at(im.revolution(SQUARE), 0, 0, 0) == pytest.approx(-0.5)
    assert at(im.rotate(im.plane((1, 0, 0)), (0, 0, 1), 90), 0, 3, 0) == pytest.approx(3)  # +x turns to +y
    assert at(im.mirror(im.sphere(0.5, (1, 0, 0))), -1, 0, 0) == pytest.approx(-0.5)
    assert at(im.inflate(im.sphere(1.0), 0.5), 2, 0, 0) == pytest.approx(0.5)


def test_ellipsoid_is_zero_on_its_surface_with_unit_slope_there():
    radii = torch.tensor([0.9, 0.5, 0.7], dtype=torch.float64)
    direction = torch.nn.functional.normalize(points().double(), dim=-1)
    field = im.ellipsoid(radii.tolist())
    assert field(direction * radii).abs().max() < 1e-6
    torch.testing.assert_close(
        gradient(field, direction * radii).norm(dim=-1), torch.ones(4000, dtype=torch.float64)
    )
    assert float(field(torch.zeros(1, 3))) == pytest.approx(-0.5)
    ball, p = im.ellipsoid((0.6, 0.6, 0.6)), points()
    torch.testing.assert_close(ball(p), im.sphere(0.6)(p), atol=1e-5, rtol=0)


finite = st.floats(-3, 3, width=32)


@settings(deadline=None)
@given(finite, finite, st.floats(1e-3, 2))
def test_smooth_minimum_stays_within_its_bounds(a, b, radius):
    value = float(im.smooth_min(torch.tensor(a), torch.tensor(b), radius))
    swapped = float(im.smooth_min(torch.tensor(b), torch.tensor(a), radius))
    assert min(a, b) - radius / 4 - 1e-6 <= value <= min(a, b)
    assert value == pytest.approx(swapped, abs=1e-6)
    if abs(a - b) >= radius:
        assert value == min(a, b)


def test_combinations_are_the_set_operations():
    a, b, p = im.sphere(0.8), im.rounded_box((1, 1, 2), 0.1, (0.5, 0, 0)), points()
    in_a, in_b = a(p) < 0, b(p) < 0
    assert torch.equal(im.union(a, b)(p) < 0, in_a | in_b)
    assert torch.equal(im.intersection(a, b)(p) < 0, in_a & in_b)
    assert torch.equal(im.difference(a, b)(p) < 0, in_a & ~in_b)
    assert (im.smooth_union(a, b, radius=0.2)(p) <= im.union(a, b)(p)).all()
    assert (im.smooth_intersection(a, b, radius=0.2)(p) >= im.intersection(a, b)(p)).all()
    assert (im.smooth_difference(a, b, radius=0.2)(p) >= im.difference(a, b)(p)).all()


def test_smooth_combinations_keep_the_slope_at_most_one():
    a, b = im.sphere(0.8), im.rounded_box((1, 1, 2), 0.1, (0.5, 0, 0))
    for field in (im.smooth_union(a, b, radius=0.3), im.smooth_difference(a, b, radius=0.3)):
        assert gradient(field, points()).norm(dim=-1).max() < 1 + 1e-4


def test_displacement_moves_the_surface_outwards():
    field = im.displace(im.plane((0, 0, 1)), lambda p: 0.1 * torch.sin(p[:, 0]))
    x = torch.linspace(-2, 2, 50)
    on_surface = torch.stack([x, x * 0, 0.1 * torch.sin(x)], dim=-1)
    assert field(on_surface).abs().max() < 1e-6


def test_bounded_changes_nothing_near_and_bounds_below_far():
    inner, p = im.torus(0.4, 0.1), points()
    field = im.bounded(inner, (-0.5, -0.1, -0.5), (0.5, 0.1, 0.5), margin=0.3)
    far = im.rounded_box((1.0, 0.2, 1.0))(p) >= 0.3
    assert far.any() and not far.all()
    torch.testing.assert_close(field(p)[~far], inner(p)[~far])
    assert (field(p)[far] >= 0.3).all() and (field(p)[far] <= inner(p)[far] + 1e-6).all()


def test_coarse_to_fine_samples_equal_the_field_near_the_surface():
    field = im.smooth_union(im.torus(0.7, 0.2), im.sphere(0.3, (0.7, 0.2, 0)), radius=0.1)
    low = torch.tensor([-1.2, -0.8, -1.2])
    values, high = im.sample_grid(field, low.tolist(), (1.2, 0.8, 1.2), 0.03)
    assert (high >= torch.tensor([1.2, 0.8, 1.2])).all()
    grid = torch.stack(torch.meshgrid(*(torch.arange(n) for n in values.shape), indexing="ij"), dim=-1)
    exact = field((low + grid * 0.03).reshape(-1, 3)).reshape(values.shape)
    assert torch.equal(values < 0, exact < 0)
    near = exact.abs() < 0.06
    torch.testing.assert_close(values[near], exact[near], atol=1e-5, rtol=0)


def test_surface_of_a_torus():
    mesh = im.zero_set(im.torus(0.7, 0.25), (-1, -0.4, -1), (1, 0.4, 1), 0.04)
    assert is_watertight(mesh.faces) and euler_number(mesh.faces) == 0
    assert im.torus(0.7, 0.25)(mesh.vertices).abs().max() < 0.04**2 / 0.25
    a, b, c = mesh.vertices[mesh.faces].unbind(dim=1)
    volume = (a * torch.linalg.cross(b, c)).sum() / 6
    assert float(volume) == pytest.approx(2 * math.pi**2 * 0.7 * 0.25**2, rel=0.02)  # positive: outward


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="normal"):
        im.plane((0, 0, 0))
    with pytest.raises(InputError, match="scale"):
        im.scale(im.sphere(1.0), 0.0)
    with pytest.raises(InputError, match="axis"):
        im.rotate(im.sphere(1.0), (0, 0, 0), 10)
    with pytest.raises(InputError, match="spacing"):
        im.sample_grid(im.sphere(1.0), (-1, -1, -1), (1, 1, 1), 0.0)
    with pytest.raises(InputError, match="low < high"):
        im.sample_grid(im.sphere(1.0), (1, -1, -1), (-1, 1, 1), 0.1)
    with pytest.raises(InputError, match="no surface"):
        im.zero_set(im.sphere(1.0), (2, 2, 2), (3, 3, 3), 0.1)
