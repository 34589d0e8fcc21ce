"""Levenberg-Marquardt for objectives that know their quadratic model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from jaxtyping import Float64
from torch import Tensor

from ..steps import counted
from ..values import value_type

State = TypeVar("State")


@value_type
class Quadratic:
    """An objective near a state: loss + gradient . step + step . curvature . step / 2.

    Attributes:
        loss: The objective itself.
        gradient: Its derivative (for a robust loss, that of the majorising quadratic, which is the same).
        curvature: Gauss-Newton or majorising second derivative, positive semi-definite.
    """

    loss: float
    gradient: Float64[Tensor, " P"]
    curvature: Float64[Tensor, "P P"]


@dataclass(frozen=True)
class Solution(Generic[State]):
    """Where Levenberg-Marquardt arrived.

    Attributes:
        state: The best state found.
        model: The objective near it.
        losses: At the start and after every iteration; never increasing.
        converged: Whether it stopped because nothing was left to gain.
    """

    state: State
    model: Quadratic
    losses: tuple[float, ...]
    converged: bool

    @property
    def iterations(self) -> int:
        """Evaluations of objective and derivatives after the first."""
        return len(self.losses) - 1


def levenberg_marquardt(
    linearise: Callable[[State], Quadratic],
    move: Callable[[State, Float64[Tensor, " P"]], State],
    state: State,
    iterations: int = 15,
    damping: float = 1e-3,
    tolerance: float = 1e-4,
    relaxation: float = 1.0,
) -> Solution[State]:
    """Minimise by damped Gauss-Newton steps (Levenberg 1944, Marquardt 1963).

    Damping is relative to the diagonal of the curvature and follows the ratio of real to predicted gain
    (Nielsen 1999, "Damping parameter in Marquardt's method"). Derivatives are computed at every trial, since
    nearly all of them are accepted and a rejected one then costs no more than an accepted one.

    Source: Levenberg 1944, the damped step.

    Source: Marquardt 1963, damping relative to the curvature.

    Source: Nielsen 1999, how damping changes.

    Args:
        linearise: The quadratic model at a state.
        move: The state that a step leads to.
        state: Where to start.
        iterations: Trials, at most.
        damping: At the start.
        tolerance: Stop when two accepted steps in a row gain less than this share of the objective.
        relaxation: How much longer than to the minimum of the model steps are after one that gained more than
            predicted. A model that lies above the objective, as in iteratively reweighted least squares, is
            lowered by any factor below 2, and close to 2 the objective falls several times as fast.
    """
    model = linearise(state)
    losses, growth, idle, reach = [model.loss], 2.0, 0, 1.0
    for _ in counted(range(iterations), "solve"):
        step = reach * damped_step(model, damping)
        predicted = -float(model.gradient @ step + step @ model.curvature @ step / 2)
        trial = move(state, step)
        at_trial = linearise(trial)
        gain = model.loss - at_trial.loss
        if gain > 0:
            idle = idle + 1 if gain < tolerance * abs(model.loss) else 0
            ratio = gain / max(predicted, 1e-300)
            damping, growth = damping * max(1 / 3, 1 - (2 * ratio - 1) ** 3), 2.0
            state, model, reach = trial, at_trial, relaxation if ratio > 1.2 else 1.0
        else:
            damping, growth, reach = damping * growth, growth * 2, 1.0
        losses.append(model.loss)
        if idle >= 2 or damping > 1e8:
            return Solution(state, model, tuple(losses), True)
    return Solution(state, model, tuple(losses), False)


def damped_step(model: Quadratic, damping: float) -> Float64[Tensor, " P"]:
    """The minimum of the quadratic with `damping` times its diagonal added to the curvature."""
    diagonal = model.curvature.diagonal()
    diagonal = diagonal.clamp_min(1e-9 * float(diagonal.max()) + 1e-30)
    factor = torch.linalg.cholesky(model.curvature + torch.diag(damping * diagonal + 1e-9 * diagonal))
    return -torch.cholesky_solve(model.gradient[:, None], factor)[:, 0]
