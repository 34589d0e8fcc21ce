import math

import pytest
import torch

from bozzetto.sdf import extract_mesh
from bozzetto.sdf.fit import ANY_AXIS, UPRIGHT_AXIS, TurnedMesh, normalised_pose
from bozzetto.sdf.objective import State
from bozzetto.sdf.prepare_shape import shape_normalisation
from bozzetto.shapes import Similarity
from bozzetto.shapes.similarity import RADIUS, rotation_about, rotation_angle, rotation_of

CODE = torch.tensor([0.25, 0.1, -0.2, 0.2])
MEAN = torch.zeros(4)
STILL = Similarity(1.0, torch.zeros(3).double())


def objective(prior, axes=ANY_AXIS, count=3000):
    corners = extract_mesh(prior, CODE, 32).vertices.double()
    points = 2 * torch.rand(count, 3, generator=torch.Generator().manual_seed(0)) - 1
    distances = prior.decoder(CODE[None], points[None])[0]
    return TurnedMesh(prior, corners, points, distances, axes)


def test_a_turned_mesh_is_placed_as_shape_normalisation_places_it(figures):
    mesh = extract_mesh(figures, CODE, 32)
    turn = rotation_about((0.2, 1, 0.4), 0.8)
    turned = mesh.with_vertices((mesh.vertices.double() @ turn.T).float())
    pose = normalised_pose(mesh.vertices.double(), turn)
    placed = pose.apply(mesh.vertices.double())
    assert torch.allclose(placed.float(), shape_normalisation(turned).apply(turned.vertices), atol=1e-5)
    assert float(placed.norm(dim=1).max()) == pytest.approx(RADIUS)


def test_the_gradient_by_a_turn_is_that_of_central_differences(balls):
    # Of a ball of known place and of corners that are not around it, so that every turn moves and scales it.
    generator = torch.Generator().manual_seed(0)
    corners = torch.tensor([[0.9, 0.1, -0.3], [-0.7, 0.5, 0.2], [0.1, -0.8, 0.4], [0.2, 0.6, -0.6]]).double()
    code, pose = (
        torch.tensor([0.05, -0.1, 0.05, 0.45]),
        normalised_pose(corners, rotation_about((1, 2, 3), 0.5)),
    )
    around = torch.nn.functional.normalize(torch.randn(2000, 3, generator=generator), dim=1)
    places = code[:3] + (code[3] + 0.03 * torch.randn(2000, 1, generator=generator).clamp(-2, 2)) * around
    points = pose.inverse().apply(places)
    off = (0.01 + 0.03 * torch.rand(2000, generator=generator)) * torch.randn(
        2000, generator=generator
    ).sign()
    distances = (balls.decoder(code[None], pose.apply(points)[None])[0] + off) / pose.scale  # no kinks nearby
    turned, start = TurnedMesh(balls, corners, points, distances), State(code.double(), pose)
    for _ in range(10):  # until small residuals, too, have the weights of L1
        turned.linearise(start)
    gradient = turned.linearise(start).gradient
    for i in range(7):
        step = torch.zeros(7).double()
        step[i] = 1e-3
        ahead, back = (turned.linearise(turned.moved(start, way)).loss for way in (step, -step))
        assert float(gradient[i]) == pytest.approx((ahead - back) / 2e-3, rel=2e-3)


def test_code_and_direction_are_found_together(figures):
    found = (
        objective(figures, UPRIGHT_AXIS).solve(MEAN, rotation_about((0, 1, 0), math.radians(20)), 40).state
    )
    assert rotation_angle(found.pose, STILL) < math.radians(1)
    assert torch.allclose(found.code.float(), CODE, atol=0.05)
    assert torch.allclose(rotation_of(found.pose)[1], torch.tensor([0.0, 1.0, 0.0]).double())


def test_a_leaning_mesh_is_stood_up(figures):
    leaning = rotation_about((1, 0, 0), math.radians(8)) @ rotation_about((0, 1, 0), math.radians(20))
    turned = objective(figures)
    found = turned.solve(MEAN, leaning, 40).state
    assert rotation_angle(found.pose, STILL) < math.radians(2)  # to which a code can lean as well
    values = figures.decoder(found.code.float()[None], found.pose.apply(turned.points)[None])[0]
    near = turned.distances.abs() < 0.05
    assert float((values - turned.distances)[near].abs().mean()) < 0.004
