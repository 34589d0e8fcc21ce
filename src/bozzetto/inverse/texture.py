"""Reconstruction of a texture when every step observes only a few texels.

Texels that are not observed in a step have zero gradient, so plain gradient descent does not change them. With
preconditioned descent (Nicolet et al. 2021, on the texel grid instead of a mesh) every observation also changes
its neighbourhood.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..errors import InputError
from ..geometry.heightfield import GridSpectrum

Observation = tuple[Int64[Tensor, " n"], Float[Tensor, "n C"]]
"""Flat indices (row * width + column) of the observed texels, and their values."""

REACH = 0.2
"""lambda times the fraction of texels observed so far. The kernel (I + lambda L)^-2 covers about 4 pi lambda
texels, here 2.5 times the mean area per observed texel. Photographs of leaves, rock and wood were all recovered
best with 0.15 to 0.3."""


class TextureFit:
    """Gradient descent on u = (I + lambda L) x for half the squared error of the observed texels.

    One step is x <- x + eta (I + lambda L)^-2 r, where r is the residual at observed texels and 0 elsewhere.
    Two things differ from the optimisation of a mesh. First, lambda falls as texels are observed: lambda = 0.2
    / (fraction of texels observed so far). So the smoothing is as wide as the gaps between samples, from coarse
    to fine, and ends with exact texels. Second, eta needs no tuning: eta = 1 / (k + s), with k the centre of
    the kernel (I + lambda L)^-2 and s the fraction of texels in this step, corrects an isolated
    residual fully and is stable when kernels overlap.

    Source: Nicolet et al. 2021, textures from sparse texels. Differs: gradient descent with the lambda and eta
    above.

    Args:
        height: Rows of the texture.
        width: Columns.
        channels: Values per texel.
        periodic: Whether the texture tiles.
        initial: Initial value of all texels.
        step_size: Factor on the step, in (0, 2); values below 1 average over noisy observations.
        device: Device of the texture.

    Attributes:
        smoothness: lambda of the last step.
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels: int = 3,
        periodic: bool = False,
        initial: float = 0.5,
        step_size: float = 1.0,
        device: torch.device | str = "cpu",
    ) -> None:
        if channels < 1:
            raise InputError(f"a texture needs at least one channel, got {channels}")
        if not 0 < step_size < 2:
            raise InputError(f"step_size must lie between 0 and 2, got {step_size}")
        self._spectrum = GridSpectrum(height, width, periodic, device)
        self._values = torch.full((height * width, channels), initial, device=device)
        self._step_size = step_size
        self._seen = 0.0
        self.smoothness: float = float("inf")

    @property
    def texture(self) -> Float[Tensor, "H W C"]:
        """The current texture."""
        return self._values.reshape(*self._spectrum.shape, -1)

    def update(self, texels: Int64[Tensor, " n"], values: Float[Tensor, "n C"]) -> None:
        """Take one step towards observed values; several values of one texel are averaged.

        Raises:
            InputError: Indices out of range, or values of another shape or not finite.
        """
        self._check(texels, values)
        if len(texels) == 0:
            return
        count = self._values.new_zeros(len(self._values)).index_add_(0, texels, torch.ones_like(values[:, 0]))
        residual = torch.zeros_like(self._values).index_add_(0, texels, values - self._values[texels])
        residual /= count.clamp_min(1)[:, None]
        share = float((count > 0).float().mean())
        self._seen += share
        self.smoothness = REACH / self._seen
        response = (1 + self.smoothness * self._spectrum.eigenvalues) ** -2
        step = self._step_size / (self._spectrum.mean(response) + share)
        self._values += step * self._spectrum.filter(residual, response)

    def _check(self, texels: Tensor, values: Tensor) -> None:
        if values.shape != (len(texels), self._values.shape[1]):
            raise InputError(
                f"values of {len(texels)} texels must have shape ({len(texels)}, {self._values.shape[1]}), "
                f"got {tuple(values.shape)}"
            )
        if len(texels) and not 0 <= int(texels.min()) <= int(texels.max()) < len(self._values):
            raise InputError(
                f"texel indices must lie in 0 to {len(self._values) - 1} (row * width + column), "
                f"got {int(texels.min())} to {int(texels.max())}"
            )
        if not bool(torch.isfinite(values).all()):
            raise InputError("values of texels must be finite, got NaN or infinity; leave such texels out")


def reconstruct_texture(
    observe: Callable[[int], Observation],
    height: int,
    width: int,
    channels: int = 3,
    steps: int = 300,
    periodic: bool = False,
    step_size: float = 1.0,
    device: torch.device | str = "cpu",
    on_step: Callable[[int, TextureFit], None] | None = None,
) -> Float[Tensor, "H W C"]:
    """Recover a texture from observations of a few texels at a time.

    Args:
        observe: Called with the number of the step; returns the flat indices (row * width + column) of the
            texels observed in this step and their values, on `device`. Earlier observations are not stored.
        height: Rows of the texture.
        width: Columns.
        channels: Values per texel.
        steps: Number of steps.
        periodic: Whether the texture tiles.
        step_size: Factor on the step, in (0, 2): 1 for exact observations; smaller values average over noisy
            ones.
        device: Device of the texture.
        on_step: Called after every step with its number and the fit, for instance to show progress.

    Returns:
        The texture, in the unit of the observed values.
    """
    fit = TextureFit(height, width, channels, periodic, step_size=step_size, device=device)
    for step in range(steps):
        fit.update(*observe(step))
        if on_step is not None:
            on_step(step, fit)
    return fit.texture
