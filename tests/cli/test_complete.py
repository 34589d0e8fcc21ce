import json

import pytest
import torch

from bozzetto.cli import main
from bozzetto.sdf import DecoderConfig, ShapePrior, build_decoder, save_prior
from bozzetto.shapes import (
    Mesh,
    PointCloud,
    box,
    icosphere,
    load_mesh,
    sample_surface,
    save_mesh,
    save_points,
)

pytestmark = pytest.mark.usefixtures("coarse_completion")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A prior that knows spheres only (an untrained decoder does), half a sphere in millimetres, and a mesh."""
    folder = tmp_path_factory.mktemp("complete")
    torch.manual_seed(0)
    decoder = build_decoder(DecoderConfig(code_size=3, grid=3, features=2, hidden=8, layers=1))
    torch.nn.init.normal_(decoder.last.weight, std=1e-3)
    torch.nn.init.constant_(decoder.last.bias, decoder.RADIUS - 1 / 1.03)  # the size that normalisation gives
    codes = torch.randn(4, 3)
    prior = ShapePrior(decoder.eval().requires_grad_(False), codes, ("a", "b", "c", "d"))
    save_prior(prior, folder / "prior.safetensors")
    ball = icosphere(3, 500.0)
    half = ball.vertices[ball.vertices[:, 2] > 100]
    save_points(PointCloud(half + 2000, half / 500), folder / "scan.ply")
    save_mesh(Mesh(ball.vertices / 1000, ball.faces), folder / "ball.ply")
    return folder


def run(files, *words) -> int:
    return main([*words, "--prior", str(files / "prior.safetensors"), "--quiet", "--resolution", "24"])


def test_a_scan_is_completed_in_its_own_frame(files, tmp_path, capsys):
    scan = str(files / "scan.ply")
    words = ("complete", scan, "--out", str(tmp_path), "--yaw-starts", "1", "--hypotheses", "1", "--json")
    assert run(files, *words) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["figures"]["observed_median"] < 10
    radius = (load_mesh(tmp_path / "mesh.ply").vertices - 2000).norm(dim=1)
    assert float((radius - 500).abs().mean()) < 60
    pose = json.loads((tmp_path / "pose.json").read_text())
    assert torch.allclose(
        torch.tensor(pose["matrix"]) @ torch.tensor(pose["inverse"]), torch.eye(4), atol=1e-3
    )
    names = {path.name for path in tmp_path.iterdir()}
    assert {"mesh.glb", "code.safetensors", "preview.png", "hypothesis-1.ply", "report.json"} <= names


def test_shapes_are_interpolated(files, tmp_path):
    assert (
        run(files, "interpolate", "a", str(files / "ball.ply"), "--count", "3", "--out", str(tmp_path)) == 0
    )
    names = {path.name for path in tmp_path.iterdir()}
    assert {"mesh-1.ply", "mesh-3.ply", "morph.glb", "strip.png", "code-3.safetensors"} <= names
    again = (str(tmp_path / "code-3.safetensors"), "b", "--count", "2", "--out", str(tmp_path / "again"))
    assert run(files, "interpolate", *again) == 0


def test_what_is_no_member_of_the_family_is_refused_with_the_measure_of_its_fit(files, tmp_path, capsys):
    save_mesh(box([1.0, 3.0, 1.0]), tmp_path / "box.ply")
    scan = sample_surface(box([1.0, 3.0, 1.0]), 400, torch.Generator().manual_seed(0))[0]
    save_points(PointCloud(scan), tmp_path / "scan.ply")
    out = tmp_path / "out"
    for words in (
        ["complete", str(tmp_path / "scan.ply"), "--yaw-starts", "1"],
        ["interpolate", "a", str(tmp_path / "box.ply")],
    ):
        assert run(files, *words, "--out", str(out)) == 2
        error = capsys.readouterr().err
        assert (
            f"{words[1] if words[0] == 'complete' else words[2]} is no member of the prior's family" in error
        )
        assert "% of its radius or more" in error and "--any-shape" in error and error.count("\n") == 1
        assert not out.exists()
    words = [
        "complete",
        str(tmp_path / "scan.ply"),
        "--yaw-starts",
        "1",
        "--any-shape",
        "--out",
        str(out),
        "--json",
    ]
    assert run(files, *words) == 0
    report = json.loads(capsys.readouterr().out)
    assert "is no member of the prior's family" in report["warnings"][0]
    assert report["figures"]["misfit"] > 10 * report["figures"]["family_width"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["complete", "missing.ply"], "does not exist"),
        (["complete", "{files}/scan.ply", "--pose", "known"], "let the pose be solved"),
        (["complete", "{files}/scan.ply", "--yaw-starts", "0"], "--yaw-starts must lie in 1 to"),
        (["interpolate", "a", "z"], "neither a file nor a training shape"),
        (["interpolate", "a", "b", "--count", "1"], "--count must lie in 2 to"),
        (["interpolate", "a", "{files}/prior.safetensors"], "not a code"),
    ],
)
def test_bad_input_is_one_sentence(files, tmp_path, capsys, words, message):
    words = [word.replace("{files}", str(files)) for word in words]
    assert run(files, *words, "--out", str(tmp_path / "out")) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out" / "mesh.ply").exists()
