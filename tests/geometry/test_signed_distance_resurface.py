"""Surfaces made anew from the signed distance to others."""

import torch

from bozzetto.geometry import (
    euler_number,
    is_manifold,
    is_watertight,
    resurface,
    self_intersections,
    signed_distance,
)
from bozzetto.shapes import Mesh, box, icosphere, join


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
