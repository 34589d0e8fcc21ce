"""Training of encoder, field and distribution of codes in one loop, by denoising score matching."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..runs import Callback, EpochTraining, cosine
from .config import TrainConfig
from .data import Batch, CloudTable, draw_batch
from .latent import LatentFlow
from .losses import denoising_score_matching
from .model import ScoreModel, build_model
from .prior import CloudPrior, save_cloud_prior

LossFunction = Callable[..., Tensor]
WARM_UP = 50
"""Number of warm-up steps of the learning rate, so that Adam has moment estimates before it takes large
steps."""
LONG_CODES = 512
"""Smallest number of points of an uncropped cloud whose code is stored as that of its shape; codes of crops are
hints."""
RECENT = 4096
"""Number of stored hints."""


class Learner(nn.Module):
    """All networks as one module."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.config = config
        self.model: ScoreModel = build_model(config.model)
        latent = config.latent if config.latent and config.latent.kind == "flow" else None
        self.flow: LatentFlow | None = None if latent is None else LatentFlow(config.model.code_size, latent)

    def forward(
        self,
        batch: Batch,
        known: tuple[Float[Tensor, "R K"], Float[Tensor, "R K"]] | None,
        generator: torch.Generator,
        loss_fn: LossFunction,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, "B K"]]:
        """Loss of the field, loss of the flow on known codes with hints, and the codes of the encoder's input.

        As long as no codes are known, the flow is trained on the codes of the batch, because distributed
        training needs a gradient of every weight in all processes.
        """
        codes = self.model.encode(batch.encoder_input)
        tau = self.config.model.code_noise
        used = codes + tau * torch.randn_like(codes) if tau else codes
        field = loss_fn(self.model, used, batch.noisy, batch.sigma, batch.clean)
        if self.flow is None:
            return field, torch.zeros_like(field), codes
        with torch.autocast(field.device.type, enabled=False):  # it is small, and codes must not be rounded
            if known is None:
                known = codes.detach().float(), torch.zeros_like(codes, dtype=torch.float32)
            return field, self.flow.loss(*known, generator), codes


class Training(EpochTraining[TrainConfig]):
    """Training of a model of clouds step by step; see `runs.Training`.

    Args:
        table: The training clouds.
        config: Settings of the training.
        device: Device of the computation.
        loss_fn: Loss function with the arguments of `denoising_score_matching`.
        validation: Fraction of the shapes that is held out for validation.
    """

    held_out: CloudTable | None

    def __init__(
        self,
        table: CloudTable,
        config: TrainConfig,
        device: torch.device | str = "cpu",
        loss_fn: LossFunction = denoising_score_matching,
        validation: float = 0.0,
    ) -> None:
        table, self.held_out = table.split(validation, config.seed) if validation else (table, None)
        super().__init__(len(table), config, device)
        self.table = table
        self.loss_fn = loss_fn
        learner = Learner(config)
        groups = [{"params": list(learner.model.parameters()), "lr": config.lr}]
        if learner.flow is not None:
            groups += [{"params": list(learner.flow.parameters()), "lr": learner.flow.config.lr}]
        self.set_up(learner, torch.optim.Adam(groups, fused=True))
        self.codes: Tensor = torch.zeros(len(table), config.model.code_size)
        self.known: Tensor = torch.zeros(len(table), dtype=torch.bool)
        self.hints: Tensor = torch.zeros(RECENT, config.model.code_size)
        self.hinted: Tensor = torch.full((RECENT,), -1)  # shape of each hint

    def loss(self) -> tuple[Tensor, dict[str, float]]:
        """Losses of the field, and of the flow if one is learned; the codes of the batch are stored."""
        shapes = self.next_shapes()
        batch = draw_batch(self.table, shapes, self.config, self.generator).to(self.device)
        with self.autocast():
            field, flow, codes = self.parallel(batch, self._known_codes(), self.generator, self.loss_fn)
        self._remember(shapes, batch, codes.detach())
        metrics = {"loss": float(field.detach())}
        if self.model.flow is not None:
            metrics["latent_loss"] = float(flow.detach())
        return field + flow, metrics

    def validation_loss(self) -> float | None:
        """Loss of the field on the held-out shapes, always for the same points and noise."""
        if self.held_out is None:
            return None
        model, errors = cast(Learner, self.ema.module).model, []
        generator = torch.Generator().manual_seed(self.config.seed)
        shapes = torch.arange(len(self.held_out))
        for some in shapes.split(self.config.shapes_per_step):
            batch = draw_batch(self.held_out, some, self.config, generator).to(self.device)
            with self.autocast():
                error = self.loss_fn(
                    model, model.encode(batch.encoder_input), batch.noisy, batch.sigma, batch.clean
                )
            errors.append(float(error) * len(some))
        return sum(errors) / len(shapes)

    def lr_factor(self) -> float:
        """Factor on the learning rate: warm-up, then along a cosine, or constant for the first half and then to
        1 % as published."""
        warm = min(1.0, (self.steps_done + 1) / WARM_UP)
        if self.config.schedule == "cosine":
            return warm * cosine(self.progress)
        return warm * (1 - 0.99 * min(max((self.progress - 0.5) / 0.45, 0.0), 1.0))

    def _known_codes(self) -> tuple[Float[Tensor, "R K"], Float[Tensor, "R K"]] | None:
        """Random known codes without hints, and as many with one hint each.

        None as long as no code is known, or if no flow is learned.
        """
        flow = self.model.flow
        if flow is None or not bool(self.known.any()):
            return None
        shapes = self._some(self.known.nonzero()[:, 0], flow.config.batch)
        hints = torch.zeros(len(shapes), self.codes.shape[1])
        usable = ((self.hinted >= 0) & self.known[self.hinted]).nonzero()[:, 0]
        if len(usable):
            rows = self._some(usable, flow.config.batch)
            shapes, hints = torch.cat([shapes, self.hinted[rows]]), torch.cat([hints, self.hints[rows]])
        return self.codes[shapes].to(self.device), hints.to(self.device)

    def _some(self, rows: Int[Tensor, " R"], count: int) -> Int[Tensor, " {count}"]:
        return rows[torch.randint(len(rows), (count,), generator=self.generator)]

    def _remember(self, shapes: Int[Tensor, " B"], batch: Batch, codes: Float[Tensor, "B K"]) -> None:
        codes, whole = codes.float().cpu(), batch.whole.cpu()
        if batch.encoder_input.shape[1] >= min(LONG_CODES, self.config.inputs[1] // 2):
            self.codes[shapes[whole]], self.known[shapes[whole]] = codes[whole], True
        count = int((~whole).sum())
        self.hints = torch.cat([self.hints[count:], codes[~whole]])
        self.hinted = torch.cat([self.hinted[count:], shapes[~whole].cpu()])

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The complete state of the training, to continue it to the same result: tensors, and JSON values."""
        tensors, meta = super().state()
        memory = {"codes": self.codes, "known": self.known, "hints": self.hints, "hinted": self.hinted}
        return {**tensors, **memory}, meta

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Continue from the state that `state` returned."""
        super().restore(tensors, meta)
        self.codes, self.known = tensors["codes"], tensors["known"]
        self.hints, self.hinted = tensors["hints"], tensors["hinted"]

    @torch.no_grad()
    def result(self, metadata: dict[str, Any] | None = None) -> CloudPrior:
        """The model learned so far, on the CPU, with the codes of all shapes."""
        learner = self.learned(Learner(self.config))
        count = min(self.table.points.shape[1], self.config.inputs[1])
        codes = [learner.model.encode(part[:, :count]) for part in self.table.points.split(64)]
        return CloudPrior(
            learner.model, learner.flow, torch.cat(codes), self.table.names, metadata or {}, self.table.frame
        )

    def save(self, result: CloudPrior, path: Path) -> None:
        """Write a model."""
        save_cloud_prior(result, path)


def train_clouds(
    table: CloudTable,
    config: TrainConfig | None = None,
    device: torch.device | str = "cpu",
    callbacks: Sequence[Callback] = (),
) -> CloudPrior:
    """Train a model on clouds; see `learn_clouds` for trainings in a run folder.

    Raises:
        InputError: The training has diverged.
    """
    training = Training(table, config or TrainConfig(), device)
    training.callbacks += callbacks
    for _ in training.steps():
        pass
    return training.result()
