"""A function on the nodes of a large regular grid, evaluated at a small part of them only."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import warp as wp
from jaxtyping import Bool, Float, Int, Int64, Shaped
from torch import Tensor

from ...errors import InputError
from ...steps import counted
from ..launch import fill_struct, launch
from .kernels import BITS, RESERVED, Layout, mixed_eighths, prove, reserve, want

_WITHIN = (1 << BITS) - 1


class SparseGrid:
    """A float per node of a regular grid, initially NaN, in blocks that are allocated at first use.

    Nodes are given as three tensors of indices that broadcast, so that indices of whole boxes of nodes cost
    little: x of shape (K, 2, 1, 1), y (K, 1, 2, 1) and z (K, 1, 1, 2) for the corners of K cells. Where only
    the lower corner and the number of nodes along a side are needed, `Cells` are faster.
    """

    def __init__(self, counts: Sequence[int], device: torch.device | str = "cpu") -> None:
        self._blocks = [(count >> BITS) + 1 for count in counts]
        total = self._blocks[0] * self._blocks[1] * self._blocks[2]
        self.last: list[int] = [count - 1 for count in counts]
        self.slots: Tensor = torch.full((total,), -1, dtype=torch.int32, device=device)
        self._origins = torch.empty(0, dtype=torch.int64, device=device)
        self.values: Tensor = torch.empty(0, device=device)

    def address(self, x: Tensor, y: Tensor, z: Tensor) -> Int[Tensor, "*batch"]:
        """Addresses of the values of nodes; they stay valid when the grid grows."""
        x, y, z = x.int(), y.int(), z.int()
        rows, planes = self._blocks[2], self._blocks[1] * self._blocks[2]
        block = (x >> BITS) * planes + (y >> BITS) * rows + (z >> BITS)
        slot = self.slots[block]
        if (slot < 0).any():
            self.make(block[slot < 0].unique())
            slot = self.slots[block]
        within = ((x & _WITHIN) << 2 * BITS) + ((y & _WITHIN) << BITS) + (z & _WITHIN)
        return (slot << 3 * BITS) + within

    def nodes(self, address: Int64[Tensor, " N"]) -> Int64[Tensor, "N 3"]:
        """The nodes that have these addresses."""
        block, rest = self._origins[address >> 3 * BITS], self._blocks[1] * self._blocks[2]
        x, y = block // rest, block % rest // self._blocks[2]
        corner = torch.stack([x, y, block % self._blocks[2]], dim=1) << BITS
        within = torch.stack([address >> 2 * BITS, address >> BITS, address], dim=1) & _WITHIN
        return corner + within

    def read(self, address: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Values at addresses."""
        return self.values[address]

    def write(self, address: Int[Tensor, " N"], values: Float[Tensor, "..."]) -> None:
        """Set the values at addresses, or one value at all of them."""
        self.values[address] = values

    def forget_infinite(self) -> None:
        """Make infinite values NaN again."""
        self.values.masked_fill_(self.values.isinf(), torch.nan)

    def make(self, blocks: Shaped[Tensor, " B"]) -> None:
        """Allocate the blocks that are not allocated yet."""
        used = len(self._origins)
        self.slots[blocks] = torch.arange(used, used + len(blocks), dtype=torch.int32, device=blocks.device)
        self._origins = torch.cat([self._origins, blocks.long()])
        room = len(self.values) >> 3 * BITS
        if len(self._origins) > room:
            more = max(len(self._origins) - room, room // 2) << 3 * BITS
            self.values = torch.cat([self.values, self.values.new_full((more,), torch.nan)])

    def layout(self) -> Any:
        """Tables with which kernels find the values of nodes."""
        return fill_struct(
            Layout, slots=self.slots, blocks=wp.vec3i(*self._blocks), last=wp.vec3i(*self.last)
        )


class Cells:
    """Cells of a grid, no wider than a block, with all their nodes."""

    def __init__(self, grid: SparseGrid, lower: Int64[Tensor, "K 3"], side: int) -> None:
        """The cells between side^3 nodes that begin at `lower`."""
        self._grid, self._lower, self._side = grid, lower.int().contiguous(), side
        self._launch(reserve, self._side)
        grid.make((grid.slots == RESERVED).nonzero()[:, 0])

    def prove(
        self, middle: Float[Tensor, " K"], slope: Float[Tensor, " K"], step: Float[Tensor, "3"]
    ) -> None:
        """In cells of 27 nodes, set unknown nodes to +-inf where they must have the sign of the middle."""
        self._launch(
            prove, middle.contiguous(), slope.contiguous(), wp.vec3(*step.tolist()), self._grid.values
        )

    def wanted(self, certain: bool) -> Int64[Tensor, " N"]:
        """Addresses of nodes of which nothing is known or, if `certain`, of which the value is not known."""
        wanted = torch.zeros_like(self._grid.values, dtype=torch.bool)
        self._launch(want, self._side, certain, self._grid.values, wanted)
        return wanted.nonzero()[:, 0]

    def mixed_eighths(self) -> Bool[Tensor, "K 8"]:
        """Which eighths of cells of 27 nodes have a sign change and are in the grid."""
        mixed = torch.empty(len(self._lower), 8, dtype=torch.bool, device=self._lower.device)
        self._launch(mixed_eighths, self._grid.values, mixed)
        return mixed

    def _launch(self, kernel: Any, *arguments: object) -> None:
        launch(kernel, len(self._lower), [self._grid.layout(), self._lower, *arguments], self._lower.device)


Function = Callable[[Tensor], Tensor]
"""Points (P, 3) to values (P,), negative inside."""

CORNERS = torch.cartesian_prod(*[torch.arange(2)] * 3)
"""Offsets of the eight corners of a cell, z fastest."""


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Context manager: torch with this number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class SampledFunction:
    """A function on the nodes of a regular grid, each evaluated at most once.

    The function runs with the number of torch threads at the time of construction.

    Attributes:
        counts: Nodes along each axis.
        low: Position of the first node, float64.
        step: Distance between nodes along each axis, float64.
        last: Indices of the last node.
        grid: The values: +-inf where only the sign is known, NaN where nothing is known.
        evaluations: Number of computed values, by purpose.
        value_range: Smallest and largest computed value.
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
        self.counts = counts
        self.device = device
        self.last: Tensor = torch.tensor(counts, device=device) - 1
        self.low: Tensor = low.to(device)
        self.step: Tensor = (high.to(device) - self.low) / self.last
        self.grid: SparseGrid = SparseGrid(counts, device)
        self.evaluations: dict[str, int] = {}
        self.value_range: tuple[float, float] = (torch.inf, -torch.inf)

    @property
    def total(self) -> int:
        """Evaluations so far."""
        return sum(self.evaluations.values())

    def place(self, nodes: Tensor) -> Float[Tensor, "*batch 3"]:
        """Positions of nodes, which may be fractional; rounded once, to float32."""
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
        """Values at the corners of cells, as far as they are known: as in `grid`."""
        return self.grid.read(self.grid.address(*self.box(cells, 2)))

    def inside(self, cells: Int64[Tensor, "N 3"]) -> Int64[Tensor, "M 3"]:
        """Those cells that are in the grid."""
        return cells[((cells >= 0) & (cells < self.last)).all(dim=1)]

    def index(self, nodes: Int64[Tensor, "P 3"]) -> Int64[Tensor, " P"]:
        """Numbers of nodes in the order of a dense grid."""
        x, y, z = nodes.unbind(dim=-1)
        return (x * self.counts[1] + y) * self.counts[2] + z
