import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.geometry.heightfield import normals_from_height
from bozzetto.photometric import refine_height
from bozzetto.photometric.refine import explained, gaussian_blur
from bozzetto.rendering import spherical_harmonics


def bumps(side=48):
    """Heights in pixels that tile, and a light from the left of order 1."""
    y, x = torch.meshgrid(*(torch.arange(side) * (2 * torch.pi / side),) * 2, indexing="ij")
    return 1.5 * (3 * x).sin() + (2 * y + x).cos()


def photos_of(height, *directions, albedo=1.0):
    basis = spherical_harmonics(normals_from_height(height, "periodic"))
    lights = torch.zeros(len(directions), 9)
    lights[:, 0] = 2.0
    for light, (x, y) in zip(lights, directions, strict=True):
        light[1], light[2], light[3] = y, 0.6, x
    return albedo * torch.einsum("hwk,nk->nhw", basis, lights)


@pytest.mark.parametrize("count", [1, 3])
def test_a_smooth_guess_gets_detail(count):
    y, x = torch.meshgrid(*(torch.arange(48) * (2 * torch.pi / 48),) * 2, indexing="ij")
    guess = 2 * x.sin() + 1.5 * (y + x).cos()
    truth = guess + 0.5 * (6 * x + 2 * y).sin() + 0.4 * (5 * y - 3 * x).cos()
    albedo = 1.0 if count == 1 else 0.5 + torch.rand(48, 48, generator=torch.Generator().manual_seed(0))
    directions = [(1.0, 0.6), (-0.5, 0.9), (-0.4, -1.0)][:count]
    photos = photos_of(truth, *directions, albedo=albedo)
    result = refine_height(guess, photos, "periodic", steps=60)
    assert result.errors[1] < 0.15 * result.errors[0]
    off = [(m - truth).square().mean().sqrt() for m in (guess, result.height)]
    assert off[1] < 0.5 * off[0]
    assert result.lights.shape == (count, 9) and result.albedo.mean() == pytest.approx(1, abs=1e-4)


def test_trust_holds_it():
    truth = bumps()
    photos = photos_of(truth, (1.0, 0.2))
    held = refine_height(0.5 * truth, photos, "periodic", steps=20, trust=1e3).height
    free = refine_height(0.5 * truth, photos, "periodic", steps=20, trust=0.0).height
    assert (held - 0.5 * truth).abs().max() < 0.3 * (free - 0.5 * truth).abs().max()


def test_light_and_paint_are_told_apart_by_several_photos():
    height = bumps()
    paint = 0.3 + torch.rand(48, 48, generator=torch.Generator().manual_seed(1))
    photos = photos_of(height, (1.0, 0.0), (-1.0, 0.3), (0.0, -1.0), albedo=paint)
    basis = spherical_harmonics(normals_from_height(height, "periodic"))
    albedo, _ = explained(photos, basis, True, 8.0)
    assert torch.corrcoef(torch.stack([albedo.flatten(), paint.flatten()]))[0, 1] > 0.99


def test_a_blur_keeps_the_mean():
    maps = torch.rand(2, 20, 24, generator=torch.Generator().manual_seed(0))
    assert gaussian_blur(maps, 3.0, True).mean(dim=(1, 2)) == pytest.approx(maps.mean(dim=(1, 2)), abs=1e-5)
    assert gaussian_blur(torch.ones(1, 8, 8), 9.0, False) == pytest.approx(torch.ones(1, 8, 8))


def test_bad_input():
    with pytest.raises(InputError, match="size of the height map"):
        refine_height(torch.zeros(8, 8), torch.zeros(0, 8, 8))
    with pytest.raises(InputError, match="positive settings"):
        refine_height(torch.zeros(8, 8), torch.zeros(1, 8, 8), smoothness=0.0)
