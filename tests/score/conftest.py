import pytest
import torch

from bozzetto.score import CloudTable, LatentConfig, ModelConfig, TrainConfig, train_clouds

TINY = TrainConfig(
    model=ModelConfig(
        dimensions=2, code_size=16, hidden=32, blocks=1, channels=16, features=8, levels=1, low=0.02
    ),
    epochs=220,
    shapes_per_step=4,
    points=128,
    levels=4,
    inputs=(64, 256),
    lr=5e-3,
    ema_decay=0.95,
    precision="float32",
    latent=LatentConfig(hidden=32, blocks=1, batch=16, lr=3e-3),
)


def ellipses(count: int, points: int, seed: int = 0) -> torch.Tensor:
    """Upright and lying ellipses of different thinness, each just within [-1, 1]^2."""
    generator = torch.Generator().manual_seed(seed)
    angle = 2 * torch.pi * torch.rand(count, points, generator=generator)
    thin = 0.4 + 0.6 * torch.arange(count)[:, None] / max(count - 1, 1)
    ring = torch.stack([angle.cos(), thin * angle.sin()], dim=-1)
    ring[1::2] = ring[1::2].flip(-1)
    return ring


@pytest.fixture(scope="session")
def rings():
    """Eight ellipses."""
    return CloudTable(ellipses(8, 1024), tuple(f"ring{index}" for index in range(8)))


@pytest.fixture(scope="session")
def tiny(rings):
    """A small model that knows them."""
    return train_clouds(rings, TINY)
