import math

import pytest
import torch
from PIL import Image

from bozzetto.pipelines import comparison_sheet, turntable
from bozzetto.pipelines.pictures import save_animation, upright
from bozzetto.shapes import box, linear_to_srgb
from bozzetto.views import Cameras, orbit_cameras


def test_equal_pictures_differ_by_mid_grey():
    photo = torch.rand(4, 6, 3, generator=torch.Generator().manual_seed(0))
    sheet = comparison_sheet(photo, photo)
    assert torch.equal(sheet[:, :12], torch.cat([photo, photo], dim=1))
    assert torch.allclose(linear_to_srgb(sheet[:, 12:]), torch.tensor(0.5), atol=1e-6)
    brighter = linear_to_srgb(comparison_sheet(torch.zeros(1, 1, 3), torch.ones(1, 1, 3))[:, 2])
    assert torch.allclose(brighter, torch.ones(1, 3))


@pytest.mark.parametrize("up", [(0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (0.6, 0.0, 0.8)])
def test_up_is_found(up):
    cameras = orbit_cameras(12, 0.3, up=up)
    assert upright(cameras).tolist() == pytest.approx(up, abs=1e-6)


def test_up_is_found_when_pictures_are_turned():
    """A ring of which the smaller part is upside down, and one of pictures lying on their sides."""
    cameras = orbit_cameras(12, 0.0)
    for turned, angle in ((5, math.pi), (12, math.pi / 2)):
        roll = torch.eye(4, dtype=torch.float64)
        roll[:2, :2] = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        T = cameras.T_cam_world.clone()
        T[:turned] = roll @ T[:turned]
        found = upright(Cameras(T, cameras.K, cameras.width, cameras.height))
        assert abs(float(found[2])) == pytest.approx(1, abs=1e-6)
        if angle == math.pi:
            assert float(found[2]) > 0


def test_turntable_shows_the_whole_mesh_from_all_around(tmp_path):
    light = torch.zeros(9, 3)
    light[0] = 2.0
    mesh = box((1.0, 2.0, 3.0))
    frames = turntable(mesh, orbit_cameras(8, 0.4), light, count=4, size=64)
    assert frames.shape == (4, 64, 64, 3)
    border = torch.cat([frames[:, 0], frames[:, -1], frames[:, :, 0], frames[:, :, -1]], dim=1)
    assert torch.allclose(border, torch.tensor(0.9))  # nothing is cut off
    assert float((frames - 0.9).abs().max()) > 0.1
    save_animation(tmp_path / "a.gif", frames)
    with Image.open(tmp_path / "a.gif") as image:
        assert (image.n_frames, image.size) == (4, (64, 64))
