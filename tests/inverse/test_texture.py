import math

import pytest
import torch

from bozzetto import InputError
from bozzetto.inverse import TextureFit, reconstruct_texture

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")),
]
SIZE = 48


def waves(height=SIZE, width=SIZE):
    """A smooth texture that tiles, with an edge in its last channel."""
    y = torch.arange(height)[:, None] * (2 * math.pi / height)
    x = torch.arange(width)[None] * (2 * math.pi / width)
    channels = [
        0.5 + 0.3 * torch.sin(2 * x + y),
        0.5 + 0.3 * torch.cos(3 * y) + 0 * x,
        ((x > 2) & (y > 1)).float(),
    ]
    return torch.stack(channels, dim=-1)


def few_texels(texture, share, seed=0):
    flat = texture.reshape(-1, texture.shape[-1])

    def observe(step):
        generator = torch.Generator().manual_seed(1000 * seed + step)
        texels = torch.randint(len(flat), (int(share * len(flat)),), generator=generator).to(flat.device)
        return texels, flat[texels]

    return observe


def squared_error(texture, target):
    return float((texture - target).square().mean())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("periodic", [False, True])
def test_recovers_what_it_sees_and_fills_what_it_does_not(device, periodic):
    target = waves().to(device)
    errors = []
    reconstruct_texture(
        few_texels(target, 0.02), SIZE, SIZE, steps=60, periodic=periodic, device=device,
        on_step=lambda _, fit: errors.append(squared_error(fit.texture[..., :2], target[..., :2])),
    )  # fmt: skip
    assert errors[9] < 0.1 * errors[0]  # 18 % of the texels seen
    assert errors[59] < 5e-3 * errors[0]  # 70 %


def test_beats_adam_at_three_times_the_steps():
    target = waves()
    observe = few_texels(target, 0.01)
    ours = squared_error(reconstruct_texture(observe, SIZE, SIZE, steps=100), target)
    theirs = []
    for step_size in (0.003, 0.01, 0.03):
        x = torch.full((SIZE * SIZE, 3), 0.5, requires_grad=True)
        optimizer = torch.optim.Adam([x], step_size)
        for step in range(300):
            texels, values = observe(step)
            optimizer.zero_grad()
            (x[texels] - values).square().sum().backward()
            optimizer.step()
        theirs.append(squared_error(x.detach().reshape(SIZE, SIZE, 3), target))
    assert ours < min(theirs)


def test_one_step_of_everything_is_nearly_the_target():
    target = waves()
    fit = TextureFit(SIZE, SIZE)
    everything = torch.arange(SIZE * SIZE)
    before = squared_error(fit.texture, target)
    for _ in range(30):
        fit.update(everything, target.reshape(-1, 3))
    assert squared_error(fit.texture, target) < 1e-6 * before


def test_a_single_texel_is_corrected_fully_and_smoothness_falls():
    fit = TextureFit(20, 30, channels=1)
    fit.update(torch.tensor([315]), torch.tensor([[0.9]]))
    assert fit.smoothness == pytest.approx(0.2 * 600)
    for _ in range(40):
        fit.update(torch.tensor([315]), torch.tensor([[0.9]]))
    assert float(fit.texture[10, 15]) == pytest.approx(0.9, abs=1e-3)
    assert fit.smoothness == pytest.approx(0.2 * 600 / 41, rel=1e-4)


def test_repeated_texels_are_averaged():
    once, twice = TextureFit(8, 8, channels=1), TextureFit(8, 8, channels=1)
    once.update(torch.tensor([5]), torch.tensor([[0.3]]))
    twice.update(torch.tensor([5, 5]), torch.tensor([[0.2], [0.4]]))
    torch.testing.assert_close(once.texture, twice.texture)


def test_a_step_that_shows_nothing_changes_nothing():
    fit = TextureFit(4, 4)
    fit.update(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3))
    assert torch.equal(fit.texture, torch.full((4, 4, 3), 0.5))


def test_noise_averages_out_with_small_steps():
    target = waves()
    generator = torch.Generator().manual_seed(0)
    clean = few_texels(target, 0.1)

    def noisy(step):
        texels, values = clean(step)
        return texels, values + 0.2 * torch.randn(values.shape, generator=generator)

    errors = [
        squared_error(reconstruct_texture(noisy, SIZE, SIZE, steps=150, step_size=size), target)
        for size in (1.0, 0.2)
    ]
    assert errors[1] < 0.3 * errors[0]


def test_bad_input_is_named():
    fit = TextureFit(4, 5)
    with pytest.raises(InputError, match=r"0 to 19 .* got 3 to 20"):
        fit.update(torch.tensor([3, 20]), torch.zeros(2, 3))
    with pytest.raises(InputError, match=r"shape \(2, 3\), got \(2, 1\)"):
        fit.update(torch.tensor([3, 4]), torch.zeros(2, 1))
    with pytest.raises(InputError, match="finite"):
        fit.update(torch.tensor([3]), torch.full((1, 3), torch.nan))
    with pytest.raises(InputError, match="between 0 and 2"):
        TextureFit(4, 4, step_size=2.5)
