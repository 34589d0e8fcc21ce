"""The earth mover's distance between point clouds, exact.

Each optimal assignment has a proof, its dual bound.
"""

import torch
from jaxtyping import Float, Float64, Int, Int64
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..errors import InputError
from ..geometry.launch import in_parts, launch
from ..values import value_type
from .transport_kernels import CAPACITY, auction

TOLERANCE = 1e-6
FIRST_STEP = 0.1  # bid increment of the first phase, relative to the mean cost
SHRINK = 0.2  # factor on the increment from phase to phase
LEAST_STEP = 1e-9  # smallest increment relative to the mean cost, which ends the auction if the optimum is 0
BIDS_PER_ROW = 2000  # an assignment that needs more (thousands of equal points) is solved by SciPy


@value_type
class Assignments:
    """Assignments of n rows to n columns, with bounds of the minimal mean cost.

    Attributes:
        lower: Proven lower bound of the minimal mean cost: the value of a feasible dual. It exceeds `upper`
            only by rounding.
        upper: Mean cost of `column`; infinite if the solver was stopped early without an assignment.
        column: The column of each row; -1 if there is none.
        prices: Prices of the columns, minus their dual variables; an initial guess for similar problems.
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
        prices: Initial prices; None for 0. Bad prices only cost time.
        cutoffs: Lower bounds at which the solver may stop; None solves all problems.
        tolerance: Relative gap; costs in float32 have errors of about 1e-7.
        first_step: Bid increment of the first phase, as a fraction of the mean cost; smaller for good initial
            prices.

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
    """Output and work arrays of the kernel, in the order of its arguments."""

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
    """Solve the problems that the auction did not solve by SciPy, whose optimum is its own bound."""
    tiny = 4 * LEAST_STEP * mean
    proven = made.upper - made.lower <= torch.maximum(tolerance * made.upper, tiny)
    for b in (~proven & (made.lower <= stop)).nonzero()[:, 0].tolist():
        matrix = costs[b].double().cpu().numpy()
        row, column = linear_sum_assignment(matrix)
        made.column[b] = torch.as_tensor(column, device=costs.device)
        made.lower[b] = made.upper[b] = float(matrix[row, column].mean())


@value_type
class EarthMover:
    """The earth mover's distance between two clouds of n points.

    Attributes:
        distance: Mean unsquared distance between matched points, in the unit of the clouds.
        lower_bound: Proven lower bound of all matchings; `distance` exceeds it by at most a millionth.
        match: Index of the partner of each point of the first cloud, a permutation.
    """

    distance: float
    lower_bound: float
    match: Int64[Tensor, "n"]


def earth_mover(a: Float[Tensor, "n D"], b: Float[Tensor, "m D"]) -> EarthMover:
    """Match two clouds with the same number of points such that the mean distance between partners is minimal.

    min over permutations pi of (1/n) sum |a_i - b_pi(i)|, unsquared as in tables of generative models (there
    times 10^2), solved as an assignment and proven by its dual.

    Source: Bertsekas 1992, the auction. Differs: the result is proven by its dual, to a millionth.

    Args:
        a: Points of one cloud.
        b: As many points of the other, on the same device.

    Raises:
        InputError: The clouds are empty, differ in size or have coordinates that are not finite.
    """
    if a.shape != b.shape or a.ndim != 2 or len(a) == 0:
        raise InputError(
            "the earth mover's distance needs two clouds of equally many points, "
            f"got shapes {tuple(a.shape)} and {tuple(b.shape)}"
        )
    for name, cloud in (("first", a), ("second", b)):
        if not torch.isfinite(cloud).all():
            raise InputError(f"the {name} cloud has NaN or infinite coordinates; repair or remove them")
    found = solve_assignments(distances(a[None], b[None]))
    return EarthMover(float(found.upper[0]), float(found.lower[0]), found.column[0].long())


def distances(a: Float[Tensor, "B n D"], b: Float[Tensor, "B m D"]) -> Float[Tensor, "B n m"]:
    """Distances between the points of two clouds, per pair of clouds, without the cancellation of matrix
    products."""
    return torch.cdist(a.detach().float(), b.detach().float(), compute_mode="donot_use_mm_for_euclid_dist")
