from dataclasses import replace

import pytest
import torch

from bozzetto import InputError
from bozzetto.cameras import fibonacci_cameras, orbit_cameras, save_middlebury
from bozzetto.cameras.formats.middlebury import read_middlebury

LINE = "a.png 100 0 32 0 100 24 0 0 1 1 0 0 0 1 0 0 0 1 0 0 5"


def test_round_trip_moves_no_point(tmp_path):
    cameras = fibonacci_cameras(7, distance=3.3, target=(1, -2, 5), size=(640, 480))
    K = cameras.K.clone()
    K[:, 0, 1] = 0.7  # skew
    cameras = replace(cameras, K=K)
    names = [f"{i}.png" for i in range(7)]
    save_middlebury(cameras, tmp_path / "x_par.txt", names)
    views = read_middlebury(tmp_path / "x_par.txt").views
    again = replace(
        cameras, T_cam_world=torch.stack([v.T_cam_world for v in views]), K=torch.stack([v.K for v in views])
    )
    points = torch.randn(30, 3, dtype=torch.float64) + torch.tensor([1.0, -2, 5])
    assert (again.project(points) - cameras.project(points)).abs().max() < 1e-6
    assert [v.name for v in views] == names


def test_fields_and_pixel_centres(tmp_path):
    path = tmp_path / "x_par.txt"
    path.write_text(f"1\n{LINE}\n")
    view = read_middlebury(path).views[0]
    assert view.K.tolist() == [[100, 0, 32.5], [0, 100, 24.5], [0, 0, 1]]
    assert view.T_cam_world[:3, 3].tolist() == [0, 0, 5]
    assert view.image == tmp_path / "a.png"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not begin"),
        ("hello world\n", "does not begin"),
        (f"2\n{LINE}\n", "announces 2 images but lists cameras for 1"),
        (f"1\n{LINE} 7\n", "22 numbers"),
        (f"1\n{LINE[:-1]}x\n", "is 'x', expected a finite number"),
        (f"2\n{LINE}\n{LINE}\n", "2 cameras"),
    ],
)
def test_bad_files_are_refused(tmp_path, text, message):
    (tmp_path / "x_par.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_middlebury(tmp_path / "x_par.txt")


def test_what_the_format_cannot_hold_is_refused(tmp_path):
    with pytest.raises(InputError, match="orthographic"):
        save_middlebury(orbit_cameras(1, extent=2.0), tmp_path / "x_par.txt", ["a.png"])
    with pytest.raises(InputError, match="blanks"):
        save_middlebury(orbit_cameras(1), tmp_path / "x_par.txt", ["a b.png"])
