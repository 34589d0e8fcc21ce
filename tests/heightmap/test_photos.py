import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from bozzetto.datasets.synthetic.materials import make_sample
from bozzetto.errors import InputError, InputWarning
from bozzetto.heightmap import find_photos
from bozzetto.heightmap.photos import check_photo, load_photo


def test_folders_keep_their_sub_folders(tmp_path):
    for name in (
        "a.png",
        "a.jpg",
        "walls/brick.png",
        "walls/old/color.jpg",
        "walls/old/normal.png",
        ".unfinished/a.png",
        "walls/._brick.png",
        "note.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    with pytest.warns(InputWarning, match=r"1 of 5 pictures .* left out, .* other maps: normal\.png"):
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


def names_of(folder, names):
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"x")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        return {path.name for path, _ in find_photos([folder])}, [str(one.message) for one in said]


SETS = {
    "ambientcg": "Bricks001_1K_{}.jpg Color: NormalGL NormalDX Displacement Roughness AmbientOcclusion",
    "ambientcg_png": "Bricks001_2K-PNG_{}.png Color: NormalGL Displacement Roughness Opacity Emission",
    "polyhaven": "brick_wall_{}_1k.png diff: nor_gl nor_dx disp rough arm ao spec bump mask",
    "polyhaven_exr": "aerial_rocks_02_{}_4k.exr diff: nor_gl disp rough",
    "threed": "Stylized_Stone_Floor_005_{}.png basecolor: normal height roughness ambientOcclusion metallic",
    "threed_old": "Wall_Stone_010_{}.JPG COLOR: NORM DISP ROUGH OCC SPEC",
    "substance": "wood_{}.png BaseColor: Normal Height Roughness Metallic Ambient_Occlusion Normal_OpenGL",
    "spaces": "Old Planks {}.tif Base Color: Normal Height Metallic Ambient Occlusion",
    "bare": "{}.png color: normal height roughness ao metal albedo preview",
}


@pytest.mark.parametrize("name", SETS)
def test_maps_of_known_makers_are_no_photos(tmp_path, name):
    first, maps = SETS[name].split(": ")
    pattern, color = first.split(" ", 1) if name != "spaces" else ("Old Planks {}.tif", "Base Color")
    photo = pattern.format(color)
    words = maps.split(" ") if name != "spaces" else ["Normal", "Height", "Metallic", "Ambient Occlusion"]
    found, said = names_of(tmp_path / "in", [photo, *(pattern.format(word) for word in words)])
    assert found == {photo} and f"{len(words)} of {len(words) + 1} pictures" in said[0]


def test_photos_with_like_names_stay_photos(tmp_path):
    names = [
        "old_metal.jpg",
        "rusty-metal.png",
        "IMG_0001.JPG",
        "arm chair.png",
        "mask.jpg",
        "edge of a wall.png",
    ]
    names += [
        "wood rough.tga",
        "a.avif",
        "b.webp",
        "花.png",
        "normandy.jpg",
        "heights.png",
        "1024.png",
        "maori.bmp",
    ]
    found, said = names_of(tmp_path / "in", names)
    assert found == set(names) and said == []


def test_pictures_that_are_not_read_are_told(tmp_path):
    found, said = names_of(tmp_path / "in", ["a.png", "b.psd", "c.hdr", "notes.txt"])
    assert found == {"a.png"} and "kinds that are not read" in said[0] and "b.psd, c.hdr" in said[0]
    with pytest.raises(InputError, match="names of its pictures are those of other maps"):
        names_of(tmp_path / "maps", ["x_normal.png", "x_height.png"])


def test_what_is_no_photo_is_told(tmp_path):
    rng = np.random.default_rng(0)
    slopes = ndimage.gaussian_filter(rng.standard_normal((3, 64, 64)), (0, 2, 2), mode="wrap")[:2] * 4
    normals = np.stack([*slopes, np.ones((64, 64))], -1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    heights = torch.rand(64, 64, 1).expand(-1, -1, 3)
    photo = torch.from_numpy(make_sample(0, 0, 64).color.copy()).float() / 255
    framed = torch.zeros(80, 64, 3)
    framed[8:-8] = photo
    for name, picture, word in (
        ("a.png", torch.from_numpy(normals / 2 + 0.5).float(), "normal map"),
        ("a.png", heights, "height maps are"),
        ("wall_height.png", photo, "named as a map"),
        ("a.png", framed, "borders of one colour over 20 %"),
    ):
        with pytest.warns(InputWarning, match=word):
            check_photo(tmp_path / name, picture)
    for number in range(12):
        photo = torch.from_numpy(make_sample(1, number, 64).color.copy()).float() / 255
        check_photo(tmp_path / "a.png", photo)
        check_photo(tmp_path / "a.png", ((photo[..., :1] * 255).round() / 255).expand(-1, -1, 3))
    check_photo(tmp_path / "a.png", torch.full((64, 64, 3), 0.5))


def test_a_photo_that_is_transparent_all_over_is_refused(tmp_path):
    Image.fromarray(np.zeros((20, 20, 4), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="transparent all over"):
        load_photo(tmp_path / "a.png")


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
