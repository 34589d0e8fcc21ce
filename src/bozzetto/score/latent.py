"""Distributions of codes: a flow that is trained together with the field, and the published latent GAN."""

import time
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import InputError
from .config import LatentConfig

STEPS = 24
"""Number of Heun steps from noise to a code, with 2 cheap evaluations each."""
TIME_WIDTH = 64


class LatentFlow(nn.Module):
    """Flow matching on codes: v(z_t, t), the mean velocity on straight lines from noise to codes.

    With a hint, the code of a part of a shape, it is the distribution of the codes of shapes with such a part.
    Without a hint, zeros take its place, which differ from all codes since codes have mean square 1.

    Source: Lipman et al. 2023, flow matching.

    Source: Liu et al. 2023, straight lines.

    Args:
        code_size: Dimension of the codes, which have mean square 1.
        config: Size of the network.
    """

    def __init__(self, code_size: int, config: LatentConfig) -> None:
        super().__init__()
        self.config = config
        self.noise_size = code_size
        width = config.hidden
        self.first: nn.Linear = nn.Linear(code_size, width)
        self.time: nn.Sequential = nn.Sequential(
            nn.Linear(9, TIME_WIDTH), nn.SiLU(), nn.Linear(TIME_WIDTH, width)
        )
        self.hint: nn.Linear = nn.Linear(code_size, width, bias=False)
        self.blocks: nn.ModuleList = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(config.blocks)
        )
        self.last: nn.Linear = nn.Linear(width, code_size)
        for value in (self.hint.weight, self.last.weight, self.last.bias):
            nn.init.zeros_(value)

    @property
    def takes_hints(self) -> bool:
        """Whether the flow was trained with hints."""
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
        """Mean squared error of the velocity at random times on lines from random noise to codes."""
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
        """Integrate the flow from noise to codes by Heun's method, and project them to the sphere of codes.

        Source: Ho and Salimans 2022, guidance.

        Args:
            noise: Standard normal noise.
            hint: Codes of parts; None samples without hints.
            guidance: Factor on the difference between velocities with and without hint (Ho, Salimans 2022,
                "Classifier-free guidance"): 1 samples the learned posterior, larger values follow the hint more
                closely.
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
    """Project codes to the sphere of valid codes: entries of mean 0 and mean square 1."""
    return nn.functional.layer_norm(codes, codes.shape[1:])


NOISE = 128


class LatentGenerator(nn.Module):
    """Generator of the latent GAN, from noise to codes: three linear layers with ReLU in between, as released.

    Args:
        code_size: Dimension of the codes.
        config: Width of the layers.
    """

    def __init__(self, code_size: int, config: LatentConfig) -> None:
        super().__init__()
        self.config = config
        self.noise_size: int = NOISE
        width = config.hidden
        self.layers: nn.Sequential = nn.Sequential(
            nn.Linear(NOISE, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, code_size),
        )

    def sample(self, noise: Float[Tensor, "B N"]) -> Float[Tensor, "B K"]:
        """Codes from noise."""
        return self.layers(noise)


def critic(code_size: int, width: int) -> nn.Module:
    """Critic of the latent GAN, larger for real codes: K-512-512-1 with LeakyReLU 0.2, as released."""
    return nn.Sequential(
        nn.Linear(code_size, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, 1),
    )


def fit_latent_gan(
    codes: Float[Tensor, "S K"],
    config: LatentConfig,
    seed: int = 0,
    seconds: float = float("inf"),
    clock: Callable[[], float] = time.monotonic,
) -> LatentGenerator:
    """Train generator and critic on codes, one step each in turn (Cai et al. 2020, section 4.3, as released).

    Wasserstein loss with Adam (0.5, 0.9). The gradient penalty is the square of the mean norm of the critic's
    gradient at real codes. It is centred at zero, not at one, and is not the mean of squares.

    Source: Cai et al. 2020, section 4.3, as released.

    Args:
        codes: Codes of the training shapes; batches are sampled with replacement.
        config: Settings of the GAN.
        seed: Seed of initial weights and noise.
        seconds: Largest duration in seconds of `clock`.
        clock: Function that returns the current time in seconds.

    Raises:
        InputError: There are no codes.
    """
    if len(codes) == 0:
        raise InputError("there are no codes to learn a distribution of; train a model first")
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    generator = LatentGenerator(codes.shape[1], config).to(codes.device)
    judge = critic(codes.shape[1], 2 * config.hidden).to(codes.device)
    optimizers = [
        torch.optim.Adam(module.parameters(), lr=config.lr, betas=(0.5, 0.9)) for module in (generator, judge)
    ]
    steps = max(config.epochs * len(codes) // config.batch, 1)
    began = clock()
    for _ in range(steps):
        if clock() - began > seconds:
            break
        chosen = torch.randint(len(codes), (config.batch,), generator=draw)
        noise = torch.randn(2, config.batch, NOISE, generator=draw).to(codes)
        _judge_step(judge, optimizers[1], codes[chosen.to(codes.device)], generator.sample(noise[0]).detach())
        loss = -judge(generator.sample(noise[1])).mean()
        optimizers[0].zero_grad()
        loss.backward()
        optimizers[0].step()
    return generator.eval().requires_grad_(False)


def _judge_step(
    judge: nn.Module,
    optimizer: torch.optim.Optimizer,
    real: Float[Tensor, "B K"],
    false: Float[Tensor, "B K"],
) -> None:
    real = real.clone().requires_grad_()
    value = judge(real)
    (slope,) = torch.autograd.grad(value.sum(), real, create_graph=True)
    penalty = slope.norm(dim=1).mean().square()
    loss = judge(false).mean() - value.mean() + penalty
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
