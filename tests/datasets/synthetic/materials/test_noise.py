import numpy as np
import pytest

from bozzetto.datasets.synthetic.materials.noise import (
    displaced,
    fractal,
    normal,
    periodic_blur,
    ramp,
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
