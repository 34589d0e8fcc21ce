"""Learning a prior: the decoder and the codes of all shapes together (DeepSDF, equation 9)."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..errors import InputError
from ..runs import Callback, EpochTraining, cosine
from .config import TrainConfig
from .data import SampleTable
from .losses import clamped_l1, code_penalty
from .model import Decoder, build_decoder
from .prior import ShapePrior, save_prior

LossFunction = Callable[[Tensor, Tensor], Tensor]
WARM_UP_EPOCHS = 100
"""Number of epochs over which the penalty on codes grows to its full weight, as released."""


class AutoDecoder(nn.Module):
    """A decoder with one free code per shape and no encoder.

    Source: Park et al. 2019, section 4.2, the auto-decoder.
    """

    def __init__(self, config: TrainConfig, shapes: int) -> None:
        super().__init__()
        self.decoder: Decoder = build_decoder(config.decoder)
        size = config.decoder.code_size
        self.codes: nn.Embedding = nn.Embedding(shapes, size)
        nn.init.normal_(self.codes.weight, std=config.code_std)

    def forward(
        self, shapes: Int[Tensor, " B"], points: Float[Tensor, "B N 3"]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B K"]]:
        """Distances at points, and the codes of the shapes."""
        codes = self.codes(shapes)
        return self.decoder(codes, points).float(), codes


class Training(EpochTraining[TrainConfig]):
    """Training of a prior step by step; see `runs.Training`.

    Args:
        table: Samples of the training shapes.
        config: Settings of the training.
        device: Device of the computation.
        loss_fn: Function from predicted and true distances (B, N) to the error per sample; None takes equation
            4.
        validation: Fraction of the samples of every shape that is held out. Samples and not shapes are held
            out, since only training shapes have codes; validation measures the field between the training
            samples.
    """

    table: SampleTable
    held_out: SampleTable | None

    def __init__(
        self,
        table: SampleTable,
        config: TrainConfig,
        device: torch.device | str = "cpu",
        loss_fn: LossFunction | None = None,
        validation: float = 0.0,
    ) -> None:
        super().__init__(len(table), config, device)
        self.table, self.held_out = table.split(validation, config.seed) if validation else (table, None)
        self.loss_fn: LossFunction = loss_fn or partial(
            clamped_l1, clamp=config.clamp, far_weight=config.far_weight
        )
        model = AutoDecoder(config, len(table))
        groups = [
            {"params": list(model.decoder.parameters()), "lr": config.lr},
            {"params": list(model.codes.parameters()), "lr": config.code_lr},
        ]
        self.set_up(model, torch.optim.Adam(groups))

    def step(self) -> dict[str, float]:
        """Take one step; return the loss and the fraction of inside samples that are predicted to be inside.

        Raises:
            InputError: The training has diverged; or it has collapsed: after more than 200 steps all points are
                predicted to be outside, from which it never recovers.
        """
        metrics = super().step()
        if self.steps_done > 200 and metrics["inside_found"] == 0.0:
            raise InputError(
                f"the training has collapsed: after {self.steps_done} steps nothing is predicted "
                "inside a shape; take more shapes per step, a lower learning rate or the default preset"
            )
        return metrics

    def loss(self) -> tuple[Tensor, dict[str, float]]:
        """The loss of equation 9, with the penalty growing over the first epochs.

        Source: Park et al. 2019, equation 9, as released: the penalty grows over the first 100 epochs.
        """
        shapes = self.next_shapes()
        drawn = self.table.draw(shapes, self.config.samples_per_shape, self.generator)
        points, distances = (part.to(self.device) for part in drawn)
        with self.autocast():
            predicted, codes = self.parallel(shapes.to(self.device), points)
        error = self.loss_fn(predicted, distances).mean()
        weight = self.config.prior_weight * min(1.0, self.epoch / WARM_UP_EPOCHS)
        found = (predicted.detach()[distances < 0] < 0).float().mean()
        metrics = {"loss": float(error.detach()), "inside_found": float(found)}
        return error + weight * code_penalty(codes), metrics

    def validation_loss(self) -> float | None:
        """The loss on held-out samples of all shapes, always the same ones."""
        if self.held_out is None:
            return None
        generator, errors = torch.Generator().manual_seed(self.config.seed), []
        for shapes in torch.arange(self.shapes).split(self.shapes_per_step):
            drawn = self.held_out.draw(shapes, self.config.samples_per_shape, generator)
            points, distances = (part.to(self.device) for part in drawn)
            with self.autocast():
                predicted, _ = self.ema.module(shapes.to(self.device), points)
            errors.append(self.loss_fn(predicted, distances).mean(dim=1))
        return float(torch.cat(errors).mean())

    def lr_factor(self) -> float:
        """Factor on the learning rates: halved after every quarter of the epochs as published, or along a
        cosine."""
        if self.config.schedule == "halving":
            return 0.5 ** math.floor(4 * self.progress)
        return cosine(self.progress)

    def after_step(self) -> None:
        """Project codes to norms of at most `max_code_norm`."""
        codes = self.model.codes.weight
        codes *= (self.config.max_code_norm / codes.norm(dim=1, keepdim=True).clamp(min=1e-12)).clamp(max=1.0)

    def result(self, metadata: dict[str, Any] | None = None) -> ShapePrior:
        """The prior learned so far, on the CPU."""
        model = self.learned(AutoDecoder(self.config, self.shapes))
        codes, clamp = model.codes.weight.detach(), self.config.clamp or math.inf
        return ShapePrior(model.decoder, codes, self.table.names, metadata or {}, clamp)

    def save(self, result: ShapePrior, path: Path) -> None:
        """Write a prior."""
        save_prior(result, path)


def train_prior(
    table: SampleTable,
    config: TrainConfig | None = None,
    device: torch.device | str = "cpu",
    callbacks: Sequence[Callback] = (),
) -> ShapePrior:
    """Train a prior on the samples of a collection; see `learn_shape_prior` for trainings in a run folder.

    Raises:
        InputError: The training has diverged, or collapsed: all points are predicted to be outside.
    """
    training = Training(table, config or TrainConfig(), device)
    training.callbacks += callbacks
    for _ in training.steps():
        pass
    return training.result()
