"""Lower bounds of the earth mover's distance between clouds, from cheap to tight, and the distance itself.

All are bounds whatever the data, so that a search which skips by them stays exact:

1. The mean distance to the nearest point of the other cloud, in the worse of both directions: a matching
   cannot do better. The distance between the centroids (Jensen). Both come with the Chamfer distances.
2. Sliced: projected onto a line, points match in sorted order; no projection lengthens a distance.
3. Coarse dual: the dual of a matching between subsets of the points, carried over to all points by
   c-transforms, which make it feasible (Kantorovich duality).
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from scipy.spatial import KDTree
from torch import Tensor

from ..geometry.launch import in_parts, launch, thread_count
from ..values import value_type
from .assignment import solve_assignments
from .earth_mover import distances
from .transport_kernels import transform

COARSE_POINTS = 128
COARSE_TOLERANCE = 0.03
COARSE_BATCH = 512  # pairs at a time
WARM_STEP = 0.03  # first bid increment over the mean cost when the auction starts from coarse prices
DIRECTIONS = 64
BATCH_NUMBERS = 2**25  # of the cost matrices in memory at a time


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
        # Adding coordinates that are 0 changes no distance.
        padded = torch.nn.functional.pad(clouds.detach().float(), (0, 3 - clouds.shape[2]))
        # The order of points in files often says where they are; a prefix must be a fair sample.
        order = torch.randperm(clouds.shape[1], generator=torch.Generator().manual_seed(0))
        self.clouds = padded[:, order.to(padded.device)].contiguous()

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
