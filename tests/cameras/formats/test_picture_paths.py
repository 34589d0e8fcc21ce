"""Pictures are found although the camera file names them as on another machine."""

import json
from pathlib import Path

import numpy as np
import pytest

from bozzetto import InputError
from bozzetto.cameras.formats.picture_paths import require_pictures
from bozzetto.cameras.formats.transforms_json import read_transforms
from bozzetto.errors import InputWarning

EYE = np.eye(4).tolist()


def views(folder: Path, written: list[str], files: list[str]):
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    frames = [{"file_path": name, "transform_matrix": EYE} for name in written]
    (folder / "transforms.json").write_text(json.dumps({"camera_angle_x": 0.7, "frames": frames}))
    found = read_transforms(folder / "transforms.json").views
    require_pictures(found)
    return [view.image.relative_to(folder).as_posix() for view in found]


@pytest.mark.parametrize(
    ("written", "file"),
    [
        ("images/a.png", "images/a.png"),
        ("./images/a", "images/a.png"),
        ("images/a", "images/a.JPG"),
        ("images/a.png", "images/a.PNG"),
        ("images\\a.jpeg", "images/a.jpeg"),
        ("images/a.b", "images/a.b.webp"),
    ],
)
def test_names_are_found_in_place(tmp_path, written, file):
    assert views(tmp_path, [written], [file]) == [file]


@pytest.mark.parametrize(
    ("written", "others"),
    [
        ("/home/somebody/project/images/{}.png", []),
        ("C:\\project\\images\\{}.png", []),
        ("project/images/{}", []),
        ("/elsewhere/rgb/{}.png", ["masks/{}.png"]),
        ("/home/somebody/images/{}.png", ["images_2/{}.png", "images_4/{}.png"]),
    ],
)
def test_paths_of_another_machine_are_found_by_name(tmp_path, written, others):
    files = [f"images/{n}.png" for n in "ab"]
    more = [other.format(n) for other in others for n in "ab"]
    with pytest.warns(InputWarning, match="found by their names"):
        assert views(tmp_path, [written.format(n) for n in "ab"], [*files, *more]) == files


def test_one_missing_picture_is_not_replaced_by_another_of_its_name(tmp_path):
    with pytest.raises(InputError, match="no image .*images/b.png"):
        views(tmp_path, ["images/a.png", "images/b.png"], ["images/a.png", "depth/b.png", "masks/b.png"])


@pytest.mark.parametrize("name", ["", "a" * 5000, "a\0b.png", "\ud800.png", "/", "../.."])
def test_names_that_no_file_has_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="no image"):
        views(tmp_path, ["images/a.png", name], ["images/a.png"])


def test_a_name_without_ending_must_fit_one_picture(tmp_path):
    with pytest.raises(InputError, match="without its ending"):
        views(tmp_path, ["images/a"], ["images/a.png", "images/a.jpg"])
