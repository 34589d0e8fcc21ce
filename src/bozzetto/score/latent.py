"""How codes are distributed: a flow from noise to codes, learned in the same loop as the codes themselves."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .config import LatentConfig

STEPS = 24
"""Heun steps from noise to a code: 2 evaluations each, which cost next to nothing."""
TIME_WIDTH = 64


class LatentFlow(nn.Module):
    """v(z_t, t), the mean velocity on straight lines from noise to codes (Lipman et al. 2023, Liu et al. 2023).

    A hint, the code of a part of a shape, makes it the distribution of the codes of
    shapes with such a part. No hint is a hint of zeros: codes have mean square 1.

    Source: Lipman et al. 2023, flow matching.

    Source: Liu et al. 2023, straight lines.

    Args:
        code_size: Numbers per code, of unit mean square.
        config: Its size.
    """

    def __init__(self, code_size: int, config: LatentConfig) -> None:
        super().__init__()
        self.config, self.noise_size = config, code_size
        width = config.hidden
        self.first = nn.Linear(code_size, width)
        self.time = nn.Sequential(nn.Linear(9, TIME_WIDTH), nn.SiLU(), nn.Linear(TIME_WIDTH, width))
        self.hint = nn.Linear(code_size, width, bias=False)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(config.blocks)
        )
        self.last = nn.Linear(width, code_size)
        for value in (self.hint.weight, self.last.weight, self.last.bias):
            nn.init.zeros_(value)

    @property
    def takes_hints(self) -> bool:
        """Whether it has seen any in training."""
        return bool(self.hint.weight.any())

    def forward(
        self, z: Float[Tensor, "B K"], t: Float[Tensor, " B"], hint: Float[Tensor, "B K"] | None = None
    ) -> Float[Tensor, "B K"]:
        """Velocity at time t: 0 for noise, 1 for codes."""
        angles = t[:, None] * torch.pi * 2.0 ** torch.arange(-1, 3, device=t.device)
        condition = self.time(torch.cat([t[:, None], angles.sin(), angles.cos()], dim=1))
        if hint is not None:
            condition = condition + self.hint(hint)
        h = self.first(z) + condition
        for block in self.blocks:
            h = h + block(h + condition)
        return self.last(torch.nn.functional.silu(h)).float()

    def loss(
        self, codes: Float[Tensor, "B K"], hints: Float[Tensor, "B K"], generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Mean squared error of the velocity, at random times on lines from random noise."""
        noise = torch.randn(codes.shape, generator=generator).to(codes)
        t = torch.rand(len(codes), generator=generator).to(codes)
        place = torch.lerp(noise, codes, t[:, None])
        return (self(place, t, hints) - (codes - noise)).square().mean()

    def sample(
        self,
        noise: Float[Tensor, "B K"],
        hint: Float[Tensor, "B K"] | None = None,
        guidance: float = 1.0,
    ) -> Float[Tensor, "B K"]:
        """Codes from noise, by Heun's method; on the sphere where codes lie.

        Source: Ho and Salimans 2022, guidance.

        Args:
            noise: What they begin as, of unit variance.
            hint: Codes of parts.
            guidance: How much of the difference that the hint makes is taken (Ho, Salimans 2022,
                "Classifier-free guidance"): 1 samples the posterior as it was learned, more than 1 leans to
                what the hint says.
        """
        z, width = noise, 1 / STEPS
        for step in range(STEPS):
            t = z.new_full((len(z),), step * width)
            first = self._guided(z, t, hint, guidance)
            second = self._guided(z + width * first, t + width, hint, guidance)
            z = z + width / 2 * (first + second)
        return on_sphere(z)

    def _guided(self, z: Tensor, t: Tensor, hint: Tensor | None, guidance: float) -> Tensor:
        hinted = self(z, t, hint)
        if hint is None or guidance == 1:
            return hinted
        return torch.lerp(self(z, t), hinted, guidance)


def on_sphere(codes: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
    """The nearest places where codes can lie: their numbers have mean 0 and mean square 1."""
    return nn.functional.layer_norm(codes, codes.shape[1:])
