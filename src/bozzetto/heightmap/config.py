"""Settings of the learned part of the heightmap engine. It imports nothing heavy: the command line reads it."""

from dataclasses import dataclass, field
from typing import Literal

from ..runs import TrainingConfig

Architecture = Literal["fusion", "unet"]


@dataclass(frozen=True)
class NetworkConfig:
    """The network that turns a photo into a height map."""

    architecture: Architecture = "fusion"
    """`fusion` predicts low frequencies and gradients, joined by a solve; `unet` is the published network."""
    widths: tuple[int, ...] = (24, 48, 64, 96)
    """Channels at strides 2, 4, 8 and 16; `fusion` only."""
    blocks: tuple[int, ...] = (0, 1, 2, 3)
    """Residual blocks at these strides on the way down; `fusion` only."""
    crossover: float = 24.0
    """Wavelength in pixels at which the height hands over to the gradients; `fusion` only."""
    imagenet: bool = False
    """Also see through a frozen encoder that ImageNet taught, an optional package; `fusion` only."""
    encoder: Literal["b0", "b7"] = "b7"
    """Size of the EfficientNet; `unet` only."""
    pretrained: bool = True
    """Start from ImageNet weights where they can be had; `unet` only."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(TrainingConfig):
    """How a network is learned from pairs and procedural materials."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    """The network."""
    side: int = 256
    """Pixels of a crop along a side."""
    crops_per_step: int = 2
    """Crops in a step; more of them learn less in the same time."""
    quarters: float = 0.6
    """Share of the training, at its beginning, on quarters of crops, four times as many."""
    steps: int = 20_000
    """Steps at most."""
    shares: tuple[float, float, float] = (0.45, 0.2, 0.35)
    """Of scanned pairs (class A), painted pairs (class B) and procedural samples in a step."""
    lr: float = 2e-3
    """Largest learning rate (AdamW)."""
    warm_up: float = 0.02
    """Share of the training over which the learning rate grows."""
    schedule: Literal["cosine", "flat"] = "cosine"
    """Whether it then falls along a cosine or stays: what others will continue from has no end yet."""
    weight_decay: float = 0.02
    """Of AdamW."""
    ema_decay: float = 0.998
    loss: Literal["structure", "perceptual"] = "structure"
    """`structure`: correlation, gradients, normals and more; `perceptual`: L1 and LPIPS-like, as published."""
    relight: float = 0.1
    """Share of the real pairs whose photo gets light of the given height."""
    recolor: float = 0.3
    """Share of the photos that get other colours, contrasts and traces of others."""


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
