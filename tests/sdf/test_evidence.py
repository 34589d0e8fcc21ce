import pytest
import torch

from bozzetto.sdf import CodeDistribution, Observations
from bozzetto.sdf.evidence import Evidence, Objective, State, empty_space, independent
from bozzetto.sdf.pose import rotation_about
from bozzetto.shapes import Similarity

POSE = Similarity(1.05, torch.tensor([0.02, -0.03, 0.01]).double(), rotation_about((0, 1, 1), 0.1))


def seen_from_above(points: torch.Tensor, normals: torch.Tensor) -> Observations:
    eye = torch.tensor([0.0, 0.0, 4.0]).expand_as(points)
    return Observations(points, 0.002, normals, eye, points)


@pytest.mark.parametrize(("solve_pose", "solve_code"), [(True, True), (True, False), (False, True)])
def test_the_gradient_is_that_of_differences(balls, half_of, solve_pose, solve_code):
    points, normals = half_of(balls, torch.tensor([0.05, 0.0, 0.1, 0.8]), 200)
    evidence = Evidence.of(seen_from_above(points, normals), 200, 200, torch.Generator().manual_seed(0))
    codes = CodeDistribution.of(balls.codes)
    objective = Objective(balls, codes, evidence, 0.05, solve_pose, solve_code)
    objective.gauge = None  # tested on its own; a maximum over a grid has kinks
    state = State(torch.tensor([0.0, 0.05, 0.0, 0.75]).double(), POSE)
    gradient = objective.linearise(state).gradient
    for axis in range(len(gradient)):
        step = torch.zeros_like(gradient)
        step[axis] = 1e-3
        ahead, behind = (objective.linearise(objective.move(state, s)).loss for s in (step, -step))
        assert float(gradient[axis]) == pytest.approx((ahead - behind) / 2e-3, rel=0.02, abs=0.3)


def test_losses_of_many_codes_are_those_of_each(balls, half_of):
    points, normals = half_of(balls, balls.codes[0], 200)
    evidence = Evidence.of(seen_from_above(points, normals), 200, 200, torch.Generator().manual_seed(0))
    objective = Objective(balls, CodeDistribution.of(balls.codes), evidence, 0.05, solve_pose=False)
    losses = objective.loss_of(balls.codes[:3], POSE)
    for code, loss in zip(balls.codes[:3], losses, strict=True):
        assert objective.linearise(State(code.double(), POSE)).loss == pytest.approx(float(loss), rel=1e-4)
    assert int(losses.argmin()) == 0


def test_empty_space_is_on_the_rays_and_before_the_surface():
    points = torch.tensor([[0.0, 0.0, 0.5], [0.3, 0.0, 0.2]])
    eye = torch.tensor([0.0, 0.0, 5.0]).expand_as(points)
    seen = Observations(points, 0.01, None, eye, points)
    found = empty_space(seen, 500, torch.Generator().manual_seed(0))
    assert len(found) == 500 and float(found.norm(dim=1).max()) < 1.21
    ray = torch.nn.functional.normalize(points - eye, dim=1)
    along = torch.einsum("nx,px->np", found - eye[0], ray)
    off = (found[:, None] - eye[0] - along[..., None] * ray).norm(dim=-1)
    assert float(off.amin(dim=1).max()) < 1e-4
    assert float(along.gather(1, off.argmin(dim=1, keepdim=True)).max()) < float(
        (points - eye).norm(dim=1).max()
    )
    beside = Observations(points + 9, 0.01, None, eye + 9, points + 9)
    assert len(empty_space(beside, 10, torch.Generator())) == 0


def test_empty_space_counts_only_inside_the_shape(balls):
    places = torch.tensor([[0.0, 0.0, 0.0], [0.9, 0.0, 0.0]])
    evidence = Evidence(places, torch.zeros(2), torch.ones(2), torch.tensor([True, True]))
    objective = Objective(balls, CodeDistribution.of(balls.codes), evidence, 0.05, solve_pose=False)
    still = Similarity(1.0, torch.zeros(3).double())
    residual, jacobian = objective.residuals(State(torch.tensor([0.0, 0, 0, 0.5]).double(), still))
    assert torch.allclose(residual, torch.tensor([-0.5, 0.0])) and not jacobian[1].any()


def test_points_in_a_cell_count_as_one():
    assert independent(torch.rand(100, 3) * 0.09 + 0.005) == 1
    assert independent(torch.eye(3)) == 3
    assert independent(torch.zeros(0, 3)) == 0
