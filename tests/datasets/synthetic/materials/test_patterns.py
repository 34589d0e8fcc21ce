"""Tests of datasets.synthetic.materials.patterns."""

import numpy as np
import pytest

from bozzetto.datasets.synthetic.materials.patterns import (
    cells,
    courses,
    displaced,
    fractal,
    honeycomb,
    normal,
    periodic_blur,
    positions,
    ramp,
    scattered,
    shape_distance,
    to_unit_range,
)


def test_noise_is_normal_and_falls_with_the_slope():
    rng = np.random.default_rng(0)
    maps = {slope: fractal(rng, 128, slope) for slope in (0.0, 2.0)}
    for values in maps.values():
        assert abs(values.mean()) < 1e-5 and values.std() == pytest.approx(1, abs=1e-5)
    steps = [np.abs(np.diff(values, axis=1)).mean() for values in maps.values()]
    assert steps[1] < 0.3 * steps[0]


def test_noise_keeps_to_its_band():
    power = np.abs(np.fft.rfft2(fractal(np.random.default_rng(1), 128, 0.0, (8.0, 16.0)))) ** 2
    u = np.fft.rfftfreq(128, 1 / 128)
    v = np.fft.fftfreq(128, 1 / 128)
    frequency = np.hypot(v[:, None], u)
    inside = (frequency > 4) & (frequency < 24)
    assert power[inside].sum() > 0.97 * power.sum()


def test_stretched_noise_is_longer_along_its_angle():
    values = fractal(np.random.default_rng(2), 128, 1.5, stretch=10.0, angle=0.0)
    assert np.abs(np.diff(values, axis=1)).mean() < 0.5 * np.abs(np.diff(values, axis=0)).mean()


def test_maps_fit_their_copies():
    """The step across the joined borders is like those inside, also after bending and blurring."""
    values = fractal(np.random.default_rng(3), 96, 2.0)
    bent = displaced(values, 0.05 * fractal(np.random.default_rng(4), 96), 0 * values)
    for each in (values, bent, periodic_blur(values, 2.0)):
        seam = np.abs(each[:, 0] - each[:, -1]).mean()
        assert seam < 1.5 * np.abs(np.diff(each, axis=1)).mean()


def test_a_displacement_by_whole_pixels_rolls():
    values = fractal(np.random.default_rng(5), 32)
    moved = displaced(values, np.full_like(values, 3 / 32), np.full_like(values, -2 / 32))
    assert np.allclose(moved, np.roll(values, (2, -3), (0, 1)), atol=1e-4)


def test_ranges():
    values = np.array([[1.0, 2.0], [3.0, 5.0]])
    assert to_unit_range(values).min() == 0 and to_unit_range(values).max() == 1
    assert (to_unit_range(np.ones((2, 2))) == 0).all() and (normal(np.ones((2, 2))) == 0).all()
    assert ramp(np.array([-1.0, 0.5, 2.0]), 0, 1).tolist() == [0.0, 0.5, 1.0]


def test_cells_are_nearest_across_the_borders():
    x, y = positions(40)
    centres = scattered(np.random.default_rng(0), 9)
    pieces = cells(x, y, centres)
    offset = (np.stack([x, y], -1)[:, :, None] - centres + 0.5) % 1 - 0.5
    distance = np.linalg.norm(offset, axis=-1)
    assert (pieces.index == distance.argmin(axis=-1)).all()
    assert np.allclose(pieces.centre, distance.min(axis=-1), atol=1e-6)
    assert (pieces.border >= -1e-6).all()
    assert pieces.border[pieces.index != np.roll(pieces.index, 1, 1)].max() < 0.05


def test_the_border_of_two_cells_is_halfway():
    x, y = positions(64)
    pieces = cells(x, y, np.array([[0.25, 0.5], [0.75, 0.5], [0.25, 0.49]]))
    middle = np.abs(x - 0.5) + 10 * (np.abs(y - 0.5) > 0.1)
    assert pieces.border[middle < 0.02].max() < 0.03


def test_courses_are_bricks():
    x, y = positions(96)
    pieces = courses(np.random.default_rng(0), x, y, 4, 3)
    assert len(np.unique(pieces.index)) == 12
    sizes = np.bincount(pieces.index.ravel())
    assert sizes.min() > 0.8 * sizes.mean()
    assert pieces.border.min() >= -1e-6 and pieces.border.max() == pytest.approx(0.125, abs=0.02)
    # Every other row is shifted by half a brick.
    assert pieces.index[0, 0] != pieces.index[0, 95] and pieces.index[30, 0] == pieces.index[30, 95]


def test_uneven_courses_fill_the_tile():
    x, y = positions(64)
    pieces = courses(np.random.default_rng(3), x, y, 5, 4, -1, 0.9)
    assert len(np.unique(pieces.index)) == 20


def test_a_honeycomb_has_six_equal_neighbours():
    centres = honeycomb(6)
    offset = (centres[:, None] - centres + 0.5) % 1 - 0.5
    offset[..., 1] *= 1.0
    distance = np.sort(np.linalg.norm(offset, axis=-1), axis=1)
    assert (distance[:, 6] < 1.35 * distance[:, 1]).all()


@pytest.mark.parametrize("kind", ["box", "disc", "cross", "ring", "lozenge"])
def test_shapes_are_negative_inside_only(kind):
    side = np.linspace(-1, 1, 41).astype(np.float32)
    u, v = np.meshgrid(side, side)
    distance = shape_distance(np.random.default_rng(0), u, v, (0.5, 0.4), kind)
    inside = distance < 0
    assert inside.any() and not inside[np.abs(u) > 0.55].any() and not inside[np.abs(v) > 0.55].any()
    assert inside[20, 20] == (kind != "ring")
