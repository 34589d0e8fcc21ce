"""The published distribution of codes: a GAN on the codes of a finished model, as second stage."""

import time
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import InputError
from .config import LatentConfig

NOISE = 128


class LatentGenerator(nn.Module):
    """Noise to codes: three linear layers with ReLU between, as released.

    Args:
        code_size: Numbers per code.
        config: Its width.
    """

    def __init__(self, code_size: int, config: LatentConfig) -> None:
        super().__init__()
        self.config, self.noise_size = config, NOISE
        width = config.hidden
        self.layers = nn.Sequential(
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
    """Codes to a number that is larger for real ones: K-512-512-1 with LeakyReLU 0.2, as released."""
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

    Wasserstein loss with Adam (0.5, 0.9). The penalty is the square of the mean length of the critic's gradient
    at real codes: centred on zero, not on one, and not the mean of squares.

    Source: Cai et al. 2020, section 4.3, as released.

    Args:
        codes: Of the training shapes; batches draw them with replacement where there are few.
        config: How.
        seed: Of first weights and noise.
        seconds: Time to spend, at most.
        clock: What they are of.

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
        torch.optim.Adam(module.parameters(), lr=config.step_size, betas=(0.5, 0.9))
        for module in (generator, judge)
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
