"""Finishes for the parts of a room, each drawn for its place."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..materials.noise import Rng
from . import materials
from .drawing import Color
from .panels import Finish

Painter = Callable[[Rng, tuple[int, int], float], np.ndarray]
OAK: tuple[Color, Color] = (0.72, 0.56, 0.38), (0.48, 0.33, 0.2)
WALNUT: tuple[Color, Color] = (0.42, 0.28, 0.18), (0.22, 0.13, 0.08)
PINE: tuple[Color, Color] = (0.82, 0.68, 0.47), (0.62, 0.44, 0.26)
WHITE: Color = (0.86, 0.85, 0.82)


class Finishes:
    """Makes finishes from one seed.

    Attributes:
        detail: Texels per length, relative to the usual.
    """

    def __init__(self, seed: int, detail: float) -> None:
        self.detail = detail
        self._rng = np.random.default_rng(seed)
        self._density = 800.0 * min(detail, 1.0)  # of veneers
        board = (round(1.3 * self._density), round(2.6 * self._density))
        self._veneers = {
            tones: materials.wood(self.rng(), board, self._density, *tones) for tones in (OAK, WALNUT, PINE)
        }

    def rng(self) -> Rng:
        """A generator of its own for one thing, so that nothing depends on how much another one draws."""
        return np.random.default_rng(self._rng.integers(2**63))

    def painted(self, paint: Painter, per_metre: float, **others: float) -> Finish:
        """A picture made for the place; `others` are attributes of `Finish`."""
        rng = self.rng()
        return Finish(lambda shape, density: paint(rng, shape, density), per_metre * self.detail, **others)

    def plain(self, color: Sequence[float], **others: float) -> Finish:
        """One sRGB colour."""
        picture = np.ones((2, 2, 3), np.float32) * np.array(color, np.float32)
        return Finish(lambda shape, density: picture, 2.0, **{"grain": 0.12, "spacing": 0.1, **others})

    def wood(self, tones: tuple[Color, Color], **others: float) -> Finish:
        """Cut out of a large board, the grain along the longer side."""
        rng, veneer = self.rng(), self._veneers[tones]

        def cut(shape: tuple[int, int], density: float) -> npt.NDArray[Any]:
            size = [min(n, m) for n, m in zip(sorted(shape), veneer.shape[:2], strict=True)]
            y, x = (rng.integers(0, m - n + 1) for n, m in zip(size, veneer.shape[:2], strict=True))
            board = veneer[y : y + size[0], x : x + size[1]] * rng.uniform(0.85, 1.12)
            board = board[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])].clip(0, 1)
            return board if shape[1] >= shape[0] else board.transpose(1, 0, 2)

        return Finish(cut, self._density, **{"grain": 0.08, "gloss": 0.02, **others})
