"""Settings of the heightmap engine. This file imports nothing heavy: the command line reads it for its help."""

from dataclasses import dataclass, field
from typing import Literal

from ..runs import TrainingConfig

Architecture = Literal["fusion", "unet"]


@dataclass(frozen=True)
class NetworkConfig:
    """Settings of the network that predicts height maps from photos."""

    architecture: Architecture = "fusion"
    """`fusion` predicts low frequencies and gradients, which are combined by a linear solve; `unet` is the
    published network."""
    widths: tuple[int, ...] = (24, 48, 64, 96)
    """Channels at strides 2, 4, 8 and 16; `fusion` only."""
    blocks: tuple[int, ...] = (0, 1, 2, 3)
    """Number of residual blocks of the encoder at these strides; `fusion` only."""
    crossover: float = 24.0
    """Wavelength in pixels above which the predicted height is used, and below which the gradients; `fusion`
    only."""
    imagenet: bool = False
    """Add features of a frozen encoder that was trained on ImageNet, from an optional package; `fusion`
    only."""
    encoder: Literal["b0", "b7"] = "b7"
    """Size of the EfficientNet; `unet` only."""
    pretrained: bool = True
    """Start from ImageNet weights if they are available; `unet` only."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(TrainingConfig):
    """Settings of the training of a network on pairs and procedural materials."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    """The network."""
    side: int = 256
    """Pixels of a crop along a side."""
    crops_per_step: int = 2
    """Number of crops in a step; larger batches learn less in the same time."""
    quarters: float = 0.6
    """Fraction of the training, at its beginning, that uses quarters of crops, four times as many."""
    steps: int = 20_000
    """Largest number of steps."""
    shares: tuple[float, float, float] = (0.45, 0.2, 0.35)
    """Fractions of scanned pairs (class A), painted pairs (class B) and procedural samples in a step."""
    lr: float = 2e-3
    """Largest learning rate (AdamW)."""
    warm_up: float = 0.02
    """Fraction of the training over which the learning rate grows."""
    schedule: Literal["cosine", "flat"] = "cosine"
    """Learning rate after the warm-up: it falls along a cosine, or stays constant, for trainings that will be
    continued."""
    weight_decay: float = 0.02
    """Weight decay of AdamW."""
    ema_decay: float = 0.998
    loss: Literal["structure", "perceptual"] = "structure"
    """`structure`: correlation, gradients, normals and more, see `structure_loss`; `perceptual`: L1 and LPIPS,
    as published."""
    relight: float = 0.1
    """Fraction of the real pairs whose photo is shaded by a random light, computed from the height."""
    recolor: float = 0.3
    """Fraction of the photos with augmented colour and contrast, or blended with another photo."""


REFERENCE = TrainConfig(
    network=NetworkConfig(architecture="unet"),
    crops_per_step=8,
    lr=1e-3,
    ema_decay=0.99,
    quarters=0.0,
    loss="perceptual",
    relight=0.0,
    recolor=0.0,
    precision="float32",  # depthwise convolutions are slower in bfloat16 on processors
)
"""As in the height study of 2025 (`citations`): U-Net with an EfficientNet-B7, L1 and LPIPS at 256 x 256."""

PRESETS = {
    "default": TrainConfig(),
    "imagenet": TrainConfig(network=NetworkConfig(imagenet=True)),
    "reference": REFERENCE,
}
