"""Update rules, among them AdamUniform, which keeps the smoothness of a preconditioned gradient."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from ..errors import InputError


class _Moments(Optimizer):
    """Adam with one second moment for several entries; subclasses define for which."""

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 0.1,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        if not lr >= 0:
            raise InputError(f"the step size must be at least 0, got {lr}")
        if not all(0 <= beta < 1 for beta in betas):
            raise InputError(f"both betas must lie in [0, 1), got {betas}")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update every parameter that has a gradient; returns what the closure returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        square = self._square(gradient)
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(square)
        beta1, beta2 = group["betas"]
        state["step"] += 1
        step = float(state["step"])
        state["exp_avg"].lerp_(gradient, 1 - beta1)
        state["exp_avg_sq"].lerp_(square, 1 - beta2)
        scale = self._scale(state["exp_avg_sq"] / (1 - beta2**step), group) + group["eps"]
        parameter.sub_(state["exp_avg"] / scale * (group["lr"] / (1 - beta1**step)))

    def _square(self, gradient: Tensor) -> Tensor:
        raise NotImplementedError

    def _scale(self, second_moment: Tensor, group: dict[str, Any]) -> Tensor:
        raise NotImplementedError


class AdamUniform(_Moments):
    """Adam with a single step length per parameter tensor (Nicolet et al. 2021, section 4.3).

    The first moment is divided by the largest entry of the root of the second moment. Dividing entry by
    entry, as Adam does, would undo the smoothing of the gradient. Quantities of different kinds (a mesh, a
    translation) belong in different tensors, since each tensor is scaled as a whole.

    Source: Nicolet et al. 2021, section 4.3.

    Args:
        params: Tensors, or groups of them as for every torch optimiser.
        lr: Step size in the unit of the parameters: the largest distance, approximately, that an entry moves in
            one step.
        betas: Decay of the first and second moment.
        eps: Added to the denominator.
    """

    def _square(self, gradient: Tensor) -> Tensor:
        return gradient.square()

    def _scale(self, second_moment: Tensor, group: dict[str, Any]) -> Tensor:
        return second_moment.max().sqrt()


class VectorAdam(_Moments):
    """Adam with one second moment per row, of its squared length (Ling et al. 2022).

    For rows that are vectors in space the update does not depend on the choice of axes.

    Source: Ling et al. 2022, the update rule. Differs: `floor`, 0 by default.

    Args:
        params: Tensors of shape (rows, components), or groups of them.
        lr: Step size in the unit of the parameters.
        betas: Decay of the first and second moment.
        eps: Added to the denominator.
        floor: Added to the denominator as a fraction of the root mean second moment of all rows, so that rows
            with much weaker gradients, which are mostly noise, move less.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 0.1,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        floor: float = 0.0,
    ) -> None:
        if not floor >= 0:
            raise InputError(f"the floor must be at least 0, got {floor}")
        super().__init__(params, lr, betas, eps)
        self.defaults["floor"] = floor
        for group in self.param_groups:
            group.setdefault("floor", floor)

    def _square(self, gradient: Tensor) -> Tensor:
        return gradient.square().sum(dim=-1, keepdim=True)

    def _scale(self, second_moment: Tensor, group: dict[str, Any]) -> Tensor:
        return second_moment.sqrt() + group["floor"] * second_moment.mean().sqrt()


OPTIMIZERS: dict[str, Callable[[Any, float], Optimizer]] = {
    "gradient_descent": lambda params, lr: torch.optim.SGD(params, lr),
    "momentum": lambda params, lr: torch.optim.SGD(params, lr, momentum=0.9, dampening=0.9),
    "adam": lambda params, lr: torch.optim.Adam(params, lr),
    "adam_uniform": lambda params, lr: AdamUniform(params, lr),
    "vector_adam": lambda params, lr: VectorAdam(params, lr),
}
"""Update rules by name. Each can act on x or, with a `Preconditioner`, on u. The published comparison has
gradient descent, momentum and Adam on both, and AdamUniform on u. Momentum averages gradients (dampening =
momentum), so its step size means the same as that of gradient descent."""


def make_optimizer(
    name: str, params: Iterable[Tensor] | Iterable[dict[str, Any]], step_size: float, floor: float = 0.0
) -> Optimizer:
    """Build an optimiser from the name of its update rule, a key of `OPTIMIZERS`.

    Args:
        name: The update rule.
        params: Tensors, or groups of them.
        step_size: Step size in the unit of the parameters.
        floor: `VectorAdam.floor`; 0 for other update rules.

    Raises:
        InputError: No update rule has this name, the floor is negative, or the update rule has none.
    """
    if name not in OPTIMIZERS:
        raise InputError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {name!r}")
    if name == "vector_adam":
        return VectorAdam(params, step_size, floor=floor)
    if floor != 0:
        raise InputError(f"only vector_adam has a floor, got {floor:g} for {name}")
    return OPTIMIZERS[name](params, step_size)
