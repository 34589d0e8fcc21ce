import json

import numpy as np
import pytest
import torch

from bozzetto.cli import main
from bozzetto.geometry import is_watertight
from bozzetto.shapes import PointCloud, load_mesh, save_points


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
