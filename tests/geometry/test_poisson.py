import math

import pytest
import torch

from bozzetto.geometry import euler_number, is_watertight, largest_component, screened_poisson
from bozzetto.shapes import sample_surface, torus


def sphere(count: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.nn.functional.normalize(torch.randn(count, 3, generator=draw), dim=1)


@pytest.mark.parametrize("room", [1.25, 1.6])
def test_points_of_a_sphere_make_a_sphere(room):
    points = sphere(800)
    mesh = screened_poisson(40 * points + 7, points, 48, room=room)
    off = ((mesh.vertices - 7).norm(dim=1) - 40).abs()
    assert float(off.mean()) < 0.15 and float(off.max()) < 0.8  # the grid has steps of 2
    assert is_watertight(mesh.faces) and euler_number(mesh.faces) == 2
    outwards = torch.linalg.det((mesh.corners() - 7).double()).sum() / 6
    assert float(outwards) == pytest.approx(4 / 3 * math.pi * 40**3, rel=0.01)


def test_a_ring_keeps_its_hole():
    ring = torus(0.7, 0.25, 192, 96)
    points, face = sample_surface(ring, 2000, torch.Generator().manual_seed(1))[:2]
    middle = torch.nn.functional.normalize(points * torch.tensor([1.0, 1, 0]), dim=1) * 0.7
    mesh = screened_poisson(points, points - middle, 64, 1.0, 1.25)
    assert euler_number(mesh.faces) == 0
    tube = (mesh.vertices * torch.tensor([1.0, 1, 0])).norm(dim=1) - 0.7
    off = torch.hypot(tube, mesh.vertices[:, 2]) - 0.25
    assert float(off.abs().mean()) < 0.003


def test_what_was_seen_from_one_side_closes_behind_it():
    points = sphere(1500)
    front = points[points[:, 2] > -0.2]
    mesh = largest_component(screened_poisson(front, front, 48))
    assert is_watertight(mesh.faces)
    seen = mesh.vertices[mesh.vertices[:, 2] > 0]
    assert float((seen.norm(dim=1) - 1).abs().mean()) < 0.01


def test_finer_grids_continue_the_coarser_ones():
    """The surface is closed and of the right volume where only a part of it is dense enough for fine grids."""
    draw = torch.Generator().manual_seed(0)
    dense = torch.nn.functional.normalize(torch.randn(10_000, 3, generator=draw), dim=1)
    points = dense[(dense[:, 0] > 0) | (torch.rand(10_000, generator=draw) < 0.1)]
    mesh = screened_poisson(points, points, 145, 4.0, 1.25)
    assert is_watertight(mesh.faces) and euler_number(mesh.faces) == 2
    volume = float(torch.linalg.det(mesh.corners().double()).sum() / 6)
    assert volume == pytest.approx(4 / 3 * math.pi, rel=5e-3)
    assert float((mesh.vertices.norm(dim=1) - 1)[mesh.vertices[:, 0] > 0.1].abs().mean()) < 1.5e-3


def test_a_surface_that_would_leave_the_cube_gets_a_lid():
    x, y = torch.meshgrid(*[torch.linspace(-1, 1, 40)] * 2, indexing="ij")
    points = torch.stack([x, y, torch.zeros_like(x)], dim=-1).view(-1, 3)
    mesh = screened_poisson(points, torch.tensor([0.0, 0, 1]).expand_as(points), 65, 4.0, 1.25)
    assert is_watertight(mesh.faces)
