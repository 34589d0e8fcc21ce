"""Samples of a collection as training draws them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import InputError
from .samples import SdfSamples


@dataclass(frozen=True)
class SampleTable:
    """Samples of all shapes, those outside before those inside, shape after shape.

    Attributes:
        rows: x, y, z and signed distance, in the shapes' normalised frames.
        starts: Per shape, where its outside samples start and where its inside samples start; last row:
            the end of the table, twice.
    """

    rows: Float[Tensor, "P 4"]
    starts: Int[Tensor, "S1 2"]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def draw(
        self, shapes: Int[Tensor, " B"], count: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "B N 3"], Float[Tensor, "B N"]]:
        """Points and distances of some shapes, with replacement, half of them outside and half inside."""
        first, middle = self.starts[shapes].unbind(dim=1)
        end = self.starts[shapes + 1, 0]
        half = count // 2
        random = torch.rand(len(shapes), count, generator=generator, dtype=torch.float64)
        outside = first[:, None] + (random[:, :half] * (middle - first)[:, None]).long()
        inside = middle[:, None] + (random[:, half:] * (end - middle)[:, None]).long()
        rows = self.rows[torch.cat([outside, inside], dim=1)]
        return rows[..., :3], rows[..., 3]


def sample_table(samples: Sequence[SdfSamples], names: Sequence[str]) -> SampleTable:
    """The table of a collection's samples.

    Raises:
        InputError: There are no shapes, or one has no samples inside or none outside.
    """
    if not samples:
        raise InputError("there are no shapes to learn from")
    parts, starts, total = [], [], 0
    for sample, name in zip(samples, names, strict=True):
        rows = torch.cat([sample.points, sample.distances[:, None]], dim=1)
        inside = sample.distances < 0
        if bool(inside.all()) or not bool(inside.any()):
            side = "inside" if not bool(inside.any()) else "outside"
            raise InputError(f"{name} has no samples {side} its surface; leave it out or prepare it again")
        starts.append((total, total + int((~inside).sum())))
        parts += [rows[~inside], rows[inside]]
        total += len(rows)
    return SampleTable(torch.cat(parts), torch.tensor([*starts, (total, total)]))
