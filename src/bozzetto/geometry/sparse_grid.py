"""Numbers on the nodes of a large grid of which only a small part is ever looked at."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

_BITS = 2  # blocks of 4 nodes along each axis: small, since coarse levels look at single nodes
_WITHIN = (1 << _BITS) - 1


class SparseGrid:
    """A float per node of a regular grid, NaN at first, in blocks that are made when they are first used.

    Nodes are given as three tensors of indices that broadcast, so that indices of whole boxes of nodes cost
    little: x of shape (K, 2, 1, 1), y (K, 1, 2, 1) and z (K, 1, 1, 2) for the corners of K cells.
    """

    def __init__(self, counts: Sequence[int], device: torch.device | str = "cpu") -> None:
        self._blocks = [(count >> _BITS) + 1 for count in counts]
        total = self._blocks[0] * self._blocks[1] * self._blocks[2]
        self._slots = torch.full((total,), -1, dtype=torch.int32, device=device)
        self._used = 0
        self._values = torch.empty(0, device=device)

    def address(self, x: Tensor, y: Tensor, z: Tensor) -> Int[Tensor, "*batch"]:
        """Where the values of nodes are kept: numbers that stay valid."""
        x, y, z = x.int(), y.int(), z.int()
        rows, planes = self._blocks[2], self._blocks[1] * self._blocks[2]
        block = (x >> _BITS) * planes + (y >> _BITS) * rows + (z >> _BITS)
        slot = self._slots[block]
        if (slot < 0).any():
            self._make(block[slot < 0].unique())
            slot = self._slots[block]
        within = ((x & _WITHIN) << 2 * _BITS) + ((y & _WITHIN) << _BITS) + (z & _WITHIN)
        return (slot << 3 * _BITS) + within

    def read(self, address: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Values at addresses."""
        return self._values[address]

    def write(self, address: Int[Tensor, " N"], values: Float[Tensor, "..."]) -> None:
        """Set the values at addresses, or one value at all of them."""
        self._values[address] = values

    def forget_infinite(self) -> None:
        """Make infinite values NaN again."""
        self._values.masked_fill_(self._values.isinf(), torch.nan)

    def _make(self, blocks: Shaped[Tensor, " B"]) -> None:
        slots = torch.arange(self._used, self._used + len(blocks), dtype=torch.int32, device=blocks.device)
        self._slots[blocks] = slots
        self._used += len(blocks)
        room = len(self._values) >> 3 * _BITS
        if self._used > room:
            more = max(self._used - room, room // 2) << 3 * _BITS
            self._values = torch.cat([self._values, self._values.new_full((more,), torch.nan)])
