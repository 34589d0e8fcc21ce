"""Settings of the sdf engine. This file imports nothing heavy: the command line reads it for its help."""

from dataclasses import dataclass, field
from typing import Literal

from ..runs import EpochConfig

Architecture = Literal["concatenate", "grid"]


@dataclass(frozen=True)
class DecoderConfig:
    """Settings of the decoder, the network from code and point to signed distance."""

    architecture: Architecture = "grid"
    """`concatenate` is the published network. `grid` maps the code to a small volume of features, which a
    smaller network takes interpolated at the point."""
    code_size: int = 128
    """Dimension of the codes."""
    hidden: int = 96
    """Width of the hidden layers."""
    layers: int = 3
    """Number of hidden layers."""
    skip: int | None = None
    """Hidden layer (counted from 0) whose input has code and point concatenated again; None for no such layer.
    `concatenate` only."""
    dropout: float = 0.0
    """Dropout probability of hidden units in training; `concatenate` only."""
    grid: int = 8
    """Number of nodes of the feature volume along each axis; `grid` only."""
    features: int = 16
    """Number of features per node; `grid` only."""
    octaves: int = 3
    """Octaves of the positional encoding, a further input of the network; `grid` only."""


REFERENCE_DECODER = DecoderConfig(
    architecture="concatenate", code_size=256, hidden=512, layers=8, skip=4, dropout=0.2
)
"""DeepSDF as released: 8 hidden layers of 512, the input again before the fifth, weight normalisation, tanh."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(EpochConfig):
    """Settings of the training of a prior on samples of a collection."""

    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    """The network."""
    samples_per_shape: int = 1024
    """Samples of each shape in a step, half outside and half inside where there are enough."""
    lr: float = 4e-3
    """Learning rate of the network (Adam)."""
    code_lr: float = 1e-2
    """Learning rate of the codes (Adam)."""
    schedule: Literal["halving", "cosine"] = "cosine"
    """Decay of the learning rates: halved after every quarter of the epochs, as published, or along a
    cosine."""
    clamp: float = 0.1
    """delta of equation 4: distances are clamped to [-delta, delta]; 0 does not clamp."""
    far_weight: float = 0.05
    """Weight of the unclamped error, so that the field is a distance everywhere."""
    prior_weight: float = 1e-4
    """Weight of the penalty on the norm of the codes."""
    code_std: float = 0.2
    """Standard deviation of the initial codes."""
    max_code_norm: float = float("inf")
    """Largest norm of a code; longer codes are projected to it after every step."""


REFERENCE = TrainConfig(
    decoder=REFERENCE_DECODER,
    epochs=2001,
    shapes_per_step=64,
    samples_per_shape=16384,
    lr=5e-4,
    code_lr=1e-3,
    schedule="halving",
    far_weight=0.0,
    code_std=0.0625,
    max_code_norm=1.0,
    ema_decay=0.0,
)
"""As released: 64 shapes of 16,384 samples in a step, both learning rates halved every 500 of 2,001 epochs."""

SINGLE = TrainConfig(
    decoder=DecoderConfig(code_size=1, grid=24, features=8, octaves=5),
    epochs=4000,
    shapes_per_step=1,
    samples_per_shape=16384,
)
"""Settings for a single shape: a short code, a fine volume and high frequencies in the positional encoding."""

PRESETS = {"default": TrainConfig(), "reference": REFERENCE, "single": SINGLE}
