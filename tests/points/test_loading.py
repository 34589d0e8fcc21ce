import numpy as np
import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.points import LEAST_POINTS, load_scans, load_solid_cloud
from bozzetto.shapes import PointCloud, icosphere, save_mesh, save_points


def test_clouds_of_arrays_and_files(tmp_path):
    ball = icosphere(2)
    save_points(PointCloud(ball.vertices, ball.vertices), tmp_path / "ball.ply")
    np.save(tmp_path / "ball.npy", ball.vertices.double().numpy() + 5e6)
    save_mesh(ball, tmp_path / "mesh.ply")
    found = load_solid_cloud(tmp_path / "ball.ply")
    assert torch.equal(found.points, ball.vertices) and found.normals is not None
    far = load_solid_cloud(tmp_path / "ball.npy")
    assert torch.allclose(far.world_points - 5e6, ball.vertices.double(), atol=1e-6)
    assert torch.equal(load_solid_cloud(tmp_path / "mesh.ply").points, ball.vertices)
    assert torch.equal(load_scans(tmp_path / "ball.ply").points, ball.vertices)


@pytest.mark.parametrize(
    "array, sentence",
    [
        (np.zeros((20, 2)), "2D"),
        (np.zeros((20, 3)), "equal"),
        (np.eye(3), f"has 3 points; {LEAST_POINTS} or more"),
        (np.zeros((0, 3)), "empty"),
    ],
)
def test_what_describes_no_surface(array, sentence, tmp_path):
    np.save(tmp_path / "cloud.npy", array)
    with pytest.raises(InputError, match=sentence):
        load_solid_cloud(tmp_path / "cloud.npy")


def test_poses_need_the_folder_of_the_scans(tmp_path):
    with pytest.raises(InputError, match="must be the folder of the scans"):
        load_scans(tmp_path / "scan.ply", tmp_path / "poses.conf")
