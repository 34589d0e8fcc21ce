"""Learning to see height, a step at a time."""

import logging
import math
import time
from typing import Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor

from ..runs import fast_bfloat16
from .config import TrainConfig
from .data import Batch, Crops
from .losses import PerceptualDistance, published_loss, structure_loss
from .model import Estimate, build_network
from .pairs import PAINTED
from .predictor import Predictor
from .unet import PublishedNetwork, load_imagenet

SLOWEST = 0.01
"""Share of the step size that is left at the end."""


class Training:
    """A training, a step at a time.

    Under `torchrun` every process draws its own crops, and gradients are averaged.

    Args:
        crops: Where batches come from.
        config: How to learn.
        device: Where; ignored under `torchrun`, where every process has its own.
        start: A trained network of the same kind to continue from.

    Attributes:
        notes: Sentences about what it starts from, for the user.
    """

    def __init__(
        self,
        crops: Crops,
        config: TrainConfig,
        device: torch.device | str = "cpu",
        start: Predictor | None = None,
    ) -> None:
        self.crops, self.config = crops, config
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces its precision
        many = torch.distributed.is_torchelastic_launched()
        self.fabric = Fabric(
            accelerator=torch.device(device).type,
            devices="auto" if many else 1,
            precision=_precision(config),
        )
        self.fabric.launch()
        torch.manual_seed(config.seed)
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
        decayed = [p for p in network.parameters() if p.ndim > 1]
        plain = [p for p in network.parameters() if p.ndim <= 1]
        groups = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=config.step_size, weight_decay=config.weight_decay)
        self.model, self.optimizer = self.fabric.setup(network, optimizer)
        self.average = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.steps_done, self.elapsed = 0, 0.0

    @property
    def progress(self) -> float:
        """Share of the steps or of the time, whichever is further; 1 is done."""
        share = max(self.steps_done / self.config.steps, self.elapsed / self.config.seconds)
        return min(1.0, share)

    def step(self) -> dict[str, float]:
        """Take one step and return its figures."""
        began = time.monotonic()
        for group in self.optimizer.param_groups:
            group["lr"] = self._step_size()
        number = self.steps_done * self.fabric.world_size + self.fabric.global_rank
        quarters = self.progress < self.config.quarters
        batch = self.crops.draw(number, self.config.crops_per_step, quarters)
        device = self.fabric.device
        photos = batch.photos.contiguous(memory_format=torch.channels_last).to(device)
        self.model.train()
        estimate = self.model(photos, batch.tiles)
        loss, figures = self._loss(estimate, batch)
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.fabric.clip_gradients(self.model, self.optimizer, max_norm=5.0)
        self.optimizer.step()
        self._after_step()
        self.elapsed += time.monotonic() - began
        return {"loss": float(loss.detach()), **figures}

    def _loss(self, estimate: Estimate, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        truth = batch.heights.to(self.fabric.device)
        if self.perceptual is not None:
            return published_loss(estimate, truth, self.perceptual)
        return structure_loss(estimate, truth, (batch.kinds == PAINTED).to(truth.device))

    def _step_size(self) -> float:
        progress, warm = self.progress, self.config.warm_up
        rising = min(1.0, (progress + 1e-3) / max(warm, 1e-3))
        falling = max(SLOWEST, 0.5 * (1 + math.cos(math.pi * progress)))
        falling = 1.0 if self.config.schedule == "flat" else falling
        return self.config.step_size * rising * falling

    @torch.no_grad()
    def _after_step(self) -> None:
        self.steps_done += 1
        # The mean begins where little is learned yet; a growing memory forgets that soon.
        keep = min(self.config.average, self.steps_done / (self.steps_done + 10))
        for name, value in self.model.module.state_dict().items():
            mean = self.average[name].to(value)
            self.average[name] = mean.lerp_(value, 1 - keep) if value.is_floating_point() else value.clone()

    def state(self) -> tuple[dict[str, Tensor], dict]:
        """Everything that continues the training to the same result: tensors, and what JSON can hold."""
        tensors = {f"model.{n}": v for n, v in self.model.module.state_dict().items()}
        tensors |= {f"average.{n}": v for n, v in self.average.items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{n}": torch.as_tensor(v) for n, v in state.items()}
        tensors["torch_generator"] = torch.get_rng_state()
        return tensors, {"steps_done": self.steps_done, "elapsed": self.elapsed}

    def restore(self, tensors: dict[str, Tensor], meta: dict) -> None:
        """Continue from a `state`."""
        self.model.module.load_state_dict(_under("model.", tensors))
        self.average = _under("average.", tensors)
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimizer.", tensors).items():
            index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        torch.set_rng_state(tensors["torch_generator"])
        self.steps_done, self.elapsed = int(meta["steps_done"]), float(meta["elapsed"])

    def predictor(self, about: dict | None = None) -> Predictor:
        """What has been learned so far, on the CPU."""
        network = build_network(self.config.network)
        network.load_state_dict({name: value.cpu() for name, value in self.average.items()})
        return Predictor(network, self.config.network, about or {})


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _precision(config: TrainConfig) -> Literal["bf16-mixed", "32-true"]:
    bfloat16 = fast_bfloat16() if config.precision == "auto" else config.precision == "bfloat16"
    return "bf16-mixed" if bfloat16 else "32-true"
