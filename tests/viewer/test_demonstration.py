import json
from functools import partial

import pytest
import torch

from bozzetto import InputError
from bozzetto.cameras.formats import PosedViews
from bozzetto.datasets.synthetic import PhonePhotos, phone_photos
from bozzetto.datasets.synthetic.furnished_room import TABLE, FurnishedRoom
from bozzetto.datasets.synthetic.room.panels import Finish, PartCollector
from bozzetto.datasets.synthetic.room.scene import joined_scene
from bozzetto.inverse import ReconstructConfig, Stage
from bozzetto.inverse import photo_source as mended_masks
from bozzetto.runs import RunFolder
from bozzetto.sdf import CompleteConfig
from bozzetto.shapes import Mesh, Similarity, icosphere, load_mesh
from bozzetto.viewer import demo, photo_demonstration
from bozzetto.viewer import demonstration as surface_demonstration
from bozzetto.viewer.photo_demonstration import find_cameras, with_cameras


def small_room(*_, **__) -> FurnishedRoom:
    """A red egg over a blue floor, evenly lit."""
    pieces = PartCollector()
    ball = icosphere(3, 0.2)
    egg = ball.vertices * torch.tensor([0.8, 1.1, 0.7]) + torch.tensor([0.0, 0.22, 0.0])
    red = torch.tensor([0.7, 0.1, 0.1]).expand_as(egg).contiguous()
    pieces.at(0, TABLE, 0).mesh(Mesh(egg, ball.faces, red), Finish(grain=0.1))
    blue = Finish(lambda *_: 0.3 * torch.tensor([0.5, 0.8, 2.0]).expand(2, 2, 3).numpy(), 1.0)
    pieces.panel((-9, 0, 9), (18, 0, 0), (0, 0, -18), blue)
    scene = joined_scene(pieces.all)
    return FurnishedRoom(
        scene.lit(torch.ones_like(scene.vertices)), Mesh(pieces.all[0].vertices, ball.faces, red)
    )


@pytest.fixture
def small(monkeypatch, coarse_completion):
    """The demo as a miniature: few photographs, few pixels, few steps, an egg for a bust."""
    sizes = {"PHOTOS": 9, "HELD_OUT": (3, 7), "WIDTH": 72, "HEIGHT": 54, "SAMPLES": 2000, "FRAMES": 3}
    for name, value in sizes.items():
        monkeypatch.setattr(photo_demonstration, name, value)
    monkeypatch.setattr(photo_demonstration, "furnished_room", small_room)
    monkeypatch.setattr(photo_demonstration, "find_spec", lambda name: None)
    for name, value in {"SIDE": 64, "RESOLUTION": 64, "SIZE": 64, "STEPS": 3}.items():
        monkeypatch.setattr(surface_demonstration, name, value)
    quick = partial(CompleteConfig, surface=400, space=400, turns=2)
    monkeypatch.setattr(surface_demonstration, "CompleteConfig", quick)
    rough = partial(ReconstructConfig, stages=(Stage(0.5, 2.0, 15),))
    monkeypatch.setattr(mended_masks, "ReconstructConfig", rough)
    monkeypatch.setattr(mended_masks, "TURNS", 1)
    monkeypatch.setattr(photo_demonstration, "SCHEDULE", (Stage(0.5, 2.0, 15), Stage(1.0, 2.0, 10)))


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> PhonePhotos:
    return phone_photos(tmp_path_factory.mktemp("phone"), 5, (48, 36), 0, small_room())


def test_demo_writes_a_gallery_and_honest_figures(tmp_path, small):
    run = RunFolder.create(tmp_path / "out", {"verb": "demo"})
    figures = demo(run, quiet=True)
    mesh = load_mesh(tmp_path / "out" / "inverse" / "mesh.ply")
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count('class="view"') >= 5 and "http" not in page.split("<script>")[0].replace("data:", "")
    assert "bozzetto[poses]" in page
    for name in ("mesh.ply", "mesh.glb", "subject.ply", "photos.jpg", "masks.jpg", "comparison.png"):
        assert (tmp_path / "out" / "inverse" / name).stat().st_size > 0
    assert len(list((tmp_path / "out" / "inverse" / "photos").glob("*.jpg"))) == 9
    assert figures["cameras"]["estimated from the photographs"] is False
    assert figures["cameras"]["direction, largest error (degrees)"] < 1e-4
    assert figures["masks"]["overlap (IoU, mean)"] > 0.8
    assert figures["mesh"]["watertight"] is True and figures["mesh"]["pieces"] == 1
    assert figures["distances"]["reconstruction"]["mean distance (mm)"] < 15
    assert json.dumps(figures)
    mesh = load_mesh(tmp_path / "out" / "inverse" / "mesh.ply")
    assert float((mesh.bounds - torch.tensor([[-0.16, TABLE, -0.14], [0.16, 1.19, 0.14]])).abs().max()) < 0.08
    stages = {"room", "photographs", "cameras", "masks", "reconstruct", "measure", "gallery"}
    assert stages <= run.stopwatch.seconds.keys()


def test_estimated_cameras_are_used_where_there_are_any(photos, tmp_path, monkeypatch):
    estimate = PosedViews(photos.views[:3], tmp_path)
    monkeypatch.setattr(photo_demonstration, "find_spec", lambda name: object())
    monkeypatch.setattr(photo_demonstration, "estimate_cameras", lambda *_: estimate)
    found = find_cameras(photos, tmp_path, 0)
    assert found.posed is estimate and not found.why_true


def test_true_cameras_and_no_masks_are_used_where_none_are_found(photos, tmp_path, monkeypatch):
    def refuse(*_):
        raise InputError("only 2 of 5 were placed")

    monkeypatch.setattr(photo_demonstration, "find_spec", lambda name: object())
    monkeypatch.setattr(photo_demonstration, "estimate_cameras", refuse)
    found = find_cameras(photos, tmp_path, 0)
    assert "only 2 of 5" in found.why_true
    assert [v.T_cam_world for v in found.posed.views] == [v.T_cam_world for v in photos.views]
    assert all(view.mask is None for view in found.posed.views)


def test_drawn_cameras_stand_where_they_are_and_open_towards_what_they_see(photos):
    move = Similarity(2.0, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    ball = icosphere(1)
    drawn = with_cameras(ball, photos.posed, move, 0.1)
    assert len(drawn.vertices) == len(ball.vertices) + 5 * len(photos.views)
    pyramid = drawn.vertices[-5:].double()
    T = photos.views[-1].T_cam_world
    centre = move.apply((-T[:3, :3].T @ T[:3, 3])[None])[0]
    torch.testing.assert_close(pyramid[0], centre, atol=1e-6, rtol=0)
    axis = pyramid[1:].mean(dim=0) - centre
    assert float(axis.norm()) == pytest.approx(0.1, rel=0.2)
    assert float(torch.nn.functional.cosine_similarity(axis, T[2, :3], dim=0)) > 0.99
