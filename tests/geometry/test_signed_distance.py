"""Signed distances against analytic shapes, and surfaces made anew from them."""

import pytest
import torch

from bozzetto import InputError, Mesh
from bozzetto.geometry import (
    distance_and_winding,
    euler_number,
    is_manifold,
    is_watertight,
    resurface,
    self_intersections,
    signed_distance,
)
from bozzetto.shapes import box, icosphere, join


def test_sphere_is_negative_inside_and_exact_to_its_facets() -> None:
    points = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    distance = signed_distance(icosphere(4), points)
    torch.testing.assert_close(distance, points.norm(dim=1) - 1, atol=2e-3, rtol=0)


def test_box_distance_is_exact_and_keeps_precision_far_from_the_origin() -> None:
    mesh = box(2.0)
    points = torch.tensor([[2.0, 0, 0], [2, 2, 0], [0.5, 0, 0], [0, 0, 0]])
    expected = torch.tensor([1.0, 2**0.5, -0.5, -1.0])
    torch.testing.assert_close(signed_distance(mesh, points), expected)
    shift = torch.tensor([1000.0, -500.0, 250.0])
    moved = mesh.with_vertices(mesh.vertices + shift)
    torch.testing.assert_close(signed_distance(moved, points + shift), expected, atol=1e-4, rtol=1e-4)


def test_inside_out_is_outside() -> None:
    sphere = icosphere(3)
    flipped = Mesh(sphere.vertices, sphere.faces.flip(1))
    assert signed_distance(flipped, torch.zeros(1, 3)) > 0


def _winding_by_hand(mesh: Mesh, points: torch.Tensor) -> torch.Tensor:
    """Sum of the solid angles of all faces over 4 pi (van Oosterom and Strackee 1983), in double precision."""
    a, b, c = (mesh.corners().double()[None] - points.double()[:, None, None]).unbind(dim=2)
    la, lb, lc = (v.norm(dim=-1) for v in (a, b, c))
    below = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    return torch.atan2((a * torch.linalg.cross(b, c)).sum(-1), below).sum(dim=1) / (2 * torch.pi)


def test_winding_numbers_of_closed_open_and_inverted_meshes() -> None:
    points = 1.5 * torch.randn(400, 3, generator=torch.Generator().manual_seed(1))
    sphere = icosphere(3)
    bowl = Mesh(sphere.vertices, sphere.faces[sphere.corners()[..., 2].mean(dim=1) < 0.2])
    for mesh in (sphere, bowl, Mesh(bowl.vertices, bowl.faces.flip(1)), _two_balls()):
        distance, winding = distance_and_winding(mesh, points, accuracy=20.0)
        torch.testing.assert_close(winding, _winding_by_hand(mesh, points).float(), atol=1e-3, rtol=0)
        torch.testing.assert_close(distance, signed_distance(mesh, points).abs())
        rough = distance_and_winding(mesh, points)[1]
        torch.testing.assert_close(rough, winding, atol=0.03, rtol=0)


def _two_balls() -> Mesh:
    ball = icosphere(3)
    return join([ball, ball.with_vertices(ball.vertices + torch.tensor([1.0, 0, 0]))])


def test_resurface_joins_what_overlaps() -> None:
    pair = _two_balls()
    solid = resurface(pair, 0.1)
    assert self_intersections(pair).any() and not self_intersections(solid).any()
    assert is_watertight(solid.faces) and is_manifold(solid.faces, len(solid.vertices))
    assert euler_number(solid.faces) == 2
    distance = signed_distance(pair, solid.vertices).abs()
    assert float(distance.max()) < 0.05


def test_resurface_opens_what_passed_through_itself() -> None:
    # A plate whose middle was pushed through from above: there its top lies below its bottom.
    plate = resurface(box([2.0, 2.0, 0.4]), 0.1)
    top = plate.vertices[:, 2] > 0.1
    pushed = plate.vertices.clone()
    pushed[:, 2] -= 0.8 * torch.exp(-8 * pushed[:, :2].square().sum(dim=1)) * top
    opened = resurface(plate.with_vertices(pushed), 0.05)
    assert euler_number(plate.faces) == 2
    assert euler_number(opened.faces) == 0  # one hole: a ring
    assert is_watertight(opened.faces)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        signed_distance(icosphere(1), torch.full((1, 3), torch.nan))
    with pytest.raises(InputError, match="no area"):
        distance_and_winding(Mesh(torch.eye(3), torch.tensor([[0, 1, 1]])), torch.zeros(1, 3))
    with pytest.raises(InputError, match="empty"):
        signed_distance(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64)), torch.zeros(1, 3))
