import math

import pytest
import torch

from bozzetto import InputError
from bozzetto.geometry.heightfield import ambient_occlusion, curvature
from bozzetto.shapes import HeightField


def pixels(height, tiles=False):
    """A field whose heights are in pixels."""
    return HeightField(height, width_mm=float(height.shape[1]), depth_mm=1.0, tiles=tiles)


def test_flat_ground_sees_the_whole_sky():
    assert (ambient_occlusion(pixels(torch.full((8, 9), 3.0))) == 1).all()


def test_ground_beside_a_wall_sees_half_the_sky_at_most():
    wall = torch.zeros(64, 64)
    wall[:, 32:] = 1000.0
    found = ambient_occlusion(pixels(wall), radius=0.5)
    assert found[32, 31] == pytest.approx(0.5, abs=0.01) and (found[:, 32:] == 1).all()
    assert found[32, 0] > found[32, 20]


def test_a_pit_with_a_known_horizon():
    y, x = torch.meshgrid(*[torch.arange(129.0) - 64] * 2, indexing="ij")
    bowl = torch.hypot(x, y).clamp(max=30)  # a cone of 45 degrees
    found = ambient_occlusion(pixels(bowl), radius=0.3, directions=32)
    assert found[64, 64] == pytest.approx(0.5, abs=0.05)  # cos^2 of 45 degrees; its tip is not smooth


def test_tiles_shade_across_the_seam():
    generator = torch.Generator().manual_seed(0)
    height = 4 * torch.rand(24, 32, generator=generator)
    rolled = height.roll((5, -7), (0, 1))
    for operator in (ambient_occlusion, curvature):
        expected = operator(pixels(height, tiles=True)).roll((5, -7), (0, 1))
        torch.testing.assert_close(operator(pixels(rolled, tiles=True)), expected)


def test_the_curvature_of_a_sphere_and_of_a_cylinder():
    y, x = torch.meshgrid(*[torch.arange(61.0, dtype=torch.float64) - 30] * 2, indexing="ij")
    sphere = (100**2 - x**2 - y**2).sqrt()
    found = curvature(pixels(sphere), scale=0)
    assert found[30, 30] == pytest.approx(1 / 100, rel=1e-2) and found[20, 40] == pytest.approx(
        1 / 100, rel=2e-2
    )
    valley = -((50**2 - x**2).sqrt())
    assert curvature(pixels(valley), scale=0)[30, 35] == pytest.approx(-1 / 100, rel=1e-2)


def test_smoothing_lowers_curvature():
    noise = torch.rand(32, 32, generator=torch.Generator().manual_seed(0))
    values = [float(curvature(pixels(noise, tiles=True), scale=s).std()) for s in (0, 1, 3)]
    assert values[0] > 5 * values[1] > 5 * values[2] and math.isfinite(values[2])


def test_bad_input_is_named():
    with pytest.raises(InputError, match="radius"):
        ambient_occlusion(pixels(torch.zeros(4, 4)), radius=0)
    with pytest.raises(InputError, match="scale"):
        curvature(pixels(torch.zeros(4, 4)), scale=-1)
