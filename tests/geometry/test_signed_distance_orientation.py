"""Faces turned inward, found by looking at the shape from around."""

import torch

from bozzetto import Mesh
from bozzetto.geometry import is_consistently_wound
from bozzetto.geometry.signed_distance import inward_faces, turn
from bozzetto.shapes import box, icosphere, join


def test_what_is_right_stays_and_what_is_inverted_turns() -> None:
    for mesh in (icosphere(2, 0.9), box(1.0), join([box(0.5), icosphere(1, 0.9)])):
        assert not inward_faces(mesh).any()
        assert inward_faces(Mesh(mesh.vertices, mesh.faces.flip(1))).all()


def test_soup_of_faces_turned_at_random_becomes_a_closed_surface() -> None:
    ball = icosphere(2, 0.9)
    random = torch.rand(len(ball.faces), generator=torch.Generator().manual_seed(0)) < 0.4
    mixed = turn(ball, random)
    assert not is_consistently_wound(mixed.faces)
    assert torch.equal(inward_faces(mixed), random)
    soup = Mesh(mixed.corners().reshape(-1, 3), torch.arange(3 * len(mixed.faces)).view(-1, 3))
    assert torch.equal(inward_faces(soup), random)


def test_a_patch_is_turned_as_a_whole_and_collapsed_faces_do_no_harm() -> None:
    ball, cube = icosphere(2, 0.3), box(0.4)
    beside = cube.with_vertices(cube.vertices - torch.tensor([0.6, 0.0, 0.0]))
    mesh = join([beside, turn(ball, torch.ones(len(ball.faces), dtype=torch.bool))])
    mesh = Mesh(mesh.vertices, torch.cat([mesh.faces, torch.tensor([[0, 0, 1]])]))
    inward = inward_faces(mesh)
    assert not inward[: len(cube.faces)].any() and inward[len(cube.faces) : -1].all()
