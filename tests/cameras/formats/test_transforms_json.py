import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bozzetto import InputError
from bozzetto.cameras import fibonacci_cameras, orbit_cameras, save_transforms
from bozzetto.cameras.distortion import Lens
from bozzetto.cameras.formats.transforms_json import read_transforms
from bozzetto.errors import InputWarning

EYE = np.eye(4).tolist()


def write(tmp_path, data):
    path = tmp_path / "transforms.json"
    path.write_text(json.dumps(data))
    return path


def test_round_trip_moves_no_point(tmp_path):
    cameras = fibonacci_cameras(7, distance=3.3, target=(10, -20, 5), size=(640, 480))
    K = cameras.K + torch.rand(7, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * (
        torch.tensor([[9.0, 0, 9], [0, 9, 9], [0, 0, 0]])
    )
    cameras = replace(cameras, K=K)
    names = [f"images/{i}.png" for i in range(7)]
    save_transforms(cameras, tmp_path / "transforms.json", names)
    views = read_transforms(tmp_path / "transforms.json").views
    again = replace(
        cameras, T_cam_world=torch.stack([v.T_cam_world for v in views]), K=torch.stack([v.K for v in views])
    )
    points = torch.randn(30, 3, dtype=torch.float64) + torch.tensor([10.0, -20, 5])
    assert (again.project(points) - cameras.project(points)).abs().max() < 1e-6
    assert [v.name for v in views] == [f"{i}.png" for i in range(7)]
    assert views[0].size == (640, 480)


def test_blender_camera_sees_up_as_up(tmp_path):
    """A camera at (0, 0, 4) with Blender's identity pose looks down -Z with +Y up in the picture."""
    pose = np.eye(4)
    pose[2, 3] = 4
    frames = [{"file_path": "./r_0", "transform_matrix": pose.tolist()}]
    view = read_transforms(write(tmp_path, {"camera_angle_x": 0.7, "frames": frames})).views[0]
    above = view.T_cam_world @ torch.tensor([0.0, 1, 0, 1], dtype=torch.float64)
    aside = view.T_cam_world @ torch.tensor([1.0, 0, 0, 1], dtype=torch.float64)
    assert above[:3].tolist() == [0, -1, 4] and aside[:3].tolist() == [1, 0, 4]
    assert view.fov == (0.7, None) and view.K is None
    assert view.image.name == "r_0"  # the name in the file where there is no picture


def test_instant_ngp_and_nerfstudio_intrinsics(tmp_path):
    data = {
        "fl_x": 100.0,
        "fl_y": 110.0,
        "cx": 31.0,
        "cy": 23.0,
        "w": 64,
        "h": 48,
        "k1": 0.1,
        "p2": 0.01,
        "aabb_scale": 16,
        "applied_transform": [[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0]],
        "ply_file_path": "cloud.ply",
        "camera_model": "OPENCV",
        "frames": [
            {"file_path": "images\\a.jpg", "transform_matrix": EYE, "mask_path": "masks/a.png"},
            {"file_path": "images/b.jpg", "transform_matrix": EYE[:3], "fl_x": 200.0, "w": 32, "k1": 0.0},
        ],
    }
    a, b = read_transforms(write(tmp_path, data)).views
    assert a.K.tolist() == [[100, 0, 31], [0, 110, 23], [0, 0, 1]] and b.K[0, 0] == 200
    assert a.lens == Lens(radial=(0.1, 0, 0, 0), tangential=(0, 0.01)) and b.lens == Lens(
        tangential=(0, 0.01)
    )
    assert a.size == (64, 48) and b.size == (32, 48)
    assert a.image == tmp_path / "images/a.jpg" and a.mask == tmp_path / "masks/a.png" and b.mask is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": []}, "no cameras"),
        ({"frames": 3}, "no list of frames"),
        ({"camera_model": "EQUIRECTANGULAR"}, "EQUIRECTANGULAR"),
        ({"is_fisheye": True}, "fisheye without fl_x"),
        ({"camera_angle_x": 4.0}, "0 to pi"),
        ({"camera_angle_x": "wide"}, "expected a finite number"),
        ({"camera_angle_x": None}, "focal length"),
        ({"fl_x": float("nan")}, "fl_x of a is nan"),
        ({"frames": [{"transform_matrix": EYE}]}, "file_path"),
        ({"frames": [{"file_path": "a", "transform_matrix": [[1.0]]}]}, "shape"),
        ({"frames": [{"file_path": "a"}]}, "shape"),
        ({"frames": [{"file_path": "a", "transform_matrix": EYE}] * 2}, "2 cameras"),
    ],
)
def test_bad_files_are_refused(tmp_path, changes, message):
    data = {"camera_angle_x": 0.7, "frames": [{"file_path": "a", "transform_matrix": EYE}], **changes}
    with pytest.raises(InputError, match=message):
        read_transforms(write(tmp_path, data))


def test_missing_focal_length_and_broken_json_are_refused(tmp_path):
    with pytest.raises(InputError, match="focal length"):
        read_transforms(write(tmp_path, {"frames": [{"file_path": "a", "transform_matrix": EYE}]}))
    (tmp_path / "transforms.json").write_text("{")
    with pytest.raises(InputError, match="no JSON file"):
        read_transforms(tmp_path / "transforms.json")
    with pytest.raises(InputError, match="cannot read"):
        read_transforms(tmp_path / "other.json")


def test_same_name_in_two_folders_stays_apart(tmp_path):
    frames = [{"file_path": f"{f}/a.png", "transform_matrix": EYE} for f in ("left", "right")]
    views = read_transforms(write(tmp_path, {"camera_angle_x": math.pi / 3, "frames": frames})).views
    assert [v.name for v in views] == ["left/a.png", "right/a.png"]


def test_cameras_that_the_format_cannot_hold_are_refused(tmp_path):
    with pytest.raises(InputError, match="orthographic"):
        save_transforms(orbit_cameras(3, extent=2.0), tmp_path / "transforms.json")


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.floats(), max_size=5),
    st.dictionaries(st.text(max_size=3), st.floats(), max_size=2),
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_the_file_is_read_or_refused(tmp_path, data):
    """Values of a good file are exchanged for anything; what is read is finite and of the right shape."""
    keys = ("fl_x", "fl_y", "cx", "cy", "w", "h", "k1", "p2", "camera_angle_x", "camera_model", "frames")
    content = {"fl_x": 50.0, "w": 32, "h": 24, "frames": [{"file_path": "a", "transform_matrix": EYE}]}
    frame = content["frames"][0]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(("file", "frame", "matrix", "row", "entry")))
        matrix = frame.get("transform_matrix")
        if place == "file":
            content[data.draw(st.sampled_from(keys))] = data.draw(JUNK)
        elif place == "frame":
            key = data.draw(st.sampled_from((*keys, "file_path", "transform_matrix", "mask_path")))
            frame[key] = data.draw(JUNK)
        elif isinstance(matrix, list) and len(matrix) == 4:
            rows = [list(row) if isinstance(row, list) else row for row in matrix]
            if place == "matrix":
                rows = rows[: data.draw(st.integers(0, 4))]
            elif place == "row" or not isinstance(rows[1], list) or len(rows[1]) < 3:
                rows[1] = data.draw(JUNK)
            else:
                rows[1][2] = data.draw(JUNK)
            frame["transform_matrix"] = rows
    try:
        text = json.dumps(content)
    except ValueError:  # Python writes no integers of more than 4300 digits
        return
    (tmp_path / "transforms.json").write_text(text)
    try:
        (view,) = read_transforms(tmp_path / "transforms.json").views
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 500
        return
    assert bool(torch.isfinite(view.T_cam_world).all())
    assert view.size is None or min(view.size) > 0


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"frames": ' + "[" * 100_000, '{"w": ' + "9" * 10_000 + "}", "[1, 2]", '"frames"'],
)
def test_deep_and_long_files_are_refused(tmp_path, text):
    (tmp_path / "transforms.json").write_text(text)
    with pytest.raises(InputError, match="transforms.json"):
        read_transforms(tmp_path / "transforms.json")


def test_rounded_poses_are_mended_and_said(tmp_path):
    cameras = fibonacci_cameras(5, distance=3.0)
    save_transforms(cameras, tmp_path / "transforms.json", list("abcde"))
    data = json.loads((tmp_path / "transforms.json").read_text())
    for frame in data["frames"]:
        frame["transform_matrix"] = np.round(frame["transform_matrix"], 2).tolist()
    with pytest.warns(InputWarning, match="poses are rounded"):
        views = read_transforms(write(tmp_path, data)).views
    T = torch.stack([view.T_cam_world for view in views])
    assert (T[:, :3, :3] @ T[:, :3, :3].mT - torch.eye(3)).abs().max() < 1e-9
    assert (T - cameras.T_cam_world).abs().max() < 0.03
