import torch

from bozzetto.sdf.least_squares import Quadratic, levenberg_marquardt

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
