"""Nearest neighbours among clouds by the earth mover's distance, exact, with few assignments solved."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from ..values import value_type
from .transport_bounds import NearestMeans, Transport, first_bounds

SLACK = 2e-6  # relative: distances are solved to a proven millionth, bounds are rounded
PER_ROUND = 4  # candidates of each query that are looked at together


@value_type
class SetNeighbours:
    """Who is next to whom between and within two sets of clouds, S and R.

    Attributes:
        distance_from_s: For each cloud of S the distance to its nearest cloud of R.
        nearest_to_s: Which one that is.
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
    """What a search did, against all pairs.

    Attributes:
        pairs: Pairs of clouds that there are.
        bounded: Pairs for which the coarse dual was computed.
        solved: Assignments begun at full size; an exhaustive search would begin `pairs`.
        abandoned: Those of them that ended early, when their bound exceeded what was looked for.
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
    """Best-first search: the pair with the least bound is looked at closer, until no bound is below a solution.

    The nearest clouds across the sets are found with their distances. Within a set it only needs to be known
    whether some cloud is nearer than the nearest of the other set, so that the search for a cloud ends at the
    first one that is.

    Attributes:
        clouds: Clouds of S, then of R, with equally many points.
        count_s: How many belong to S.
        means: Nearest-point statistics of the clouds.
        progress: Called with the share of clouds whose neighbours are known, across and then within.
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
        """Solve until for every row the nearest allowed cloud is known, if it is not beyond the limit.

        Args:
            stage: For the progress.
            allowed: Clouds among which each row looks.
            limit: Farther clouds are of no interest.
            decide: A row ends at the first distance below its limit.
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
    """Which pairs are across the sets, and which within one (a cloud is no neighbour of itself)."""
    in_s = torch.arange(count) < count_s
    across = in_s[:, None] != in_s[None]
    return across, ~across & ~torch.eye(count, dtype=torch.bool)
