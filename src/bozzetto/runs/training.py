"""What the trainings of all engines share: processes, steps and their sizes, time, means of weights, states."""

import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar, cast

import torch
from jaxtyping import Int
from lightning_fabric import Fabric
from torch import Tensor, nn

from ..errors import InputError, Interrupted
from .environment import fast_bfloat16
from .folder import RunFolder
from .interruptions import deferred_interruptions
from .processes import is_distributed, local_processes, nodes
from .progress import Progress
from .training_config import EpochConfig, TrainingConfig

Config = TypeVar("Config", bound=TrainingConfig)
Module = TypeVar("Module", bound=nn.Module)


class Training(ABC, Generic[Config]):
    """A training, a step at a time.

    A subclass gives `set_up` its model and optimizer when it is made, and says what a step minimises (`loss`),
    how far it is by count (`fraction_done`) and how step sizes go (`schedule`).

    Under `torchrun` every process draws its own batches, and gradients are averaged.

    Args:
        config: How to learn.
        device: Where; ignored under `torchrun`, where every process has its own.
        clock: Seconds that count against `config.seconds`; `time.process_time` makes comparisons fair where
            other programs run.

    Attributes:
        model: What learns, as Fabric wraps it; `model.module` is what was given to `set_up`.
        average: Running mean of its state.
        generator: What a process draws its batches with.
        steps_done: Steps so far. elapsed: Seconds that they took, the mean over all processes.
        smoothing: Share of the earlier figures in those that are shown and logged.
        longest_gradient: Gradients of all weights together are cut to this length.
    """

    smoothing = 0.0
    longest_gradient = math.inf

    def __init__(
        self,
        config: Config,
        device: torch.device | str = "cpu",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config, self.clock = config, clock
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces its precision
        self.fabric = Fabric(
            accelerator=torch.device(device).type,
            strategy="ddp" if is_distributed() else "auto",
            devices=local_processes(),
            num_nodes=nodes(),
        )
        self.fabric.launch()
        torch.manual_seed(config.seed)
        self.generator = torch.Generator().manual_seed(config.seed + 1000 * self.fabric.global_rank)
        wanted = config.precision
        self.mixed = fast_bfloat16(self.fabric.device) if wanted == "auto" else wanted == "bfloat16"
        self.steps_done, self.elapsed = 0, 0.0

    def set_up(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Take the model that learns, and its optimizer, whose step sizes are those of `schedule` 1."""
        self.step_sizes = [group["lr"] for group in optimizer.param_groups]
        self.model, self.optimizer = self.fabric.setup(model, optimizer)
        self.average = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @abstractmethod
    def loss(self) -> tuple[Tensor, dict[str, float]]:
        """Draw a batch; what the step minimises, and its figures, `loss` among them."""

    @abstractmethod
    def schedule(self) -> float:
        """Factor of all step sizes now."""

    @property
    @abstractmethod
    def fraction_done(self) -> float:
        """How much of the training is done by count, whatever time it took; 1 is all."""

    def after_step(self) -> None:
        """What else happens to the weights in a step, before their mean is taken."""

    def position(self) -> dict[str, float]:
        """Where the training is, for the log."""
        return {"progress": self.progress}

    @property
    def progress(self) -> float:
        """0 to 1: by count or by time, whichever is further."""
        return min(1.0, max(self.fraction_done, self.elapsed / self.config.seconds))

    def autocast(self) -> torch.autocast:
        """The context in which the model computes.

        Fabric's mixed precision is not used: it also rounds what goes in, which would move points by up to
        0.004. Models take care that their first layer sees coordinates as they are.
        """
        return torch.autocast(self.fabric.device.type, torch.bfloat16, enabled=self.mixed)

    def steps(self) -> Iterator[dict[str, float]]:
        """Take steps until the training is done; yields their figures."""
        while self.progress < 1:
            yield self.step()

    def step(self) -> dict[str, float]:
        """Take one step and return its figures.

        Raises:
            InputError: The loss is not finite any more.
        """
        began = self.clock()
        factor = self.schedule()
        for group, size in zip(self.optimizer.param_groups, self.step_sizes, strict=True):
            group["lr"] = size * factor
        self.model.train()
        loss, figures = self.loss()
        if not math.isfinite(float(loss.detach())):
            raise InputError(
                f"the training has diverged: after {self.steps_done} steps the loss is not finite; "
                "take smaller steps or the default preset"
            )
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        if math.isfinite(self.longest_gradient):
            self.fabric.clip_gradients(self.model, self.optimizer, max_norm=self.longest_gradient)
        self.optimizer.step()
        self.steps_done += 1
        with torch.no_grad():
            self.after_step()
            self._take_mean()
        self.elapsed = self._shared(self.elapsed + self.clock() - began)
        return figures

    def _take_mean(self) -> None:
        # The mean begins where little is learned yet; a growing memory forgets that soon.
        keep = min(self.config.average, self.steps_done / (self.steps_done + 10))
        for name, value in self.model.module.state_dict().items():
            mean = keep > 0 and value.is_floating_point()
            self.average[name] = self.average[name].lerp_(value, 1 - keep) if mean else value

    def _shared(self, value: float) -> float:
        """The mean over all processes."""
        if self.fabric.world_size == 1:
            return value
        shared = self.fabric.all_reduce(torch.tensor(value, dtype=torch.float64), reduce_op="mean")
        return float(cast(Tensor, shared))

    def any_process(self, condition: bool) -> bool:
        """Whether a condition holds in one of the processes, so that they agree on what to do."""
        return self._shared(float(condition)) > 0

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that continues the training to the same result: tensors, and what JSON can hold."""
        tensors = {f"model.{n}": v for n, v in self.model.module.state_dict().items()}
        tensors |= {f"average.{n}": v for n, v in self.average.items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{n}": torch.as_tensor(v) for n, v in state.items()}
        tensors |= {"generator": self.generator.get_state(), "torch_generator": torch.get_rng_state()}
        if self.fabric.device.type == "cuda":
            tensors["cuda_generator"] = torch.cuda.get_rng_state(self.fabric.device)
        meta = {"steps_done": self.steps_done, "elapsed": self.elapsed, "mixed": self.mixed}
        return tensors, meta

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Continue from a `state`; processes but the first draw other batches than it, as before."""
        self.model.module.load_state_dict(_under("model.", tensors))
        device = self.fabric.device
        self.average = {n: v.to(device, copy=True) for n, v in _under("average.", tensors).items()}
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimizer.", tensors).items():
            index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.steps_done, self.elapsed = int(meta["steps_done"]), float(meta["elapsed"])
        self.mixed = bool(meta.get("mixed", self.mixed))  # found by timing, so it need not be found again
        self.generator.set_state(tensors["generator"])
        if self.fabric.global_rank:
            self.generator.manual_seed(self.config.seed + 1000 * self.fabric.global_rank + self.steps_done)
        torch.set_rng_state(tensors["torch_generator"])
        if device.type == "cuda" and "cuda_generator" in tensors:
            torch.cuda.set_rng_state(tensors["cuda_generator"], device)

    def learned(self, model: Module) -> Module:
        """Give a model of the same kind, on the CPU, the mean weights; it will not learn any more."""
        model.load_state_dict({name: value.cpu() for name, value in self.average.items()})
        return model.eval().requires_grad_(False)


def cosine(progress: float, least: float = 0.01) -> float:
    """From 1 to `least` along half a wave."""
    return max(least, 0.5 * (1 + math.cos(math.pi * progress)))


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


Epochs = TypeVar("Epochs", bound=EpochConfig)


class EpochTraining(Training[Epochs]):
    """A training whose steps take some of so many shapes in random order; the rest is as in `Training`."""

    def __init__(
        self,
        shapes: int,
        config: Epochs,
        device: torch.device | str = "cpu",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(config, device, clock)
        self.shapes = shapes
        self.order: Tensor = torch.empty(0, dtype=torch.int64)

    @property
    def epoch(self) -> float:
        """Passes over the shapes so far."""
        return self.steps_done * self.shapes_per_step * self.fabric.world_size / self.shapes

    @property
    def shapes_per_step(self) -> int:
        """Shapes in a step of one process: no more than there are."""
        return min(self.config.shapes_per_step, self.shapes)

    @property
    def fraction_done(self) -> float:
        """Share of the epochs."""
        return self.epoch / self.config.epochs

    def position(self) -> dict[str, float]:
        """The epoch."""
        return {"epoch": self.epoch}

    def next_shapes(self) -> Int[Tensor, " B"]:
        """The next shapes of a random order that is drawn anew when it ends."""
        count = self.shapes_per_step
        if len(self.order) < count:
            self.order = torch.cat([self.order, torch.randperm(self.shapes, generator=self.generator)])
        shapes, self.order = self.order[:count], self.order[count:]
        return shapes

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """That of `Training`, and the order of the shapes to come."""
        tensors, meta = super().state()
        return {**tensors, "order": self.order}, meta

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Continue from a `state`."""
        super().restore(tensors, meta)
        self.order = tensors["order"]


CHECKPOINT_SECONDS = 60.0
LOG_EVERY = 20  # steps


def run_training(run: RunFolder, training: Training, quiet: bool = False) -> dict[str, float]:
    """Train to the end, from the checkpoint of the folder if it has one.

    Logs figures and writes checkpoints by the first process only, and shows progress unless it is to be quiet.
    Under `torchrun` the others continue from the checkpoint of the first.

    A Ctrl-C or SIGTERM waits for the end of the step, and for a checkpoint of it; a second one does not.

    Returns:
        Figures of the end.

    Raises:
        Interrupted: With the step that the checkpoint was written after.
    """
    saved = training.fabric.broadcast(run.load_checkpoint())
    first, share, written = training.fabric.is_global_zero, training.smoothing, time.monotonic()
    figures: dict[str, float] = {}
    if saved is not None:
        training.restore(saved[1], saved[2])
        figures = {n: v for n, v in saved[2].get("figures", {}).items() if v is not None}

    def save() -> None:
        tensors, meta = training.state()
        if first:
            run.save_checkpoint(training.steps_done, tensors, {**meta, "figures": figures})

    with (
        deferred_interruptions() as interruption,
        run.stage("train"),
        Progress(1.0, "train", quiet, done=training.progress) as progress,
    ):
        for found in training.steps():
            figures = {n: share * figures.get(n, v) + (1 - share) * v for n, v in found.items()}
            shown = {name: value for name, value in figures.items() if name.endswith("loss")}
            progress.advance(training.progress - progress.done, **shown)
            if first and training.steps_done % LOG_EVERY == 0:
                run.log(training.steps_done, **training.position(), elapsed=training.elapsed, **figures)
            if training.any_process(bool(interruption)):
                break
            if time.monotonic() - written > CHECKPOINT_SECONDS:
                save()
                written = time.monotonic()
        save()
        if training.any_process(bool(interruption)):
            raise Interrupted(
                f"stopped after step {training.steps_done}, a checkpoint is written",
                exit_code=interruption.exit_code,
            )
    return figures
