import math

import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.shapes import Mesh, box, grid, icosahedron, icosphere, join, torus


def volume(mesh: Mesh) -> float:
    """Enclosed volume, positive when faces turn outwards."""
    return float(torch.linalg.det(mesh.corners().double()).sum() / 6)


def edge_counts(mesh: Mesh) -> torch.Tensor:
    edges = torch.stack([mesh.faces, mesh.faces.roll(-1, 1)], dim=-1).reshape(-1, 2).sort(dim=1).values
    return torch.unique(edges, dim=0, return_counts=True)[1]


@pytest.mark.parametrize(
    ("mesh", "expected", "tolerance"),
    [
        (icosahedron(2.0), 8 * 2.536150, 1e-5),
        (icosphere(5, 1.5), 4 / 3 * math.pi * 1.5**3, 2e-3),
        (box((1.0, 2.0, 3.0)), 6.0, 1e-6),
        (torus(2.0, 0.5, 200, 100), 2 * math.pi**2 * 2.0 * 0.25, 2e-3),
    ],
)
def test_closed_outward_and_of_known_volume(mesh, expected, tolerance):
    assert bool((edge_counts(mesh) == 2).all())
    assert volume(mesh) == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("level", [0, 1, 4])
def test_icosphere_counts_and_radius(level):
    mesh = icosphere(level, 3.0)
    assert (len(mesh.vertices), len(mesh.faces)) == (10 * 4**level + 2, 20 * 4**level)
    assert torch.allclose(mesh.vertices.norm(dim=1), torch.tensor(3.0))


def test_icosphere_refuses_absurd_levels():
    with pytest.raises(InputError, match="0 to 10"):
        icosphere(-1)


def test_grid_faces_up_and_is_open():
    mesh = grid(3, 5, (2.0, 1.0))
    assert mesh.bounds.tolist() == [[-1, -0.5, 0], [1, 0.5, 0]]
    corners = mesh.corners()
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert bool((normals[:, 2] > 0).all())
    assert int((edge_counts(mesh) == 1).sum()) == 2 * (3 + 5)


def test_join_keeps_order_and_colors_only_if_all_have_them():
    a, b = box(), icosahedron()
    both = join([a, b])
    assert torch.equal(both.vertices[8:], b.vertices)
    assert torch.equal(both.faces[12:], b.faces + 8)
    assert both.colors is None
    painted = Mesh(a.vertices, a.faces, torch.ones(8, 3))
    assert join([painted, painted]).colors.shape == (16, 3)
    assert join([painted, b]).colors is None
