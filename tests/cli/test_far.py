"""Shapes in survey coordinates: every verb gives what it gives for the same shape near the origin, moved."""

import json

import numpy as np
import pytest
import torch

from bozzetto.cli import main
from bozzetto.errors import InputError, InputWarning
from bozzetto.metrics import surface_distance
from bozzetto.score import load_clouds
from bozzetto.sdf import (
    CompleteConfig,
    DecoderConfig,
    ShapePrior,
    build_decoder,
    complete,
    load_normalisation,
    load_prior,
    load_scan,
    save_prior,
)
from bozzetto.shapes import (
    Mesh,
    PointCloud,
    Similarity,
    icosphere,
    load_mesh,
    load_points,
    save_mesh,
    save_points,
)

FAR = (448000.0, 5412000.0, 320.0)
NEAR = (0.0, 0.0, 0.0)
SIZE = 60.0


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A bumpy ball of radius 30 as mesh and as cloud, both near and far, and models that know little."""
    folder = tmp_path_factory.mktemp("far")
    ball = icosphere(3, 30.0)
    bumpy = ball.vertices * (1 + 0.1 * torch.sin(ball.vertices[:, :1] / 8))
    draw = torch.Generator().manual_seed(0)
    noisy = bumpy + 0.2 * torch.randn(bumpy.shape, generator=draw)
    for name, offset in (("near", NEAR), ("far", FAR)):
        save_mesh(Mesh(bumpy, ball.faces, offset=offset), folder / name / "ball.obj")
        save_points(PointCloud(noisy, offset=offset), folder / name / "cloud.ply")
        np.save(folder / name / "array.npy", noisy.double().numpy() + np.array(offset))
    torch.manual_seed(0)
    decoder = build_decoder(DecoderConfig(code_size=3, grid=3, features=2, hidden=8, layers=1))
    decoder.RADIUS = 0.5
    torch.nn.init.normal_(decoder.last.weight, std=1e-3)
    prior = ShapePrior(decoder.eval().requires_grad_(False), torch.randn(4, 3), ("a", "b", "c", "d"))
    save_prior(prior, folder / "prior.safetensors")
    return folder


def carried_out(shapes, place, out, *words):
    """The report of a verb; words that name files are completed."""
    folder = shapes / place
    words = [str(folder / word) if (folder / word).exists() else word for word in words]
    assert main([*words, "--out", str(out / place), "--overwrite"]) == 0
    return json.loads((out / place / "report.json").read_text())


def assert_same_mesh(out, name="mesh.ply"):
    near, far = (load_mesh(out / place / name) for place in ("near", "far"))
    assert any(far.offset) and not any(near.offset)
    there = Mesh(near.vertices, near.faces, offset=FAR)
    assert surface_distance(there, far, samples=2000).hausdorff < 1e-5 * SIZE


def test_surface(shapes, tmp_path):
    reports = [
        carried_out(shapes, place, tmp_path, "surface", "cloud.ply", "--noise", "0.2", "--resolution", "24")
        for place in ("near", "far")
    ]
    assert_same_mesh(tmp_path)
    assert_same_mesh(tmp_path, "mesh.glb")
    volumes = [report["figures"]["mesh"]["volume"] for report in reports]
    assert volumes[0] == pytest.approx(volumes[1], rel=1e-5)


@pytest.mark.parametrize("file", ["cloud.ply", "array.npy"])
def test_denoise(shapes, tmp_path, file):
    for place in ("near", "far"):
        carried_out(shapes, place, tmp_path, "denoise", file, "--noise", "0.2", "--points", "700")
    near, far = (load_points(tmp_path / place / "points.ply") for place in ("near", "far"))
    assert float((far.world_points - torch.tensor(FAR) - near.points).abs().max()) < 1e-5 * SIZE
    assert float((far.normals - near.normals).abs().max()) < 1e-3


def test_evaluate_surface(shapes, tmp_path):
    words = ("evaluate", "surface", "ball.obj", "ball.obj", "--samples", "2000")
    near, far = (
        carried_out(shapes, place, tmp_path, *words)["figures"]["scores"]["ball"] for place in ("near", "far")
    )
    assert far["chamfer_sum"] < 1e-5 and far["f_score"] == 1.0 and far["iou"] == near["iou"] == 1.0
    assert far["deepsdf_chamfer"] == pytest.approx(near["deepsdf_chamfer"], rel=1e-4)


def test_evaluate_surface_with_a_cloud_of_another_offset(shapes, tmp_path):
    cloud = load_points(shapes / "far" / "cloud.ply")
    save_points(cloud.with_offset((447000.0, 5412100.0, 0.0)), tmp_path / "ball.ply")
    words = ["evaluate", "surface", str(tmp_path / "ball.ply"), str(shapes / "far" / "ball.obj")]
    assert main([*words, "--samples", "2000", "--out", str(tmp_path / "out")]) == 0
    scores = json.loads((tmp_path / "out" / "report.json").read_text())["figures"]["scores"]["ball"]
    assert 0.1 < scores["accuracy_90"] < 0.5  # the noise of 0.2


def test_evaluate_points_and_generation(shapes, tmp_path):
    near, far = (
        carried_out(
            shapes, place, tmp_path, "evaluate", "points", "cloud.ply", "array.npy", "--points", "200"
        )
        for place in ("near", "far")
    )
    figures = [report["figures"]["scores"]["cloud"] for report in (near, far)]
    assert figures[1]["chamfer_sum"] < 1e-5
    assert figures[1]["earth_mover"] == pytest.approx(figures[0]["earth_mover"], rel=1e-4)
    sets = {}
    for place, offset in (("near", NEAR), ("far", FAR)):
        draw = np.random.default_rng(0)
        for part in ("a", "b"):
            array = 10 * draw.normal(size=(4, 64, 3)).astype(np.float32) + np.array(offset)
            np.save(shapes / place / f"{part}.npy", array)
        report = carried_out(shapes, place, tmp_path, "evaluate", "generation", "a.npy", "b.npy")
        sets[place] = report["figures"]["rows"]["generated"]
    for distance in ("chamfer", "earth_mover"):
        for figure in ("mmd", "cov", "one_nna"):
            values = [sets[place][distance][figure]["value"] for place in ("near", "far")]
            assert values[0] == pytest.approx(values[1], rel=1e-4)


def test_complete(shapes):
    """The mesh, and the pose, which takes world coordinates."""
    prior = load_prior(shapes / "prior.safetensors")
    known = {"pose": "known", "any_shape": True}  # the prior was never trained
    config = CompleteConfig(**known, surface=200, space=100, iterations=2, resolution=24)
    found = []
    for place, offset in (("near", NEAR), ("far", FAR)):
        world = torch.tensor(offset, dtype=torch.float64)
        seen = load_scan(shapes / place / "cloud.ply", viewpoint=world + torch.tensor([0.0, 0.0, 100.0]))
        with pytest.warns(InputWarning, match="is no member of the prior.s family"):
            found.append(complete(seen, prior, config, starts=[Similarity(1 / 40, -world / 40)]))
    near, far = found
    assert far.mesh.offset == FAR
    there = Mesh(near.mesh.vertices, near.mesh.faces, offset=FAR)
    assert surface_distance(there, far.mesh, samples=2000).hausdorff < 1e-5 * SIZE
    point = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    assert torch.allclose(near.pose.apply(point), far.pose.apply(point + torch.tensor(FAR)), atol=1e-5)


def test_a_known_pose_takes_world_coordinates(shapes):
    prior = load_prior(shapes / "prior.safetensors")
    config = CompleteConfig(pose="known", surface=200, space=0, iterations=1, resolution=24)
    with pytest.raises(InputError, match="with a known pose the scan must lie in the prior's frame"):
        complete(load_scan(shapes / "far" / "cloud.ply"), prior, config)


def test_prepare(shapes, tmp_path):
    for place in ("near", "far"):
        (tmp_path / "meshes").mkdir(exist_ok=True)
        (tmp_path / "meshes" / "ball.obj").write_bytes((shapes / place / "ball.obj").read_bytes())
        words = ["prepare", "sdf", str(tmp_path / "meshes"), "--samples", "200", "--quiet"]
        assert main([*words, "--out", str(tmp_path / place)]) == 0
    (near, far) = (
        load_normalisation(next((tmp_path / place).rglob("NormalizationParameters/**/*.npz")))
        for place in ("near", "far")
    )
    point = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    assert torch.allclose(near.apply(point), far.apply(point + torch.tensor(FAR)), atol=1e-6)
    samples = [
        np.concatenate(
            [
                part
                for _, part in sorted(np.load(next((tmp_path / place).rglob("SdfSamples/**/*.npz"))).items())
            ]
        )
        for place in ("near", "far")
    ]
    assert np.abs(samples[0] - samples[1]).max() < 1e-5


def test_collections_for_training(shapes):
    near, far = (load_clouds(shapes / place, 500, "all") for place in ("near", "far"))
    for a, b in zip(near.points, far.points, strict=True):
        assert float((b - torch.tensor(FAR) - a).abs().max()) < 1e-5 * SIZE
