"""Conjugate gradients for several right-hand sides at once, on both devices."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from .launch import in_parts, launch
from .solve_kernels import multiply

CHECK_EVERY = 8
"""Iterations between looks at the residual on CUDA, where each look waits for the device."""


class ConjugateGradients:
    """A symmetric positive definite matrix, solved by Jacobi-preconditioned conjugate gradients.

    Every column has its own step lengths and stops on its own (Hestenes and Stiefel 1952). A solve begins at
    the previous solution where that is closer than zero, separately for forward and backward solves and for
    each number of columns: between two steps of an optimiser little changes. So results depend on earlier
    ones within the tolerance.

    Source: Hestenes and Stiefel 1952, the method.

    Args:
        matrix: Coalesced sparse COO tensor with a positive diagonal.
        tolerance: Residual norm of a column, as a fraction of that of its right-hand side, to stop at. Much
            below 1e-6 means nothing in float32, where the right-hand side itself is rounded.
        max_iterations: Give up after these many.
    """

    method = "cg"

    def __init__(self, matrix: Tensor, tolerance: float = 1e-6, max_iterations: int = 10_000) -> None:
        self.size, self.tolerance, self.max_iterations = len(matrix), tolerance, max_iterations
        self.iterations = 0  # of the last solve
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
