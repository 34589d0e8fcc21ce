"""Learning to see height, a step at a time."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import runs
from .config import TrainConfig
from .data import Batch, Crops
from .losses import PerceptualDistance, published_loss, structure_loss
from .model import Estimate, PublishedNetwork, build_network, load_imagenet
from .pairs import PAINTED
from .predictor import Predictor


class Training(runs.Training[TrainConfig]):
    """A training of a network that sees height, a step at a time.

    Args:
        crops: Where batches come from.
        config: How to learn.
        start: A trained network of the same kind to continue from.
        device: See `runs.Training`.
        clock: See `runs.Training`.

    Attributes:
        notes: Sentences about what it starts from, for the user.
    """

    smoothing = 0.95
    longest_gradient = 5.0

    def __init__(
        self,
        crops: Crops,
        config: TrainConfig,
        device: torch.device | str = "cpu",
        start: Predictor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(config, device, clock)
        self.crops = crops
        network = build_network(config.network)
        self.notes: list[str] = []
        if start is not None:
            network.load_state_dict(start.network.state_dict())
        elif isinstance(network, PublishedNetwork) and config.network.pretrained:
            self.notes.append(load_imagenet(network, config.network.encoder))
        self.perceptual: PerceptualDistance | None = None
        if config.loss == "perceptual":
            self.perceptual = PerceptualDistance().to(self.fabric.device)
            self.notes.append(f"the loss is L1 and {self.perceptual.kind}")
        learning = [p for p in network.parameters() if p.requires_grad]
        decayed, plain = ([p for p in learning if (p.ndim > 1) == many] for many in (True, False))
        groups = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
        self.set_up(network, torch.optim.AdamW(groups, lr=config.step_size, weight_decay=config.weight_decay))

    @property
    def fraction_done(self) -> float:
        """Share of the steps."""
        return self.steps_done / self.config.steps

    def loss(self) -> tuple[Tensor, dict[str, float]]:
        """How far the heights of some crops are from the true ones."""
        number = self.steps_done * self.fabric.world_size + self.fabric.global_rank
        quarters = self.progress < self.config.quarters
        batch = self.crops.draw(number, self.config.crops_per_step, quarters)
        photos = batch.photos.contiguous(memory_format=torch.channels_last).to(self.fabric.device)
        with self.autocast():
            estimate = self.model(photos, batch.tiles)
        loss, figures = self._compared(estimate, batch)
        return loss, {"loss": float(loss.detach()), **figures}

    def _compared(self, estimate: Estimate, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        truth = batch.heights.to(self.fabric.device)
        if self.perceptual is not None:
            return published_loss(estimate, truth, self.perceptual)
        return structure_loss(estimate, truth, (batch.kinds == PAINTED).to(truth.device))

    def schedule(self) -> float:
        """Rising at first, then along a cosine or flat."""
        rising = min(1.0, (self.progress + 1e-3) / max(self.config.warm_up, 1e-3))
        return rising if self.config.schedule == "flat" else rising * runs.cosine(self.progress)

    def predictor(self, metadata: dict[str, Any] | None = None) -> Predictor:
        """What has been learned so far, on the CPU."""
        return Predictor(
            self.learned(build_network(self.config.network)), self.config.network, metadata or {}
        )
