"""Photographs made ready: upright, small, with what EXIF data say; groups that share a camera."""

import math

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, uniform_filter1d

from bozzetto.cameras.poses.estimate import choose_pairs, group_cameras
from bozzetto.cameras.poses.prepare import (
    FOCAL,
    FOCAL_35MM,
    RESOLUTION_UNIT,
    WIDTH,
    X_RESOLUTION,
    focal_pixels,
    prepare_photos,
)
from bozzetto.cameras.poses.verdicts import equal_photos, is_blurred, is_plain, photo_faults
from bozzetto.errors import InputError


def scene(width=600, height=400, seed=0):
    noise = np.random.default_rng(seed)
    values = sum(gaussian_filter(noise.standard_normal((height, width)), s) * s for s in (1, 3, 9))
    return ((values - values.min()) / np.ptp(values) * 255).astype(np.uint8)


def save(path, grey, orientation=1, focal=None, **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    if focal:
        exif.get_ifd(0x8769)[FOCAL_35MM] = focal
    Image.fromarray(grey).save(path, exif=exif, **options)
    return path


def ready(folder, paths, masks=None, longest=1000):
    names = [path.name for path in paths]
    return prepare_photos(paths, names, masks or [None] * len(paths), folder / "out", longest)


def read(folder, photo):
    return np.asarray(Image.open(folder / "out" / "pictures" / photo.work)).astype(int)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
@pytest.mark.parametrize("orientation, turns", [(1, 0), (6, -1), (3, 2), (8, 1)])
def test_photos_become_upright_and_small(tmp_path, name, orientation, turns):
    grey = gaussian_filter(scene(), 2)
    options = {"quality": 95} if name.endswith("jpg") else {}
    path = save(tmp_path / name, grey, orientation, **options)
    photo = ready(tmp_path, [path], longest=300)[0]
    turned = np.rot90(grey, turns)
    assert photo.size == turned.shape[::-1] and photo.scale == 2
    small = np.rot90(read(tmp_path, photo), photo.turn)
    assert photo.turn == turns and photo.work_size == (300, 200)  # as the sensor took it
    means = turned.reshape(turned.shape[0] // 2, 2, turned.shape[1] // 2, 2).mean((1, 3))
    assert small.shape == means.shape and np.abs(small - means).mean() < 2


def test_the_scale_is_the_same_in_both_directions(tmp_path):
    path = save(tmp_path / "a.png", np.tile(np.arange(0, 200, 2, dtype=np.uint8), (333, 1)))
    photo = ready(tmp_path, [path], longest=200)[0]
    assert photo.scale == pytest.approx(333 / 200) and photo.work_size == (60, 200)
    columns = read(tmp_path, photo).mean(axis=0)
    expected = 2 * ((np.arange(60) + 0.5) * photo.scale - 0.5)
    assert np.abs(columns - expected)[2:-2].max() < 1


def test_masks_follow_their_photos(tmp_path):
    grey = scene()
    mask = np.zeros((400, 600), np.uint8)
    mask[:100, :300] = 255
    photo = save(tmp_path / "a.jpg", grey, orientation=6)
    Image.fromarray(mask).save(tmp_path / "stored.png")
    Image.fromarray(np.rot90(mask, -1)).save(tmp_path / "upright.png")
    for name in ("stored.png", "upright.png"):
        found = ready(tmp_path, [photo, photo], [tmp_path / name, None], longest=300)
        cover = np.asarray(Image.open(tmp_path / "out" / "masks" / f"{found[0].work}.png")) > 127
        assert np.array_equal(cover, mask[::2, ::2] > 127)  # as the sensor took it
        other = np.asarray(Image.open(tmp_path / "out" / "masks" / f"{found[1].work}.png"))
        assert found[0].masked and not found[1].masked and other.min() == 255
    Image.fromarray(mask[:300]).save(tmp_path / "wrong.png")
    with pytest.raises(InputError, match="600 x 300 but a.jpg is 400 x 600"):
        ready(tmp_path, [photo], [tmp_path / "wrong.png"])


def test_alpha_is_a_mask(tmp_path):
    grey = scene()
    alpha = np.zeros_like(grey)
    alpha[100:300, 200:400] = 255
    Image.fromarray(np.stack([grey, grey, grey, alpha], -1)).save(tmp_path / "a.png")
    photo = ready(tmp_path, [tmp_path / "a.png"])[0]
    assert photo.masked
    cover = np.asarray(Image.open(tmp_path / "out" / "masks" / f"{photo.work}.png"))
    assert np.array_equal(cover, alpha)


def test_focal_lengths_in_exif_data():
    size = (4032, 3024)
    assert focal_pixels({FOCAL_35MM: 26}, size) == pytest.approx(26 * math.hypot(*size) / 43.2666, rel=1e-4)
    # A sensor of 36 mm on 6000 pixels, of which the picture has 3000: 50 mm are 8333 pixels there.
    sensor = {FOCAL: 50, X_RESOLUTION: 6000 / 3.6, RESOLUTION_UNIT: 3, WIDTH: 6000}
    assert focal_pixels(sensor, (3000, 2000)) == pytest.approx(50 / 36 * 3000)
    for nothing in ({}, {FOCAL_35MM: 0}, {FOCAL: 4.3}, {FOCAL_35MM: "wide"}, {FOCAL_35MM: 1e9}):
        assert focal_pixels(nothing, size) is None


def test_cameras_are_shared_by_size_and_focal_length(tmp_path):
    wide, tall = scene(), scene(400, 600)
    rows = [(wide, 26), (wide, 26), (tall, 26), (wide, 52), (wide, None), (tall, 26)]
    paths = [save(tmp_path / f"{i}.jpg", grey, focal=focal) for i, (grey, focal) in enumerate(rows)]
    groups = group_cameras(ready(tmp_path, paths))
    assert [group.photos for group in groups] == [(0, 1), (2, 5), (3,), (4,)]
    assert groups[2].focal == pytest.approx(2 * groups[0].focal) and groups[2].known
    assert not groups[3].known and groups[3].focal == 600


def test_pairs_of_many_photos_are_neighbours_and_loops():
    assert len(choose_pairs(100)) == 100 * 99 // 2
    pairs = choose_pairs(400)
    assert len(pairs) == len(set(pairs)) < 0.15 * 400 * 399 / 2
    assert all(a < b for a, b in pairs) and {(i, i + 1) for i in range(399)} <= set(pairs)
    assert (0, 396) in pairs


def test_blurred_plain_and_equal_photos_are_told(tmp_path):
    noise = np.random.default_rng(0)
    blobs = [gaussian_filter(noise.standard_normal((600, 800)), size) > 0 for size in (6, 12, 25)]
    grey = 60 + 40 * np.sum(blobs, axis=0).astype(float)
    kinds = {
        "sharp": grey,
        "blurred": gaussian_filter(grey, 6),
        "moved": uniform_filter1d(grey, 40, axis=1),
        "plain": 120 + np.random.default_rng(0).normal(0, 4, grey.shape),
        "again": grey + np.random.default_rng(1).normal(0, 2, grey.shape),
    }
    paths = []
    for name, values in kinds.items():
        paths.append(tmp_path / f"{name}.png")
        Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(paths[-1])
    photos = ready(tmp_path, paths)
    assert [is_blurred(photo) for photo in photos[:3]] == [False, True, True]
    assert [is_plain(photo) for photo in photos] == [False, False, False, True, False]
    assert equal_photos(photos) == {4: 0}
    assert photo_faults(photos) is None
    assert "2 of 3 photos are blurred (blurred.png, moved.png)" in photo_faults(photos[:3])
    assert "show hardly any detail" in photo_faults([photos[3], photos[3], photos[0]])


def test_thumbnails_are_refused(tmp_path):
    with pytest.raises(InputError, match="100 x 60 pixels, at least 160"):
        ready(tmp_path, [save(tmp_path / "a.png", scene(100, 60))])


def test_heic_photos_bring_their_focal_length(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif.get_ifd(0x8769)[FOCAL_35MM] = 26
    path = tmp_path / "IMG_1.HEIC"
    heif.from_pillow(Image.fromarray(scene(300, 200)).convert("RGB")).save(path, exif=exif.tobytes())
    photo = ready(tmp_path, [path])[0]
    assert photo.size == (300, 200) and photo.focal == pytest.approx(
        26 * math.hypot(300, 200) / 43.2666, rel=1e-4
    )
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match="IMG_1.HEIC"):
        ready(tmp_path, [path])
