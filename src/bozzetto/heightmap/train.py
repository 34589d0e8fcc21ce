"""Training of networks that predict height maps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import runs
from .config import TrainConfig
from .data import Batch, Crops
from .losses import PerceptualDistance, published_loss, structure_loss
from .model import Estimate, PublishedNetwork, build_network, load_imagenet
from .pairs import PAINTED
from .predictor import Predictor, save_predictor

LossFunction = Callable[[Estimate, Tensor], tuple[Tensor, dict[str, float]]]
VALIDATION_BATCHES = 8


class Training(runs.Training[TrainConfig]):
    """Training of a network that predicts height maps, step by step; see `runs.Training`.

    Args:
        crops: Source of the batches.
        config: Settings of the training.
        device: Device of the computation.
        start: A trained network of the same configuration to start from; None starts from random weights.
        loss_fn: Function from an estimate and true heights (B, H, W) to the loss and further metrics; None
            takes the loss of the configuration.
        validation: Fraction of the materials that is held out for validation.

    Attributes:
        notes: Sentences for the user about initial weights and loss.
    """

    crops: Crops
    held_out: Crops | None
    smoothing: float = 0.95
    max_grad_norm: float = 5.0

    def __init__(
        self,
        crops: Crops,
        config: TrainConfig,
        device: torch.device | str = "cpu",
        start: Predictor | None = None,
        loss_fn: LossFunction | None = None,
        validation: float = 0.0,
    ) -> None:
        super().__init__(config, device)
        self.crops, self.held_out = crops.split(validation) if validation else (crops, None)
        self.loss_fn = loss_fn
        network = build_network(config.network)
        self.notes: list[str] = []
        if start is not None:
            network.load_state_dict(start.network.state_dict())
        elif isinstance(network, PublishedNetwork) and config.network.pretrained:
            self.notes.append(load_imagenet(network, config.network.encoder))
        self.perceptual: PerceptualDistance | None = None
        if config.loss == "perceptual":
            self.perceptual = PerceptualDistance().to(self.device)
            self.notes.append(f"the loss is L1 and {self.perceptual.kind}")
        learning = [p for p in network.parameters() if p.requires_grad]
        decayed, plain = ([p for p in learning if (p.ndim > 1) == many] for many in (True, False))
        groups = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
        self.set_up(network, torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay))

    @property
    def fraction_done(self) -> float:
        """Fraction of the steps that are done."""
        return self.steps_done / self.config.steps

    def loss(self) -> tuple[Tensor, dict[str, float]]:
        """The loss of the next batch, and further metrics."""
        number = self.steps_done * runs.world_size() + runs.rank()
        quarters = self.progress < self.config.quarters
        batch = self.crops.draw(number, self.config.crops_per_step, quarters)
        loss, metrics = self._compared(self.parallel, batch)
        return loss, {"loss": float(loss.detach()), **metrics}

    def validation_loss(self) -> float | None:
        """The loss on crops of held-out materials, always the same ones."""
        if self.held_out is None:
            return None
        batches = [self.held_out.draw(step, self.config.crops_per_step) for step in range(VALIDATION_BATCHES)]
        return sum(float(self._compared(self.ema.module, batch)[0]) for batch in batches) / len(batches)

    def _compared(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        photos = batch.photos.contiguous(memory_format=torch.channels_last).to(self.device)
        with self.autocast():
            parts = network(photos, batch.tiles)
        estimate = Estimate(*(part if part is None else part.float() for part in parts))  # type: ignore
        truth = batch.heights.to(self.device)
        if self.loss_fn is not None:
            return self.loss_fn(estimate, truth)
        if self.perceptual is not None:
            return published_loss(estimate, truth, self.perceptual)
        return structure_loss(estimate, truth, (batch.kinds == PAINTED).to(truth.device))

    def lr_factor(self) -> float:
        """Factor on the learning rate: linear warm-up, then along a cosine or constant."""
        rising = min(1.0, (self.progress + 1e-3) / max(self.config.warm_up, 1e-3))
        return rising if self.config.schedule == "flat" else rising * runs.cosine(self.progress)

    def result(self, metadata: dict[str, Any] | None = None) -> Predictor:
        """The network trained so far, on the CPU."""
        return Predictor(
            self.learned(build_network(self.config.network)), self.config.network, metadata or {}
        )

    def save(self, result: Predictor, path: Path) -> None:
        """Write a network."""
        save_predictor(result, path)
