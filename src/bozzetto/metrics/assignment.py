"""Optimal assignments with a proof: the dual bound that comes with each."""

import torch
from jaxtyping import Float, Float64, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..errors import InputError
from ..geometry.launch import in_parts, launch
from ..values import value_type
from .assignment_kernels import CAPACITY, auction

TOLERANCE = 1e-6
FIRST_STEP = 0.1  # bid increment of the first phase over the mean cost
SHRINK = 0.2  # of the increment from phase to phase
LEAST_STEP = 1e-9  # of the mean cost; ends the auction where the optimum itself is 0
BIDS_PER_ROW = 2000  # an assignment that needs more (thousands of equal points) goes to SciPy


@value_type
class Assignments:
    """Assignments of n rows to n columns with bounds of the least mean cost.

    Attributes:
        lower: A proven lower bound of the least mean cost: the value of a feasible dual, whatever the solver
            did. At or above `upper` only by rounding.
        upper: Mean cost of `column`; infinite where the solver was stopped early without an assignment.
        column: The column of each row; -1 where there is none.
        prices: Prices of the columns, that is minus their dual variables; a start for a similar problem.
    """

    lower: Float64[Tensor, "B"]
    upper: Float64[Tensor, "B"]
    column: Int[Tensor, "B n"]
    prices: Float64[Tensor, "B n"]


def solve_assignments(
    costs: Float[Tensor, "B n m"],
    prices: Float64[Tensor, "B n"] | None = None,
    cutoffs: Float64[Tensor, "B"] | None = None,
    tolerance: float = TOLERANCE,
    first_step: float = FIRST_STEP,
) -> Assignments:
    """Minimise the mean of `costs[b, i, column[b, i]]` over permutations, one problem per b.

    Each is solved to a proven relative gap, upper - lower <= tolerance * upper, unless the lower bound
    exceeds its cutoff first.

    Args:
        costs: Non-negative and finite, square; taken as float32.
        prices: Where to start; 0 if None. Bad prices cost time, not correctness.
        cutoffs: Lower bounds that are enough; None asks for all optima.
        tolerance: Relative gap; float32 costs mean about 1e-7.
        first_step: Bid increment of the first phase, as a share of the mean cost; less for good prices.

    Raises:
        InputError: `costs` is not a batch of square matrices.
    """
    if costs.ndim != 3 or costs.shape[1] != costs.shape[2] or costs.shape[1] == 0:
        raise InputError(f"costs must have shape (B, n, n) with n > 0, got {tuple(costs.shape)}")
    costs, count, device = costs.detach().float().contiguous(), costs.shape[1], costs.device
    made = _Workspace(len(costs), count, device, prices)
    mean = costs.mean(dim=(1, 2)).double()
    steps = torch.stack([first_step * mean, torch.full_like(mean, SHRINK), LEAST_STEP * mean], dim=1)
    steps = torch.where(mean[:, None] > 0, steps, torch.ones_like(steps))
    stop = torch.full_like(mean, torch.inf) if cutoffs is None else cutoffs.to(mean).contiguous()

    def run(_: int, start: int, end: int) -> None:
        part = slice(start, end)
        work = [array[part] for array in made.arrays]
        limit = BIDS_PER_ROW * count
        launch(auction, end - start, [costs[part], steps[part], tolerance, stop[part], limit, *work], device)

    if len(costs):
        in_parts(run, len(costs), device)
    _finish(costs, made, stop, tolerance, mean)
    return Assignments(made.lower, made.upper, made.column, made.prices)


class _Workspace:
    """What the kernel writes, in the order of its arguments."""

    def __init__(
        self, batch: int, count: int, device: torch.device, prices: Float64[Tensor, "B n"] | None
    ) -> None:
        def empty(*shape: int, dtype: torch.dtype) -> Tensor:
            return torch.empty(batch, *shape, dtype=dtype, device=device)

        real, whole = torch.float64, torch.int32
        self.prices = (
            torch.zeros(batch, count, dtype=real, device=device)
            if prices is None
            else prices.detach().to(device, real, copy=True).contiguous()
        )
        self.column = empty(count, dtype=whole)
        self.lower, self.upper = empty(dtype=real), empty(dtype=real)
        chosen = empty(count, int(CAPACITY), dtype=whole)
        found, row_of, free = (empty(count, dtype=whole) for _ in range(3))
        bound, reach = empty(count, dtype=real), empty(count, dtype=real)
        work = [chosen, found, bound, reach, row_of]
        self.bids = empty(dtype=whole)
        self.arrays = [self.prices, *work, self.column, free, self.lower, self.upper, self.bids]


def _finish(
    costs: Float[Tensor, "B n n"],
    made: _Workspace,
    stop: Float64[Tensor, "B"],
    tolerance: float,
    mean: Float64[Tensor, "B"],
) -> None:
    """Let SciPy solve what the auction gave up on; its optimum is its own bound."""
    tiny = 4 * LEAST_STEP * mean
    proven = made.upper - made.lower <= torch.maximum(tolerance * made.upper, tiny)
    for b in (~proven & (made.lower <= stop)).nonzero()[:, 0].tolist():
        matrix = costs[b].double().cpu().numpy()
        row, column = linear_sum_assignment(matrix)
        made.column[b] = torch.as_tensor(column, device=costs.device)
        made.lower[b] = made.upper[b] = float(matrix[row, column].mean())
