import pytest
import torch

from bozzetto import Mesh
from bozzetto.inverse.losses import SmoothnessPenalty
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
