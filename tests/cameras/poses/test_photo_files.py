"""Which pictures of a folder are photographs."""

import pytest

from bozzetto.cameras.poses import find_photographs
from bozzetto.cameras.poses.photo_files import unique_names
from bozzetto.errors import InputError, collected_warnings


def made(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def names(folder):
    return [path.relative_to(folder).as_posix() for path in find_photographs(folder)]


def test_numbers_count_as_numbers(tmp_path):
    made(tmp_path, "IMG_10.jpg", "IMG_9.jpg", "IMG_101.JPG", "b.png")
    assert names(tmp_path) == ["b.png", "IMG_9.jpg", "IMG_10.jpg", "IMG_101.JPG"]


def test_what_phones_and_tools_leave_is_left_out(tmp_path):
    photos = ["IMG_1.HEIC", "IMG_2.jpg", "masked ball.jpg", "depths of the sea.jpg"]
    others = ["IMG_1.MOV", "IMG_1.AAE", ".hidden.jpg", "a_mask.png", "mask-2.png", "a.depth.png", "thumb.jpg"]
    made(tmp_path, *photos, *others, "masks/IMG_2.png", "notes.txt")
    assert names(tmp_path) == ["depths of the sea.jpg", "IMG_1.HEIC", "IMG_2.jpg", "masked ball.jpg"]


def test_a_copy_in_another_format_is_told(tmp_path):
    made(tmp_path, "a.heic", "a.jpg", "b.jpg")
    with collected_warnings() as said:
        assert names(tmp_path) == ["a.jpg", "b.jpg"]
    assert len(said) == 1 and "a.heic" in said[0]


def test_photos_in_a_folder_inside_are_found(tmp_path):
    made(tmp_path, "images/1.jpg", "images_4/1.jpg", "masks/1.png", "readme.txt")
    assert names(tmp_path) == ["images/1.jpg"]
    made(tmp_path / "two", "left/1.jpg", "right/1.jpg")
    with pytest.raises(InputError, match="2 of its folders do: left, right"):
        find_photographs(tmp_path / "two")


def test_folders_without_photos_are_refused(tmp_path):
    for name, words in (
        ("film.mp4", "1 videos; give the path"),
        ("a.NEF", "1 raw photos; develop"),
        ("a_mask.png", "names say mask"),
        ("notes.txt", "give a folder with JPEG"),
    ):
        made(tmp_path / name, name)
        with pytest.raises(InputError, match=f"holds no photos.*{words}"):
            find_photographs(tmp_path / name)
    with pytest.raises(InputError, match="there is no folder"):
        find_photographs(tmp_path / "none")


def test_names_are_told_apart_by_their_folders(tmp_path):
    paths = [tmp_path / "a" / "1.jpg", tmp_path / "b" / "1.jpg"]
    assert unique_names(paths) == ["a/1.jpg", "b/1.jpg"]
    assert unique_names(paths[:1]) == ["1.jpg"]
