"""The dozen functions that the package offers by name do what their names say, on small shapes of our own."""

import inspect
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import bozzetto as bz
from bozzetto.inverse import ReconstructConfig, Stage, capture_light
from bozzetto.shapes import icosphere, sample_surface, torus
from bozzetto.weights import find

ROOT = Path(__file__).resolve().parents[1]
DOZEN = (
    *("load_mesh", "save_mesh", "render", "remesh", "reconstruct", "height_map"),
    *("complete", "fit", "sample", "denoise", "surface", "evaluate"),
)


@pytest.fixture(scope="module")
def body() -> tuple[bz.sdf.ShapePrior, bz.Mesh]:
    """The shipped prior, and the mesh of one of its training shapes."""
    prior = bz.sdf.load_prior(find("bodies"))
    return prior, bz.sdf.extract_mesh(prior, prior.codes[7], 48)


def test_they_are_documented_with_their_arguments():
    for name in DOZEN:
        text = inspect.getdoc(getattr(bz, name)) or ""
        assert "Args:" in text and "Raises:" in text, name
        assert name in (bz.__doc__ or ""), name


def test_the_summary_of_the_package_fits_a_screen():
    assert len((bz.__doc__ or "").splitlines()) <= 24


def test_a_mesh_is_saved_and_loaded(tmp_path):
    mesh = torus()
    bz.save_mesh(mesh, tmp_path / "torus.ply")
    again = bz.load_mesh(tmp_path / "torus.ply")
    assert torch.equal(again.vertices, mesh.vertices) and torch.equal(again.faces, mesh.faces)


def test_a_picture_shows_the_whole_mesh_lit_from_above():
    ball = icosphere(3, 2.5)
    ball = ball.with_vertices(ball.vertices + torch.tensor([10.0, 0.0, -4.0]))
    (picture,) = bz.render(ball, 64)
    coverage = picture[..., 3]
    # A margin of a tenth: the ball is seen under asin(sin(14 deg) / 1.1) of 14 degrees to each side.
    tangent = math.tan(math.asin(math.sin(math.radians(14)) / 1.1)) / math.tan(math.radians(14))
    assert float(coverage.mean()) == pytest.approx(math.pi / 4 * tangent**2, rel=0.02)
    assert float(picture[16:24, 28:36, :3].mean()) > float(picture[40:48, 28:36, :3].mean())
    assert 0.3 < float(picture[..., :3].max()) < 1.0


def test_triangles_get_the_length_that_is_asked_for():
    mesh = bz.remesh(icosphere(4), edge_length=0.2, tolerance=None)
    lengths = bz.geometry.edge_lengths(mesh.vertices, bz.geometry.unique_edges(mesh.faces))
    assert float(lengths.mean()) == pytest.approx(0.2, rel=0.1)
    assert float(mesh.vertices.norm(dim=1).mean()) == pytest.approx(1.0, abs=0.01)


def test_photographs_become_the_shape_that_they_show():
    ball = icosphere(3, 0.8)
    cameras = bz.cameras.fibonacci_cameras(6, distance=4.0, size=32)
    pictures = bz.render(ball, cameras, capture_light())
    known = torch.ones(6, 32, 32, dtype=torch.bool)
    names = tuple(f"{i}.png" for i in range(6))
    capture = bz.Capture(names, cameras, pictures[..., :3], pictures[..., 3], known)
    few = ReconstructConfig(hull_resolution=24, stages=(Stage(scale=1.0, edge_pixels=2.0, steps=20),))
    found = bz.reconstruct(capture, few)
    assert bz.geometry.is_watertight(found.mesh.faces)
    assert bz.evaluate(found.mesh, ball, samples=2000).chamfer_mean < 0.04
    with pytest.raises(bz.InputError, match="preset"):
        bz.reconstruct(capture, "best")
    with pytest.raises(bz.InputError, match="masks of its own"):
        bz.reconstruct(capture, few, masks="object")


def test_contradictions_of_a_capture_are_refused():
    cameras = bz.cameras.fibonacci_cameras(8, distance=4.0, size=48)
    mesh = torus()
    pictures = bz.render(mesh, cameras)
    names = tuple(f"{i}.png" for i in range(8))
    known = torch.ones(8, 48, 48, dtype=torch.bool)
    shifted = replace(cameras, T_cam_world=cameras.T_cam_world.roll(2, 0))
    capture = bz.Capture(names, shifted, pictures[..., :3], pictures[..., 3], known)
    with pytest.raises(bz.InputError, match="the capture cannot be reconstructed: .*2 (later|earlier)"):
        bz.reconstruct(capture)


def test_a_photo_becomes_heights(tmp_path):
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    bumps = (x * math.pi / 12).sin() * (y * math.pi / 12).sin()
    photo = (0.5 + 0.4 * bumps)[..., None].expand(-1, -1, 3)
    found = bz.height_map(photo, "heights")
    assert (float(found.height.min()), float(found.height.max())) == (0.0, 1.0)
    both = torch.stack([found.height.flatten(), bumps.flatten()])
    assert abs(float(torch.corrcoef(both)[0, 1])) > 0.5
    bz.images.save_image(tmp_path / "photo.png", photo)
    assert (bz.height_map(tmp_path / "photo.png", "heights").height - found.height).abs().mean() < 0.02


def test_a_part_becomes_a_whole(body, coarse_completion):
    prior, mesh = body
    points, faces = sample_surface(mesh, 1500, torch.Generator().manual_seed(0))
    normals = bz.geometry.face_normals(mesh.vertices, mesh.faces)[faces]
    front = normals[:, 2] > 0
    config = bz.sdf.CompleteConfig(resolution=32, pose="known")
    found = bz.complete(bz.PointCloud(points[front], normals[front]), prior, config)
    whole = bz.evaluate(found.mesh, mesh, samples=2000)
    assert whole.chamfer_mean < 0.02 and whole.iou is not None and whole.iou > 0.85


def test_a_mesh_becomes_a_code(body, coarse_completion):
    prior, mesh = body
    large = mesh.with_vertices(90 * mesh.vertices + torch.tensor([0.0, 40.0, 0.0]))
    found = bz.fit(large, prior, bz.sdf.CompleteConfig(turns=1))
    again = bz.sdf.extract_mesh(prior, found.code, 32)
    true = bz.sdf.extract_mesh(prior, prior.codes[7], 32)
    assert found.misfit < 0.01 and bz.evaluate(again, true, samples=2000).chamfer_mean < 0.02


def test_a_prior_gives_new_closed_shapes(body):
    prior, _ = body
    ((code, mesh),) = bz.sample(prior, 1, seed=3, resolution=48)
    assert bz.geometry.is_watertight(mesh.faces)
    assert float((prior.codes - code).norm(dim=1).min()) > 0.1


def test_noise_is_taken_away_and_points_become_a_surface():
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(1500, 3, generator=generator), dim=1)
    noisy = directions + 0.02 * torch.randn(1500, 3, generator=generator)
    found = bz.denoise(bz.PointCloud(noisy))
    off = (found.cloud.points.norm(dim=1) - 1).abs().mean()
    assert float(off) < 0.5 * float((noisy.norm(dim=1) - 1).abs().mean())
    assert found.noise == pytest.approx(0.02, rel=0.25)
    mesh = bz.surface(bz.PointCloud(directions), resolution=32, noise=0)
    assert bz.geometry.is_watertight(mesh.faces) and bz.geometry.euler_number(mesh.faces) == 2
    assert bz.evaluate(mesh, icosphere(4), samples=2000).chamfer_mean < 0.02


def test_the_distance_of_concentric_spheres_is_that_of_their_radii():
    scores = bz.evaluate(icosphere(4, 1.1), icosphere(4), samples=2000)
    assert scores.chamfer_mean == pytest.approx(0.1, abs=0.003)
    assert scores.iou == pytest.approx(1 / 1.1**3, abs=0.04)


def test_the_example_of_the_readme_runs(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = (
        one for one in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "import bozzetto" in one
    )
    points = torch.nn.functional.normalize(
        torch.randn(2000, 3, generator=torch.Generator().manual_seed(1)), dim=1
    )
    bz.save_points(bz.PointCloud(points), tmp_path / "scan.ply")
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert bz.geometry.is_watertight(bz.load_mesh(tmp_path / "scan.glb").faces)
    assert done.stdout == ""
