import numpy as np
import pytest
from PIL import Image

from bozzetto.errors import InputError, InputWarning
from bozzetto.pipelines import find_photos
from bozzetto.pipelines.photo_files import load_photo


def test_folders_keep_their_sub_folders(tmp_path):
    for name in (
        "a.png",
        "a.jpg",
        "walls/brick.png",
        "walls/old/color.jpg",
        "walls/old/normal.png",
        "note.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    found = {str(path.relative_to(tmp_path)): name for path, name in find_photos([tmp_path])}
    assert found == {
        "a.jpg": "a-jpg",
        "a.png": "a-png",
        "walls/brick.png": "walls/brick",
        "walls/old/color.jpg": "walls/old",
    }
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no photo"):
        find_photos([tmp_path / "empty"])
    with pytest.raises(InputError, match="no photo"):
        find_photos([tmp_path / "nowhere.png"])


@pytest.mark.parametrize("mode, ending", [("L", "png"), ("RGBA", "png"), ("CMYK", "jpg"), ("CMYK", "tif")])
def test_pictures_of_all_kinds_are_read(tmp_path, mode, ending, picture):
    photo = load_photo(picture(tmp_path / f"p.{ending}", mode=mode))
    assert photo.shape == (32, 40, 3) and 0 <= photo.min() and photo.max() <= 1


def test_transparent_parts_take_the_mean_colour(tmp_path):
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[:, :8] = (200, 100, 50, 255)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    photo = load_photo(tmp_path / "p.png")
    assert photo.flatten(0, 1).std(dim=0).max() < 1e-6


def test_deep_grey_and_moving_pictures_are_read(tmp_path):
    levels = np.linspace(0, 65535, 400).astype(np.uint16).reshape(20, 20)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    assert len(load_photo(tmp_path / "deep.png")[..., 0].unique()) == 400
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    with pytest.warns(InputWarning, match="2 pictures; the first"):
        assert load_photo(tmp_path / "moving.webp")[0, 0].tolist() == [1, 0, 0]


def test_what_is_too_large_or_no_picture_is_refused(tmp_path, picture):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "large.png")
    with pytest.raises(InputError, match="20000 x 20000 pixels"):
        load_photo(tmp_path / "large.png")
    (tmp_path / "p.jpg").write_bytes(b"not a picture")
    with pytest.raises(InputError, match="cannot read the image"):
        load_photo(tmp_path / "p.jpg")
    whole = picture(tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.png"):
        load_photo(tmp_path / "cut.png")
