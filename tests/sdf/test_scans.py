import numpy as np
import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.sdf import load_scan
from bozzetto.shapes import Mesh, PointCloud, icosphere, save_mesh, save_points

BALL = icosphere(3)


def test_clouds_and_meshes_are_told_apart(tmp_path):
    save_points(PointCloud(BALL.vertices, BALL.vertices), tmp_path / "points.ply")
    save_mesh(Mesh(BALL.vertices, BALL.faces[:600]), tmp_path / "mesh.ply")
    assert len(load_scan(tmp_path / "points.ply").points) == len(BALL.vertices)
    assert len(load_scan(tmp_path / "mesh.ply").points) == 6000
    seen = load_scan(tmp_path / "points.ply", 0.1, torch.tensor([0.0, 0.0, 4.0]))
    assert seen.noise == 0.1 and seen.empty_from is not None


def test_a_depth_map_comes_with_its_camera(tmp_path):
    depth, K = np.full((20, 30), 2.0, np.float32), np.array([[30, 0, 15], [0, 30, 10], [0, 0, 1.0]])
    depth[:, :5] = np.inf
    np.savez(tmp_path / "view.npz", depth=depth, K=K)
    seen = load_scan(tmp_path / "view.npz")
    assert len(seen.points) == 500 and torch.allclose(seen.points[:, 2], torch.tensor(2.0))
    assert len(seen.empty_from) == 600
    np.savez(tmp_path / "lacking.npz", depth=depth)
    with pytest.raises(InputError, match="needs depth"):
        load_scan(tmp_path / "lacking.npz")
    np.savez(tmp_path / "bent.npz", depth=depth, K=K, T_cam_world=2 * np.eye(4))
    with pytest.raises(InputError, match="no rotation"):
        load_scan(tmp_path / "bent.npz")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", "3 points"),
        ("a.xyz", b"", "empty"),
        ("a.xyz", b"1 2 3\n", "1 points"),
        ("a.xyz", b"nan 2 3\n" * 20, "NaN"),
        ("a.npz", b"nonsense", "cannot be read"),
        ("a.doc", b"1 2 3\n", "unknown ending"),
    ],
)
def test_files_that_say_nothing_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_scan(tmp_path / name)
