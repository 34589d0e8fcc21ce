"""The verbs on a small capture of our own, and on broken ones."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bozzetto.cameras import fibonacci_cameras, save_transforms
from bozzetto.cli import main
from bozzetto.images import linear_to_srgb, load_image, save_image
from bozzetto.inverse import run as photographs
from bozzetto.inverse.config import PRESETS
from bozzetto.rendering import render
from bozzetto.shapes import load_mesh, torus


@pytest.fixture(scope="module")
def intact(tmp_path_factory) -> Path:
    """Eight pictures of a torus with alpha, as a folder with transforms.json."""
    folder = tmp_path_factory.mktemp("capture")
    cameras = fibonacci_cameras(8, distance=5.0, size=48)
    light = torch.zeros(9, 3)
    light[0], light[2] = 2.0, 0.6
    pictures = render(torus(1.0, 0.4, 48, 24), cameras, light)
    names = [f"images/{i}.png" for i in range(8)]
    (folder / "images").mkdir()
    for name, picture in zip(names, pictures, strict=True):
        color = linear_to_srgb((picture[..., :3] / picture[..., 3:].clamp(min=1e-6)).clamp(0, 1))
        save_image(folder / name, torch.cat([color, picture[..., 3:]], dim=-1))
    save_transforms(cameras, folder / "transforms.json", names)
    return folder


@pytest.fixture
def capture(intact, tmp_path) -> Path:
    return Path(shutil.copytree(intact, tmp_path / "capture"))


def test_reconstruct_and_what_it_refuses_afterwards(capture, tmp_path, monkeypatch, capsys):
    few = replace(PRESETS["fast"], stages=tuple(replace(one, steps=2) for one in PRESETS["fast"].stages))
    monkeypatch.setitem(PRESETS, "fast", few)
    monkeypatch.setattr(photographs, "turntable", lambda *arguments, **options: None)
    out = tmp_path / "out"
    words = [
        "reconstruct",
        str(capture),
        "--preset",
        "fast",
        "--hold-out",
        "1",
        "--out",
        str(out),
        "--seed",
        "3",
    ]
    assert main([*words, "--json", "--quiet"]) == 0
    output = capsys.readouterr()
    report = json.loads(output.out)
    assert output.err == ""
    assert report == json.loads((out / "report.json").read_text())
    assert report["seed"] == 3 and report["figures"]["held_out"]["views"] == ["4.png"]
    mesh = load_mesh(out / "mesh.ply")
    assert 1.2 < float(mesh.vertices.norm(dim=1).max()) < 1.6  # in the frame of the cameras

    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert main(words) == 2
    assert "--resume" in capsys.readouterr().err
    (capture / "images" / "2.png").unlink()
    assert main([*words, "--overwrite"]) == 2
    assert "2.png" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_doctor_judges_a_capture(capture, tmp_path, capsys):
    words = ["doctor", str(capture), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert "verdict: good" in capsys.readouterr().out
    assert (tmp_path / "out" / "sheet.png").exists()
    picture = load_image(capture / "images" / "2.png")
    picture[..., 3] = picture[..., 3].roll(20, dims=1)
    save_image(capture / "images" / "2.png", picture)
    assert main([*words, "--overwrite", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["capture"]
    assert report["verdicts"]["2.png"] != "good"
    assert report["views"] == 8 and report["examined_at"] == [48, 48]


def break_capture(capture: Path, how: str) -> list[str]:
    """Damage a capture; more options for the command line."""
    cameras = capture / "transforms.json"
    content = json.loads(cameras.read_text())
    if how == "no cameras":
        cameras.unlink()
    elif how == "truncated picture":
        picture = capture / "images" / "1.png"
        picture.write_bytes(picture.read_bytes()[:200])
    elif how == "missing picture":
        (capture / "images" / "1.png").unlink()
    elif how == "not JSON":
        cameras.write_text("{")
    elif how == "singular pose":
        content["frames"][0]["transform_matrix"] = np.zeros((4, 4)).tolist()
        cameras.write_text(json.dumps(content))
    elif how == "mask all one value":
        save_image(
            capture / "images" / "3.png", torch.cat([torch.rand(48, 48, 3), torch.ones(48, 48, 1)], dim=-1)
        )
    elif how == "init is no mesh":
        return ["--init", str(cameras)]
    elif how == "light is no light":
        np.save(capture / "light.npy", np.zeros((4, 3)))
        return ["--light", str(capture / "light.npy")]
    elif how == "hold out unknown":
        return ["--hold-out", "nobody"]
    elif how == "out is somebody's folder":
        return ["--out", str(capture)]
    return []


@pytest.mark.parametrize(
    "how",
    [
        "no cameras",
        "truncated picture",
        "missing picture",
        "not JSON",
        "singular pose",
        "mask all one value",
        "init is no mesh",
        "light is no light",
        "hold out unknown",
        "out is somebody's folder",
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(capture, tmp_path, capsys, how):
    more = break_capture(capture, how)
    before = sorted(tmp_path.rglob("*"))
    assert main(["reconstruct", str(capture), "--out", str(tmp_path / "out"), *more]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("bozzetto: ") and output.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
