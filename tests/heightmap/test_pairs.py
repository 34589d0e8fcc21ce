import warnings

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from bozzetto.datasets.synthetic.materials import make_sample
from bozzetto.errors import InputError, InputWarning
from bozzetto.heightmap.pairs import PAINTED, SCANNED, find_pairs, held_out, load_pair, load_pairs
from bozzetto.heightmap.predict import looks_tileable
from bozzetto.images.resizing import resized


def test_pairs_are_found_with_what_the_manifest_says(pairs_folder):
    found = {pair.name: pair for pair in find_pairs(pairs_folder)}
    assert list(found) == ["bark", "gravel", "wall"]
    assert found["bark"].kind == SCANNED and found["wall"].kind == PAINTED
    assert found["bark"].ship and not found["gravel"].ship
    assert found["bark"].tiles and not found["gravel"].tiles
    assert found["bark"].author == "Somebody" and found["bark"].licence == "CC0-1.0"


def test_pairs_without_a_manifest_may_not_be_passed_on(pairs_folder):
    (pair,) = find_pairs(pairs_folder / "B")
    assert pair.name == "wall" and pair.kind == SCANNED and not pair.ship


def test_a_pair_fills_the_range_and_keeps_a_half_size(pairs_folder):
    pair = load_pair(find_pairs(pairs_folder)[0], side=32)
    assert pair.height.min() == 0 and pair.height.max() == 65535
    assert pair.half is not None and pair.half.height.shape == (32, 32) and pair.half.half is None
    small = pair.height.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    assert abs(pair.half.height - small).max() <= 2
    assert load_pair(find_pairs(pairs_folder)[0], side=64).half is None


def test_folders_without_pairs_are_refused(tmp_path):
    (tmp_path / "color.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="holds no pairs"):
        find_pairs(tmp_path)


def test_what_is_held_out_does_not_depend_on_the_order():
    names = [f"m{k}" for k in range(20)]
    away = held_out(names, 5)
    assert away == held_out(names[::-1], 5) and len(set(away)) == 5
    assert away != held_out(names, 5, seed=1)


def test_resizing_averages_areas():
    values = torch.arange(16.0).reshape(1, 4, 4)
    assert resized(values, (2, 2)).tolist() == [[[2.5, 4.5], [10.5, 12.5]]]
    assert resized(values, (4, 4)) is values
    assert resized(values, (8, 2)).shape == (1, 8, 2)


def test_tiling_is_seen():
    tile = torch.from_numpy(make_sample(0, 3, 64).color.copy()).movedim(-1, 0) / 255
    assert looks_tileable(tile)
    ramp = torch.linspace(0, 1, 64).expand(3, 64, 64)
    assert not looks_tileable(ramp)


def material(folder, color, height):
    folder.mkdir(parents=True)
    Image.fromarray(color).save(folder / "color.png")
    Image.fromarray(height).save(folder / "height.png")
    return folder


def noise(rows, columns, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (rows, columns), np.uint8)


@pytest.mark.parametrize(
    "color, height, word",
    [
        (noise(32, 40), noise(32, 20), "different proportions"),
        (noise(32, 40), noise(40, 32), "different proportions"),
        (noise(32, 40), np.full((32, 40), 7, np.uint8), "one value"),
        (np.full((32, 40, 3), 7, np.uint8), noise(32, 40), "one value"),
        (noise(32, 40), noise(32, 40), "one value|same picture"),
        (noise(64, 80), noise(32, 40, 1), None),
        (noise(32, 41), noise(16, 20, 1), None),
    ],
)
def test_a_photo_and_a_height_must_show_the_same(tmp_path, color, height, word):
    (files,) = find_pairs(material(tmp_path / "m", color, height).parent)
    if word is None:
        assert load_pair(files, 16).color.shape[:2] == height.shape
        return
    with pytest.raises(InputError, match=word):
        load_pair(files)


@pytest.mark.parametrize("kind", ["u1", "u2", "f4", "f8"])
@pytest.mark.parametrize("white", [1, 255, 65535])
def test_colours_of_any_range_do_not_wrap(tmp_path, kind, white):
    """Whatever the numbers are, what is learned from correlates with them, or they are refused."""
    shades = np.repeat(np.linspace(0.05, 0.95, 40)[None, :, None], 32, 0).repeat(3, 2)
    scale = white if kind[0] == "f" else np.iinfo(kind).max
    material(tmp_path / "m", noise(32, 40), noise(32, 40, 1))
    (tmp_path / "m" / "color.png").unlink()
    tifffile.imwrite(tmp_path / "m" / "color.tif", (shades * scale).astype(kind), photometric="rgb")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        pair = load_pair(find_pairs(tmp_path)[0])
    assert abs(pair.color / 255 - shades).max() < 0.01


def test_colours_brighter_than_white_are_cut_off_or_refused(tmp_path):
    shades = np.repeat(np.linspace(0, 1, 40, dtype=np.float32)[None, :, None], 32, 0).repeat(3, 2)
    material(tmp_path / "m", noise(32, 40), noise(32, 40, 1))
    (tmp_path / "m" / "color.png").unlink()
    path = tmp_path / "m" / "color.tif"
    tifffile.imwrite(path, shades * 1.3, photometric="rgb")
    with pytest.warns(InputWarning, match="above white"):
        color = load_pair(find_pairs(tmp_path)[0]).color / 255
    assert abs(color - np.minimum(shades * 1.3, 1)).max() < 0.01
    for bad in (shades * 4.01, shades - 0.5, np.where(shades > 0.5, np.nan, shades)):
        tifffile.imwrite(path, bad.astype(np.float32), photometric="rgb")
        with pytest.raises(InputError, match="above white|negative|NaN"):
            load_pair(find_pairs(tmp_path)[0])


@pytest.mark.parametrize(
    "text, word",
    [
        (b"name,kind\nm,A\n", "columns name, kind and no slug"),
        (b"", "no slug"),
        (b"slug,class\nm,C\n", "class C of m"),
        (b"slug,author\nm,\xff\xfe\n", "UTF-8"),
        (b"slug\nn\n", None),
        (b"\xef\xbb\xbfslug,author\nm,Somebody\n", None),
        (b"slug,author\nm\n", None),
    ],
)
def test_manifests_that_cannot_be_used_are_refused(tmp_path, text, word):
    material(tmp_path / "m", noise(32, 40), noise(32, 40, 1))
    (tmp_path / "manifest.csv").write_bytes(text)
    if word is not None:
        with pytest.raises(InputError, match=word):
            find_pairs(tmp_path)
    elif b"n\n" == text[-2:]:
        with pytest.warns(InputWarning, match=r"does not name 1 of 1 materials \(m\)"):
            find_pairs(tmp_path)
    else:
        assert find_pairs(tmp_path)[0].author in ("Somebody", "")


def test_one_bad_pair_among_good_ones_is_left_out(tmp_path):
    for k in range(3):
        material(tmp_path / f"m{k}", noise(32, 40, k), noise(32, 40, k + 9))
    material(tmp_path / "bad", noise(32, 40), noise(32, 16))
    with pytest.warns(InputWarning, match="left out: .*bad"):
        used, pairs = load_pairs(find_pairs(tmp_path))
    assert [files.name for files in used] == ["m0", "m1", "m2"] and len(pairs) == 3
    for k in range(2):
        (tmp_path / f"m{k}" / "height.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match="3 of 4 pairs cannot be used"):
        load_pairs(find_pairs(tmp_path))


def test_of_two_heights_exr_is_taken(tmp_path):
    from bozzetto.shapes import HeightField, save_height

    material(tmp_path / "m", noise(32, 40), noise(32, 40, 1))
    save_height(HeightField(torch.rand(32, 40)), tmp_path / "m" / "height.exr")
    (tmp_path / "m" / "color.txt").write_text("no picture")
    with pytest.warns(InputWarning, match=r"height\.png is left out"):
        (pair,) = find_pairs(tmp_path)
    assert pair.height.suffix == ".exr" and pair.color.suffix == ".png"
