import math
import os
import signal
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import trimesh

from bozzetto.cameras import Cameras, Capture, fibonacci_cameras, orbit_cameras
from bozzetto.errors import Interrupted
from bozzetto.geometry.measures import face_areas
from bozzetto.inverse import reconstruct_photographs
from bozzetto.inverse import run as photographs
from bozzetto.inverse.config import ReconstructConfig, Stage
from bozzetto.inverse.run import mean_up
from bozzetto.rendering import render
from bozzetto.runs import RunFolder
from bozzetto.shapes import Mesh, load_mesh, torus

# Without xatlas the mesh has no texture, and a note says so.
pytestmark = pytest.mark.filterwarnings("ignore:mesh.glb has")

CONFIG = ReconstructConfig(
    hull_resolution=24,
    stages=(Stage(scale=0.5, edge_pixels=1.5, steps=4), Stage(scale=1.0, edge_pixels=2.0, steps=4)),
    step_size=0.05,  # of edges that are large for the ring, in few steps
    views_per_step=3,
)


@pytest.fixture(scope="module")
def capture() -> Capture:
    """A torus of a centimetre, far from the origin, from eight sides."""
    ring = torus(1.0, 0.4, 48, 24)
    mesh = Mesh(ring.vertices * 0.01 + 5, ring.faces, torch.full_like(ring.vertices, 0.7))
    cameras = fibonacci_cameras(8, distance=0.05, target=(5.0, 5.0, 5.0), size=48)
    light = torch.zeros(9, 3)
    light[0], light[2] = 2.0, 0.6
    pictures = render(mesh, cameras, light)
    known = torch.ones(8, 48, 48, dtype=torch.bool)
    names = tuple(f"photos/{i}.png" for i in range(8))
    return Capture(names, cameras, pictures[..., :3], pictures[..., 3], known)


class Killed(Exception):
    pass


def reconstruct_until(
    run: RunFolder, capture: Capture, last_step: int | None = None, pictures: bool = False
) -> dict:
    """Reconstruct, checkpoint after every step, and break off after one of them."""
    log = RunFolder.log

    def log_or_die(self, step, **values):
        if last_step is not None and step > last_step:
            raise Killed
        log(self, step, **values)

    used, held_out = capture.split([3])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photographs, "CHECKPOINT_SECONDS", -1.0)
        patch.setattr(RunFolder, "log", log_or_die)
        spin = partial(photographs.turntable, frames=4, size=64) if pictures else lambda *_, **__: None
        patch.setattr(photographs, "turntable", spin)
        return reconstruct_photographs(run, used, CONFIG, held_out, quiet=True)[0]


@pytest.fixture(scope="module")
def straight(capture, tmp_path_factory) -> tuple[RunFolder, dict]:
    """A run that nobody interrupted, and its figures."""
    run = RunFolder.create(tmp_path_factory.mktemp("straight"), CONFIG)
    return run, reconstruct_until(run, capture, pictures=True)


def test_a_run_writes_what_it_promises(straight):
    run, figures = straight
    mesh = load_mesh(run.path / "mesh.ply")
    assert mesh.colors is not None
    delivered = trimesh.load(run.path / "mesh.glb", force="mesh")  # upright, on the ground, in the same unit
    assert len(delivered.faces) == len(mesh.faces)
    assert np.isclose(delivered.area, float(face_areas(mesh.vertices, mesh.faces).sum()), rtol=1e-4)
    low, high = delivered.bounds
    assert np.allclose([low[1], low[0] + high[0], low[2] + high[2]], 0, atol=1e-5)
    assert (mesh.world_vertices.mean(dim=0) - 5).abs().max() < 0.002  # in the frame of the cameras
    renders = {p.name for p in (run.path / "renders").iterdir()}
    assert renders == {"turntable.webp", "learned.png", "held-out.png", "views.png"}
    assert [line["step"] for line in run.metrics()] == list(range(1, 9))
    assert figures["held_out"]["silhouette_iou"][0] > 0.8


@pytest.mark.parametrize("last_step", [2, 6])
def test_a_killed_run_resumes_to_the_same_result(tmp_path, capture, straight, last_step):
    broken = RunFolder.create(tmp_path / "broken", CONFIG)
    with pytest.raises(Killed):
        reconstruct_until(broken, capture, last_step)
    resumed = RunFolder.create(tmp_path / "broken", CONFIG, resume=True)
    reconstruct_until(resumed, capture)
    a, b = load_mesh(straight[0].path / "mesh.ply"), load_mesh(resumed.path / "mesh.ply")
    assert torch.equal(a.faces, b.faces)
    assert torch.allclose(a.vertices, b.vertices, rtol=0, atol=1e-6)
    assert [line["step"] for line in resumed.metrics()] == list(range(1, 9))


def test_a_signal_waits_for_a_checkpoint(tmp_path, capture, monkeypatch):
    log = RunFolder.log

    def log_and_signal(self, step, **values):
        log(self, step, **values)
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(RunFolder, "log", log_and_signal)
    before, run = signal.getsignal(signal.SIGTERM), RunFolder.create(tmp_path / "a", CONFIG)
    with pytest.raises(Interrupted, match="stopped after step 2, a checkpoint is written") as error:
        reconstruct_photographs(run, capture, CONFIG, quiet=True)
    assert error.value.exit_code == 143 and signal.getsignal(signal.SIGTERM) == before
    saved = run.load_checkpoint()
    assert saved is not None and saved[0] == 2


def test_known_light_stays(tmp_path, capture, monkeypatch):
    monkeypatch.setattr(photographs, "turntable", lambda *arguments, **options: None)
    light = torch.zeros(9, 3)
    light[0], light[2] = 2.0, 0.6
    run = RunFolder.create(tmp_path / "a", CONFIG)
    quick = replace(CONFIG, stages=CONFIG.stages[:1])
    reconstruct_photographs(run, capture, quick, light=light, quiet=True)
    assert np.array_equal(np.load(run.path / "light.npy"), light.numpy())


@pytest.mark.parametrize("up", [(0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (0.6, 0.0, 0.8)])
def test_up_is_found(up):
    cameras = orbit_cameras(12, 0.3, up=up)
    assert mean_up(cameras).tolist() == pytest.approx(up, abs=1e-6)


def test_up_is_found_when_pictures_are_turned():
    """A ring of which the smaller part is upside down, and one of pictures lying on their sides."""
    cameras = orbit_cameras(12, 0.0)
    for turned, angle in ((5, math.pi), (12, math.pi / 2)):
        roll = torch.eye(4, dtype=torch.float64)
        roll[:2, :2] = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        T = cameras.T_cam_world.clone()
        T[:turned] = roll @ T[:turned]
        found = mean_up(Cameras(T, cameras.K, cameras.width, cameras.height))
        assert abs(float(found[2])) == pytest.approx(1, abs=1e-6)
        if angle == math.pi:
            assert float(found[2]) > 0
