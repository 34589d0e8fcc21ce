import json

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from bozzetto.errors import InputError
from bozzetto.heightmap import NetworkConfig, Predictor
from bozzetto.heightmap.model import build_network
from bozzetto.pipelines import MapOptions, find_photos, map_photo, stereo_photos
from bozzetto.pipelines.height_maps import load_lights, load_photo
from bozzetto.runs import RunFolder
from bozzetto.shapes import load_height
from bozzetto.views import load_image


@pytest.fixture(scope="module")
def predictor():
    torch.manual_seed(0)
    config = NetworkConfig(widths=(8, 8, 8, 8), blocks=(0, 1, 1, 1))
    network = build_network(config)
    with torch.no_grad():
        network.low.weight.normal_()
        network.fine.weight.normal_()
    return Predictor(network, config, {})


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(tmp_path / "out", {})


def picture(path, size=(40, 32), mode="RGB", seed=0):
    rng = np.random.default_rng(seed)
    channels = {"RGB": 3, "RGBA": 4, "L": 1, "CMYK": 4}[mode]
    pixels = rng.integers(0, 256, (size[1], size[0], channels), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.frombytes(mode, size, pixels.tobytes())
    image.save(path)
    return path


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


def test_everything_is_written(tmp_path, predictor, run):
    source = picture(tmp_path / "Fläche 1.png")
    options = MapOptions(size_mm=200.0, occlusion=True, curvature=True, tiles=True)
    report = map_photo(run, source, "Fläche 1", predictor, options)
    folder = run.path / "Fläche 1"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("height.png", "height.exr", "normal.png", "relief.glb", "preview.png", "ao.png", "curvature.png")
    }
    deep, exact = load_height(folder / "height.png"), load_height(folder / "height.exr")
    assert deep.height.shape == (32, 40) and deep.width_mm == 200 and deep.depth_mm == 10 and deep.tiles
    assert (deep.height - exact.height).abs().max() <= 0.5001 / 65535
    mesh = trimesh.load(folder / "relief.glb", force="mesh")
    assert np.ptp(mesh.vertices[:, 0]) == pytest.approx(0.2, rel=1e-4)
    assert report["pixels"] == [40, 32] and report["tiles"] and json.dumps(report)


def test_normals_point_the_way_they_are_asked_to(tmp_path, predictor):
    source = picture(tmp_path / "p.png")
    green = {}
    for convention in ("gl", "dx"):
        run = RunFolder.create(tmp_path / convention, {})
        map_photo(run, source, "p", predictor, MapOptions(normals=convention, faces=0))
        green[convention] = load_image(run.path / "p" / "normal.png")[..., 1]
        assert not (run.path / "p" / "relief.glb").exists()
    assert green["gl"] == pytest.approx(1 - green["dx"], abs=1.5 / 255)


def test_depth_strength_and_inversion(tmp_path, predictor):
    source = picture(tmp_path / "p.png")
    fields = {}
    for name, options in (
        ("plain", MapOptions(faces=0)),
        ("deep", MapOptions(faces=0, depth_mm=30.0, strength=2.0)),
        ("inverted", MapOptions(faces=0, invert=True)),
    ):
        run = RunFolder.create(tmp_path / name, {})
        map_photo(run, source, "p", predictor, options)
        fields[name] = load_height(run.path / "p" / "height.exr")
    assert fields["plain"].depth_mm == 50 and fields["deep"].depth_mm == 60
    assert fields["inverted"].height == pytest.approx(1 - fields["plain"].height, abs=1e-6)


@pytest.mark.parametrize("mode, ending", [("L", "png"), ("RGBA", "png"), ("CMYK", "jpg"), ("CMYK", "tif")])
def test_pictures_of_all_kinds_are_read(tmp_path, mode, ending):
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
    assert load_photo(tmp_path / "moving.webp")[0, 0].tolist() == [1, 0, 0]


def test_what_is_too_large_or_no_picture_is_refused(tmp_path):
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


def test_photos_under_known_lights(tmp_path, run):
    """A paraboloid under four lights comes back with its depth, in millimetres."""
    y, x = np.mgrid[-1:1:48j, -1:1:48j]
    height = 4.0 * (1 - 0.5 * (x**2 + y**2))  # pixels
    down, right = np.gradient(height)
    normals = np.stack([-right, down, np.ones_like(right)], -1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    lights = [[0.5, 0, 0.8], [-0.5, 0, 0.8], [0, 0.5, 0.8], [0, -0.5, 0.8]]
    sources = []
    for k, light in enumerate(lights):
        linear = (normals @ light).clip(0, 1) * 0.8
        srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        sources.append(tmp_path / f"{k}.png")
        Image.fromarray((srgb * 65535).round().astype(np.uint16)).save(sources[-1])
    (tmp_path / "lights.json").write_text(json.dumps(lights))
    report = stereo_photos(run, sources, tmp_path / "lights.json", "disc", MapOptions(size_mm=96.0, faces=0))
    field = load_height(run.path / "disc" / "height.exr")
    expected = np.ptp(height) * 96.0 / 48
    assert field.depth_mm == pytest.approx(expected, rel=0.02) and not report["sign_is_guessed"]
    truth = (height - height.min()) / np.ptp(height)
    assert np.abs(field.height.numpy() - truth).max() < 0.02
    with pytest.raises(InputError, match="same size"):
        stereo_photos(run, [*sources[:2], picture(tmp_path / "other.png")], None, "x", MapOptions())


def test_lights_that_are_none(tmp_path):
    for text in ("no json", "[1, 2]", '{"a": 1}'):
        (tmp_path / "lights.json").write_text(text)
        with pytest.raises(InputError, match="lights.json"):
            load_lights(tmp_path / "lights.json")
