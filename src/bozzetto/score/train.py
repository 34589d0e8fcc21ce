"""Learning encoder, field and latent prior in one loop: denoising score matching at all noise levels."""

import time
from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..runs import EpochTraining, cosine
from .config import TrainConfig
from .data import CloudTable
from .draws import Batch, draw_batch
from .latent import LatentFlow
from .models import build_model
from .prior import CloudPrior

WARM_UP = 50
"""Steps over which the step size grows, so that Adam has seen gradients before it takes large steps."""
LONG_CODES = 512
"""Least points of an uncropped cloud whose code counts as the code of its shape."""


class Learner(nn.Module):
    """All networks as one module."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.config = config
        self.model = build_model(config.model)
        latent = config.latent if config.latent and config.latent.kind == "flow" else None
        self.flow = None if latent is None else LatentFlow(config.model.code_size, latent)

    def forward(
        self, batch: Batch, known: Float[Tensor, "R K"] | None, generator: torch.Generator
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, "B K"]]:
        """Error of the field, error of the flow on known codes, and the codes of the clouds that were seen.

        The first sums over coordinates and is the mean over points, levels and shapes: Cai et al. 2020,
        equation 4, with the weights of the model. As long as none are known the flow learns from the codes of
        the batch: processes that share gradients all need one for every weight.
        """
        codes = self.model.encode(batch.seen)
        tau = self.config.model.code_noise
        used = codes + tau * torch.randn_like(codes) if tau else codes
        found = self.model.denoise(self.model.prepare(used), batch.noisy, batch.sigma)
        error = (found - batch.clean).square().sum(dim=-1)
        field = (self.model.weight(batch.sigma)[..., None] * error).mean()
        if self.flow is None:
            return field, torch.zeros_like(field), codes
        with torch.autocast(field.device.type, enabled=False):  # it is small, and codes are not to be rounded
            known = codes.detach().float() if known is None else known
            return field, self.flow.loss(known, generator), codes


class Training(EpochTraining[TrainConfig]):
    """A training of a model of clouds, a step at a time.

    Args:
        table: What to learn from.
        config: How.
        device, clock: See `runs.Training`.
    """

    def __init__(
        self,
        table: CloudTable,
        config: TrainConfig,
        device: torch.device | str = "cpu",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(len(table), config, device, clock)
        self.table = table
        learner = Learner(config)
        groups = [{"params": list(learner.model.parameters()), "lr": config.step_size}]
        if learner.flow is not None:
            groups += [{"params": list(learner.flow.parameters()), "lr": learner.flow.config.step_size}]
        self.set_up(learner, torch.optim.Adam(groups, fused=True))
        self.codes = torch.zeros(len(table), config.model.code_size)
        self.known = torch.zeros(len(table), dtype=torch.bool)

    @property
    def learner(self) -> Learner:
        """The networks."""
        return cast(Learner, self.model.module)

    def loss(self) -> tuple[Tensor, dict[str, float]]:
        """Errors of the field, and of the flow if one is learned; the codes that were met are remembered."""
        shapes = self.next_shapes()
        batch = draw_batch(self.table, shapes, self.config, self.generator).to(self.fabric.device)
        with self.autocast():
            field, flow, codes = self.model(batch, self._known_codes(), self.generator)
        self._remember(shapes, batch, codes.detach())
        figures = {"loss": float(field.detach())}
        if self.learner.flow is not None:
            figures["latent_loss"] = float(flow.detach())
        return field + flow, figures

    def schedule(self) -> float:
        """Along a cosine, or constant for the first half and then to 1 % as published; rising at first."""
        warm = min(1.0, (self.steps_done + 1) / WARM_UP)
        if self.config.schedule == "cosine":
            return warm * cosine(self.progress)
        return warm * (1 - 0.99 * min(max((self.progress - 0.5) / 0.45, 0.0), 1.0))

    def _known_codes(self) -> Float[Tensor, "R K"] | None:
        """Some of the latest codes of the shapes, None while none is known or when none are needed."""
        flow = self.learner.flow
        if flow is None or not bool(self.known.any()):
            return None
        rows = self.known.nonzero()[:, 0]
        chosen = torch.randint(len(rows), (flow.config.batch,), generator=self.generator)
        return self.codes[rows[chosen]].to(self.fabric.device)

    def _remember(self, shapes: Int[Tensor, " B"], batch: Batch, codes: Float[Tensor, "B K"]) -> None:
        good = batch.whole.cpu() & (batch.seen.shape[1] >= min(LONG_CODES, self.config.inputs[1]))
        self.codes[shapes[good]] = codes.float().cpu()[good]
        self.known[shapes[good]] = True

    def state(self) -> tuple[dict[str, Tensor], dict]:
        """Everything that continues the training to the same result: tensors, and what JSON can hold."""
        tensors, meta = super().state()
        return {**tensors, "codes": self.codes, "known": self.known}, meta

    def restore(self, tensors: dict[str, Tensor], meta: dict) -> None:
        """Continue from a `state`."""
        super().restore(tensors, meta)
        self.codes, self.known = tensors["codes"], tensors["known"]

    @torch.no_grad()
    def prior(self, about: dict | None = None) -> CloudPrior:
        """What has been learned so far, on the CPU, with the codes of all shapes."""
        learner = self.learned(Learner(self.config))
        count = min(self.table.points.shape[1], self.config.inputs[1])
        codes = [learner.model.encode(part[:, :count]) for part in self.table.points.split(64)]
        return CloudPrior(
            learner.model, learner.flow, torch.cat(codes), self.table.names, about or {}, self.table.frame
        )


def train_clouds(
    table: CloudTable,
    config: TrainConfig | None = None,
    device: torch.device | str = "cpu",
    on_step: Callable[[Training, dict[str, float]], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> CloudPrior:
    """Learn a model from clouds.

    Args:
        table: The clouds.
        config: How to learn; the default preset if None.
        device: Where to compute.
        on_step: Called after every step with the training and its figures: progress, checkpoints.
        clock: See `Training`.

    Raises:
        InputError: The loss is not finite any more.
    """
    training = Training(table, config or TrainConfig(), device, clock)
    for figures in training.steps():
        if on_step is not None:
            on_step(training, figures)
    return training.prior()
