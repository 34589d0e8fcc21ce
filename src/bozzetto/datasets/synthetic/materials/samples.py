"""Pairs of picture and height by number: sample k of a seed is the same on every machine and in any order."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np

from ....runs.workers import map_in_processes
from .appearance import photograph
from .recipes import make_surface


@dataclass(frozen=True)
class Sample:
    """A picture of a surface and its height; both repeat.

    Attributes:
        color: (S, S, 3) uint8, sRGB.
        height: (S, S) uint16, 65535 is high.
    """

    color: np.ndarray
    height: np.ndarray


def make_sample(seed: int, number: int, side: int = 256, recipe: str | None = None) -> Sample:
    """Sample `number` of a seed, of some recipe or of the given one."""
    rng = np.random.default_rng([seed, number])
    surface = make_surface(rng, side, recipe)
    return Sample(photograph(rng, surface), (surface.height * 65535 + 0.5).astype(np.uint16))


def make_samples(
    seed: int, numbers: Sequence[int], side: int = 256, workers: int | None = 1
) -> Generator[Sample, None, None]:
    """Samples in the order of their numbers.

    Args:
        seed: Of all of them.
        numbers: Which.
        side: Pixels along a side.
        workers: Processes; 1 stays in this one, None takes one per core.
    """
    if workers == 1:
        yield from (make_sample(seed, number, side) for number in numbers)
        return
    yield from map_in_processes(make_sample, [(seed, number, side) for number in numbers], workers)
