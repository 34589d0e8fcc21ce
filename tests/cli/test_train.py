import json
import shutil
import sys
from functools import partial

import pytest
import torch

from bozzetto.cli import main
from bozzetto.points import surface
from bozzetto.sdf import load_prior
from bozzetto.shapes import PointCloud, box, icosphere, save_mesh, save_points, torus


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three closed meshes."""
    folder = tmp_path_factory.mktemp("meshes")
    for name, mesh in (("ball", icosphere(2)), ("box", box((1.0, 0.6, 0.8))), ("ring", torus(0.7, 0.3))):
        save_mesh(mesh, folder / f"{name}.ply")
    return folder


def train(folder, out, *more):
    words = ["train", "sdf", str(folder), "--out", str(out), "--samples", "4000", "--quiet", *more]
    return main(words)


def test_a_folder_of_meshes_becomes_a_prior(folder, tmp_path, capsys):
    out = tmp_path / "run"
    assert train(folder, out, "--epochs", "120", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["figures"]["shapes"] == 3 and report["figures"]["inside_found"] > 0.9
    prior = load_prior(out / "prior.safetensors")
    assert len(prior.names) == 3 and prior.names[1].endswith("box")
    assert (out / "preview.png").stat().st_size > 1000
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 120 // 20
    # The same command again changes nothing, unless asked to.
    before = (out / "prior.safetensors").read_bytes()
    assert train(folder, out, "--epochs", "120") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "prior.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("--minutes", "0"), "--minutes"),
        (("--epochs", "0"), "--epochs"),
    ],
)
def test_settings_without_training_are_refused(folder, tmp_path, capsys, words, sentence):
    assert train(folder, tmp_path / "run", *words) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_folders_without_shapes_are_refused(tmp_path, capsys):
    assert train(tmp_path / "nowhere", tmp_path / "run") == 2
    assert "does not exist" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert train(tmp_path / "empty", tmp_path / "run") == 2
    assert "holds no mesh" in capsys.readouterr().err


def test_meshes_that_cannot_be_used_are_named_unless_they_are_most(folder, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "in")
    (tmp_path / "in" / "torn.ply").write_bytes((folder / "ball.ply").read_bytes()[:-20])
    assert train(tmp_path / "in", tmp_path / "run", "--epochs", "1", "--samples", "300", "--json") == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert warning.startswith("left out: 1 of 4 meshes, meshes/in/torn: ") and "damaged" in warning
    for number in range(6):
        shutil.copy(tmp_path / "in" / "torn.ply", tmp_path / "in" / f"torn{number}.ply")
    assert train(tmp_path / "in", tmp_path / "mostly") == 2
    assert "7 of 10 meshes cannot be used, more than half (7 like meshes/in/torn: " in capsys.readouterr().err


def test_one_file_is_a_shape_of_its_own(folder, tmp_path, capsys, monkeypatch):
    coarse = partial(surface, resolution=24)  # in a second
    monkeypatch.setattr("bozzetto.sdf.run.surface", coarse)
    for name in ("ball", "scan"):
        path = folder / "ball.ply"
        if name == "scan":
            path = tmp_path / "scan.ply"
            points = torch.nn.functional.normalize(torch.randn(300, 3), dim=1)
            save_points(PointCloud(points), path)
        words = ["--preset", "single"] if name == "ball" else []
        words += ["--epochs", "1", "--samples", "1000", "--json"]
        assert train(path, tmp_path / name, *words) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["figures"]["shapes"] == 1
        assert [f"{path} is a cloud" in note for note in report["warnings"]] == [True] * (name == "scan")
        assert (tmp_path / name / "surface.ply").exists() == (name == "scan")
    (tmp_path / "text.ply").write_text("nothing")
    assert train(tmp_path / "text.ply", tmp_path / "out", "--preset", "single") == 2
    assert "text.ply" in capsys.readouterr().err


def test_other_samples_replace_those_of_an_earlier_training(folder, tmp_path):
    words = ["train", "sdf", str(folder), "--out", str(tmp_path / "run"), "--quiet", "--epochs", "1"]
    assert main([*words, "--samples", "200"]) == 0
    assert main([*words, "--samples", "300", "--overwrite"]) == 0
    report = json.loads((tmp_path / "run" / "prepared" / "report.json").read_text())
    assert report["settings"]["count"] == 300


def test_validation_names_the_best_prior_and_missing_tensorboard_is_said_before_any_work(
    folder, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "run"
    assert train(folder, out, "--epochs", "40", "--validation", "0.1", "--json") == 0
    best = json.loads(capsys.readouterr().out)["figures"]["best"]
    assert best["file"] == "best.safetensors" and len(load_prior(out / best["file"]).codes) == 3
    assert any("validation_loss" in line for line in (out / "metrics.jsonl").read_text().splitlines())
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert train(folder, tmp_path / "other", "--epochs", "1", "--tensorboard") == 2
    assert "pip install 'bozzetto[tensorboard]'" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
