import pytest
import torch

from bozzetto import InputError
from bozzetto.score import LatentConfig, LatentFlow, fit_latent_gan


def two_clusters(count: int, generator: torch.Generator) -> torch.Tensor:
    """Codes around two opposite places of the sphere of unit mean square."""
    side = torch.where(torch.rand(count, 1, generator=generator) < 0.5, -1.0, 1.0)
    middle = torch.tensor([1.0, -1.0, 1.0, -1.0])
    codes = side * middle + 0.15 * torch.randn(count, 4, generator=generator)
    return torch.nn.functional.layer_norm(codes, (4,))


@pytest.fixture(scope="module")
def flow():
    torch.manual_seed(0)
    flow = LatentFlow(4, LatentConfig(hidden=48, blocks=1))
    optimizer = torch.optim.Adam(flow.parameters(), lr=4e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(500):
        codes = two_clusters(128, generator)
        hints = codes + 0.3 * torch.randn(codes.shape, generator=generator)
        hints[::2] = 0  # none
        loss = flow.loss(codes, hints, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return flow.eval().requires_grad_(False)


def test_the_flow_learns_both_clusters(flow):
    codes = flow.sample(torch.randn(400, 4, generator=torch.Generator().manual_seed(1)))
    along = codes @ torch.tensor([1.0, -1.0, 1.0, -1.0]) / 4
    assert float((along.abs() > 0.85).float().mean()) > 0.9
    assert 0.35 < float((along > 0).float().mean()) < 0.65
    torch.testing.assert_close(codes.square().mean(dim=1), torch.ones(400), atol=1e-3, rtol=0)


def test_a_hint_selects_the_codes_that_agree_with_it(flow):
    assert flow.takes_hints and not LatentFlow(4, flow.config).takes_hints
    noise = torch.randn(200, 4, generator=torch.Generator().manual_seed(1))
    for side in (-1.0, 1.0):
        codes = flow.sample(noise, side * torch.tensor([[1.0, -1.0, 1.0, -1.0]]).expand(200, -1))
        along = side * codes @ torch.tensor([1.0, -1.0, 1.0, -1.0]) / 4
        assert float((along > 0.85).float().mean()) > 0.95


def test_guidance_leans_to_what_the_hint_says(flow):
    noise = torch.randn(200, 4, generator=torch.Generator().manual_seed(1))
    place = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    hint = torch.nn.functional.layer_norm(place + torch.tensor([[0.3, 0.3, -0.3, -0.3]]), (4,))

    def agreement(guidance: float) -> float:
        codes = flow.sample(noise, hint.expand(200, -1), guidance)
        torch.testing.assert_close(codes.square().mean(dim=1), torch.ones(200), atol=1e-3, rtol=0)
        return float((codes @ hint[0]).mean())

    assert agreement(0.0) < agreement(1.0) < agreement(2.0)
    unguided = flow.sample(noise)
    assert torch.allclose(flow.sample(noise, hint.expand(200, -1), 0.0), unguided, atol=1e-5)
    assert torch.equal(flow.sample(noise, None, 2.0), unguided)


def test_the_gan_moves_towards_the_codes():
    generator = torch.Generator().manual_seed(0)
    codes = two_clusters(256, generator) + 3
    config = LatentConfig(kind="gan", hidden=32, batch=64, lr=2e-3, epochs=60)
    made = fit_latent_gan(codes, config).sample(torch.randn(300, 128, generator=generator))
    assert made.shape == (300, 4)
    assert float((made.mean(dim=0) - 3).abs().max()) < 1.5  # it began around 0
    with pytest.raises(InputError, match="no codes"):
        fit_latent_gan(codes[:0], config)
