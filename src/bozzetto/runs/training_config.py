"""Settings that trainings share. This file imports nothing heavy: the command line reads it for its help."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Settings of every training."""

    seconds: float = float("inf")
    """Time to spend; schedules follow whichever of time and count is further."""
    ema_decay: float = 0.99
    """Decay of the exponential moving average of the weights, which is kept; 0 keeps the last weights."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the networks in training; auto takes bfloat16 where the processor multiplies it fast."""
    seed: int = 0
    """Seed of first weights and of everything drawn."""


@dataclass(frozen=True, kw_only=True)
class EpochConfig(TrainingConfig):
    """Settings of trainings that pass over a collection of shapes."""

    epochs: int = 2000
    """Passes over the shapes, at most."""
    shapes_per_step: int = 16
    """Shapes in a step."""
