"""How steep a function is, place by place."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

_MARGIN = 1.25  # assumed bound of the slope over the largest one seen near by


class SlopeBound:
    """A bound of the slope of a function for every block of a grid, from slopes seen in it and around it.

    A single bound for all places is that of the steepest one, and twice as large as what most of the surface
    needs in trained networks; the work is nearly proportional to it.

    The bound of a block is 1.25 times the largest slope that was noted in it and in the 26 around it, and at
    least 1.25 times the median of what was noted first. Or it is the same constant everywhere.
    """

    def __init__(
        self, counts: list[int], width: int, device: torch.device, constant: float | None = None
    ) -> None:
        self._width, self.constant = width, constant
        shape = [(count - 2) // width + 1 for count in counts]
        self._seen = torch.zeros(shape, device=device)
        self._bound: Tensor | None = None
        self._least: float | None = None

    def note(self, cells: Int64[Tensor, "P 3"], slopes: Float[Tensor, " P"]) -> None:
        """Take slopes seen in cells into account."""
        if len(slopes) == 0 or self.constant is not None:
            return
        if self._least is None:
            self._least = float(slopes.median())
        x, y, z = (cells // self._width).unbind(dim=1)
        rows, columns = self._seen.shape[1:]
        self._seen.view(-1).scatter_reduce_(0, (x * rows + y) * columns + z, slopes.float(), "amax")
        self._bound = None

    def at(self, cells: Int64[Tensor, "P 3"]) -> Float[Tensor, " P"]:
        """The bounds in cells."""
        if self.constant is not None:
            return self._seen.new_full((len(cells),), self.constant)
        if self._bound is None:
            around = torch.nn.functional.max_pool3d(self._seen[None], 3, stride=1, padding=1)[0]
            self._bound = _MARGIN * around.clamp_min(self._least or 0.0)
        return self._bound[tuple((cells // self._width).unbind(dim=1))]
