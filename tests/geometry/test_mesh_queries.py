import pytest
import torch

from bozzetto import InputError, Mesh
from bozzetto.geometry import SurfaceIndex, closest_points

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")),
]


def random_triangles(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    vertices = torch.rand(3 * count, 3, generator=generator)
    return Mesh(vertices, torch.arange(3 * count).reshape(-1, 3))


def brute_force(mesh, points, resolution=60):
    """Distances to a dense barycentric sampling of every face: never below the true one."""
    steps = torch.linspace(0, 1, resolution)
    u, v = torch.meshgrid(steps, steps, indexing="ij")
    weights = torch.stack([u, v * (1 - u), (1 - v) * (1 - u)], dim=-1).reshape(-1, 3)
    samples = torch.einsum("sc,fcx->fsx", weights, mesh.corners()).reshape(-1, 3)
    return torch.cdist(points, samples).min(dim=1).values


@pytest.mark.parametrize("device", DEVICES)
def test_agrees_with_brute_force(device):
    mesh = random_triangles(20)
    points = torch.rand(300, 3, generator=torch.Generator().manual_seed(1)) * 3 - 1
    distance, face, nearest = (x.cpu() for x in closest_points(mesh.to(device), points.to(device)))
    expected = brute_force(mesh, points)
    assert (distance <= expected + 1e-6).all()
    assert (expected - distance).max() < 0.02
    torch.testing.assert_close((points - nearest).norm(dim=1), distance, atol=1e-6, rtol=1e-5)
    own = closest_points(mesh, nearest)[0]
    assert own.max() < 1e-6  # the nearest points lie on the mesh
    assert face.min() >= 0


def test_weights_and_face_give_the_point():
    mesh = random_triangles(50)
    found = SurfaceIndex(mesh).closest(torch.randn(100, 3))
    assert found.weights.min() > -1e-6
    torch.testing.assert_close(found.weights.sum(dim=1), torch.ones(100))
    rebuilt = (found.weights[:, :, None] * mesh.corners()[found.face]).sum(dim=1)
    torch.testing.assert_close(rebuilt, found.point)


def test_far_from_the_origin_distances_stay_exact():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]) + torch.tensor([4096.0, -2048, 8192])
    points = torch.tensor([[0.25, 0.25, 0.5], [-0.125, 0.5, 0.0]]) + torch.tensor([4096.0, -2048, 8192])
    distance, _, nearest = closest_points(Mesh(vertices, torch.tensor([[0, 1, 2]])), points)
    torch.testing.assert_close(distance, torch.tensor([0.5, 0.125]), atol=1e-7, rtol=0)
    torch.testing.assert_close(nearest[0], points[0] - torch.tensor([0, 0, 0.5]), atol=0, rtol=0)


def test_no_points_give_nothing():
    distance, face, nearest = closest_points(random_triangles(3), torch.zeros(0, 3))
    assert (len(distance), len(face), nearest.shape) == (0, 0, (0, 3))


def test_bad_input_is_named():
    mesh = random_triangles(2)
    with pytest.raises(InputError, match="finite"):
        closest_points(mesh, torch.tensor([[0.0, torch.nan, 0]]))
    with pytest.raises(InputError, match="empty"):
        closest_points(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64)), torch.zeros(1, 3))
