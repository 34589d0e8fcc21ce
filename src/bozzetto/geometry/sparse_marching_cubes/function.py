"""A function on a regular grid of which only some nodes are looked at."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ...errors import InputError
from ...steps import counted
from .grid import SparseGrid

Function = Callable[[Tensor], Tensor]
"""Points (P, 3) to values (P,), negative inside."""

CORNERS = torch.cartesian_prod(*[torch.arange(2)] * 3)
"""Offsets of the eight corners of a cell, z fastest."""


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Torch with so many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class SampledFunction:
    """A function on the nodes of a regular grid, each evaluated at most once.

    It is called with the threads that torch had when this was made.

    Attributes:
        counts: Nodes along each axis.
        low: Position of the first node, float64.
        step: Distance between nodes along each axis, float64.
        last: Indices of the last node.
        grid: The values; +-inf where only the sign is known, NaN where nothing is.
        evaluations: How many values were computed, by purpose.
        value_range: Smallest and largest of them.
    """

    def __init__(
        self,
        function: Function,
        counts: list[int],
        low: Float[Tensor, "3"],
        high: Float[Tensor, "3"],
        batch: int,
        device: torch.device,
    ) -> None:
        self._function, self._batch, self._threads = function, batch, torch.get_num_threads()
        self.counts, self.device = counts, device
        self.last = torch.tensor(counts, device=device) - 1
        self.low = low.to(device)
        self.step = (high.to(device) - self.low) / self.last
        self.grid = SparseGrid(counts, device)
        self.evaluations: dict[str, int] = {}
        self.value_range = (torch.inf, -torch.inf)

    @property
    def total(self) -> int:
        """Evaluations so far."""
        return sum(self.evaluations.values())

    def place(self, nodes: Tensor) -> Float[Tensor, "*batch 3"]:
        """Where (fractions of) nodes lie; rounded once, to float32."""
        return (self.low + nodes * self.step).float()

    def __call__(self, points: Float[Tensor, "P 3"], purpose: str) -> Float[Tensor, " P"]:
        """The function in batches, counted and checked."""
        with torch.no_grad(), torch_threads(self._threads):
            parts = [self._function(part) for part in counted(points.split(self._batch))]
        values = torch.cat(parts).float()
        if values.shape != points.shape[:1]:
            raise InputError(
                f"the function gave values of shape {tuple(values.shape)} for {len(points)} points; "
                "one number per point is expected"
            )
        self.evaluations[purpose] = self.evaluations.get(purpose, 0) + len(values)
        if len(values):
            low, high = (float(v) for v in values.aminmax())
            if not -torch.inf < low <= high < torch.inf:
                raise InputError("the function has NaN or infinite values in the box; check it or its input")
            self.value_range = min(self.value_range[0], low), max(self.value_range[1], high)
        return values

    def at(self, nodes: Int64[Tensor, "P 3"], purpose: str) -> Float[Tensor, " P"]:
        """Values at nodes, none of them listed twice; computed where they are not known."""
        address = self.grid.address(*nodes.T)
        values = self.grid.read(address)
        new = ~values.isfinite()
        if new.any():
            values[new] = self(self.place(nodes[new]), purpose)
            self.grid.write(address, values)
        return values

    def complete(self, address: Int64[Tensor, " P"], purpose: str) -> None:
        """Evaluate nodes whose values are not known, given their addresses."""
        if len(address):
            self.grid.write(address, self(self.place(self.grid.nodes(address)), purpose))

    def box(self, lower: Int64[Tensor, "K 3"], side: int) -> tuple[Tensor, Tensor, Tensor]:
        """Indices of the side^3 nodes of cells, as three tensors that broadcast to (K, side, side, side).

        Nodes beyond the grid are replaced by the last ones that it has.
        """
        x, y, z = torch.minimum(
            lower.T[..., None] + torch.arange(side, device=self.device), self.last[:, None, None]
        )
        return x[:, :, None, None], y[:, None, :, None], z[:, None, None, :]

    def corners(self, cells: Int64[Tensor, "C 3"]) -> Float[Tensor, "C 2 2 2"]:
        """What is known at the corners of cells of the grid."""
        return self.grid.read(self.grid.address(*self.box(cells, 2)))

    def inside(self, cells: Int64[Tensor, "N 3"]) -> Int64[Tensor, "M 3"]:
        """Those cells that are in the grid."""
        return cells[((cells >= 0) & (cells < self.last)).all(dim=1)]

    def index(self, nodes: Int64[Tensor, "P 3"]) -> Int64[Tensor, " P"]:
        """Numbers of nodes in the order of a dense grid."""
        x, y, z = nodes.unbind(dim=-1)
        return (x * self.counts[1] + y) * self.counts[2] + z
