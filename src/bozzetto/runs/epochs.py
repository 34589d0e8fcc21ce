"""Trainings that pass over a collection again and again."""

import time
from collections.abc import Callable
from typing import TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

from .training import Training
from .training_config import EpochConfig

Config = TypeVar("Config", bound=EpochConfig)


class EpochTraining(Training[Config]):
    """A training whose steps take some of so many shapes in random order; the rest is as in `Training`."""

    def __init__(
        self,
        shapes: int,
        config: Config,
        device: torch.device | str = "cpu",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(config, device, clock)
        self.shapes = shapes
        self.order: Tensor = torch.empty(0, dtype=torch.int64)

    @property
    def epoch(self) -> float:
        """Passes over the shapes so far."""
        return self.steps_done * self.shapes_per_step * self.fabric.world_size / self.shapes

    @property
    def shapes_per_step(self) -> int:
        """Shapes in a step of one process: no more than there are."""
        return min(self.config.shapes_per_step, self.shapes)

    @property
    def share_done(self) -> float:
        """Share of the epochs."""
        return self.epoch / self.config.epochs

    def position(self) -> dict[str, float]:
        """The epoch."""
        return {"epoch": self.epoch}

    def next_shapes(self) -> Int[Tensor, " B"]:
        """The next shapes of a random order that is drawn anew when it ends."""
        count = self.shapes_per_step
        if len(self.order) < count:
            self.order = torch.cat([self.order, torch.randperm(self.shapes, generator=self.generator)])
        shapes, self.order = self.order[:count], self.order[count:]
        return shapes

    def state(self) -> tuple[dict[str, Tensor], dict]:
        """That of `Training`, and the order of the shapes to come."""
        tensors, meta = super().state()
        return {**tensors, "order": self.order}, meta

    def restore(self, tensors: dict[str, Tensor], meta: dict) -> None:
        """Continue from a `state`."""
        super().restore(tensors, meta)
        self.order = tensors["order"]
