"""Differentiable solves of sparse symmetric positive definite systems, with one factorisation for many solves.

A `Solver` is the prepared matrix. Create it when the connectivity changes, and call `solve` in every step.
Forward and backward pass use the same factorisation, since the matrix is symmetric. Without a
factorisation, conjugate gradients solve for several right-hand sides at once, on both devices.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csc_array
from scipy.sparse.linalg import splu
from torch import Tensor

from ..errors import InputError
from .launch import in_parts, launch
from .solve_kernels import multiply

CHECK_EVERY = 8
"""Iterations between checks of the residual on CUDA, where each check synchronises with the device."""


class ConjugateGradients:
    """A symmetric positive definite matrix, solved by Jacobi-preconditioned conjugate gradients.

    Every column has its own step lengths and its own stopping test (Hestenes and Stiefel 1952). Since little
    changes between two steps of an optimiser, a solve starts from the previous solution where that is closer
    than zero, separately for forward and backward solves and for each number of columns. So results depend on
    earlier solves, within the tolerance.

    Source: Hestenes and Stiefel 1952, the method.

    Args:
        matrix: Coalesced sparse COO tensor with a positive diagonal.
        tolerance: Residual norm of a column, as a fraction of that of its right-hand side, at which it stops.
            Values much below 1e-6 are pointless in float32, since the right-hand side itself is rounded.
        max_iterations: Number of iterations after which an error is raised.
    """

    method = "cg"

    def __init__(self, matrix: Tensor, tolerance: float = 1e-6, max_iterations: int = 10_000) -> None:
        self.size: int = len(matrix)
        self.tolerance = tolerance
        self.max_iterations = max_iterations
        self.iterations: int = 0  # of the last solve
        self._matrix = matrix
        rows, columns = matrix.indices()
        self._columns = columns.to(torch.int32)
        counts = torch.bincount(rows, minlength=self.size)
        self._starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)]).to(torch.int32)
        diagonal = matrix.values().new_zeros(self.size)
        diagonal[rows[rows == columns]] = matrix.values()[rows == columns]
        if not bool((diagonal > 0).all()):
            raise InputError(
                "conjugate gradients need a positive diagonal; the matrix is not positive definite"
            )
        self._inverse_diagonal = diagonal.reciprocal()[:, None]
        self._previous: dict[tuple[bool, int], Tensor] = {}

    def __call__(self, rhs: Float[Tensor, "n C"], adjoint: bool = False) -> Float[Tensor, "n C"]:
        """Solve for every column.

        Raises:
            InputError: It did not converge: the matrix is not positive definite, or something is not finite.
        """
        rhs = rhs.detach().contiguous()
        x, residual = self._begin(rhs, self._previous.get((adjoint, rhs.shape[1])))
        goal = self.tolerance * rhs.norm(dim=0)
        scale = self._inverse_diagonal.to(rhs.dtype)
        direction, product = torch.zeros_like(rhs), torch.empty_like(rhs)
        before = torch.ones_like(goal)
        every = CHECK_EVERY if rhs.is_cuda else 1
        for iteration in range(self.max_iterations + 1):
            open_columns = residual.norm(dim=0) > goal
            self.iterations = iteration
            if iteration % every == 0 and not bool(open_columns.any()):
                break
            improved = scale * residual
            now = (residual * improved).sum(dim=0)
            direction = torch.addcmul(improved, direction, torch.where(before > 0, now / before, 0))
            before = now
            self._multiply(direction, product)
            step = now / (direction * product).sum(dim=0)
            step = torch.where(open_columns, step, 0)
            x = torch.addcmul(x, direction, step)
            residual = torch.addcmul(residual, product, -step)
        if not bool((residual.norm(dim=0) <= goal).all()):
            raise InputError(
                f"conjugate gradients did not converge in {self.max_iterations} iterations; "
                "is the matrix positive definite and the right-hand side finite?"
            )
        self._previous[adjoint, rhs.shape[1]] = x
        return x.clone()

    def _begin(self, rhs: Tensor, guess: Tensor | None) -> tuple[Tensor, Tensor]:
        """Start and its residual: per column the last solution or zero, whichever is closer."""
        if guess is None or guess.dtype != rhs.dtype:
            return torch.zeros_like(rhs), rhs.clone()
        residual = rhs - self._multiply(guess, torch.empty_like(rhs))
        better = residual.norm(dim=0) < rhs.norm(dim=0)
        return torch.where(better, guess, 0), torch.where(better, residual, rhs)

    def _multiply(self, x: Tensor, out: Tensor) -> Tensor:
        if x.dtype != torch.float32 or self._matrix.dtype != torch.float32:
            return out.copy_(self._matrix.to(x.dtype) @ x)

        def run(_: int, start: int, stop: int) -> None:
            inputs = [self._starts, self._columns, self._matrix.values(), start, x, out]
            launch(multiply, stop - start, inputs, x.device)

        in_parts(run, self.size, x.device)
        return out


DIRECT_LIMIT = 400_000
"""Number of unknowns above which "auto" uses conjugate gradients: factors of larger matrices fill gigabytes."""


@runtime_checkable
class Solver(Protocol):
    """A prepared symmetric positive definite matrix.

    Attributes:
        size: Number of unknowns.
        method: "direct", "cg" or "cholespy".
    """

    size: int
    method: str

    def __call__(self, rhs: Float[Tensor, "n C"], adjoint: bool = False) -> Float[Tensor, "n C"]:
        """The solution, without a gradient; `adjoint` marks the backward pass."""
        ...


def factorise(matrix: Float[Tensor, "n _"], method: str = "auto", tolerance: float = 1e-6) -> Solver:
    """Prepare a matrix for many solves.

    Args:
        matrix: Sparse (coalesced or not) or dense, symmetric positive definite, for instance I + lambda L.
        method: "direct": sparse LU of SciPy (SuperLU) in symmetric mode, on the CPU in the precision of the
            matrix.
            "cg": conjugate gradients, on the device of the matrix, without a factorisation. "cholespy": a
            faster sparse Cholesky factorisation on both devices, where the user installed it. "auto":
            "direct" on the CPU up to `DIRECT_LIMIT` unknowns, otherwise "cg".
        tolerance: Residual norm, as a fraction of that of the right-hand side, at which "cg" stops; the
            others solve to rounding error.

    Raises:
        InputError: The matrix is not square, not symmetric, not finite or singular, or the method is unknown
            or not installed.
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"a matrix to factorise must be square, got shape {tuple(matrix.shape)}")
    matrix = (matrix if matrix.is_sparse else matrix.to_sparse()).detach().coalesce()
    _check_symmetric(matrix)
    if method == "auto":
        small_on_cpu = matrix.device.type == "cpu" and len(matrix) <= DIRECT_LIMIT
        method = "direct" if small_on_cpu else "cg"
    makers: dict[str, Callable[[], Solver]] = {
        "direct": lambda: DirectSolver(matrix),
        "cg": lambda: ConjugateGradients(matrix, tolerance),
        "cholespy": lambda: CholespySolver(matrix),
    }
    if method not in makers:
        raise InputError(f"method must be 'auto', {', '.join(map(repr, makers))}, got {method!r}")
    return makers[method]()


def solve(solver: Solver, rhs: Float[Tensor, "n C"]) -> Float[Tensor, "n C"]:
    """Solve for every column; the gradient with respect to `rhs` is one more solve.

    Args:
        solver: From `factorise`.
        rhs: Right-hand sides, on the device of the matrix.

    Raises:
        InputError: The number of rows is not that of the matrix.
    """
    return solve_all([solver], [rhs])[0]


def solve_all(solvers: Sequence[Solver], rhs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Solve several systems; factorised ones on the CPU at the same time, in several threads.

    Args:
        solvers: From `factorise`.
        rhs: Right-hand sides (n, C) of each, on the device of its matrix.

    Returns:
        The solutions. In the backward pass, the gradients with respect to all right-hand sides are solved for
        at the same time as well.

    Raises:
        InputError: The number of rows of a right-hand side is not that of its matrix.
    """
    for solver, side in zip(solvers, rhs, strict=True):
        if len(side) != solver.size:
            raise InputError(
                f"the system has {solver.size} unknowns, got a right-hand side of {len(side)} rows"
            )
    return _Solve.apply(list(solvers), *rhs)


class _Solve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, solvers: list[Solver], *rhs: Tensor) -> tuple[Tensor, ...]:
        ctx.solvers = solvers
        return _solved(solvers, [side.detach() for side in rhs], adjoint=False)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides names)
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, ...]:
        return None, *_solved(ctx.solvers, grad_outputs, adjoint=True)


def _solved(solvers: Sequence[Solver], rhs: Sequence[Tensor], adjoint: bool) -> tuple[Tensor, ...]:
    found: list[Tensor] = list(rhs)

    def work(_: int, start: int, stop: int) -> None:
        for i in range(start, stop):
            found[i] = solvers[i](rhs[i], adjoint=adjoint)

    if all(isinstance(solver, DirectSolver) for solver in solvers):  # others run kernels in the same threads
        in_parts(work, len(solvers), torch.device("cpu"))
    else:
        work(0, 0, len(solvers))
    return tuple(found)


class DirectSolver:
    """Sparse LU factors from SciPy, in the precision of the matrix.

    Symmetric mode without pivoting keeps them as small as Cholesky's.
    """

    method = "direct"

    def __init__(self, matrix: Tensor) -> None:
        self.size: int = len(matrix)
        self.device: torch.device = matrix.device
        self.dtype: torch.dtype = matrix.dtype
        rows, columns = matrix.indices().cpu().numpy()
        # Sorted by rows, so read as columns this is the transpose: the same matrix.
        starts = np.searchsorted(rows, np.arange(self.size + 1)).astype(np.int32)
        values = matrix.values().cpu().numpy()
        table = csc_array((values, columns.astype(np.int32), starts), shape=tuple(matrix.shape))
        try:
            # Without diag_pivot_thresh = 0 rounding makes it leave the diagonal and take 4 times as long.
            self._factors = splu(
                table,
                permc_spec="MMD_AT_PLUS_A",
                diag_pivot_thresh=0.0,
                options={"SymmetricMode": True},
            )
        except RuntimeError as error:
            raise InputError(f"the matrix to factorise is singular ({error})") from error

    def __call__(self, rhs: Float[Tensor, "n C"], adjoint: bool = False) -> Float[Tensor, "n C"]:
        # SuperLU works in place on columns: handing them over in that order saves its own copy.
        columns = rhs.detach().cpu().to(self.dtype).t().contiguous().numpy().T
        solution = np.ascontiguousarray(self._factors.solve(columns))
        return torch.from_numpy(solution).to(self.device, rhs.dtype)


class CholespySolver:
    """Sparse Cholesky factors from the cholespy package, an optional extra: its binary contains GPL code."""

    method = "cholespy"

    def __init__(self, matrix: Tensor) -> None:
        try:
            from cholespy import CholeskySolverD, MatrixType  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise InputError(
                "method 'cholespy' needs the package cholespy, which is not installed: "
                'run `pip install "bozzetto[cholespy]"`, or use method "direct" or "cg"'
            ) from error
        self.size: int = len(matrix)
        rows, columns = matrix.indices().to(torch.int32).contiguous()
        self._factors = CholeskySolverD(self.size, rows, columns, matrix.values().double(), MatrixType.COO)

    def __call__(self, rhs: Float[Tensor, "n C"], adjoint: bool = False) -> Float[Tensor, "n C"]:
        solution = torch.empty_like(rhs, dtype=torch.float64, memory_format=torch.contiguous_format)
        for start in range(0, rhs.shape[1], 128):  # the most it takes at a time on CUDA
            part = rhs[:, start : start + 128].detach().double().contiguous()
            result = torch.zeros_like(part)
            self._factors.solve(part, result)
            solution[:, start : start + 128] = result
        return solution.to(rhs.dtype)


def _check_symmetric(matrix: Tensor) -> None:
    rows, columns = matrix.indices()
    order = torch.argsort(columns * len(matrix) + rows)  # entries of the transpose in the order of the matrix
    values = matrix.values()
    if not bool(torch.isfinite(values).all()):
        raise InputError("a matrix to factorise must be finite, got NaN or infinite entries")
    same = torch.equal(rows[order], columns) and torch.equal(columns[order], rows)
    if not same or bool(((values[order] - values).abs() > 1e-5 * values.abs().max()).any()):
        raise InputError("a matrix to factorise must be symmetric, got one that is not")
