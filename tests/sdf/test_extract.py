import pytest
import torch

from bozzetto import InputError
from bozzetto.geometry import is_watertight, isosurface
from bozzetto.sdf import Evaluator, extract_mesh, extract_surface
from bozzetto.sdf import extract as extract_file

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


def test_slopes_are_measured_once_per_code_and_state_of_the_weights(figures):
    code = figures.codes[3].clone()
    first, second = extract_surface(figures, code, 33), extract_surface(figures.decoder, code, 33)
    assert "slope" in first.evaluations
    assert "slope" not in second.evaluations
    assert torch.equal(first.mesh.faces, second.mesh.faces)
    assert "slope" in extract_surface(figures, figures.codes[4].clone(), 33).evaluations
    next(figures.decoder.parameters()).mul_(1.0)  # as a step of a training would
    assert "slope" in extract_surface(figures, code, 33).evaluations


def test_a_remembered_slope_that_is_too_small_is_measured_again(figures, monkeypatch):
    code = figures.codes[5]
    expected = extract_surface(figures, code, 49)
    known = extract_file._slopes[figures.decoder]
    for key in known:
        monkeypatch.setitem(known, key, 0.2)
    again = extract_surface(figures, code, 49)
    assert again.lipschitz == expected.lipschitz
    assert torch.equal(again.cells, expected.cells)


def test_a_code_without_surface_is_named(balls):
    with pytest.raises(InputError, match="this code gives no surface.*give a code of this prior"):
        extract_mesh(balls, torch.tensor([0.0, 0.0, 0.0, -0.5]), 33)


def test_a_code_of_another_prior_is_named(balls):
    with pytest.raises(InputError, match="4 numbers"):
        extract_mesh(balls, torch.zeros(7), 33)


def test_a_resolution_without_cells_is_named(balls):
    with pytest.raises(InputError, match="two nodes"):
        extract_mesh(balls, torch.tensor([0.0, 0.0, 0.0, 0.5]), 1)
