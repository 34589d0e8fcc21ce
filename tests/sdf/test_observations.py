import math

import numpy as np
import pytest
import torch

from bozzetto.cameras import Cameras, intrinsics_from_fov, look_at
from bozzetto.errors import InputError
from bozzetto.sdf import load_scan, observe_depth, observe_mesh, observe_points
from bozzetto.sdf.observations import local_planes
from bozzetto.shapes import Mesh, PointCloud, Similarity, icosphere, save_mesh, save_points
from bozzetto.shapes.similarity import rotation_about

BALL = icosphere(4)


def camera(size: int = 64) -> Cameras:
    K = intrinsics_from_fov(math.radians(50), size, size)[None]
    return Cameras(look_at((0, 0, 4), (0, 0, 0), (0, 1, 0)), K, size, size)


def depth_of_the_ball(view: Cameras) -> torch.Tensor:
    origin, ray = view.rays()
    b = (origin * ray).sum(-1)
    inside = b * b - (origin.square().sum(-1) - 1)
    along = -b - inside.clamp_min(0).sqrt()
    return torch.where(inside > 0, along * (ray @ view.forward[0]), torch.inf)[0].float()


def test_a_depth_map_gives_points_normals_and_empty_space():
    view = camera()
    depth = depth_of_the_ball(view)
    depth[:3] = 0  # rows where nothing is known
    seen = observe_depth(depth, view)
    assert torch.allclose(seen.points.norm(dim=1), torch.ones(len(seen.points)), atol=1e-4)
    middle = seen.points[:, 2] > 0.5
    cosine = (seen.normals * seen.points).sum(dim=1)
    assert float(cosine[middle].min()) > 0.95 and float(cosine.min()) > -0.2
    assert len(seen.empty_from) == int((depth > 0).sum())
    assert torch.allclose(seen.empty_from, torch.tensor([0.0, 0, 4]).expand_as(seen.empty_from), atol=1e-5)
    rays = seen.empty_to - seen.empty_from
    share = torch.linspace(0, 0.999, 50)[:, None, None]
    assert float((seen.empty_from + share * rays).norm(dim=-1).min()) > 1 - 1e-3


def test_a_viewpoint_orients_normals_and_gives_empty_space():
    points = BALL.vertices[BALL.vertices[:, 2] > 0.3]
    seen = observe_points(PointCloud(points), viewpoint=torch.tensor([0.0, 0.0, 5.0]))
    assert float((seen.normals * points).sum(dim=1).min()) > 0.9
    assert torch.equal(seen.empty_to, points)
    assert observe_points(PointCloud(points)).normals is None
    own = observe_points(PointCloud(points, 3 * points))
    assert torch.allclose(own.normals, points, atol=1e-5) and own.empty_from is None


def test_noise_is_estimated_from_planes():
    generator = torch.Generator().manual_seed(0)
    flat = torch.rand(2000, 3, generator=generator) * torch.tensor([1.0, 1.0, 0.0])
    for noise in (0.002, 0.005):
        rough = flat + noise * torch.randn(2000, 3, generator=generator) * torch.tensor([0.0, 0.0, 1.0])
        assert observe_points(PointCloud(rough)).noise == pytest.approx(noise, rel=0.2)
    normals, spread = local_planes(flat)
    assert torch.allclose(normals[:, 2].abs(), torch.ones(2000)) and float(spread.max()) < 1e-6


def test_a_mesh_is_sampled_with_its_normals():
    seen = observe_mesh(Mesh(BALL.vertices, BALL.faces[:1000]), 500)
    assert len(seen.points) == 500
    assert float((seen.normals * seen.points).sum(dim=1).min()) > 0.98


def test_observations_move_with_a_similarity():
    points = BALL.vertices[:200]
    seen = observe_points(PointCloud(points, points), noise=0.01, viewpoint=torch.tensor([0.0, 0, 5]))
    move = Similarity(3.0, torch.tensor([1.0, 2.0, 3.0]).double(), rotation_about((1, 1, 0), 1.0))
    there = seen.moved(move)
    assert torch.allclose(there.points, move.apply(points), atol=1e-5)
    assert torch.allclose(there.normals * 3, there.points - move.translation.float(), atol=1e-5)
    assert there.noise == pytest.approx(0.03)
    assert torch.allclose(there.empty_to, there.points, atol=1e-5)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (torch.zeros(0, 3), "empty"),
        (torch.zeros(1, 3), "has 1 points"),
        (torch.ones(50, 3), "coincide"),
        (torch.cat([BALL.vertices, torch.tensor([[0.0, torch.nan, 0.0]])]), "1 points with NaN"),
    ],
)
def test_clouds_that_say_nothing_are_refused(points, message):
    with pytest.raises(InputError, match=message):
        observe_points(PointCloud(points))


def test_other_bad_input_is_refused():
    with pytest.raises(InputError, match="noise must be"):
        observe_points(PointCloud(BALL.vertices), noise=-1.0)
    with pytest.raises(InputError, match="one camera with the size"):
        observe_depth(torch.ones(5, 5), camera())
    with pytest.raises(InputError, match="has 0 points"):
        observe_depth(torch.zeros(64, 64), camera())
    with pytest.raises(InputError, match="0 faces"):
        observe_mesh(Mesh(BALL.vertices, BALL.faces[:0]))


SCANNED_BALL = icosphere(3)


def test_clouds_and_meshes_are_told_apart(tmp_path):
    save_points(PointCloud(SCANNED_BALL.vertices, SCANNED_BALL.vertices), tmp_path / "points.ply")
    save_mesh(Mesh(SCANNED_BALL.vertices, SCANNED_BALL.faces[:600]), tmp_path / "mesh.ply")
    assert len(load_scan(tmp_path / "points.ply").points) == len(SCANNED_BALL.vertices)
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
