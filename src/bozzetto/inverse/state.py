"""The state of an optimisation as a flat dictionary of tensors, ready for a safetensors file."""

import torch
from torch import Tensor


def optimizer_tensors(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """The running moments of several optimisers, named `optimizer.<optimiser>.<parameter>.<moment>`."""
    tensors = {}
    for number, optimizer in enumerate(optimizers):
        for parameter, moments in optimizer.state_dict()["state"].items():
            for name, value in moments.items():
                tensors[f"optimizer.{number}.{parameter}.{name}"] = torch.as_tensor(value)
    return tensors


def restore_optimizers(optimizers: list[torch.optim.Optimizer], tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` took out."""
    for number, optimizer in enumerate(optimizers):
        content = optimizer.state_dict()
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            kind, *rest = key.split(".")
            if kind == "optimizer" and int(rest[0]) == number:
                state.setdefault(int(rest[1]), {})[rest[2]] = value
        content["state"] = state
        optimizer.load_state_dict(content)
