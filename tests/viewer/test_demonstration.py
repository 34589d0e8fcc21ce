import json

import pytest
import torch

from bozzetto.cameras import load_capture, orbit_cameras
from bozzetto.inverse import Stage
from bozzetto.runs import RunFolder
from bozzetto.shapes import Mesh, icosphere, load_mesh, srgb_to_linear
from bozzetto.viewer import demo, demonstration, surface_demonstration
from bozzetto.viewer.demonstration import Lamps, photograph, take_photographs


@pytest.fixture
def small(monkeypatch):
    """The demo as a miniature: few views, few pixels, few steps, a ball for a bust."""
    sizes = {
        "VIEWS": 25,
        "HELD_OUT": 4,
        "WIDTH": 36,
        "HEIGHT": 48,
        "SAMPLES": 2000,
        "HULL_CELLS": 24,
        "FRAMES": 3,
    }
    for name, value in sizes.items():
        monkeypatch.setattr(demonstration, name, value)
    monkeypatch.setattr(surface_demonstration, "SIDE", 64)
    monkeypatch.setattr(demonstration, "SCHEDULE", (Stage(0.5, 2.0, 25), Stage(1.0, 2.0, 10)))
    ball = icosphere(3, 0.1)
    monkeypatch.setattr(
        demonstration, "bust", lambda: Mesh(ball.vertices, ball.faces, 0.3 + 3 * ball.vertices.abs())
    )


def test_light_is_not_clipped_and_not_a_spherical_harmonic_of_order_two():
    light = Lamps.random(3)
    normals = icosphere(3).vertices
    white = light.radiance(normals, torch.ones_like(normals))
    assert 0 < float(white.min()) and float(white.max()) < 1.1
    assert not torch.equal(light.directions, Lamps.random(4).directions)
    assert torch.equal(light.directions, Lamps.random(3).directions)


def test_photograph_has_the_radiance_of_the_surface_and_soft_outlines():
    ball = icosphere(4, 1.0)
    cameras = orbit_cameras(1, 0.0, distance=4.0, up=(0.0, 1.0, 0.0), size=64)
    light = Lamps.random(0)
    picture = photograph(ball, cameras, light)
    assert picture.shape == (64, 64, 4)
    soft = (picture[..., 3] > 0.05) & (picture[..., 3] < 0.95)
    assert 20 < int(soft.sum()) < 400
    towards = -cameras.forward[0].float()
    expected = light.radiance(towards[None], torch.ones(1, 3))[0]
    seen = srgb_to_linear(picture[31:33, 31:33, :3]).mean(dim=(0, 1))
    torch.testing.assert_close(seen, expected, atol=0.02, rtol=0)
    # Straight alpha: the colour at the outline is that of the surface, not darkened by what is behind it.
    assert srgb_to_linear(picture[soft][:, :3]).amax(dim=1).min() > 0.05


def test_photographs_are_a_capture_that_anyone_can_load(tmp_path, small):
    run = RunFolder.create(tmp_path / "run", {})
    capture = load_capture(take_photographs(icosphere(3, 0.1), Lamps.random(0), run))
    assert len(capture) == 29 and capture.cameras.width == 36
    assert capture.masks is not None
    share = capture.masks.mean(dim=(1, 2))
    assert 0.15 < float(share.min()) and float(share.max()) < 0.8
    assert float(share.max() - share.min()) < 0.02  # a ball in the middle looks alike from everywhere


def test_demo_writes_a_gallery_and_honest_figures(tmp_path, small):
    run = RunFolder.create(tmp_path / "out", {"verb": "demo"})
    figures = demo(run, quiet=True)
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count('class="view"') >= 5 and "http" not in page.split("<script>")[0].replace("data:", "")
    for name in ("mesh.ply", "mesh.glb", "subject.ply", "views.png", "comparison.png", "turntable.webp"):
        assert (tmp_path / "out" / "inverse" / name).stat().st_size > 0
    assert figures["mesh"]["watertight"] is True and figures["mesh"]["pieces"] == 1
    distance = {name: row["mean distance (mm)"] for name, row in figures["distances"].items()}
    assert distance["reconstruction"] < 0.75 * distance["sphere (start)"]
    assert distance["visual hull"] < 10
    assert json.dumps(figures)
    mesh = load_mesh(tmp_path / "out" / "inverse" / "mesh.ply")
    assert float(mesh.bounds.abs().max()) < 0.2  # in the frame and unit of the subject
    assert {"subject", "photographs", "reconstruct", "measure", "gallery"} <= run.stopwatch.seconds.keys()
