"""Learning a prior: the decoder and the codes of all shapes together (DeepSDF, equation 9)."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Literal, cast

import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Tensor, nn

from ..errors import InputError
from ..runs import fast_bfloat16, is_distributed, local_processes, nodes
from .config import TrainConfig
from .data import SampleTable
from .losses import clamped_l1, code_penalty
from .model import build_decoder
from .prior import ShapePrior

WARM_UP_EPOCHS = 100
"""Over so many epochs the penalty of the codes grows to its full weight, as released."""


class AutoDecoder(nn.Module):
    """A decoder with a free code per shape: there is no encoder."""

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


class Training:
    """A training, a step at a time.

    Under `torchrun` every process takes its own random shapes, and gradients are averaged.

    Args:
        table: What to learn from.
        config: How.
        device: Where; ignored under `torchrun`, where every process has its own.
    """

    def __init__(self, table: SampleTable, config: TrainConfig, device: torch.device | str = "cpu") -> None:
        self.table, self.config = table, config
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces its precision
        self.fabric = Fabric(
            accelerator=torch.device(device).type,
            strategy="ddp" if is_distributed() else "auto",
            devices=local_processes(),
            num_nodes=nodes(),
            precision=_precision(config),
        )
        self.fabric.launch()
        torch.manual_seed(config.seed)
        model = AutoDecoder(config, len(table))
        optimizer = torch.optim.Adam(
            [
                {"params": list(model.decoder.parameters()), "lr": config.step_size},
                {"params": list(model.codes.parameters()), "lr": config.code_step_size},
            ]
        )
        self.model, self.optimizer = self.fabric.setup(model, optimizer)
        self.average = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self.generator = torch.Generator().manual_seed(config.seed + 1000 * self.fabric.global_rank)
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
        """One step; returns the loss and the share of inside samples that are predicted to be inside."""
        began = time.monotonic()
        for group, size in zip(self.optimizer.param_groups, self._step_sizes(), strict=True):
            group["lr"] = size
        shapes = self._next_shapes()
        points, distances = (
            part.to(self.fabric.device)
            for part in self.table.draw(shapes, self.config.samples_per_shape, self.generator)
        )
        self.model.train()
        predicted, codes = self.model(shapes.to(self.fabric.device), points)
        error = clamped_l1(predicted, distances, self.config.clamp, self.config.far_weight).mean()
        weight = self.config.prior_weight * min(1.0, self.epoch / WARM_UP_EPOCHS)
        loss = error + weight * code_penalty(codes)
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.optimizer.step()
        self._after_step()
        self.elapsed = self._shared(self.elapsed + time.monotonic() - began)
        found = (predicted.detach()[distances < 0] < 0).float().mean()
        return {"loss": float(error.detach()), "inside_found": float(found)}

    def _shared(self, seconds: float) -> float:
        """The mean over all processes, so that they agree on when to stop."""
        if self.fabric.world_size == 1:
            return seconds
        shared = self.fabric.all_reduce(torch.tensor(seconds, dtype=torch.float64), reduce_op="mean")
        return float(cast(Tensor, shared))

    def _next_shapes(self) -> Int[Tensor, " B"]:
        """The next shapes of a random order that is drawn anew when it ends."""
        count = self.shapes_per_step
        if len(self.order) < count:
            self.order = torch.cat([self.order, torch.randperm(len(self.table), generator=self.generator)])
        shapes, self.order = self.order[:count], self.order[count:]
        return shapes

    def _step_sizes(self) -> tuple[float, float]:
        progress = self.progress
        if self.config.schedule == "halving":
            factor = 0.5 ** math.floor(4 * progress)
        else:
            factor = max(0.01, 0.5 * (1 + math.cos(math.pi * progress)))
        return self.config.step_size * factor, self.config.code_step_size * factor

    @torch.no_grad()
    def _after_step(self) -> None:
        self.steps_done += 1
        codes = self.model.codes.weight
        codes *= (self.config.longest_code / codes.norm(dim=1, keepdim=True).clamp(min=1e-12)).clamp(max=1.0)
        # The mean begins where little is learned yet; a growing memory forgets that soon.
        keep = min(self.config.average, self.steps_done / (self.steps_done + 10))
        for name, value in self.model.module.state_dict().items():
            self.average[name] = self.average[name].to(value).lerp_(value, 1 - keep) if keep else value

    def state(self) -> tuple[dict[str, Tensor], dict]:
        """Everything that continues the training to the same result: tensors, and what JSON can hold."""
        tensors = {f"model.{n}": v for n, v in self.model.module.state_dict().items()}
        tensors |= {f"average.{n}": v for n, v in self.average.items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{n}": torch.as_tensor(v) for n, v in state.items()}
        tensors |= {"generator": self.generator.get_state(), "order": self.order}
        tensors["torch_generator"] = torch.get_rng_state()
        return tensors, {"steps_done": self.steps_done, "elapsed": self.elapsed}

    def restore(self, tensors: dict[str, Tensor], meta: dict) -> None:
        """Continue from a `state`; processes but the first draw other shapes than it, as before."""
        self.model.module.load_state_dict(_under("model.", tensors))
        self.average = _under("average.", tensors)
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimizer.", tensors).items():
            index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.generator.set_state(tensors["generator"])
        if self.fabric.global_rank:
            self.generator.manual_seed(self.config.seed + 1000 * self.fabric.global_rank + meta["steps_done"])
        torch.set_rng_state(tensors["torch_generator"])
        self.order = tensors["order"]
        self.steps_done, self.elapsed = int(meta["steps_done"]), float(meta["elapsed"])

    def prior(self, names: Sequence[str], about: dict | None = None) -> ShapePrior:
        """What has been learned so far, on the CPU."""
        model = AutoDecoder(self.config, len(self.table))
        model.load_state_dict({name: value.cpu() for name, value in self.average.items()})
        decoder = model.decoder.eval().requires_grad_(False)
        return ShapePrior(decoder, model.codes.weight.detach().clone(), tuple(names), about or {})


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
        InputError: The training has collapsed: everything is predicted to be outside.
    """
    training = Training(table, config or TrainConfig(), device)
    while training.progress < 1:
        figures = training.step()
        require_alive(training, figures)
        if on_step is not None:
            on_step(training, figures)
    return training.prior(names)


def require_alive(training: Training, figures: dict[str, float]) -> None:
    """Stop a training that predicts one sign for everything, which it never leaves again.

    Raises:
        InputError: More than 200 steps are done and no sample inside a shape is found to be inside.
    """
    if training.steps_done > 200 and figures["inside_found"] == 0.0:
        raise InputError(
            f"the training has collapsed: after {training.steps_done} steps nothing is predicted "
            "inside a shape; take more shapes per step, smaller steps or the default preset"
        )


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _precision(config: TrainConfig) -> Literal["bf16-mixed", "32-true"]:
    bfloat16 = fast_bfloat16() if config.precision == "auto" else config.precision == "bfloat16"
    return "bf16-mixed" if bfloat16 else "32-true"
