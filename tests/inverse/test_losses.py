import pytest
import torch

from bozzetto import Mesh
from bozzetto.geometry import remesh, vertex_areas
from bozzetto.inverse.losses import NeighbourPull, SmoothnessPenalty
from bozzetto.shapes import icosphere

TRIANGLE = torch.tensor([[0, 1, 2]])
CORNERS = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])


def test_penalties_by_hand():
    # L x of one triangle: rows 2 x_i - x_j - x_k.
    residual = torch.tensor([[-1.0, -2.0, 0.0], [2.0, -2.0, 0.0], [-1.0, 4.0, 0.0]])
    laplacian = SmoothnessPenalty(TRIANGLE, 3, "laplacian", 10.0)
    bilaplacian = SmoothnessPenalty(TRIANGLE, 3, "bilaplacian", 10.0)
    edges = 1 + 4 + 5  # x L x is the sum of the squared edges
    assert float(laplacian(CORNERS)) == pytest.approx(10 * edges / 9)
    assert float(bilaplacian(CORNERS)) == pytest.approx(10 * float(residual.square().sum()) / 9)


@pytest.mark.parametrize("kind, weight", [("none", 5.0), ("bilaplacian", 0.0)])
def test_no_penalty(kind, weight):
    penalty = SmoothnessPenalty(TRIANGLE, 3, kind, weight)
    assert float(penalty(CORNERS)) == 0


@pytest.mark.parametrize("kind", ["laplacian", "bilaplacian"])
def test_penalties_do_not_see_translations(kind):
    sphere: Mesh = icosphere(1)
    penalty = SmoothnessPenalty(sphere.faces, 42, kind, 1.0)
    moved = sphere.vertices + torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(penalty(moved), penalty(sphere.vertices), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["laplacian", "bilaplacian"])
def test_gradients_of_penalties(kind):
    penalty = SmoothnessPenalty(TRIANGLE, 3, kind, 2.0)
    penalty.matrix = penalty.matrix.double()
    torch.autograd.gradcheck(penalty, CORNERS.double().requires_grad_())


def pull(mesh, weight=1.0):
    positions = mesh.vertices.clone().requires_grad_(True)
    NeighbourPull(mesh.faces, len(mesh.vertices), weight)(positions).backward()
    return positions.grad


def test_the_pull_by_hand():
    # Equal areas around the corners of one triangle; its edges are 1, 2 and the root of 5.
    mean_edge = (3 + 5**0.5) / 3
    means = torch.tensor([[0.5, 1.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.0, 0.0]])
    expected = 2.0 * (CORNERS - means) / 3 / mean_edge
    torch.testing.assert_close(pull(Mesh(CORNERS, TRIANGLE), 2.0), expected)


def test_the_pull_points_outwards_on_a_sphere_and_does_not_see_scale():
    # x - mean is h^2 / (2 r), so that all of the pull together is about h / (2 r), times the area's share.
    sphere = icosphere(3)
    gradient = pull(sphere)
    inner = (gradient * sphere.vertices).sum(dim=1)
    assert bool((inner > 0).all())
    torch.testing.assert_close(pull(sphere.with_vertices(5 * sphere.vertices)), gradient)
    share = vertex_areas(sphere.vertices, sphere.faces)
    assert float(inner.sum()) == pytest.approx(float((inner / share).median() * share.sum()), rel=0.1)
    fine = remesh(sphere, 0.08, tolerance=None)
    ratio = float((pull(fine) * fine.vertices).sum() / inner.sum())
    assert ratio == pytest.approx(0.08 / 0.15, rel=0.15)
