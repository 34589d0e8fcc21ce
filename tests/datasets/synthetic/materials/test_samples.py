import numpy as np
import pytest

from bozzetto.datasets.synthetic.materials import RECIPES, make_sample, make_samples, make_surface, photograph


def seam(values):
    """Largest ratio of the step across joined borders to steps inside, by their medians over rows."""
    ratios = []
    for axis in (0, 1):
        across = np.abs(values.take(0, axis) - values.take(-1, axis)).mean()
        inside = np.abs(np.diff(values, axis=axis)).mean(axis=1 - axis)
        ratios.append(across / max(inside.max(), 1e-9))
    return max(ratios)


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_surfaces_tile_and_fill_the_range(recipe):
    surface = make_surface(np.random.default_rng(7), 128, recipe)
    assert surface.height.shape == (128, 128) and np.isfinite(surface.height).all()
    assert surface.height.min() == 0 and surface.height.max() == 1
    assert surface.tint.min() >= 0 and surface.tint.max() <= 1 + 1e-6
    assert seam(surface.height.astype(np.float64)) < 1.6  # the largest step of a row or column inside


def test_a_sample_depends_on_its_number_only():
    alone = make_sample(3, 5, 48)
    among = list(make_samples(3, [4, 5], 48))[1]
    assert (alone.color == among.color).all() and (alone.height == among.height).all()
    assert (alone.color != make_sample(3, 6, 48).color).any()
    assert (alone.color != make_sample(4, 5, 48).color).any()
    assert alone.color.dtype == np.uint8 and alone.height.dtype == np.uint16


def test_processes_make_the_same_samples():
    here = list(make_samples(1, range(3), 32))
    there = list(make_samples(1, range(3), 32, workers=2))
    for a, b in zip(here, there, strict=True):
        assert (a.color == b.color).all() and (a.height == b.height).all()


def test_brightness_does_not_tell_the_height():
    """Correlations of brightness and height have both signs, as those of scanned materials have."""
    found = []
    for number in range(40):
        sample = make_sample(0, number, 48)
        luma = sample.color.astype(float) @ [0.299, 0.587, 0.114]
        found.append(np.corrcoef(luma.ravel(), sample.height.ravel().astype(float))[0, 1])
    found = np.nan_to_num(found)
    assert (found > 0.05).mean() > 0.2 and (found < -0.05).mean() > 0.1
    assert np.abs(found).mean() < 0.6


def test_the_same_surface_has_many_photographs():
    surface = make_surface(np.random.default_rng(0), 48, "bricks")
    first, second = (photograph(np.random.default_rng(k), surface) for k in (1, 2))
    assert np.abs(first.astype(int) - second).mean() > 5
