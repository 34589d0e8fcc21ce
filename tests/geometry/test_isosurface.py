import math

import pytest
import torch

from bozzetto import InputError
from bozzetto.geometry import isosurface


def grid(counts, low, high):
    axes = [torch.linspace(a, b, n) for a, b, n in zip(low, high, counts, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


def volume(mesh):
    a, b, c = mesh.corners().double().unbind(dim=1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


def open_edges(mesh):
    """Directed edges without their opposite."""
    pairs = torch.cat([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    edges = {tuple(e) for e in pairs.tolist()}
    return sum((b, a) not in edges for a, b in edges)


def test_ellipsoid_lies_where_the_function_vanishes_and_faces_point_outwards():
    low, high = (-1.0, 1.0, 9.0), (1.0, 4.0, 11.0)
    points = grid((40, 50, 44), low, high)
    centre, radii = torch.tensor([0.0, 2.5, 10.0]), torch.tensor([0.8, 1.2, 0.7])
    mesh = isosurface(((points - centre) / radii).norm(dim=-1) - 1, low, high)
    residual = ((mesh.vertices - centre) / radii).norm(dim=1) - 1
    assert residual.abs().max() < 2e-3
    assert volume(mesh) == pytest.approx(4 / 3 * math.pi * radii.prod().item(), rel=0.01)
    assert open_edges(mesh) == 0


def test_linear_function_is_reproduced_exactly_at_any_level():
    low, high = (0.0, 0.0, 0.0), (1.0, 2.0, 3.0)
    values = grid((5, 6, 7), low, high)[..., 2]
    mesh = isosurface(values, torch.tensor(low), torch.tensor(high), level=1.3)
    torch.testing.assert_close(mesh.vertices[:, 2], torch.full((len(mesh.vertices),), 1.3))
    normal = torch.linalg.cross(*(mesh.corners()[:, i] - mesh.corners()[:, 0] for i in (1, 2)))
    assert (normal[:, 2] >= 0).all()  # towards larger values


def test_close_puts_a_lid_on_the_border():
    low, high = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    values = grid((30, 30, 30), low, high).norm(dim=-1) - 0.75
    assert open_edges(isosurface(values, low, high)) > 0
    closed = isosurface(values, low, high, close=True)
    assert open_edges(closed) == 0
    assert volume(closed) == pytest.approx(math.pi / 6 * 0.75**3, rel=0.01)
    assert closed.bounds[0].tolist() == [0, 0, 0]


def test_close_makes_a_box_of_a_full_grid():
    mesh = isosurface(-torch.ones(4, 5, 6), (0.0, 0.0, 0.0), (1.0, 2.0, 3.0), close=True)
    assert volume(mesh) == pytest.approx(6, rel=1e-3)
    assert open_edges(mesh) == 0


@pytest.mark.parametrize(
    ("values", "high", "message"),
    [
        (torch.ones(3, 3, 3), 1.0, "no surface at level 0"),
        (torch.full((3, 3, 3), torch.nan), 1.0, "NaN"),
        (torch.ones(3, 1, 3), 1.0, "two samples"),
        (torch.ones(3, 3, 3), -1.0, "below the high corner"),
    ],
)
def test_bad_input_is_named(values, high, message):
    with pytest.raises(InputError, match=message):
        isosurface(values, (0.0, 0.0, 0.0), (high, high, high))
