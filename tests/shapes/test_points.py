"""Tests of shapes.points."""

import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.shapes import Mesh, PointCloud, grid, icosphere, sample_surface


def test_check_returns_the_cloud():
    cloud = PointCloud(torch.eye(3), torch.eye(3))
    assert cloud.check() is cloud
    assert len(cloud) == 3
    assert cloud.bounds.tolist() == [[0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize(
    ("cloud", "message"),
    [
        (PointCloud(torch.zeros(0, 3)), "scan is empty"),
        (PointCloud(torch.full((2, 3), torch.nan)), "2 points with NaN or infinite coordinates"),
        (PointCloud(torch.zeros(2, 3), torch.full((2, 3), torch.inf)), "normals"),
    ],
)
def test_check_says_what_is_wrong(cloud, message):
    with pytest.raises(InputError, match=message):
        cloud.check("scan")


def test_points_lie_on_their_faces():
    mesh = icosphere(2)
    points, face = sample_surface(mesh, 500, torch.Generator().manual_seed(1))
    corners = mesh.corners()[face]
    weights = torch.linalg.solve(corners.transpose(1, 2).double(), points.double())
    assert bool((weights > -1e-5).all())
    assert torch.allclose(weights.sum(dim=1), torch.ones(500, dtype=torch.float64), atol=1e-5)


def test_density_is_uniform_whatever_the_triangulation():
    """Second moments of the unit square are 1/12 although one half of it has far more triangles."""
    coarse, fine = grid(1, 1), grid(40, 40)
    left = Mesh(coarse.vertices * torch.tensor([0.5, 1, 1]) - torch.tensor([0.25, 0, 0]), coarse.faces)
    right = Mesh(fine.vertices * torch.tensor([0.5, 1, 1]) + torch.tensor([0.25, 0, 0]), fine.faces)
    both = Mesh(
        torch.cat([left.vertices, right.vertices]), torch.cat([left.faces, right.faces + len(left.vertices)])
    )
    points, _ = sample_surface(both, 40000, torch.Generator().manual_seed(2))
    assert points.mean(dim=0).tolist() == pytest.approx([0, 0, 0], abs=0.006)
    assert (points[:, :2] ** 2).mean(dim=0).tolist() == pytest.approx([1 / 12, 1 / 12], abs=0.002)


def test_zero_area_faces_get_no_points_and_seeds_repeat():
    mesh = grid(1, 1)
    faces = torch.cat([torch.tensor([[0, 0, 1]]), mesh.faces, torch.tensor([[1, 1, 1]])])
    mesh = Mesh(mesh.vertices, faces)
    points, face = sample_surface(mesh, 200, torch.Generator().manual_seed(3))
    assert set(face.tolist()) == {1, 2}
    assert torch.equal(points, sample_surface(mesh, 200, torch.Generator().manual_seed(3))[0])


def test_gradient_reaches_the_vertices():
    mesh = grid(2, 2)
    vertices = mesh.vertices.clone().requires_grad_()
    points, _ = sample_surface(mesh.with_vertices(vertices), 100)
    points.sum().backward()
    assert vertices.grad.sum() == pytest.approx(300, rel=1e-4)  # weights of every point sum to one per axis


def test_no_area_is_refused():
    with pytest.raises(InputError, match="no area"):
        sample_surface(Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]])), 5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda():
    mesh = icosphere(2).to("cuda")
    points, face = sample_surface(mesh, 1000, torch.Generator("cuda").manual_seed(0))
    assert points.device.type == face.device.type == "cuda"
    assert bool((points.norm(dim=1) > 0.9).all())
