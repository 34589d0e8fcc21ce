import json

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from bozzetto.errors import InputError
from bozzetto.heightmap import MapOptions, NetworkConfig, Predictor, map_photo, stereo_photos
from bozzetto.heightmap.model import build_network
from bozzetto.heightmap.predictor import best_weights
from bozzetto.heightmap.run import load_lights
from bozzetto.images import load_image
from bozzetto.runs import RunFolder
from bozzetto.shapes import load_height
from bozzetto.weights import find


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


def test_everything_is_written(tmp_path, predictor, run, picture):
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


def test_normals_point_the_way_they_are_asked_to(tmp_path, predictor, picture):
    source = picture(tmp_path / "p.png")
    green = {}
    for convention in ("gl", "dx"):
        run = RunFolder.create(tmp_path / convention, {})
        map_photo(run, source, "p", predictor, MapOptions(normals=convention, faces=0))
        green[convention] = load_image(run.path / "p" / "normal.png")[..., 1]
        assert not (run.path / "p" / "relief.glb").exists()
    assert green["gl"] == pytest.approx(1 - green["dx"], abs=1.5 / 255)


def test_depth_strength_and_inversion(tmp_path, predictor, picture):
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


def test_photos_under_known_lights(tmp_path, run, picture):
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
    texts = ["", "no json", "[1, 2]", '{"a": 1}', "[[0, 0, 1], [0, 1]]", '[["a", 0, 1]]', "[]", "null"]
    texts += ["[[0, 0, 1e999]]", "[[0, 0, NaN]]", f"[[0, 0, 1{'0' * 400}]]", "[[0, 0, 0]]", "[[0, 0, true]]"]
    texts += ["[[0, 1, -2]]", "[" * 100_000, "[[0, 0, 1]" + " " * (1 << 20) + "]"]
    for text in texts:
        (tmp_path / "lights.json").write_text(text)
        with pytest.raises(InputError, match="lights.json"):
            load_lights(tmp_path / "lights.json")
    with pytest.raises(InputError, match="no list of lights"):
        load_lights(tmp_path / "none.json")
    (tmp_path / "lights.json").write_text("[[0, 0, 1], [1, 0, -0.1]]")
    assert load_lights(tmp_path / "lights.json").shape == (2, 3)


def test_the_best_weights_that_can_be_used_are_there(monkeypatch):
    for installed, name in ((True, "heights-imagenet"), (False, "heights")):
        monkeypatch.setattr(
            "bozzetto.heightmap.predictor.imagenet_is_installed", lambda there=installed: there
        )
        assert best_weights() == name and find(name).is_file()
