"""Learning encoder, field and latent prior in one loop: denoising score matching at all noise levels."""

import logging
import math
import time
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Tensor, nn

from ..errors import InputError
from ..runs import fast_bfloat16
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
    """All networks as one module.

    It casts by itself: Fabric's mixed precision would also round what goes in, and with it the points.
    """

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.config = config
        self.mixed = fast_bfloat16() if config.precision == "auto" else config.precision == "bfloat16"
        self.model = build_model(config.model)
        latent = config.latent if config.latent and config.latent.kind == "flow" else None
        self.flow = None if latent is None else LatentFlow(config.model.code_size, latent)

    def forward(
        self, batch: Batch, known: Float[Tensor, "R K"] | None, generator: torch.Generator
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, "B K"]]:
        """Error of the field, error of the flow on known codes, and the codes of the clouds that were seen.

        The first sums over coordinates and is the mean over points, levels and shapes: Cai et al. 2020,
        equation 4, with the weights of the model.
        """
        with torch.autocast(batch.noisy.device.type, torch.bfloat16, enabled=self.mixed):
            codes = self.model.encode(batch.seen)
            tau = self.config.model.code_noise
            used = codes + tau * torch.randn_like(codes) if tau else codes
            found = self.model.denoise(self.model.prepare(used), batch.noisy, batch.sigma)
        error = (found - batch.clean).square().sum(dim=-1)
        field = (self.model.weight(batch.sigma)[..., None] * error).mean()
        if known is None or self.flow is None:
            return field, torch.zeros_like(field), codes
        return field, self.flow.loss(known, generator), codes


class Training:
    """A training, a step at a time.

    Under `torchrun` every process takes its own random shapes, and gradients are averaged.

    Args:
        table: What to learn from.
        config: How.
        device: Where; ignored under `torchrun`, where every process has its own.
        clock: Seconds that count against `config.seconds`; `time.process_time` makes comparisons fair where
            other programs run.
    """

    def __init__(
        self,
        table: CloudTable,
        config: TrainConfig,
        device: torch.device | str = "cpu",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.table, self.config, self.clock = table, config, clock
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces its precision
        self.fabric = Fabric(
            accelerator=torch.device(device).type,
            devices="auto" if torch.distributed.is_torchelastic_launched() else 1,
        )
        self.fabric.launch()
        torch.manual_seed(config.seed)
        learner = Learner(config)
        groups = [{"params": list(learner.model.parameters()), "lr": config.step_size}]
        if learner.flow is not None:
            groups += [{"params": list(learner.flow.parameters()), "lr": learner.flow.config.step_size}]
        self.sizes = [group["lr"] for group in groups]
        self.learner, self.optimizer = self.fabric.setup(learner, torch.optim.Adam(groups, fused=True))
        self.average = {name: value.detach().clone() for name, value in learner.state_dict().items()}
        self.generator = torch.Generator().manual_seed(config.seed + 1000 * self.fabric.global_rank)
        self.codes = torch.zeros(len(table), config.model.code_size)
        self.known = torch.zeros(len(table), dtype=torch.bool)
        self.steps_done, self.elapsed = 0, 0.0
        self.order: Tensor = torch.empty(0, dtype=torch.int64)

    @property
    def epoch(self) -> float:
        """Passes over the shapes so far."""
        return self.steps_done * self.shapes_per_step * self.fabric.world_size / len(self.table)

    @property
    def shapes_per_step(self) -> int:
        """Shapes in a step of one process: no more than there are."""
        return min(self.config.shapes_per_step, len(self.table))

    @property
    def progress(self) -> float:
        """0 to 1: by epochs or by time, whichever is further."""
        return min(1.0, max(self.epoch / self.config.epochs, self.elapsed / self.config.seconds))

    def step(self) -> dict[str, float]:
        """One step; returns the loss of the field, and of the flow if one is learned.

        Raises:
            InputError: The loss is not finite any more.
        """
        began = self.clock()
        factor = _factor(self.config.schedule, self.progress) * min(1.0, (self.steps_done + 1) / WARM_UP)
        for group, size in zip(self.optimizer.param_groups, self.sizes, strict=True):
            group["lr"] = size * factor
        shapes = self._next_shapes()
        batch = draw_batch(self.table, shapes, self.config, self.generator).to(self.fabric.device)
        self.learner.train()
        field, flow, codes = self.learner(batch, self._known_codes(), self.generator)
        self.optimizer.zero_grad()
        self.fabric.backward(field + flow)
        self.optimizer.step()
        self._after_step(shapes, batch, codes.detach())
        figures = {"loss": float(field.detach())}
        if self.learner.module.flow is not None:
            figures["latent_loss"] = float(flow.detach())
        self.elapsed += self.clock() - began
        if not all(math.isfinite(value) for value in figures.values()):
            raise InputError(
                f"the training has diverged: after {self.steps_done} steps the loss is not finite; "
                "take a smaller step size, or resume with the default preset"
            )
        return figures

    def _next_shapes(self) -> Int[Tensor, " B"]:
        """The next shapes of a random order that is drawn anew when it ends."""
        count = self.shapes_per_step
        if len(self.order) < count:
            self.order = torch.cat([self.order, torch.randperm(len(self.table), generator=self.generator)])
        shapes, self.order = self.order[:count], self.order[count:]
        return shapes

    def _known_codes(self) -> Float[Tensor, "R K"] | None:
        """Some of the latest codes of the shapes, None while none is known or when none are needed."""
        flow = self.learner.module.flow
        if flow is None or not bool(self.known.any()):
            return None
        rows = self.known.nonzero()[:, 0]
        chosen = torch.randint(len(rows), (flow.config.batch,), generator=self.generator)
        return self.codes[rows[chosen]].to(self.fabric.device)

    @torch.no_grad()
    def _after_step(self, shapes: Int[Tensor, " B"], batch: Batch, codes: Float[Tensor, "B K"]) -> None:
        self.steps_done += 1
        good = batch.whole.cpu() & (batch.seen.shape[1] >= min(LONG_CODES, self.config.inputs[1]))
        self.codes[shapes[good]] = codes.float().cpu()[good]
        self.known[shapes[good]] = True
        # The mean begins where little is learned yet; a growing memory forgets that soon.
        keep = min(self.config.average, self.steps_done / (self.steps_done + 10))
        for name, value in self.learner.module.state_dict().items():
            mean = keep and value.is_floating_point()
            self.average[name] = self.average[name].to(value).lerp_(value, 1 - keep) if mean else value

    def state(self) -> tuple[dict[str, Tensor], dict]:
        """Everything that continues the training to the same result: tensors, and what JSON can hold."""
        tensors = {f"learner.{n}": v for n, v in self.learner.module.state_dict().items()}
        tensors |= {f"average.{n}": v for n, v in self.average.items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{n}": torch.as_tensor(v) for n, v in state.items()}
        tensors |= {"generator": self.generator.get_state(), "order": self.order}
        tensors |= {"codes": self.codes, "known": self.known, "torch_generator": torch.get_rng_state()}
        return tensors, {"steps_done": self.steps_done, "elapsed": self.elapsed}

    def restore(self, tensors: dict[str, Tensor], meta: dict) -> None:
        """Continue from a `state`."""
        self.learner.module.load_state_dict(_under("learner.", tensors))
        self.average = _under("average.", tensors)
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimizer.", tensors).items():
            index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.generator.set_state(tensors["generator"])
        torch.set_rng_state(tensors["torch_generator"])
        self.order, self.codes, self.known = tensors["order"], tensors["codes"], tensors["known"]
        self.steps_done, self.elapsed = int(meta["steps_done"]), float(meta["elapsed"])

    @torch.no_grad()
    def prior(self, about: dict | None = None) -> CloudPrior:
        """What has been learned so far, on the CPU, with the codes of all shapes."""
        learner = Learner(self.config)
        learner.load_state_dict({name: value.cpu() for name, value in self.average.items()})
        learner.eval().requires_grad_(False)
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
    while training.progress < 1:
        figures = training.step()
        if on_step is not None:
            on_step(training, figures)
    return training.prior()


def _factor(schedule: str, progress: float) -> float:
    if schedule == "cosine":
        return max(0.01, 0.5 * (1 + math.cos(math.pi * progress)))
    return 1 - 0.99 * min(max((progress - 0.5) / 0.45, 0.0), 1.0)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
