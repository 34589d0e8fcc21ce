import sys

import pytest
import torch

from bozzetto import InputError
from bozzetto.geometry import cotangent_laplacian, factorise, grid_laplacian, laplacian, solve, solve_all
from bozzetto.geometry.solve import ConjugateGradients
from bozzetto.shapes import icosphere


def available(method):
    if method == "cholespy":
        return pytest.param(method, marks=pytest.mark.skipif(not has_cholespy(), reason="no cholespy"))
    return method


def has_cholespy():
    try:
        import cholespy  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        return False
    return True


METHODS = [available(m) for m in ("direct", "cg", "cholespy")]
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")),
]


def system(smoothness=19.0, dtype=torch.float32):
    """I + lambda L of an icosphere with two loose vertices."""
    sphere = icosphere(3)
    count = len(sphere.vertices) + 2
    identity = torch.eye(count).to_sparse()
    return (identity + smoothness * laplacian(sphere.faces, count)).coalesce().to(dtype)


def normal_numbers(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("smoothness", [0.0, 19.0, 999.0])
def test_solve_undoes_the_matrix(method, device, smoothness):
    matrix = system(smoothness).to(device)
    x = normal_numbers(len(matrix), 3).to(device)
    solver = factorise(matrix, method)
    assert solver.method == method
    torch.testing.assert_close(solve(solver, matrix @ x), x, atol=2e-4, rtol=0)
    torch.testing.assert_close(matrix @ solve(solver, x), x, atol=2e-4, rtol=0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("columns", [1, 2, 5, 130])
def test_any_number_of_columns(method, columns):
    matrix = system()
    rhs = normal_numbers(len(matrix), columns)
    expected = torch.linalg.solve(matrix.to_dense().double(), rhs.double()).float()
    torch.testing.assert_close(solve(factorise(matrix, method), rhs), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_gradient(method):
    sphere = icosphere(0)
    matrix = torch.eye(12).to_sparse() + 3 * cotangent_laplacian(sphere.vertices, sphere.faces)
    solver = factorise(matrix.double(), method, tolerance=1e-12)
    rhs = normal_numbers(12, 2, dtype=torch.float64).requires_grad_()
    torch.autograd.gradcheck(lambda b: solve(solver, b), rhs)


def test_gradient_is_the_solve_of_the_gradient():
    solver = factorise(system())
    rhs, outer = normal_numbers(solver.size, 3), normal_numbers(solver.size, 3, seed=1)
    rhs.requires_grad_()
    solve(solver, rhs).backward(outer)
    torch.testing.assert_close(rhs.grad, solve(solver, outer))


def test_auto_is_direct_on_the_cpu():
    assert factorise(system()).method == "direct"


def test_dense_matrices_are_taken_too():
    matrix = torch.tensor([[2.0, 1], [1, 3]])
    torch.testing.assert_close(solve(factorise(matrix), matrix), torch.eye(2))


@pytest.mark.parametrize("adjoint", [False, True])
def test_conjugate_gradients_start_from_the_last_solution(adjoint):
    matrix = system()
    solver = ConjugateGradients(matrix)
    rhs = normal_numbers(len(matrix), 3)
    first = solver(rhs, adjoint)
    cold = solver.iterations
    torch.testing.assert_close(
        solver(rhs + 1e-3 * normal_numbers(len(matrix), 3, seed=1), adjoint), first, atol=5e-3, rtol=0
    )
    assert 0 < solver.iterations < 0.8 * cold
    torch.testing.assert_close(solver(-rhs, adjoint), -first, atol=1e-5, rtol=0)  # a start worse than zero
    solver(rhs, not adjoint)
    solver(rhs, adjoint)


def test_conjugate_gradients_stop_each_column_by_itself():
    matrix = system()
    rhs = normal_numbers(len(matrix), 3) * torch.tensor([1.0, 0.0, 1e-6])
    x = factorise(matrix, "cg")(rhs)
    residual = (rhs - matrix @ x).norm(dim=0)
    assert (residual <= 1e-5 * rhs.norm(dim=0)).all()
    assert not x[:, 1].any()


def test_grid():
    matrix = (torch.eye(12).to_sparse() + 2 * grid_laplacian(3, 4)).coalesce()
    ones = torch.ones(12, 1)
    torch.testing.assert_close(solve(factorise(matrix), ones), ones)


def test_bad_matrices_are_named():
    with pytest.raises(InputError, match="square"):
        factorise(torch.zeros(2, 3))
    with pytest.raises(InputError, match="symmetric"):
        factorise(torch.tensor([[1.0, 2], [0, 1]]))
    with pytest.raises(InputError, match="finite"):
        factorise(torch.tensor([[1.0, torch.nan], [torch.nan, 1]]))
    with pytest.raises(InputError, match="singular"):
        factorise(torch.tensor([[1.0, 0], [0, 0]]), "direct")
    with pytest.raises(InputError, match="positive"):
        factorise(torch.tensor([[1.0, 0], [0, -1]]), "cg")
    with pytest.raises(InputError, match="'lu'"):
        factorise(torch.eye(2), "lu")
    with pytest.raises(InputError, match="converge"):
        factorise(torch.eye(2), "cg")(torch.tensor([[torch.nan], [1.0]]))
    with pytest.raises(InputError, match="2 unknowns"):
        solve(factorise(torch.eye(2)), torch.zeros(3, 1))


def test_missing_cholespy_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "cholespy", None)
    with pytest.raises(InputError, match=r"pip install .bozzetto\[cholespy\]"):
        factorise(torch.eye(2), "cholespy")


@pytest.mark.parametrize("method", ["direct", "cg"])
def test_several_systems_are_solved_like_each_alone(method):
    matrix = system().double()
    solvers = [factorise(matrix, method, tolerance=1e-12) for _ in range(3)]
    right = [torch.randn(len(matrix), 2, dtype=torch.float64, requires_grad=True) for _ in solvers]
    together = solve_all(solvers, right)
    sum((i + 1) * x.square().sum() for i, x in enumerate(together)).backward()
    for i, side in enumerate(right):
        alone = side.detach().requires_grad_()
        x = solve(factorise(matrix, method, tolerance=1e-12), alone)
        ((i + 1) * x.square().sum()).backward()
        torch.testing.assert_close(together[i], x, atol=1e-9, rtol=0)
        torch.testing.assert_close(side.grad, alone.grad, atol=1e-9, rtol=0)
    with pytest.raises(InputError, match="unknowns"):
        solve_all(solvers[:2], [right[0], right[1][:-1]])


def test_factors_have_the_precision_of_the_matrix():
    matrix, rhs = system(), torch.randn(len(system()), 2)
    errors = [
        float((m @ factorise(m, "direct")(rhs.to(m.dtype)) - rhs).abs().max())
        for m in (matrix, matrix.double())
    ]
    assert errors[1] < 1e-12 < errors[0] < 1e-4
