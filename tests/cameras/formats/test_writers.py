import math
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bozzetto import InputError
from bozzetto.cameras import Cameras, ScenePoints, load_capture, orbit_cameras
from bozzetto.cameras.distortion import Lens
from bozzetto.cameras.formats import PosedViews, View, read_cameras, save_colmap, save_transforms
from bozzetto.cameras.formats.colmap import quaternion
from bozzetto.cameras.formats.colmap_model import rotation_from_quaternion

LENSES = {
    "pinhole": None,
    "radial": Lens(radial=(0.1, -0.05)),
    "brown": Lens(radial=(0.1, -0.05, 0.01), tangential=(0.003, -0.002)),
    "k4": Lens(radial=(0.1, -0.05, 0.01, 0.02), tangential=(0.003, -0.002)),
    "rational": Lens(radial=(0.1, 0, 0.01), denominator=(0.2, -0.1, 0.05)),
    "fisheye": Lens("equidistant", radial=(0.1, -0.05, 0.01, 0.02)),
    "prism": Lens("equidistant", radial=(0.1,), tangential=(0.003, -0.002), prism=(0.01, 0, 0.02, 0)),
    "aria": Lens("equidistant", radial=(0.1,) * 6, prism=(0.01, 0.02, 0.03, 0.04), in_turn=True),
    "fov": Lens("fov", (0.7,)),
    "division": Lens("division", (-0.2,)),
    "unified": Lens("unified", (0.6, 1.1)),
}
NOT_IN_TRANSFORMS = {"rational", "prism", "aria", "fov", "division", "unified"}
NOT_IN_COLMAP = {"k4"}


def posed(scene, folder, lens=None, skew=0.0, points=None):
    scene.pictures(folder / "images")
    views = []
    for name, R, C in zip(scene.names, scene.R, scene.C, strict=True):
        T = torch.eye(4, dtype=torch.float64)
        T[:3, :3] = torch.from_numpy(R)
        T[:3, 3] = -torch.from_numpy(R @ C)
        K = torch.from_numpy(scene.K)
        K[0, 1] = skew
        views.append(View(name, folder / "images" / name, T, K, size=scene.size, lens=lens))
    return PosedViews(tuple(views), folder / "somewhere", points)


def same_pixels(a, b):
    points = torch.rand(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5

    def pixels(view):
        local = points @ view.T_cam_world[:3, :3].T + view.T_cam_world[:3, 3]
        plane = local[:, :2] / local[:, 2:]
        plane = plane if view.lens is None else view.lens.distort(plane)
        return plane @ view.K[:2, :2].T + view.K[:2, 2]

    for u, v in zip(a.views, b.views, strict=True):
        assert (u.name, u.image.resolve(), u.size) == (v.name, v.image.resolve(), v.size)
        assert (pixels(u) - pixels(v)).abs().max() < 1e-6


@pytest.mark.parametrize("lens", sorted(set(LENSES) - NOT_IN_TRANSFORMS))
def test_transforms_json_loses_nothing(tmp_path, scene, lens):
    made = posed(scene(f=(70.0, 72.0)), tmp_path, LENSES[lens], skew=0.4)
    save_transforms(made, tmp_path / "out" / "transforms.json")
    same_pixels(made, read_cameras(tmp_path / "out"))


@pytest.mark.parametrize("lens", sorted(set(LENSES) - NOT_IN_COLMAP))
def test_colmap_models_lose_nothing(tmp_path, scene, lens):
    made = posed(scene(f=(70.0, 72.0)), tmp_path, LENSES[lens])
    save_colmap(made, tmp_path / "sparse" / "0")
    same_pixels(made, read_cameras(tmp_path))
    lines = (tmp_path / "sparse" / "0" / "cameras.txt").read_text().splitlines()
    assert len(lines) == 2  # a comment, and one camera that all share


@pytest.mark.parametrize("lens", sorted(NOT_IN_TRANSFORMS))
def test_lenses_that_transforms_json_cannot_hold_are_refused(tmp_path, scene, lens):
    with pytest.raises(InputError, match="cannot hold the lens of images/000.png"):
        save_transforms(posed(scene(), tmp_path, LENSES[lens]), tmp_path / "transforms.json")
    assert not (tmp_path / "transforms.json").exists()


def test_what_colmap_cannot_hold_is_refused(tmp_path, scene):
    with pytest.raises(InputError, match="no model for the lens of 000.png .perspective, k1, k2, k3, k4"):
        save_colmap(posed(scene(), tmp_path, LENSES["k4"]), tmp_path)
    with pytest.raises(InputError, match="no cameras with skew"):
        save_colmap(posed(scene(), tmp_path, skew=0.1), tmp_path)
    with pytest.raises(InputError, match="no orthographic"):
        save_colmap(orbit_cameras(3, extent=2.0), tmp_path)


def test_points_keep_who_saw_them(tmp_path, scene):
    positions = torch.tensor([[0.1, 0.2, 0.3], [0, 0.1, -0.2], [1 / 3, 0, 0]], dtype=torch.float64)
    seen = torch.tensor([[True, True, False], [False, True, True], [True, True, True]])
    made = posed(scene(), tmp_path, LENSES["radial"], points=ScenePoints(positions, seen))
    save_colmap(made, tmp_path / "sparse" / "0")
    points = read_cameras(tmp_path).points
    assert torch.equal(points.positions, positions) and torch.equal(points.visible, seen)
    save_transforms(made, tmp_path / "transforms.json")
    assert (read_cameras(tmp_path).points.positions - positions).abs().max() < 1e-7


def test_image_points_lie_where_the_cameras_say(tmp_path, scene):
    made = scene(k=(0.1, -0.05))
    points = ScenePoints(torch.from_numpy(made.points), torch.ones(4, 3, dtype=torch.bool))
    save_colmap(posed(made, tmp_path, Lens(radial=made.k), points=points), tmp_path)
    lines = [line for line in (tmp_path / "images.txt").read_text().splitlines() if line[0] != "#"]
    for view, line in enumerate(lines[1::2]):
        written = torch.tensor([float(field) for field in line.split()]).double().reshape(-1, 3)
        assert (written[:, :2] - torch.from_numpy(made.pixels(view))).abs().max() < 1e-4
        assert written[:, 2].tolist() == [1, 2, 3, 4]


def test_captures_are_written_as_their_cameras(tmp_path, scene):
    made = posed(scene(), tmp_path)
    save_transforms(made, tmp_path / "transforms.json")
    capture = load_capture(tmp_path, masks="none")
    save_colmap(capture, tmp_path / "images" / "sparse")
    again = read_cameras(tmp_path / "images" / "sparse")
    same_pixels(made, replace(again, views=again.views))


def test_pictures_of_unknown_size_are_looked_at(tmp_path, scene):
    made = posed(scene(), tmp_path)
    half = math.pi / 4
    views = [replace(view, K=None, fov=(2 * half, None), size=None) for view in made.views]
    save_transforms(replace(made, views=tuple(views)), tmp_path / "transforms.json")
    view = read_cameras(tmp_path).views[0]
    assert view.size == (64, 48)
    assert torch.allclose(view.K, torch.tensor([[32.0, 0, 32], [0, 32, 24], [0, 0, 1]]).double())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: sum(v * v for v in q) > 1e-3))
def test_quaternions_and_rotations_are_each_other(q):
    rotation = rotation_from_quaternion(q)
    assert (rotation_from_quaternion(quaternion(rotation).tolist()) - rotation).abs().max() < 1e-12
    assert torch.linalg.det(rotation) == pytest.approx(1)


def test_half_turns_have_quaternions():
    for diagonal in ([1.0, -1, -1], [-1.0, 1, -1], [-1.0, -1, 1], [1.0, 1, 1]):
        rotation = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
        assert torch.equal(rotation_from_quaternion(quaternion(rotation).tolist()), rotation)


def test_cameras_alone_get_names(tmp_path):
    cameras = orbit_cameras(3, size=(40, 30))
    save_colmap(cameras, tmp_path)
    assert isinstance(cameras, Cameras)
    assert [line.split()[-1] for line in (tmp_path / "images.txt").read_text().splitlines()[2::2]] == [
        "0000.png",
        "0001.png",
        "0002.png",
    ]
