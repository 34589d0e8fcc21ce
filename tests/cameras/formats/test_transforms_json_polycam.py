import json

import numpy as np
import pytest

from bozzetto import InputError
from bozzetto.cameras.formats import read_cameras


def write(tmp_path, scene, change=lambda camera: None):
    keyframes = tmp_path / "keyframes"
    scene.pictures(keyframes / "corrected_images")
    scene.pictures(keyframes / "images")
    for folder in ("cameras", "corrected_cameras"):
        (keyframes / folder).mkdir()
        for i, name in enumerate(scene.names):
            T = np.concatenate([scene.R[i].T @ np.diag([1, -1, -1]), scene.C[i][:, None]], axis=1)
            T[:, 3] += 100 * (folder == "cameras")  # the ones that are not to be used
            camera = {f"t_{r}{c}": T[r, c] for r in range(3) for c in range(4)}
            (fx, fy), (cx, cy), (width, height) = scene.f, scene.c, scene.size
            camera |= dict(fx=fx, fy=fy, cx=cx, cy=cy, width=width, height=height, blur_score=9.5)
            change(camera)
            (keyframes / folder / f"{name[:-4]}.json").write_text(json.dumps(camera))
    return tmp_path


@pytest.mark.parametrize("given", ["", "keyframes", "keyframes/corrected_cameras"])
def test_points_land_where_polycam_puts_them(tmp_path, scene, agrees, given):
    made = scene(f=(70.0, 72.0))
    posed = read_cameras(write(tmp_path, made) / given)
    agrees(posed, made)
    assert {view.image.parent.name for view in posed.views} == {"corrected_images"}


def test_one_camera_is_not_all(tmp_path, scene):
    write(tmp_path, scene())
    with pytest.raises(InputError, match="one camera of Polycam; give the folder"):
        read_cameras(tmp_path / "keyframes" / "cameras" / "000.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda camera: camera.pop("fx"), "fx is None"),
        (lambda camera: camera.update(t_12="a"), "t_12 is 'a'"),
        (lambda camera: camera.update(width=0), "pictures of 0 x 48"),
        (lambda camera: camera.update(t_00=5.0), "no rotation"),
    ],
)
def test_bad_cameras_are_refused(tmp_path, scene, change, message):
    with pytest.raises(InputError, match=message):
        read_cameras(write(tmp_path, scene(), change))
