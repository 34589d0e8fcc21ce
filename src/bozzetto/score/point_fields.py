"""Fields that rays are cast through: where noisy points come from, and how that changes from place to place."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ..points.local_fits import neighbours, support_of
from .model import ScoreModel

NEIGHBOURS = 48
MODEL_BATCH = 1 << 16


@runtime_checkable
class PointField(Protocol):
    """The gradient of a log density at one noise level, as a denoiser D: the score is (D(x) - x) / sigma^2."""

    sigma: float

    def denoised(self, x: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3"]:
        """D at places."""
        ...

    def jacobian(self, x: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3 3"]:
        """The derivatives of D; the Hessian of the log density is (J - I) / sigma^2."""
        ...


class CloudField:
    """The analytic field of a cloud, from the nearest points only: O(N) where `analytic.denoised` is O(N^2)."""

    def __init__(self, points: Float[Tensor, "N 3"], sigma: float) -> None:
        self.sigma = sigma
        self.points = points
        self.support = support_of(points)

    def _near(self, x: Tensor) -> tuple[Tensor, Tensor]:
        distance, index = neighbours(self.support, x, NEIGHBOURS)
        weight = ((distance[:, :1] ** 2 - distance**2) / (2 * self.sigma**2)).exp()
        return weight / weight.sum(dim=1, keepdim=True), self.points[index]

    def denoised(self, x: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3"]:
        """The mean of the points, weighted by how likely x came from each."""
        weight, near = self._near(x)
        return (weight[..., None] * near).sum(dim=1)

    def jacobian(self, x: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3 3"]:
        """Their covariance under these weights, over sigma^2 (the second-order formula of Tweedie)."""
        weight, near = self._near(x)
        centred = near - (weight[..., None] * near).sum(dim=1, keepdim=True)
        return (weight[..., None] * centred).mT @ centred / self.sigma**2


class ModelField:
    """The field that a model has learned, for one code, at its least noise level or another."""

    def __init__(self, model: ScoreModel, code: Float[Tensor, " K"], sigma: float | None = None) -> None:
        self.model = model
        self.sigma = model.config.low if sigma is None else sigma
        with torch.no_grad():
            self.prepared = model.prepare(code[None])

    def denoised(self, x: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3"]:
        """Where the network says that x came from."""
        level = x.new_full((1, 1), self.sigma)
        parts = [self.model.denoise(self.prepared, part[None, None], level) for part in x.split(MODEL_BATCH)]
        return torch.cat([part[0, 0] for part in parts])

    def jacobian(self, x: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3 3"]:
        """By central differences over half of sigma."""
        step = self.sigma / 2
        columns = []
        for axis in torch.eye(3).to(x):
            ahead, behind = self.denoised(x + step * axis), self.denoised(x - step * axis)
            columns.append((ahead - behind) / (2 * step))
        return torch.stack(columns, dim=2)
