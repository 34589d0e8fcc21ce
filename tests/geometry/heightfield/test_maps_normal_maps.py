import pytest
import torch

from bozzetto import InputError
from bozzetto.geometry.heightfield import (
    integrate_normals,
    load_normal_map,
    normals_from_height,
    save_normal_map,
)
from bozzetto.images import load_image, save_image


def relief():
    y, x = torch.meshgrid(torch.arange(32) / 32, torch.arange(40) / 40, indexing="ij")
    return 2 * torch.sin(2 * torch.pi * x) + torch.cos(2 * torch.pi * (x + y))


@pytest.mark.parametrize("convention", ["gl", "dx"])
@pytest.mark.parametrize("bits, tolerance", [(8, 8e-3), (16, 4e-5)])
def test_normals_come_back(tmp_path, convention, bits, tolerance):
    normals = normals_from_height(relief(), "periodic", spectral=True)
    save_normal_map(normals, tmp_path / "normal.png", convention, bits)
    found = load_normal_map(tmp_path / "normal.png", convention)
    torch.testing.assert_close(found, normals, atol=tolerance, rtol=0)
    height = integrate_normals(found, "periodic")
    assert (height - relief()).std() < 20 * tolerance


def test_green_is_up_in_gl_and_down_in_dx(tmp_path):
    facing_up = torch.tensor([0.0, 0.6, 0.8]).expand(2, 2, 3)
    for convention, green in (("gl", 0.8), ("dx", 0.2)):
        save_normal_map(facing_up, tmp_path / "normal.png", convention, 16)
        assert load_image(tmp_path / "normal.png")[0, 0].tolist() == pytest.approx(
            [0.5, green, 0.9], abs=1e-4
        )


def test_bad_input_is_named(tmp_path):
    save_image(tmp_path / "grey.png", torch.zeros(4, 4))
    with pytest.raises(InputError, match="grey picture"):
        load_normal_map(tmp_path / "grey.png")
    with pytest.raises(InputError, match="convention"):
        save_normal_map(torch.zeros(2, 2, 3), tmp_path / "a.png", "opengl")
