import json

import numpy as np
import pytest
import torch
from PIL import Image

from bozzetto.cli import main
from bozzetto.datasets.synthetic.materials import make_sample
from bozzetto.heightmap import NetworkConfig, Predictor, load_predictor, save_predictor
from bozzetto.heightmap import run as height_maps
from bozzetto.heightmap.model import build_network
from bozzetto.images.color import linear_to_srgb


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three materials with a photo and its height each, and weights."""
    root = tmp_path_factory.mktemp("photos")
    for number, name in enumerate(("bark", "gravel", "wall")):
        sample = make_sample(0, number, 48)
        (root / "in" / name).mkdir(parents=True)
        Image.fromarray(sample.color).save(root / "in" / name / "color.png")
        Image.fromarray(sample.height).save(root / "in" / name / "height.png")
    torch.manual_seed(0)
    config = NetworkConfig(widths=(8, 8, 8, 8), blocks=(0, 1, 1, 1))
    save_predictor(Predictor(build_network(config), config, {}), root / "weights.safetensors")
    return root


def heightmap(folder, out, *more):
    words = ["--weights", str(folder / "weights.safetensors"), "--out", str(out), "--quiet"]
    return main(["heightmap", *map(str, more), *words])


def test_a_folder_becomes_height_maps_that_can_be_evaluated(folder, tmp_path, capsys):
    out = tmp_path / "maps"
    assert heightmap(folder, out, folder / "in", "--faces", "100", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["figures"]["photos"]) == 3 and report["figures"]["failed"] == []
    assert (out / "bark" / "height.exr").is_file() and (out / "wall" / "relief.glb").is_file()
    words = [
        "evaluate",
        "heightmap",
        str(out),
        str(folder / "in"),
        "--out",
        str(tmp_path / "e"),
        "--resolution",
        "32",
    ]
    assert main([*words, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert figures["materials"] == 3 and set(figures["summary"]) == {"prediction", "luminance"}
    assert 0 < figures["summary"]["prediction"]["rmse_affine"] < 0.5
    # The truth against itself is perfect.
    same = ["evaluate", "heightmap", str(folder / "in"), str(folder / "in"), "--out", str(tmp_path / "s")]
    assert main([*same, "--json", "--resolution", "32"]) == 0
    best = json.loads(capsys.readouterr().out)["figures"]["summary"]["prediction"]
    assert best["rmse_affine"] == pytest.approx(0, abs=1e-6) and best["edge_f1_0"] == 1 and best["ssim"] == 1


def test_photos_that_cannot_be_used_are_left_out_of_many(folder, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    Image.fromarray(make_sample(0, 0, 32).color).save(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"nothing")
    assert heightmap(folder, tmp_path / "out", tmp_path / "in", "--json") == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert len(figures["photos"]) == 1 and "bad.png" in figures["failed"][0]
    assert heightmap(folder, tmp_path / "none", tmp_path / "in" / "bad.png") == 2
    error = capsys.readouterr().err
    assert "bad.png" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("--size-mm", "0"), "--size-mm"),
        (("--strength", "-1"), "--strength"),
        (("--faces", "1"), "--faces"),
        (("--lights", "x.json"), "--stereo"),
        (("--weights", "nowhere.safetensors"), "nowhere.safetensors"),
    ],
)
def test_wrong_options_are_refused(folder, tmp_path, capsys, words, sentence):
    photo = folder / "in" / "bark" / "color.png"
    out = ["--out", str(tmp_path / "out")]
    weights = [] if "--weights" in words else ["--weights", str(folder / "weights.safetensors")]
    assert main(["heightmap", str(photo), *out, *weights, *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_photo_is_never_overwritten(folder, tmp_path, capsys):
    photo = tmp_path / "height.png"
    Image.fromarray(make_sample(0, 0, 32).color).save(photo)
    before = photo.read_bytes()
    assert heightmap(folder, photo, photo) == 2
    assert heightmap(folder, tmp_path, photo) == 2
    assert photo.read_bytes() == before


def test_results_are_replaced_only_by_results(folder, tmp_path, capsys):
    """A run that fails leaves the earlier one as it was; what it reads is never deleted."""
    out = tmp_path / "maps"
    assert heightmap(folder, out, folder / "in" / "bark" / "color.png", "--faces", "0") == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    for source, sentence in (
        (tmp_path / "broken.png", "cannot read"),
        (out / "color" / "preview.png", "would delete"),
    ):
        assert heightmap(folder, out, source, "--overwrite") == 2
        assert sentence in capsys.readouterr().err
        assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert heightmap(folder, tmp_path / "new", tmp_path / "broken.png") == 2
    assert not (tmp_path / "new").exists()


def test_an_interrupted_folder_goes_on(folder, tmp_path, capsys, monkeypatch):
    assert heightmap(folder, tmp_path / "whole", folder / "in", "--faces", "100") == 0
    make, made = height_maps.map_photo, []

    def interrupted(run, path, name, *more):
        if name == "wall" and len(made) == 2:
            raise KeyboardInterrupt
        made.append(name)
        return make(run, path, name, *more)

    monkeypatch.setattr(height_maps, "map_photo", interrupted)
    out = tmp_path / "parts"
    assert heightmap(folder, out, folder / "in", "--faces", "100") == 130
    assert "2 of 3 photos are done; the same command with --resume continues" in capsys.readouterr().err
    made[:] = ["other"]
    assert heightmap(folder, out, folder / "in", "--faces", "100", "--resume") == 0
    assert made == ["other", "wall"]
    photos = [
        json.loads((tmp_path / name / "report.json").read_text())["figures"] for name in ("whole", "parts")
    ]
    for one, other in zip(photos[0]["photos"], photos[1]["photos"], strict=True):
        assert {**one, "folder": None} == {**other, "folder": None}
    for path in (tmp_path / "whole").glob("*/*"):
        assert path.read_bytes() == (out / path.relative_to(tmp_path / "whole")).read_bytes()
    assert heightmap(folder, out, folder / "in", "--faces", "200", "--resume") == 2
    assert "options.faces was 100 and is now 200" in capsys.readouterr().err


def test_equal_names_in_other_folders_are_other_materials(folder, tmp_path, capsys):
    for side in ("pred", "ref"):
        for parent, number in (("a", 0), ("b", 1)):
            (tmp_path / side / parent / "rock").mkdir(parents=True)
            levels = make_sample(0, number, 48).height
            Image.fromarray(levels).save(tmp_path / side / parent / "rock" / "height.png")
    words = ["evaluate", "heightmap", str(tmp_path / "pred"), str(tmp_path / "ref")]
    assert main([*words, "--out", str(tmp_path / "out"), "--resolution", "0"]) == 0
    assert "2 materials" in capsys.readouterr().out


def test_photometric_stereo(folder, tmp_path):
    rng = np.random.default_rng(0)
    files = []
    for k in range(3):
        files.append(tmp_path / f"{k}.png")
        Image.fromarray(rng.integers(60, 200, (24, 24), np.uint8)).save(files[-1])
    lights = tmp_path / "lights.json"
    lights.write_text("[[0.5, 0, 0.8], [-0.4, 0.4, 0.8], [0, -0.5, 0.8]]")
    assert heightmap(folder, tmp_path / "out", *files, "--stereo", "--lights", lights, "--faces", "0") == 0
    assert (tmp_path / "out" / "0" / "albedo.png").is_file()


def test_stereo_stores_the_albedo_in_srgb(folder, tmp_path):
    """A flat surface of two paints under lights of equal height above it."""
    albedo = torch.full((24, 24), 0.9)
    albedo[:, 12:] = 0.2
    directions = [[0.6, 0.0, 0.8], [-0.3, 0.52, 0.8], [-0.3, -0.52, 0.8]]
    files = [tmp_path / f"{k}.png" for k in range(3)]
    for file in files:
        levels = (255 * linear_to_srgb(0.8 * albedo)).round().numpy().astype(np.uint8)
        Image.fromarray(levels).save(file)
    lights = tmp_path / "lights.json"
    lights.write_text(json.dumps(directions))
    assert heightmap(folder, tmp_path / "out", *files, "--stereo", "--lights", lights, "--faces", "0") == 0
    with Image.open(tmp_path / "out" / "0" / "albedo.png") as image:
        found = np.asarray(image.convert("L")).astype(float)
    expected = 255 * linear_to_srgb(torch.tensor(0.2 / 0.9))  # the brightest paint is white
    assert abs(found[:, :8] - 255).max() <= 2
    assert abs(found[:, 16:] - float(expected)).max() <= 2


def test_training_from_the_command_line(folder, tmp_path, capsys):
    words = ["train", "heightmap", str(folder / "in"), "--out", str(tmp_path / "run"), "--quiet"]
    small = ["--procedural-samples", "0", "--steps", "1", "--held-out", "1"]
    assert main([*words, *small, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert figures["materials"] == 2 and len(figures["held_out"]) == 1
    predictor = load_predictor(tmp_path / "run" / "heights.safetensors")
    assert figures["held_out"][0] not in predictor.metadata["materials"]
    assert main([*words, "--procedural-samples", "0", "--redistributable-only"]) == 2
    assert "nothing to learn from" in capsys.readouterr().err
    assert main([*words, "--held-out", "3"]) == 2
    assert "--held-out" in capsys.readouterr().err


def test_references_without_prediction_are_named(folder, tmp_path, capsys):
    (tmp_path / "pred").mkdir()
    Image.fromarray(make_sample(0, 0, 48).height).save(tmp_path / "pred" / "bark.png")
    words = [
        "evaluate",
        "heightmap",
        str(tmp_path / "pred"),
        str(folder / "in"),
        "--out",
        str(tmp_path / "e"),
    ]
    assert main(words) == 2
    assert "gravel" in capsys.readouterr().err
