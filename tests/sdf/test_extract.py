import pytest
import torch

from bozzetto import InputError
from bozzetto.geometry import is_watertight, isosurface
from bozzetto.sdf import Evaluator, extract_mesh, extract_surface

LOW, HIGH = (-1.0,) * 3, (1.0,) * 3


def dense_values(prior, code, resolution):
    axis = (torch.arange(resolution, dtype=torch.float64) * (2 / (resolution - 1)) - 1).float()
    return Evaluator(prior.decoder, code)(torch.cartesian_prod(axis, axis, axis)).view([resolution] * 3)


@pytest.mark.parametrize("shape", [0, 7])
def test_a_trained_shape_is_the_mesh_of_the_dense_grid(figures, shape):
    code = figures.codes[shape]
    values = dense_values(figures, code, 81)
    corners = values.unfold(0, 2, 1).unfold(1, 2, 1).unfold(2, 2, 1).flatten(3)
    found = extract_surface(figures, code, 81)
    assert torch.equal(found.cells, ((corners > 0).any(-1) & (corners <= 0).any(-1)).nonzero())
    expected = isosurface(values, LOW, HIGH)
    assert found.mesh.faces.shape == expected.faces.shape
    assert found.mesh.vertices.shape == expected.vertices.shape
    assert is_watertight(found.mesh.faces)
    assert found.total < 0.25 * 81**3


def test_a_ball_has_its_place_and_size(balls):
    code = torch.tensor([0.2, -0.1, 0.05, 0.6])
    mesh = extract_mesh(balls, code, 65)
    distance = (mesh.vertices - code[:3]).norm(dim=1)
    torch.testing.assert_close(distance, torch.full_like(distance, 0.6), atol=1e-3, rtol=0)
    a, b, c = mesh.corners().unbind(dim=1)
    outwards = (torch.linalg.cross(b - a, c - a) * (a - code[:3])).sum(dim=1)
    assert (outwards > 0).all()


def test_a_code_without_surface_is_named(balls):
    with pytest.raises(InputError, match="this code gives no surface.*give a code of this prior"):
        extract_mesh(balls, torch.tensor([0.0, 0.0, 0.0, -0.5]), 33)


def test_a_code_of_another_prior_is_named(balls):
    with pytest.raises(InputError, match="4 numbers"):
        extract_mesh(balls, torch.zeros(7), 33)


def test_a_resolution_without_cells_is_named(balls):
    with pytest.raises(InputError, match="two nodes"):
        extract_mesh(balls, torch.tensor([0.0, 0.0, 0.0, 0.5]), 1)
