import pytest
import torch

from bozzetto import InputError
from bozzetto.geometry.heightfield import gradients_from_height
from bozzetto.photometric import calibrate_tactile, even_light, tactile_gradients, tactile_height

PIXEL = 0.05


def pad(height=60, width=80, seed=0):
    """Bumps on a flat pad, in mm, under four near lights that fall off across it."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    relief = torch.zeros(height, width)
    for cx, cy in (torch.rand(5, 2, generator=generator) * 1.4 - 0.7).tolist():
        relief = relief + 0.08 * torch.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 0.012)
    slopes = gradients_from_height(relief / PIXEL)
    photos = []
    for azimuth in torch.tensor([0.3, 1.9, 3.4, 5.0]):
        lx, ly = azimuth.cos(), azimuth.sin()
        falloff = 0.5 * torch.exp(0.5 * (lx * x + ly * y) - 0.15 * (x**2 + y**2))
        facing = 1 - 0.5 * (lx * slopes[..., 0] + ly * slopes[..., 1])
        photos.append(falloff * (facing / (1 + slopes.square().sum(-1)).sqrt()).clamp(min=0))
    noise = 0.002 * torch.randn(4, height, width, generator=generator)
    return relief, (torch.stack(photos) + noise).clamp(0, 1)


def test_falloff_is_divided_out():
    relief, photos = pad()
    flat = relief < 1e-4
    even = even_light(photos)
    assert flat.float().mean() > 0.4
    assert even[:, flat].abs().mean() < 0.02 and even[:, ~flat].abs().mean() > 0.03


@pytest.mark.parametrize("position", ["none", "columns", "both"])
def test_a_calibrated_pad_measures_another_sample(position):
    relief, photos = pad()
    calibration = calibrate_tactile(photos, relief, PIXEL, position=position)
    other, seen = pad(seed=1)
    found = tactile_height(seen, calibration, PIXEL)
    other = other - other.mean()
    off = (found - found.mean() - other).square().mean().sqrt()
    assert off < 0.15 * other.std()
    slopes = tactile_gradients(seen, calibration)
    truth = gradients_from_height(other / PIXEL)
    assert torch.corrcoef(torch.stack([slopes.flatten(), truth.flatten()]))[0, 1] > 0.97


def test_brightness_of_the_lamps_does_not_matter():
    relief, photos = pad()
    calibration = calibrate_tactile(photos, relief, PIXEL)
    gains = torch.tensor([1.0, 0.5, 0.8, 0.3])[:, None, None]
    torch.testing.assert_close(
        tactile_gradients(photos * gains, calibration),
        tactile_gradients(photos, calibration),
        rtol=0,
        atol=2e-3,
    )


def test_bad_input_is_named():
    relief, photos = pad()
    with pytest.raises(InputError, match="tactile calibration needs"):
        calibrate_tactile(photos, relief[1:], PIXEL)
    with pytest.raises(InputError, match="'rows'"):
        calibrate_tactile(photos, relief, PIXEL, position="rows")
    with pytest.raises(InputError, match="takes 4 photos"):
        tactile_gradients(photos[:3], calibrate_tactile(photos, relief, PIXEL))
