import math

import pytest
import torch

from bozzetto.sdf import CodeDistribution, extract_mesh
from bozzetto.sdf.evidence import State
from bozzetto.sdf.pose import RADIUS, rotation_about, rotation_angle, rotation_of
from bozzetto.sdf.preparation import shape_normalisation
from bozzetto.sdf.turned_mesh import ANY_AXIS, UPRIGHT_AXIS, TurnedMesh, normalised_pose
from bozzetto.shapes import Similarity

CODE = torch.tensor([0.25, 0.1, -0.2, 0.2])
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
    points = torch.randn(2000, 3, generator=generator)
    points = 0.5 * points / points.norm(dim=1, keepdim=True) + torch.tensor([0.2, 0.1, -0.1])
    distances = 0.06 * torch.rand(2000, generator=generator) - 0.03  # arbitrary; scaled with the pose
    turned = TurnedMesh(balls, corners, points, distances)
    start = State(
        torch.tensor([0.05, -0.1, 0.05, 0.45]).double(),
        normalised_pose(corners, rotation_about((1, 2, 3), 0.5)),
    )
    for _ in range(10):  # until small residuals, too, have the weights of L1
        gradient = turned.linearise(start).gradient
    for i in range(7):
        step = torch.zeros(7).double()
        step[i] = 1e-4
        ahead, back = (turned.linearise(turned.moved(start, way)).loss for way in (step, -step))
        assert float(gradient[i]) == pytest.approx((ahead - back) / 2e-4, rel=1e-2, abs=2e-3)


@pytest.mark.parametrize("axes", [ANY_AXIS, UPRIGHT_AXIS])
def test_code_and_direction_are_found_together(figures, axes):
    turned = objective(figures, axes)
    start = rotation_about((0, 1, 0), math.radians(20))
    if axes is ANY_AXIS:
        start = rotation_about((1, 0, 0), math.radians(8)) @ start
    found = turned.solve(CodeDistribution.of(figures.codes).mean, start, 40)
    assert rotation_angle(found.state.pose, STILL) < math.radians(1)
    assert torch.allclose(found.state.code.float(), CODE, atol=0.05)
    if axes is UPRIGHT_AXIS:
        assert torch.allclose(rotation_of(found.state.pose)[1], torch.tensor([0.0, 1.0, 0.0]).double())
