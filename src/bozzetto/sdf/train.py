"""Learning a prior: the decoder and the codes of all shapes together (DeepSDF, equation 9)."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..errors import InputError
from ..runs import EpochTraining, cosine
from .config import TrainConfig
from .data import SampleTable
from .losses import clamped_l1, code_penalty
from .model import build_decoder
from .prior import ShapePrior

WARM_UP_EPOCHS = 100
"""Over so many epochs the penalty of the codes grows to its full weight, as released."""


class AutoDecoder(nn.Module):
    """A decoder with a free code per shape: there is no encoder.

    Source: Park et al. 2019, section 4.2, the auto-decoder.
    """

    def __init__(self, config: TrainConfig, shapes: int) -> None:
        super().__init__()
        self.decoder = build_decoder(config.decoder)
        size = config.decoder.code_size
        self.codes = nn.Embedding(shapes, size)
        nn.init.normal_(self.codes.weight, std=config.code_std)

    def forward(
        self, shapes: Int[Tensor, " B"], points: Float[Tensor, "B N 3"]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B K"]]:
        """Distances, and the codes of the shapes."""
        codes = self.codes(shapes)
        return self.decoder(codes, points).float(), codes


class Training(EpochTraining[TrainConfig]):
    """A training of a prior, a step at a time.

    Args:
        table: What to learn from.
        config: How.
        device: See `runs.Training`.
        clock: See `runs.Training`.
    """

    def __init__(
        self,
        table: SampleTable,
        config: TrainConfig,
        device: torch.device | str = "cpu",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(len(table), config, device, clock)
        self.table = table
        model = AutoDecoder(config, len(table))
        groups = [
            {"params": list(model.decoder.parameters()), "lr": config.step_size},
            {"params": list(model.codes.parameters()), "lr": config.code_step_size},
        ]
        self.set_up(model, torch.optim.Adam(groups))

    def step(self) -> dict[str, float]:
        """One step; returns the loss and the share of inside samples that are predicted to be inside.

        Raises:
            InputError: The training has diverged or collapsed.
        """
        figures = super().step()
        require_alive(self, figures)
        return figures

    def loss(self) -> tuple[Tensor, dict[str, float]]:
        """Equation 9, with the penalty growing at first.

        Source: Park et al. 2019, equation 9, as released: the penalty grows over the first 100 epochs.
        """
        device, shapes = self.fabric.device, self.next_shapes()
        drawn = self.table.draw(shapes, self.config.samples_per_shape, self.generator)
        points, distances = (part.to(device) for part in drawn)
        with self.autocast():
            predicted, codes = self.model(shapes.to(device), points)
        error = clamped_l1(predicted, distances, self.config.clamp, self.config.far_weight).mean()
        weight = self.config.prior_weight * min(1.0, self.epoch / WARM_UP_EPOCHS)
        found = (predicted.detach()[distances < 0] < 0).float().mean()
        figures = {"loss": float(error.detach()), "inside_found": float(found)}
        return error + weight * code_penalty(codes), figures

    def schedule(self) -> float:
        """Halved four times as published, or along a cosine."""
        if self.config.schedule == "halving":
            return 0.5 ** math.floor(4 * self.progress)
        return cosine(self.progress)

    def after_step(self) -> None:
        """Keep the codes within their ball."""
        codes = self.model.module.codes.weight
        codes *= (self.config.max_code_norm / codes.norm(dim=1, keepdim=True).clamp(min=1e-12)).clamp(max=1.0)

    def prior(self, names: Sequence[str], metadata: dict[str, Any] | None = None) -> ShapePrior:
        """What has been learned so far, on the CPU."""
        model = self.learned(AutoDecoder(self.config, self.shapes))
        codes, clamp = model.codes.weight.detach(), self.config.clamp or math.inf
        return ShapePrior(model.decoder, codes, tuple(names), metadata or {}, clamp)


def train_prior(
    table: SampleTable,
    names: Sequence[str],
    config: TrainConfig | None = None,
    device: torch.device | str = "cpu",
    on_step: Callable[[Training, dict[str, float]], None] | None = None,
) -> ShapePrior:
    """Learn a prior from a collection.

    Args:
        table: Samples of the shapes.
        names: Of the shapes.
        config: How to learn; the default preset if None.
        device: Where to compute.
        on_step: Called after every step with the training and its figures: progress, checkpoints.

    Raises:
        InputError: The training has diverged, or collapsed: everything is predicted to be outside.
    """
    training = Training(table, config or TrainConfig(), device)
    for figures in training.steps():
        if on_step is not None:
            on_step(training, figures)
    return training.prior(names)


def require_alive(training: Training, metrics: dict[str, float]) -> None:
    """Stop a training that predicts one sign for everything, which it never leaves again.

    Raises:
        InputError: More than 200 steps are done and no sample inside a shape is found to be inside.
    """
    if training.steps_done > 200 and metrics["inside_found"] == 0.0:
        raise InputError(
            f"the training has collapsed: after {training.steps_done} steps nothing is predicted "
            "inside a shape; take more shapes per step, smaller steps or the default preset"
        )
