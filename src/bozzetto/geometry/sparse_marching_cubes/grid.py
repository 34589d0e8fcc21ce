"""Numbers on the nodes of a large grid of which only a small part is ever looked at."""

from collections.abc import Sequence
from typing import Any

import torch
import warp as wp
from jaxtyping import Bool, Float, Int, Int64, Shaped
from torch import Tensor

from ..launch import fill_struct, launch
from .kernels import BITS, RESERVED, Layout, mixed_eighths, prove, reserve, want

_WITHIN = (1 << BITS) - 1


class SparseGrid:
    """A float per node of a regular grid, NaN at first, in blocks that are made when they are first used.

    Nodes are given as three tensors of indices that broadcast, so that indices of whole boxes of nodes cost
    little: x of shape (K, 2, 1, 1), y (K, 1, 2, 1) and z (K, 1, 1, 2) for the corners of K cells. Where only
    the lower corner and the number of nodes along a side are needed, `Cells` are faster.
    """

    def __init__(self, counts: Sequence[int], device: torch.device | str = "cpu") -> None:
        self._blocks = [(count >> BITS) + 1 for count in counts]
        total = self._blocks[0] * self._blocks[1] * self._blocks[2]
        self.last = [count - 1 for count in counts]
        self.slots = torch.full((total,), -1, dtype=torch.int32, device=device)
        self._origins = torch.empty(0, dtype=torch.int64, device=device)
        self.values = torch.empty(0, device=device)

    def address(self, x: Tensor, y: Tensor, z: Tensor) -> Int[Tensor, "*batch"]:
        """Where the values of nodes are kept: numbers that stay valid."""
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
        """Room for blocks that have none yet."""
        used = len(self._origins)
        self.slots[blocks] = torch.arange(used, used + len(blocks), dtype=torch.int32, device=blocks.device)
        self._origins = torch.cat([self._origins, blocks.long()])
        room = len(self.values) >> 3 * BITS
        if len(self._origins) > room:
            more = max(len(self._origins) - room, room // 2) << 3 * BITS
            self.values = torch.cat([self.values, self.values.new_full((more,), torch.nan)])

    def layout(self) -> Any:
        """What kernels need to find nodes."""
        return fill_struct(
            Layout, slots=self.slots, blocks=wp.vec3i(*self._blocks), last=wp.vec3i(*self.last)
        )


class Cells:
    """Cells of a grid that are no wider than a block, looked at as wholes."""

    def __init__(self, grid: SparseGrid, lower: Int64[Tensor, "K 3"], side: int) -> None:
        """The cells between side^3 nodes that begin at `lower`."""
        self._grid, self._lower, self._side = grid, lower.int().contiguous(), side
        self._launch(reserve, self._side)
        grid.make((grid.slots == RESERVED).nonzero()[:, 0])

    def prove(
        self, middle: Float[Tensor, " K"], slope: Float[Tensor, " K"], step: Float[Tensor, "3"]
    ) -> None:
        """Set unknown nodes of cells of 27 to +-inf where they must have the sign of the middle."""
        self._launch(
            prove, middle.contiguous(), slope.contiguous(), wp.vec3(*step.tolist()), self._grid.values
        )

    def wanted(self, certain: bool) -> Int64[Tensor, " N"]:
        """Addresses of nodes of which nothing is known or, if asked to be certain, not the value."""
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
