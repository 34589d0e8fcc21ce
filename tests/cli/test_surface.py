"""Tests of cli.points."""

import json

import numpy as np
import pytest
import torch

from bozzetto.cli import main
from bozzetto.geometry import is_watertight
from bozzetto.shapes import PointCloud, load_mesh, load_points, save_points


@pytest.fixture
def noisy(tmp_path):
    """A ball of radius 30 in another place, with noise of 0.6."""
    generator = torch.Generator().manual_seed(0)
    ball = torch.nn.functional.normalize(torch.randn(900, 3, generator=generator), dim=1) * 30
    points = ball + 0.6 * torch.randn(900, 3, generator=generator) + torch.tensor([500.0, 0, 0])
    save_points(PointCloud(points), tmp_path / "noisy.ply")
    return tmp_path / "noisy.ply"


def test_a_cloud_is_cleaned_in_its_frame(noisy, tmp_path, capsys):
    words = ["denoise", str(noisy), "--points", "1000", "--out", str(tmp_path / "a"), "--json"]
    assert main(words) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert figures["points"] == 1000 and figures["noise"] == pytest.approx(0.6, rel=0.3)
    made = load_points(tmp_path / "a" / "points.ply")
    radial = made.points - torch.tensor([500.0, 0, 0])
    assert float((radial.norm(dim=1) - 30).square().mean().sqrt()) < 0.35
    assert float(((radial * made.normals).sum(dim=1) > 0).float().mean()) > 0.99  # outward
    assert (tmp_path / "a" / "preview.png").stat().st_size > 1000
    before = (tmp_path / "a" / "points.ply").read_bytes()
    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "a" / "points.ply").read_bytes() == before


@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_a_thin_plate_keeps_its_walls(unit, tmp_path, capsys):
    """The noise of a plate whose walls are four noise levels apart is its own, not that of both walls."""
    draw = torch.Generator().manual_seed(0)
    clean = torch.rand(5000, 3, generator=draw) * torch.tensor([2.0, 1.5, 0.0])
    clean[::2, 2] = 0.08
    noisy = clean + 0.02 * torch.randn(clean.shape, generator=draw)
    save_points(PointCloud(unit * noisy), tmp_path / "plate.ply")
    assert main(["denoise", str(tmp_path / "plate.ply"), "--out", str(tmp_path / "a"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert figures["noise"] == pytest.approx(0.02 * unit, rel=0.25)
    made = load_points(tmp_path / "a" / "points.ply").points / unit
    left = torch.minimum(made[:, 2].abs(), (made[:, 2] - 0.08).abs())
    given = torch.minimum(noisy[:, 2].abs(), (noisy[:, 2] - 0.08).abs())
    assert float(left.square().mean()) < 0.6 * float(given.square().mean())
    assert float(((made[:, 2] - clean[:, 2]).abs() < 0.04).float().mean()) > 0.9  # on their own side


@pytest.mark.parametrize(("noise", "said"), [("6", True), ("0.7", False)])
def test_noise_that_the_points_do_not_show_is_said(noise, said, noisy, tmp_path, capsys):
    """The ball of radius 30 has noise of 0.6."""
    assert main(["denoise", str(noisy), "--noise", noise, "--out", str(tmp_path / "a")]) == 0
    assert ("given as 6, but the points show about 0." in capsys.readouterr().err) == said


def test_a_clean_cloud_is_left_as_it_is(tmp_path, capsys):
    ball = torch.nn.functional.normalize(
        torch.randn(3000, 3, generator=torch.Generator().manual_seed(0)), dim=1
    )
    save_points(PointCloud(ball), tmp_path / "clean.ply")
    assert main(["denoise", str(tmp_path / "clean.ply"), "--out", str(tmp_path / "a"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"]["noise"] < 1e-3
    made = load_points(tmp_path / "a" / "points.ply").points
    assert float((made - ball).norm(dim=1).square().mean().sqrt()) < 1e-3


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((0, 3)), "empty"),
        (np.zeros((1, 3)), "1 points"),
        (np.full((20, 3), np.nan), "NaN"),
        (np.ones((20, 3)), "equal"),
        (np.random.default_rng(0).random((20, 2)), "2D"),
        (np.random.default_rng(0).random((5, 3)), "8 or more"),
    ],
)
def test_bad_clouds_are_one_sentence(array, words, tmp_path, capsys):
    np.save(tmp_path / "cloud.npy", array.astype(np.float32))
    assert main(["denoise", str(tmp_path / "cloud.npy"), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [["--noise", "0"], ["--iterations", "0"], ["--points", "900"]])
def test_bad_options_are_refused(options, noisy, tmp_path, capsys):
    assert main(["denoise", str(noisy), *options, "--out", str(tmp_path / "out")]) == 2
    assert options[0] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def ball(tmp_path):
    """700 points of a ball of radius 30 in another place, with normals."""
    draw = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(700, 3, generator=draw), dim=1)
    save_points(PointCloud(30 * normals + 500, normals), tmp_path / "ball.ply")
    return tmp_path / "ball.ply"


def test_a_cloud_becomes_a_mesh_in_its_frame(ball, tmp_path, capsys):
    words = [
        "surface",
        str(ball),
        "--noise",
        "0",
        "--resolution",
        "24",
        "--out",
        str(tmp_path / "a"),
        "--json",
    ]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["figures"]["points"] == 700
    mesh = load_mesh(tmp_path / "a" / "mesh.ply")
    assert is_watertight(mesh.faces)
    assert ((mesh.vertices - 500).norm(dim=1) - 30).abs().max() < 1.5
    assert (tmp_path / "a" / "mesh.glb").exists() and (tmp_path / "a" / "preview.png").exists()
    before = (tmp_path / "a" / "mesh.ply").read_bytes()
    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "a" / "mesh.ply").read_bytes() == before


def test_bad_input_is_one_sentence(ball, tmp_path, capsys):
    np.save(tmp_path / "flat.npy", np.random.default_rng(0).random((20, 2)).astype(np.float32))
    out = ["--out", str(tmp_path / "out")]
    for words, expected in (
        ([str(tmp_path / "flat.npy")], "2D"),
        ([str(tmp_path / "missing.ply")], "missing.ply"),
        (["cloud-airfoils"], "2D"),
        (["cloud-of-nothing"], "cloud-bodies"),
        ([str(ball), "--resolution", "2"], "--resolution"),
        ([str(ball), "--noise", "-1"], "--noise"),
        ([str(ball), "--shape", "0"], "--shape"),
    ):
        assert main(["surface", *words, *out]) == 2
        error = capsys.readouterr().err
        assert expected in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
