import math

import pytest
import torch

from bozzetto import InputError
from bozzetto.geometry.heightfield import integrate_normals, normals_from_height
from bozzetto.photometric import photometric_stereo, unknown_lights


def surface(side=64):
    y, x = torch.meshgrid(
        *[torch.arange(side, dtype=torch.float64) * (2 * math.pi / side)] * 2, indexing="ij"
    )
    height = 3 * torch.sin(x) * torch.cos(2 * y) + 1.5 * torch.sin(3 * x + y) + torch.cos(4 * y - x)
    return 1.2 * height


def ring(count=6, elevation=50.0, start=10.0):
    azimuth = torch.deg2rad(torch.arange(count, dtype=torch.float64) * (360 / count) + start)
    high = math.radians(elevation)
    flat = [azimuth.cos() * math.cos(high), azimuth.sin() * math.cos(high)]
    return torch.stack([*flat, torch.full_like(azimuth, math.sin(high))], dim=1)


def shown(normals, lights, albedo=0.8):
    return (albedo * torch.einsum("nc,hwc->nhw", lights, normals)).clamp(min=0)


def degrees(a, b):
    return torch.rad2deg(torch.acos((a.double() * b.double()).sum(-1).clamp(-1, 1)))


@pytest.mark.parametrize("count", [3, 4, 8])
def test_known_lights_give_the_normals_and_albedo(count):
    normals = normals_from_height(surface())
    generator = torch.Generator().manual_seed(0)
    albedo = 0.3 + 0.5 * torch.rand(64, 64, generator=generator, dtype=torch.float64)
    found = photometric_stereo(shown(normals, ring(count, 70), albedo).float(), ring(count, 70).float())
    assert degrees(found.normals, normals).max() < 0.1
    torch.testing.assert_close(found.albedo, albedo.float(), atol=1e-3, rtol=0)
    assert found.residual.max() < 1e-3 and not found.sign_is_guessed


def test_shadows_and_highlights_are_outvoted():
    normals = normals_from_height(surface())
    lights = ring(8, 45)
    photos = shown(normals, lights, 0.5)
    generator = torch.Generator().manual_seed(0)
    spoiled = torch.rand(photos.shape, generator=generator) < 0.08
    photos = torch.where(spoiled, torch.rand(photos.shape, generator=generator, dtype=torch.float64), photos)
    robust = photometric_stereo(photos.float(), lights.float())
    plain = photometric_stereo(photos.float(), lights.float(), iterations=1)
    off, rough = (degrees(x.normals, normals) for x in (robust, plain))
    assert off.mean() < 0.35 * rough.mean() and off.median() < 0.5


def test_attached_shadows_do_not_bend_the_normals():
    normals = normals_from_height(2.5 * surface())
    lights = ring(8, 35)
    photos = shown(normals, lights)
    assert (photos == 0).any()
    found = photometric_stereo(photos.float(), lights.float())
    assert degrees(found.normals, normals).mean() < 0.5


def test_strong_lights_are_told_by_their_length():
    normals = normals_from_height(surface())
    lights = ring(5, 60) * torch.linspace(0.4, 1.1, 5, dtype=torch.float64)[:, None]
    found = photometric_stereo(shown(normals, lights, 0.6).float(), lights.float())
    assert degrees(found.normals, normals).max() < 0.1


@pytest.mark.parametrize("elevations", [(50.0, 70.0), (60.0, 60.0)])
def test_unknown_lights_are_found_up_to_the_sign(elevations):
    height = surface(96)
    normals = normals_from_height(height)
    lights = torch.cat([ring(4, elevations[0]), ring(3, elevations[1], 40.0)])
    photos = shown(normals, lights, 0.7).float()
    found = unknown_lights(photos).double()
    found = found / found.norm(dim=1, keepdim=True)
    mirrored = found * torch.tensor([-1.0, -1.0, 1.0])
    assert min(degrees(lights, found).max(), degrees(lights, mirrored).max()) < 6
    result = photometric_stereo(photos)
    assert result.sign_is_guessed
    relief = integrate_normals(result.normals.double())
    correlation = torch.corrcoef(torch.stack([relief.flatten(), height.flatten()]))[0, 1]
    assert correlation.abs() > 0.98


def test_hollows_that_are_darker_set_the_sign():
    height = surface(96)
    depth = (height - height.min()) / (height.max() - height.min())
    lights = torch.cat([ring(4, 55), ring(3, 70, 40.0)])
    for sign in (1, -1):
        photos = shown(normals_from_height(sign * height), lights, 0.5)
        open_sky = depth if sign == 1 else 1 - depth
        result = photometric_stereo((photos * (0.8 + 0.2 * open_sky)).float())
        relief = integrate_normals(result.normals.double())
        assert torch.corrcoef(torch.stack([relief.flatten(), (sign * height).flatten()]))[0, 1] > 0.9


def test_bad_input_is_named():
    photos = torch.rand(4, 16, 16, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match="got 2 photos"):
        photometric_stereo(photos[:2])
    with pytest.raises(InputError, match="3 lights"):
        photometric_stereo(photos, torch.eye(3))
    with pytest.raises(InputError, match="one plane"):
        photometric_stereo(photos, torch.tensor([[1.0, 0, 1]] * 2 + [[-1.0, 0, 1]] * 2))
    with pytest.raises(InputError, match="too alike"):
        unknown_lights(photos[:1].expand(4, 16, 16))
