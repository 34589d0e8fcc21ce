"""Tests of sdf.objective."""

import pytest
import torch

from bozzetto.sdf import CodeDistribution, Observations
from bozzetto.sdf.objective import (
    NormalisationResidual,
    Objective,
    Quadratic,
    SdfConstraints,
    State,
    empty_space,
    independent,
    levenberg_marquardt,
)
from bozzetto.shapes import Similarity
from bozzetto.shapes.similarity import RADIUS, rotation_about


@pytest.mark.parametrize("code", [[0.0, 0.0, 0.0, RADIUS], [0.2, 0.0, -0.1, 0.6], [0.0, 0.3, 0.0, 0.4]])
def test_middle_and_reach_of_a_ball(balls, code):
    code = torch.tensor(code)
    offset, by_code = NormalisationResidual(balls.decoder, spread=1.0, side=48)(code)
    assert torch.allclose(offset[:3].float(), code[:3], atol=0.01)
    reach = float(code[:3].norm() + code[3])
    assert float(offset[3]) == pytest.approx(reach - RADIUS, abs=0.02)
    assert torch.allclose(by_code[:3, :3].float(), torch.eye(3), atol=0.1)
    assert float(by_code[3, 3]) == pytest.approx(1, abs=1e-5)


def test_shapes_of_a_prior_are_where_normalisation_puts_them(figures):
    offsets = torch.stack([NormalisationResidual(figures.decoder, 1.0)(code)[0] for code in figures.codes])
    assert float(offsets.abs().mean()) < 0.02


def test_the_derivative_is_that_of_differences(figures):
    normalisation, code = NormalisationResidual(figures.decoder, spread=0.1), figures.codes[0]
    _, by_code = normalisation(code)
    for axis in range(4):
        step = torch.zeros(4)
        step[axis] = 1e-3
        difference = (normalisation(code + step)[0] - normalisation(code - step)[0]) / 2e-3
        assert torch.allclose(by_code[:, axis], difference, atol=0.1 * float(by_code.abs().max()))


def test_a_code_without_a_surface_says_nothing(balls):
    offset, by_code = NormalisationResidual(balls.decoder)(torch.tensor([0.0, 0.0, 0.0, -3.0]))
    assert not offset.any() and not by_code.any()


POSE = Similarity(1.05, torch.tensor([0.02, -0.03, 0.01]).double(), rotation_about((0, 1, 1), 0.1))


def seen_from_above(points: torch.Tensor, normals: torch.Tensor) -> Observations:
    eye = torch.tensor([0.0, 0.0, 4.0]).expand_as(points)
    return Observations(points, 0.002, normals, eye, points)


@pytest.mark.parametrize(("solve_pose", "solve_code"), [(True, True), (True, False), (False, True)])
def test_the_gradient_is_that_of_differences(balls, half_of, solve_pose, solve_code):
    points, normals = half_of(balls, torch.tensor([0.05, 0.0, 0.1, 0.8]), 200)
    constraints = SdfConstraints.of(
        seen_from_above(points, normals), 200, 200, torch.Generator().manual_seed(0)
    )
    codes = CodeDistribution.of(balls.codes)
    objective = Objective(balls, codes, constraints, 0.05, solve_pose, solve_code)
    objective.normalisation = None  # tested on its own; a maximum over a grid has kinks
    state = State(torch.tensor([0.0, 0.05, 0.0, 0.75]).double(), POSE)
    gradient = objective.linearise(state).gradient
    for axis in range(len(gradient)):
        step = torch.zeros_like(gradient)
        step[axis] = 1e-3
        ahead, behind = (objective.linearise(objective.move(state, s)).loss for s in (step, -step))
        assert float(gradient[axis]) == pytest.approx((ahead - behind) / 2e-3, rel=0.02, abs=0.3)


def test_losses_of_many_codes_are_those_of_each(balls, half_of):
    points, normals = half_of(balls, balls.codes[0], 200)
    constraints = SdfConstraints.of(
        seen_from_above(points, normals), 200, 200, torch.Generator().manual_seed(0)
    )
    objective = Objective(balls, CodeDistribution.of(balls.codes), constraints, 0.05, solve_pose=False)
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
    constraints = SdfConstraints(places, torch.zeros(2), torch.ones(2), torch.tensor([True, True]))
    objective = Objective(balls, CodeDistribution.of(balls.codes), constraints, 0.05, solve_pose=False)
    still = Similarity(1.0, torch.zeros(3).double())
    residual, jacobian = objective.residuals(State(torch.tensor([0.0, 0, 0, 0.5]).double(), still))
    assert torch.allclose(residual, torch.tensor([-0.5, 0.0])) and not jacobian[1].any()


def test_points_in_a_cell_count_as_one():
    assert independent(torch.rand(100, 3) * 0.09 + 0.005) == 1
    assert independent(torch.eye(3)) == 3
    assert independent(torch.zeros(0, 3)) == 0


START = torch.tensor([-1.2, 1.0], dtype=torch.float64)


def rosenbrock(x: torch.Tensor) -> Quadratic:
    a, b = x.tolist()
    residual = torch.tensor([10 * (b - a * a), 1 - a], dtype=torch.float64)
    jacobian = torch.tensor([[-20 * a, 10], [-1, 0]], dtype=torch.float64)
    return Quadratic(float(residual @ residual) / 2, jacobian.T @ residual, jacobian.T @ jacobian)


def test_a_curved_valley_is_followed_to_its_end():
    found = levenberg_marquardt(rosenbrock, torch.add, START, iterations=60)
    assert torch.allclose(found.state, torch.ones(2, dtype=torch.float64), atol=1e-6)
    assert list(found.losses) == sorted(found.losses, reverse=True)


def test_a_linear_problem_takes_few_steps():
    matrix = torch.randn(20, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    truth = torch.arange(5, dtype=torch.float64)

    def linear(x: torch.Tensor) -> Quadratic:
        residual = matrix @ (x - truth)
        return Quadratic(float(residual @ residual) / 2, matrix.T @ residual, matrix.T @ matrix)

    found = levenberg_marquardt(linear, torch.add, truth * 0, iterations=5)
    assert torch.allclose(found.state, truth, atol=1e-6)


def test_a_minimum_is_left_alone():
    found = levenberg_marquardt(rosenbrock, torch.add, torch.ones(2, dtype=torch.float64), iterations=5)
    assert torch.equal(found.state, torch.ones(2, dtype=torch.float64))
