import numpy as np
import pytest

from bozzetto import InputError
from bozzetto.cameras.formats import read_cameras
from bozzetto.errors import InputWarning


def bundle(scene, extra_camera=False):
    flip = np.diag([1.0, -1, -1])
    cameras = [
        [[scene.f[0], *scene.k], *(flip @ R).tolist(), (-flip @ R @ C).tolist()]
        for R, C in zip(scene.R, scene.C, strict=True)
    ]
    cameras += [[[0, 0, 0], *np.zeros((4, 3)).tolist()]] if extra_camera else []
    lines = ["# Bundle file v0.3", f"{len(cameras)} 2"]
    lines += [" ".join(repr(float(v)) for v in row) for camera in cameras for row in camera]
    lines += ["1 2 3", "255 0 0", "2 0 5 1.5 -2.5 2 6 3.5 4.5", "4 5 6", "0 0 0", "1 1 0 0 0"]
    return "\n".join(lines) + "\n"


def write(tmp_path, scene, text, names=None):
    scene.pictures(tmp_path / "images")
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "bundle.out").write_text(text)
    lines = [f"./{name} 0 700.5" for name in names or scene.names]
    (tmp_path / "list.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.filterwarnings("ignore:.*gives places")
def test_points_land_where_bundler_puts_them(tmp_path, scene, agrees):
    made = scene(k=(0.1, -0.05), c=(32.0, 24.0))
    posed = read_cameras(write(tmp_path, made, bundle(made)), photos=tmp_path / "images")
    agrees(posed, made)
    assert posed.points.positions.tolist() == [[1, 2, 3]]
    assert posed.points.visible.tolist() == [[True, False, True]]


def test_cameras_that_were_not_placed_are_named(tmp_path, scene, agrees):
    made = scene(k=(0.0, 0.0), c=(32.0, 24.0))
    write(tmp_path, made, bundle(made, extra_camera=True), [*made.names, "lost.png"])
    with pytest.warns(InputWarning, match="1 photographs were not placed and are left out: lost.png"):
        agrees(read_cameras(tmp_path / "bundle" / "bundle.out", photos=tmp_path / "images"), made)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-8], "ends in the middle"),
        (lambda text: text.replace("\n3 2\n", f"\n{10**18} 2\n"), r"1e\+18 where a count belongs"),
        (lambda text: text.replace("\n3 2\n", "\n3.5 2\n"), "3.5 where a count belongs"),
        (lambda text: text.replace("\n3 2\n", f"\n3 {10**15}\n"), "ends in the middle"),
        (lambda text: text.replace("\n3 2\n", "\n30000 2\n"), "announces 30000 cameras"),
        (lambda text: text.replace("70.0", "nan", 1), "000.png has NaN"),
        (lambda text: text.replace("70.0", "f", 1), "'f' where a number belongs"),
        (lambda text: text.replace("# Bundle", "# Pile"), "does not begin with"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(tmp_path, scene, change, message):
    made = scene(k=(0.0, 0.0))
    write(tmp_path, made, change(bundle(made)))
    with pytest.raises(InputError, match=message) as caught:
        read_cameras(tmp_path / "bundle" / "bundle.out", photos=tmp_path / "images")
    assert "\n" not in str(caught.value)


def test_the_list_is_needed(tmp_path, scene):
    made = scene(k=(0.0, 0.0))
    write(tmp_path, made, bundle(made), [*made.names, "more.png"])
    with pytest.raises(InputError, match="lists 4 pictures, bundle.out has 3 cameras"):
        read_cameras(tmp_path)
    (tmp_path / "list.txt").unlink()
    with pytest.raises(InputError, match="there is no list.txt"):
        read_cameras(tmp_path)
