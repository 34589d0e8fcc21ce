import pytest
import torch

from bozzetto.heightmap import NetworkConfig
from bozzetto.heightmap.model import (
    Encoder,
    FusionNetwork,
    PublishedNetwork,
    build_network,
    enlarged,
    fuse_gradients,
    load_imagenet,
    network_input,
    window_mean,
)


@pytest.fixture(scope="module")
def network(tiny):
    torch.manual_seed(0)
    return build_network(tiny).eval()


def photos(*size, seed=0):
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("tiles", [False, True])
def test_shapes(network, tiles):
    seen = network(photos(2, 3, 48, 64), tiles)
    assert seen.height.shape == (2, 48, 64) and seen.gradients.shape == (2, 48, 64, 2)
    assert seen.log_error.shape == (2, 48, 64) and seen.upright.shape == (2,)


def test_everything_learns(tiny):
    network = build_network(tiny).train()
    seen = network(photos(2, 3, 32, 32))
    loss = seen.height.square().sum() + seen.log_error.sum() + seen.upright.sum()
    loss.backward()
    # Blocks start as the identity: their convolutions learn once they are let through.
    late = ("first", "norms.0", "second")
    for name, value in network.named_parameters():
        assert value.grad is not None and torch.isfinite(value.grad).all()
        assert value.grad.abs().sum() > 0 or any(part in name for part in late), name


def test_a_tile_goes_around(network):
    """What tiles and is turned by whole strides gives the same, turned."""
    image = photos(1, 3, 64, 64)
    with torch.no_grad():
        plain, turned = network(image, True), network(image.roll((16, 32), (2, 3)), True)
    assert torch.allclose(plain.gradients.roll((16, 32), (1, 2)), turned.gradients, atol=1e-5)
    with torch.no_grad():
        plain, turned = network(image, False), network(image.roll((16, 32), (2, 3)), False)
    assert not torch.allclose(plain.gradients.roll((16, 32), (1, 2)), turned.gradients, atol=1e-5)


def test_the_context_can_be_given(network):
    image = photos(1, 3, 32, 32)
    with torch.no_grad():
        own = network.encode(image, False)[-1].mean(dim=(2, 3))
        assert torch.equal(network(image).height, network(image, context=own).height)
        for module in (network.context[0], network.context[2]):
            torch.nn.init.normal_(module.weight)
        assert not torch.allclose(network(image).height, network(image, context=own + 1).height)


def test_a_join_of_one_surface_is_that_surface():
    y, x = torch.meshgrid(*(torch.arange(64) * (2 * torch.pi / 64),) * 2, indexing="ij")
    height = (2 * x).sin() + 0.5 * (5 * y + x).cos()
    gradients = torch.stack(torch.gradient(height), dim=-1).flip(-1)
    gradients[..., 0] = (height.roll(-1, 1) - height.roll(1, 1)) / 2
    gradients[..., 1] = (height.roll(-1, 0) - height.roll(1, 0)) / 2
    joined = fuse_gradients(height[None], gradients[None], True, 24.0)[0]
    assert (joined - height).abs().max() < 0.05
    # Long waves come from the guide, short ones from the gradients.
    long = fuse_gradients((height * 0 + x.sin())[None], 0 * gradients[None], True, 8.0)[0]
    assert (long - x.sin()).abs().max() < 0.02
    short = fuse_gradients(((20 * x).sin())[None], 0 * gradients[None], True, 24.0)[0]
    assert short.abs().max() < 0.05


def test_the_input_does_not_depend_on_contrast():
    image = photos(1, 1, 32, 32).expand(1, 3, 32, 32)
    bright, dim = network_input(image), network_input(0.4 * image + 0.2)
    assert bright.shape[1] == 9
    assert (bright[:, 3:6] - dim[:, 3:6]).abs().mean() < 0.05 * bright[:, 3:6].abs().mean()


def test_local_means():
    image = photos(1, 1, 32, 32)
    inner = window_mean(image, 5, 1)[0, 0, 10, 12]
    assert inner == pytest.approx(float(image[0, 0, 8:13, 10:15].mean()), abs=1e-6)
    assert window_mean(torch.ones(1, 1, 32, 32), 7, 8) == pytest.approx(torch.ones(1, 1, 32, 32))


def test_enlarging_keeps_a_constant_and_goes_around():
    assert (enlarged(torch.ones(1, 1, 4, 4), (16, 16), True) == 1).all()
    spot = torch.zeros(1, 1, 4, 4)
    spot[..., 0, 0] = 1
    assert enlarged(spot, (16, 16), True)[0, 0, 15, 15] > 0
    assert enlarged(spot, (16, 16), False)[0, 0, 15, 15] == 0


def test_the_default_is_small():
    from bozzetto.heightmap import NetworkConfig

    network = FusionNetwork(NetworkConfig())
    assert sum(p.numel() for p in network.parameters()) * 2 < 12e6  # bytes as float16


def test_the_encoder_is_the_published_one():
    """Channels at strides 2 to 32, and the parameters of B7 without its classifier."""
    with torch.device("meta"):
        network = PublishedNetwork(NetworkConfig(architecture="unet"))
    assert network.encoder.widths == [64, 48, 80, 224, 640]
    encoder = sum(p.numel() for p in network.encoder.parameters())
    assert encoder == 63_786_960 - 640 * 2560 - 2 * 2560
    with torch.device("meta"):
        assert Encoder("b0").widths == [32, 24, 40, 112, 320]


def test_heights_of_any_size():
    network = build_network(NetworkConfig(architecture="unet", encoder="b0")).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, 48, 80)).height.shape == (1, 48, 80)


def test_it_says_what_it_starts_from(monkeypatch):
    network = PublishedNetwork(NetworkConfig(architecture="unet", encoder="b0"))
    before = network.encoder.features[0][0].weight.clone()

    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    sentence = load_imagenet(network, "b0")
    assert "random weights" in sentence and "no network" in sentence
    state = {n: torch.full_like(v, 2.0) for n, v in network.encoder.state_dict().items()}
    state |= {"classifier.1.weight": torch.zeros(2), "features.8.0.weight": torch.zeros(2)}
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *args, **kwargs: state)
    assert "ImageNet weights" in load_imagenet(network, "b0")
    after = network.encoder.features[0][0].weight
    assert not torch.equal(before, after) and (after == 2).all()
