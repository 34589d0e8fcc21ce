"""Exact nearest neighbours among clouds by the earth mover's distance, with few assignments to solve.

Pairs are skipped by lower bounds, which hold for all data:

1. The mean distance to the nearest point of the other cloud, the larger of both directions, and the distance
between the centroids (Jensen). Both are computed together with the Chamfer distances.
2. Sliced: projected onto a line, points match in sorted order; no projection lengthens a distance.
3. Coarse dual: the dual of a matching between subsets of the points, carried over to all points by
   c-transforms, which make it feasible (Kantorovich duality).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from scipy.spatial import KDTree
from torch import Tensor

from ..geometry.launch import in_parts, launch, thread_count
from ..values import value_type
from .earth_mover import distances, solve_assignments
from .transport_kernels import transform

COARSE_POINTS = 128
COARSE_TOLERANCE = 0.03
COARSE_BATCH = 512  # pairs at a time
WARM_STEP = 0.03  # first bid increment relative to the mean cost if the auction starts from coarse prices
DIRECTIONS = 64
BATCH_NUMBERS = 2**25  # largest number of entries of the cost matrices in memory at a time


@value_type
class NearestMeans:
    """Mean distances between clouds, from each point to the nearest point of the other cloud.

    Attributes:
        plain: Entry (i, j): mean over the points of cloud i of the distance to the nearest point of cloud j.
        squared: The same of squared distances; `squared + squared.T` is the Chamfer distance of the tables.
    """

    plain: Float64[Tensor, "N N"]
    squared: Float64[Tensor, "N N"]


def nearest_means(clouds: Float[Tensor, "N n D"]) -> NearestMeans:
    """Nearest-point statistics of all pairs of clouds, with k-d trees in double precision on the processor."""
    points = clouds.detach().double().cpu().numpy()
    count, size, dimension = points.shape
    stacked = points.reshape(-1, dimension)
    plain, squared = np.zeros((count, count)), np.zeros((count, count))

    def column(j: int) -> None:
        found = KDTree(points[j]).query(stacked)[0].reshape(count, size)
        plain[:, j], squared[:, j] = found.mean(axis=1), np.square(found).mean(axis=1)

    with ThreadPoolExecutor(thread_count()) as pool:
        list(pool.map(column, range(count)))
    return NearestMeans(torch.from_numpy(plain), torch.from_numpy(squared))


def first_bounds(
    clouds: Float[Tensor, "N n D"], means: NearestMeans, seed: int = 0
) -> Float64[Tensor, "N N"]:
    """The larger of bounds 1 and 2 for all pairs of clouds."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.randn(clouds.shape[2], DIRECTIONS, generator=generator, dtype=torch.float64)
    lines = (clouds.detach().double().cpu() @ torch.nn.functional.normalize(axes, dim=0)).sort(dim=1).values
    centre = clouds.detach().double().cpu().mean(dim=1)
    bounds = torch.maximum(torch.maximum(means.plain, means.plain.T), torch.cdist(centre, centre))
    lines = lines.float().transpose(1, 2).contiguous()  # (N, DIRECTIONS, n)
    for i in range(len(lines)):
        sliced = (lines[i] - lines[i:]).abs().mean(dim=2).amax(dim=1).double() * (1 - 1e-5)
        bounds[i, i:] = torch.maximum(bounds[i, i:], sliced)
    return torch.triu(bounds, 1) + torch.triu(bounds, 1).T


class Transport:
    """Clouds of equally many points, prepared for many bounds and distances between them."""

    def __init__(self, clouds: Float[Tensor, "N n D"]) -> None:
        # Additional zero coordinates change no distance.
        padded = torch.nn.functional.pad(clouds.detach().float(), (0, 3 - clouds.shape[2]))
        # Points in files are often ordered by position, but a prefix must be a random sample.
        order = torch.randperm(clouds.shape[1], generator=torch.Generator().manual_seed(0))
        self.clouds: Tensor = padded[:, order.to(padded.device)].contiguous()

    def bound(self, pairs: Int[Tensor, "P 2"]) -> Float64[Tensor, "P"]:
        """Bound 3 for pairs of clouds."""
        return torch.cat([self._coarse(some)[0].cpu() for some in pairs.split(COARSE_BATCH)])

    def _coarse(self, pairs: Int[Tensor, "P 2"]) -> tuple[Float64[Tensor, "P"], Float64[Tensor, "P n"]]:
        """Bound 3 and prices with which the auction at full size may start."""
        pairs = pairs.to(self.clouds.device, torch.int32)
        first, second = self.clouds[pairs[:, 0].long()], self.clouds[pairs[:, 1].long()]
        costs = distances(first[:, :COARSE_POINTS], second[:, :COARSE_POINTS])
        coarse = solve_assignments(costs, tolerance=COARSE_TOLERANCE)
        rows = (costs.double() + coarse.prices[:, None]).amin(dim=2)
        columns = self._transform(pairs, 0, rows)
        rows = self._transform(pairs, 1, columns)
        return rows.mean(dim=1) + columns.mean(dim=1), -columns

    def _transform(
        self, pairs: Int[Tensor, "P 2"], side: int, values: Float64[Tensor, "P k"]
    ) -> Float64[Tensor, "P n"]:
        count = self.clouds.shape[1]
        result = torch.empty(len(pairs), count, dtype=torch.float64, device=self.clouds.device)
        values = values.contiguous()

        def run(_: int, start: int, stop: int) -> None:
            arguments = [self.clouds, pairs[start:stop], side, values[start:stop], result[start:stop]]
            launch(transform, (stop - start, count), arguments, self.clouds.device)

        if len(pairs):
            in_parts(run, len(pairs), self.clouds.device)
        return result

    def solve(
        self, pairs: Int[Tensor, "P 2"], cutoffs: Float64[Tensor, "P"]
    ) -> tuple[Float64[Tensor, "P"], Float64[Tensor, "P"]]:
        """Lower and upper bound of the distance, a millionth apart unless the lower exceeds the cutoff."""
        batch = max(1, BATCH_NUMBERS // self.clouds.shape[1] ** 2)
        parts = [
            self._solve(some, cut) for some, cut in zip(pairs.split(batch), cutoffs.split(batch), strict=True)
        ]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])

    def _solve(
        self, pairs: Int[Tensor, "P 2"], cutoffs: Float64[Tensor, "P"]
    ) -> tuple[Float64[Tensor, "P"], Float64[Tensor, "P"]]:
        _, prices = self._coarse(pairs)  # cheaper to repeat than to keep for all pairs
        costs = distances(*(self.clouds[pairs[:, side].long()] for side in (0, 1)))
        found = solve_assignments(costs, prices, cutoffs.to(costs.device), first_step=WARM_STEP)
        return found.lower.cpu(), found.upper.cpu()


SLACK = 2e-6  # relative; distances are solved to a proven millionth, and bounds are rounded
PER_ROUND = 4  # number of candidates of each query that are examined together


@value_type
class SetNeighbours:
    """Nearest neighbours between and within two sets of clouds, S and R.

    Attributes:
        distance_from_s: For each cloud of S the distance to its nearest cloud of R.
        nearest_to_s: Index of this cloud of R.
        distance_from_r: For each cloud of R the distance to its nearest cloud of S.
        same_set: For each cloud of S, then of R: 1 if its nearest other cloud of both sets together is of its
            own set, 0 if it is of the other set, 1/2 if both are equally near.
    """

    distance_from_s: Float64[Tensor, "S"]
    nearest_to_s: Int64[Tensor, "S"]
    distance_from_r: Float64[Tensor, "R"]
    same_set: Float64[Tensor, "S_plus_R"]


@dataclass
class SearchCost:
    """Cost of a search, compared with that of all pairs.

    Attributes:
        pairs: Number of all pairs of clouds.
        bounded: Number of pairs for which the coarse dual was computed.
        solved: Number of assignments started at full size; an exhaustive search would start `pairs`.
        abandoned: Number of these that ended early because their bound exceeded the cutoff.
    """

    pairs: int
    bounded: int = 0
    solved: int = 0
    abandoned: int = 0


def neighbours_from_distances(distances: Float64[Tensor, "N N"], count_s: int) -> SetNeighbours:
    """Neighbours from a full table of distances between the clouds of S, then R."""
    across, same = _blocks(len(distances), count_s)
    between = distances.masked_fill(~across, torch.inf)
    within = distances.masked_fill(~same, torch.inf).amin(dim=1)
    least, nearest = between.min(dim=1)
    outcome = (within < least).double() + 0.5 * (within == least).double()
    return SetNeighbours(least[:count_s], nearest[:count_s] - count_s, least[count_s:], outcome)


@dataclass
class EarthMoverSearch:
    """Best-first search: the pair with the smallest bound is refined until no bound is below a solution.

    The nearest clouds across the sets are found with their distances. Within a set it is only tested whether
    some cloud is nearer than the nearest one of the other set, so that the search for a cloud ends at the first
    one that is.

    Attributes:
        clouds: Clouds of S, then of R, with equally many points.
        count_s: Number of clouds of S.
        means: Nearest-point statistics of the clouds.
        progress: Function that is called with the fraction of clouds whose neighbours are known, across and
            then within the sets.
    """

    clouds: Float[Tensor, "N n D"]
    count_s: int
    means: NearestMeans
    progress: Callable[[str, float], None] = lambda stage, share: None
    cost: SearchCost = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.clouds)
        self._transport = Transport(self.clouds)
        self._lower = first_bounds(self.clouds, self.means) * (1 - SLACK)
        self._coarse = torch.zeros(count, count, dtype=torch.bool)
        self._upper = torch.full((count, count), torch.inf, dtype=torch.float64)
        self.cost = SearchCost(count * (count - 1) // 2)

    def run(self) -> SetNeighbours:
        """Find all neighbours."""
        across, same = _blocks(len(self.clouds), self.count_s)
        unlimited = torch.full((len(self.clouds),), torch.inf, dtype=torch.float64)
        self._search("across", across, unlimited, decide=False)
        least, nearest = self._upper.masked_fill(~across, torch.inf).min(dim=1)
        self._search("within", same, least, decide=True)
        within = self._upper.masked_fill(~same, torch.inf).amin(dim=1)
        outcome = (within < least).double() + 0.5 * (within == least).double()
        s = self.count_s
        return SetNeighbours(least[:s], nearest[:s] - s, least[s:], outcome)

    def _search(
        self, stage: str, allowed: Bool[Tensor, "N N"], limit: Float64[Tensor, "N"], decide: bool
    ) -> None:
        """Search until the nearest allowed cloud of every row is known, unless it is beyond the limit.

        Args:
            stage: Name of the stage for the progress.
            allowed: Candidates of each row.
            limit: Distance beyond which clouds are ignored, per row.
            decide: Whether a row ends at the first distance below its limit.
        """
        while True:
            known = self._upper.masked_fill(~allowed, torch.inf).amin(dim=1)
            best = torch.minimum(known, limit)
            open_ = allowed & torch.isinf(self._upper) & (self._lower <= best[:, None])
            if decide:
                open_[known < limit] = False
            waiting = open_.any(dim=1)
            self.progress(stage, 1 - float(waiting.double().mean()))
            if not waiting.any():
                return
            self._look_closer(self._choose(open_), best)

    def _choose(self, open_: Bool[Tensor, "N N"]) -> Int64[Tensor, "P 2"]:
        """The open pairs with the least bounds of each row, each pair once."""
        count = min(PER_ROUND, len(open_))
        rows = open_.any(dim=1).nonzero()[:, 0]
        values, columns = self._lower[rows].masked_fill(~open_[rows], torch.inf).topk(count, largest=False)
        pairs = torch.stack([rows[:, None].expand_as(columns), columns], dim=2)[torch.isfinite(values)]
        return pairs.sort(dim=1).values.unique(dim=0)

    def _look_closer(self, pairs: Int64[Tensor, "P 2"], best: Float64[Tensor, "N"]) -> None:
        done = self._coarse[pairs[:, 0], pairs[:, 1]]
        fresh, ready = pairs[~done], pairs[done]
        if len(fresh):
            self._raise_bounds(fresh, self._transport.bound(fresh))
            self._set(self._coarse, fresh, torch.ones(len(fresh), dtype=torch.bool))
            self.cost.bounded += len(fresh)
        if len(ready):
            cutoffs = best[ready].amax(dim=1) * (1 + 2 * SLACK)
            lower, upper = self._transport.solve(ready, cutoffs)
            solved = (lower <= cutoffs) | (upper - lower <= SLACK * upper)
            self._raise_bounds(ready, lower)
            self._set(self._upper, ready[solved], upper[solved])
            self.cost.solved += len(ready)
            self.cost.abandoned += int((~solved).sum())

    def _raise_bounds(self, pairs: Int64[Tensor, "P 2"], bounds: Float64[Tensor, "P"]) -> None:
        before = self._lower[pairs[:, 0], pairs[:, 1]]
        self._set(self._lower, pairs, torch.maximum(before, bounds * (1 - SLACK)))

    @staticmethod
    def _set(table: Tensor, pairs: Int64[Tensor, "P 2"], values: Tensor) -> None:
        table[pairs[:, 0], pairs[:, 1]] = values
        table[pairs[:, 1], pairs[:, 0]] = values


def _blocks(count: int, count_s: int) -> tuple[Bool[Tensor, "N N"], Bool[Tensor, "N N"]]:
    """Masks of the pairs across the sets and within one set (a cloud is not a neighbour of itself)."""
    in_s = torch.arange(count) < count_s
    across = in_s[:, None] != in_s[None]
    return across, ~across & ~torch.eye(count, dtype=torch.bool)
