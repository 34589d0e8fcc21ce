"""Settings of the score engine. This file imports nothing heavy: the command line reads it for its help."""

from dataclasses import dataclass, field, replace
from typing import Literal

from ..runs import EpochConfig

Architecture = Literal["grid", "residual"]
FrameKind = Literal["box", "principal", "shared"]


@dataclass(frozen=True)
class ModelConfig:
    """Settings of the networks: the encoder from cloud to code, and the denoiser of points at a noise level."""

    architecture: Architecture = "grid"
    """`residual` is the published pair of networks; `grid` encodes and decodes by grids of features."""
    dimensions: int = 3
    """Dimension of the points: 2 or 3."""
    frame: FrameKind = "box"
    """Normalisation of clouds: `box` by the bounding box, `principal` by principal axes, `shared` by one frame
    for all; see `cloud_table`."""
    code_size: int = 256
    """Dimension of the codes."""
    hidden: int = 64
    """Width of the layers that are evaluated per point."""
    blocks: int = 3
    """Number of these layers; for `residual` the number of residual blocks with two layers each."""
    condition: Literal["add", "batch norm"] = "add"
    """Conditioning on code and noise level: added in every block (released code), or as scale and shift of
    batch normalisation (paper); `residual` only."""
    channels: int = 32
    """Channels of the convolutions at the coarsest grid; `grid` only."""
    features: int = 16
    """Number of features per node of the feature grid; `grid` only."""
    coarsest: int = 4
    """Cells along each axis of the coarse grid, each of which has its own part of the code; `grid` only."""
    levels: int = 1
    """Number of refinements: the feature grid has coarsest * 2^(levels + 1) nodes along each axis; `grid`
    only."""
    code_noise: float = 0.0
    """Standard deviation of the noise added to codes in training, whose mean square is 1; `grid` only."""
    data_std: float = 0.5
    """s, the standard deviation of coordinates of normalised clouds; `grid` only."""
    low: float = 0.01
    """Smallest noise level, in units of half the longest side of a shape."""
    high: float = 1.25
    """Largest noise level of the training, in the same unit; the default sampler starts at 1, see
    `draw_points`."""


FLAT_MODEL = ModelConfig(dimensions=2, channels=64, coarsest=8)
"""Networks for 2D clouds, for which fine grids cost little."""

REFERENCE_MODEL = ModelConfig(
    architecture="residual", code_size=128, hidden=256, blocks=24, low=0.01, high=1.0
)
"""ShapeGF as released for ShapeNet: 24 additive blocks of 256, noise from 1 to 0.01."""


def model_for(model: ModelConfig, dimensions: int, frame: FrameKind) -> ModelConfig:
    """Adapt a configuration to the dimension and frame of clouds; in 2D the `grid` model has a finer grid."""
    if model.architecture == "grid" and dimensions == 2:
        model = FLAT_MODEL
    return replace(model, dimensions=dimensions, frame=frame)


@dataclass(frozen=True)
class LatentConfig:
    """Settings of the distribution of codes."""

    kind: Literal["flow", "gan"] = "flow"
    """`flow` is trained together with the field; `gan`, the published second stage, on the codes of a trained
    model."""
    hidden: int = 320
    """Width of the layers; the critic of the GAN has twice this width."""
    blocks: int = 3
    """Number of residual blocks; `flow` only."""
    lr: float = 1e-3
    """Learning rate (Adam)."""
    batch: int = 256
    """Number of codes in a step, chosen at random from the latest codes of all shapes."""
    epochs: int = 10_000
    """Passes over the codes; `gan` only."""


REFERENCE_LATENT = LatentConfig(kind="gan", hidden=256, lr=1e-4, batch=256)
"""The latent GAN as released."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(EpochConfig):
    """Settings of the training of a model on a collection of clouds."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """The networks."""
    shapes_per_step: int = 8
    points: int = 512
    """Noisy points per shape and step."""
    levels: int = 8
    """Number of random noise levels per shape and step, each with an equal part of the points."""
    ladder: int = 0
    """Number of noise levels of a fixed geometric sequence, of which each shape takes a random one in a step,
    as published; 0 for continuous noise levels."""
    target: Literal["field", "sample"] = "field"
    """Target of the denoiser: `field`, the analytic denoiser of a sample of the shape (less variance), or
    `sample`, the point before the noise (published)."""
    inputs: tuple[int, int] = (64, 2048)
    """Smallest and largest number of points of the encoder's input."""
    cropped: float = 0.3
    """Fraction of the shapes in a step of which the encoder gets only a part."""
    lr: float = 2e-3
    """Learning rate (Adam)."""
    schedule: Literal["cosine", "late linear"] = "cosine"
    """Decay of the learning rate: along a cosine, or `late linear` as published: constant for the first half,
    then linear to 1 %."""
    ema_decay: float = 0.998
    latent: LatentConfig | None = field(default_factory=LatentConfig)
    """Distribution of codes that is learned as well; None learns none."""


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
