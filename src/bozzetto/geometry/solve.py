"""Solve sparse symmetric positive definite systems, differentiably, with the preparation done once.

A `Solver` is the prepared matrix. Make it when the connectivity changes, keep it, and call `solve` in every
step: forward and backward pass use the same factorisation, since the matrix is its own transpose.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csc_array
from scipy.sparse.linalg import splu
from torch import Tensor

from ..errors import InputError
from .conjugate_gradients import ConjugateGradients

DIRECT_LIMIT = 400_000
"""Unknowns above which "auto" prefers conjugate gradients: the factors of larger meshes fill gigabytes."""


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
        """The solution, without a gradient; `adjoint` tells the backward pass from the forward pass."""
        ...


def factorise(matrix: Float[Tensor, "n _"], method: str = "auto", tolerance: float = 1e-6) -> Solver:
    """Prepare a matrix for many solves.

    Args:
        matrix: Sparse (coalesced or not) or dense, symmetric positive definite, for instance I + lambda L.
        method: "direct": sparse LU of SciPy (SuperLU) in symmetric mode, on the CPU in double precision.
            "cg": conjugate gradients, on the device of the matrix, nothing to factorise. "cholespy": a
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
    """Solve for every column; the gradient by `rhs` is one more solve.

    Args:
        solver: From `factorise`.
        rhs: Right-hand sides, on the device of the matrix.

    Raises:
        InputError: The number of rows is not that of the matrix.
    """
    if len(rhs) != solver.size:
        raise InputError(f"the system has {solver.size} unknowns, got a right-hand side of {len(rhs)} rows")
    return _Solve.apply(rhs, solver)


class _Solve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rhs: Tensor, solver: Solver) -> Tensor:
        ctx.solver = solver
        return solver(rhs.detach())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides names)
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, None]:
        return ctx.solver(grad_outputs[0], adjoint=True), None


class DirectSolver:
    """Sparse LU factors from SciPy. Symmetric mode without pivoting keeps them as small as Cholesky's."""

    method = "direct"

    def __init__(self, matrix: Tensor) -> None:
        self.size, self.device = len(matrix), matrix.device
        rows, columns = matrix.indices().cpu().numpy()
        # Sorted by rows, so read as columns this is the transpose: the same matrix.
        starts = np.searchsorted(rows, np.arange(self.size + 1)).astype(np.int32)
        values = matrix.values().cpu().double().numpy()
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
        columns = rhs.detach().cpu().double().t().contiguous().numpy().T
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
        self.size = len(matrix)
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
