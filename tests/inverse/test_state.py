import pytest
import torch
from safetensors.torch import load, save

from bozzetto.inverse import make_optimizer
from bozzetto.inverse.state import optimizer_tensors, restore_optimizers

RULES = ["gradient_descent", "momentum", "adam", "adam_uniform", "vector_adam"]


def begin(rule):
    parameters = [torch.ones(4, 3, requires_grad=True), torch.ones(2, 3, requires_grad=True)]
    return parameters, [make_optimizer(rule, [p], 0.1) for p in parameters]


def advance(parameters, optimizers, steps):
    for step in steps:
        for parameter, optimizer in zip(parameters, optimizers, strict=True):
            parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(step))
            optimizer.step()


@pytest.mark.parametrize("rule", RULES)
def test_through_a_file_and_on(rule):
    parameters, optimizers = begin(rule)
    advance(parameters, optimizers, range(3))
    stored = load(save(optimizer_tensors(optimizers)))
    resumed, others = begin(rule)
    with torch.no_grad():
        for new, old in zip(resumed, parameters, strict=True):
            new.copy_(old)
    restore_optimizers(others, stored)
    advance(parameters, optimizers, range(3, 6))
    advance(resumed, others, range(3, 6))
    for new, old in zip(resumed, parameters, strict=True):
        assert torch.equal(new, old)


def test_names():
    parameters, optimizers = begin("adam_uniform")
    assert optimizer_tensors(optimizers) == {}
    advance(parameters, optimizers, range(1))
    names = {f"optimizer.{n}.0.{m}" for n in (0, 1) for m in ("step", "exp_avg", "exp_avg_sq")}
    assert set(optimizer_tensors(optimizers)) == names


def test_other_tensors_are_left_alone():
    parameters, optimizers = begin("adam")
    restore_optimizers(optimizers, {"latent": torch.zeros(3), "faces": torch.zeros(2)})
    assert optimizer_tensors(optimizers) == {}
    advance(parameters, optimizers, range(1))
    fresh, others = begin("adam")
    advance(fresh, others, range(1))
    assert all(torch.equal(new, old) for new, old in zip(parameters, fresh, strict=True))
