"""Settings that trainings share. This file imports nothing heavy: the command line reads it for its help."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Settings of every training."""

    seconds: float = float("inf")
    """Largest duration in seconds; schedules follow the larger of the fractions of time and count."""
    ema_decay: float = 0.99
    """Decay of the exponential moving average of the weights, which is the result; 0 takes the last weights."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Floating-point type of the networks in training; auto takes bfloat16 if the device multiplies it fast."""
    seed: int = 0
    """Seed of initial weights and of all random choices."""


@dataclass(frozen=True, kw_only=True)
class EpochConfig(TrainingConfig):
    """Settings of trainings that pass over a collection of shapes."""

    epochs: int = 2000
    """Largest number of passes over the shapes."""
    shapes_per_step: int = 16
    """Number of shapes in a step."""
