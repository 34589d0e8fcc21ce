"""How the codes of a collection are distributed: what is probable before anything is observed."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..errors import InputError


@dataclass(frozen=True)
class CodeDistribution:
    """A Gaussian over codes.

    Attributes:
        mean: The most probable code.
        covariance: Symmetric and positive definite.
    """

    mean: Float64[Tensor, " K"]
    covariance: Float64[Tensor, "K K"]

    @classmethod
    def of(cls, codes: Float[Tensor, "S K"]) -> "CodeDistribution":
        """Mean and covariance of codes, the latter drawn towards a multiple of the identity.

        How far is the oracle-approximating choice for a Gaussian (Chen, Wiesel, Eldar, Hero 2010,
        "Shrinkage algorithms for MMSE covariance estimation", equation 23), so that directions which few
        codes cannot tell stay possible. One code alone has the spread of the published prior, 0.01.

        Source: Chen et al. 2010, the oracle-approximating shrinkage.

        Raises:
            InputError: There are no codes.
        """
        count, size = codes.shape
        if count == 0:
            raise InputError("this prior holds no codes of training shapes; train it again")
        codes = codes.detach().double()
        mean = codes.mean(dim=0)
        spread = codes - mean
        sample = spread.T @ spread / count
        squared, traced = (sample * sample).sum(), sample.trace().square()
        excess = (count + 1 - 2 / size) * (squared - traced / size)
        share = float(((1 - 2 / size) * squared + traced) / excess) if excess > 0 else 1.0
        share = min(max(share, 0.0), 1.0)
        scale = max(float(sample.trace()) / size, 1e-4)
        identity = torch.eye(size, dtype=torch.float64, device=codes.device)
        return cls(mean, (1 - share) * sample + share * scale * identity)

    @classmethod
    def isotropic(cls, size: int, std: float, device: torch.device | str = "cpu") -> "CodeDistribution":
        """Independent numbers around 0 with one standard deviation, the published prior.

        Source: Park et al. 2019, section 4.2, the prior over codes.
        """
        identity = torch.eye(size, dtype=torch.float64, device=device)
        return cls(identity[0] * 0, std**2 * identity)

    @cached_property
    def precision(self) -> Float64[Tensor, "K K"]:
        """Inverse of the covariance."""
        return torch.linalg.inv(self.covariance)

    def distance(self, code: Float[Tensor, " K"]) -> float:
        """Squared Mahalanobis distance from the mean; K on average over codes of this distribution."""
        offset = code.double() - self.mean
        return float(offset @ self.precision @ offset)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Float64[Tensor, "{count} K"]:
        """Random codes."""
        noise = torch.randn(count, len(self.mean), dtype=torch.float64, generator=generator)
        return self.mean + noise.to(self.mean.device) @ torch.linalg.cholesky(self.covariance).T
