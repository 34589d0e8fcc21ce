"""Settings of the score engine. This file imports nothing heavy: the command line reads it for its help."""

from dataclasses import dataclass, field, replace
from typing import Literal

from ..runs import EpochConfig

Architecture = Literal["grid", "residual"]
FrameKind = Literal["box", "principal", "shared"]


@dataclass(frozen=True)
class ModelConfig:
    """The networks that turn a cloud into a code, and a code, a point and a noise level into a clean point."""

    architecture: Architecture = "grid"
    """`residual` is the published pair of networks; `grid` reads and writes a grid of features."""
    dimensions: int = 3
    """Of the points: 2 or 3."""
    frame: FrameKind = "box"
    """How clouds are normalised: by their bounding box, turned to their axes of inertia first, or all alike."""
    code_size: int = 256
    """Numbers per shape."""
    hidden: int = 64
    """Width of the layers that every point passes."""
    blocks: int = 3
    """Of these layers; residual blocks of two of them in `residual`."""
    condition: Literal["add", "batch norm"] = "add"
    """How code and noise level enter: added in every block (released), or as scale and shift of the batch
    normalisation (the paper); `residual` only."""
    channels: int = 32
    """Of the convolutions at the coarsest grid; `grid` only."""
    features: int = 16
    """Features per node that points read; `grid` only."""
    coarsest: int = 4
    """Cells along each axis of the grid that shares out the numbers of a code; `grid` only."""
    levels: int = 1
    """The grid of features has coarsest * 2^(levels + 1) nodes along each axis; `grid` only."""
    code_noise: float = 0.0
    """Standard deviation of noise on codes in training; their mean square is 1; `grid` only."""
    data_std: float = 0.5
    """s: standard deviation of a coordinate of normalised clouds; `grid` only."""
    low: float = 0.01
    """Least noise level, in units of half the longest side of a shape."""
    high: float = 1.25
    """Largest noise level; sampling by the default begins at 1, see `draw_points`."""


FLAT_MODEL = ModelConfig(dimensions=2, channels=64, coarsest=8)
"""For clouds in 2D, where fine grids cost little."""

REFERENCE_MODEL = ModelConfig(
    architecture="residual", code_size=128, hidden=256, blocks=24, low=0.01, high=1.0
)
"""ShapeGF as released for ShapeNet: 24 additive blocks of 256, noise from 1 to 0.01."""


def model_for(model: ModelConfig, dimensions: int, frame: FrameKind) -> ModelConfig:
    """The networks for clouds of so many dimensions; the grid of ours is finer in 2D."""
    if model.architecture == "grid" and dimensions == 2:
        model = FLAT_MODEL
    return replace(model, dimensions=dimensions, frame=frame)


@dataclass(frozen=True)
class LatentConfig:
    """The distribution of codes."""

    kind: Literal["flow", "gan"] = "flow"
    """`flow` is learned beside the field; `gan`, the published second stage, on codes of a finished model."""
    hidden: int = 320
    """Width; of the critic, twice as much."""
    blocks: int = 3
    """Residual blocks; `flow` only."""
    lr: float = 1e-3
    """Learning rate (Adam)."""
    batch: int = 256
    """Codes in a step, drawn from the latest codes of all shapes."""
    epochs: int = 10_000
    """Passes over the codes; `gan` only."""


REFERENCE_LATENT = LatentConfig(kind="gan", hidden=256, lr=1e-4, batch=256)
"""The latent GAN as released."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(EpochConfig):
    """How a model is learned from a collection of clouds."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """The networks."""
    shapes_per_step: int = 8
    points: int = 512
    """Noisy points per shape and step."""
    levels: int = 8
    """Noise levels per shape and step, each with an equal part of the points; drawn anew every time."""
    ladder: int = 0
    """If not 0, noise levels are from a geometric ladder of so many, one per shape and step: as published."""
    target: Literal["field", "sample"] = "field"
    """What to predict: the analytic field of the drawn points (less noise), or the point that was made noisy
    (published)."""
    inputs: tuple[int, int] = (64, 2048)
    """Least and most points that the encoder sees."""
    cropped: float = 0.3
    """Share of the shapes of which the encoder sees a part only."""
    lr: float = 2e-3
    """Learning rate (Adam)."""
    schedule: Literal["cosine", "late linear"] = "cosine"
    """How the learning rate falls; `late linear` as published: constant for the first half, then to 1 %."""
    ema_decay: float = 0.998
    latent: LatentConfig | None = field(default_factory=LatentConfig)
    """The prior over codes that is learned in the same loop; None leaves it out."""


REFERENCE = TrainConfig(
    model=REFERENCE_MODEL,
    shapes_per_step=32,
    points=2048,
    levels=1,
    ladder=10,
    target="sample",
    inputs=(2048, 2048),
    cropped=0.0,
    lr=1e-3,
    schedule="late linear",
    ema_decay=0.0,
    latent=REFERENCE_LATENT,
)
"""As released: 32 shapes of 2,048 points, one of 10 noise levels each, 2,000 epochs."""

PRESETS = {"default": TrainConfig(), "reference": REFERENCE}
