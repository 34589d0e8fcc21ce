import torch

from bozzetto.heightmap import NetworkConfig
from bozzetto.heightmap.model import Encoder, PublishedNetwork, build_network, load_imagenet


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
