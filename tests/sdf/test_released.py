"""Experiments of the released code, against a restatement of its network."""

import json

import pytest
import torch
from torch import nn

from bozzetto import InputError
from bozzetto.sdf import (
    DecoderConfig,
    ShapePrior,
    load_deepsdf,
    load_prior,
    open_prior,
    save_deepsdf,
    save_prior,
)
from bozzetto.sdf.model import build_decoder

SPECS = {
    "NetworkArch": "deep_sdf_decoder",
    "NetworkSpecs": {
        "dims": [32] * 8,
        "dropout": list(range(8)),
        "dropout_prob": 0.2,
        "norm_layers": list(range(8)),
        "latent_in": [4],
        "xyz_in_all": False,
        "use_tanh": False,
        "latent_dropout": False,
        "weight_norm": True,
    },
    "CodeLength": 6,
    "ClampingDistance": 0.05,
}


class Published(nn.Module):
    """networks/deep_sdf_decoder.py with weight normalisation written out: w = g v / |v|."""

    def __init__(self, size=6, width=32):
        super().__init__()
        sizes = [size + 3] + [width] * 8 + [1]
        for layer in range(9):
            leaving = sizes[layer + 1] - sizes[0] if layer == 3 else sizes[layer + 1]
            linear = nn.Module()
            linear.bias = nn.Parameter(0.1 * torch.randn(leaving))
            if layer == 8:
                linear.weight = nn.Parameter(0.3 * torch.randn(1, width))
            else:
                linear.weight_v = nn.Parameter(torch.randn(leaving, sizes[layer]))
                linear.weight_g = nn.Parameter(1 + torch.rand(leaving, 1))
            self.add_module(f"lin{layer}", linear)

    def forward(self, inputs):
        x = inputs
        for layer in range(9):
            linear = getattr(self, f"lin{layer}")
            if layer == 4:
                x = torch.cat([x, inputs], 1)
            if layer == 8:
                return torch.tanh(x @ linear.weight.T + linear.bias)
            weight = linear.weight_g * linear.weight_v / linear.weight_v.norm(dim=1, keepdim=True)
            x = torch.relu(x @ weight.T + linear.bias)


def write(folder, network, codes, specs=SPECS):
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    for name, content in (
        ("ModelParameters", {"model_state_dict": state}),
        ("LatentCodes", {"latent_codes": codes}),
    ):
        (folder / name).mkdir(parents=True, exist_ok=True)
        torch.save({"epoch": 3, **content}, folder / name / "latest.pth")
    (folder / "specs.json").write_text(json.dumps(specs))
    return folder


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Published()


@pytest.mark.parametrize("early", [False, True])
def test_the_loaded_prior_agrees_with_the_published_network(network, tmp_path, early):
    codes, points = torch.randn(2, 6), torch.rand(2, 50, 3) * 2 - 1
    prior = load_deepsdf(write(tmp_path / "chairs", network, codes[:, None] if early else {"weight": codes}))
    torch.testing.assert_close(prior.codes, codes)
    assert prior.clamp == 0.05 and prior.names == ("shape 0", "shape 1")
    inputs = torch.cat([codes[:, None].expand(-1, 50, -1), points], dim=2).flatten(0, 1)
    expected = network(inputs).view(2, 50)
    assert expected.std() > 0.05
    torch.testing.assert_close(prior.decoder(codes, points), expected.detach(), rtol=0, atol=1e-5)
    save_prior(open_prior(str(tmp_path / "chairs")), tmp_path / "prior.safetensors")
    again = load_prior(tmp_path / "prior.safetensors")
    torch.testing.assert_close(again.decoder(codes, points), expected.detach(), rtol=0, atol=1e-5)


def test_a_prior_is_written_as_the_released_code_reads_it(network, tmp_path):
    config = DecoderConfig("concatenate", code_size=6, hidden=32, layers=8, skip=4, dropout=0.2)
    decoder = build_decoder(config).eval()
    save_deepsdf(ShapePrior(decoder, torch.randn(3, 6), tuple("abc"), clamp=0.05), tmp_path / "out")
    stored = torch.load(tmp_path / "out" / "ModelParameters" / "latest.pth", weights_only=True)
    network.load_state_dict({n.removeprefix("module."): v for n, v in stored["model_state_dict"].items()})
    inputs = torch.randn(20, 9)
    expected = decoder(inputs[:, :6], inputs[:, None, 6:])
    torch.testing.assert_close(network(inputs), expected, rtol=0, atol=1e-5)
    assert json.loads((tmp_path / "out" / "specs.json").read_text()) == SPECS
    grid = ShapePrior(build_decoder(DecoderConfig(code_size=6, grid=4)), torch.zeros(1, 6), ("a",))
    with pytest.raises(InputError, match="published network"):
        save_deepsdf(grid, tmp_path / "grid")


class Evil:
    def __reduce__(self):
        return print, ("this must never run",)


def test_other_files_are_refused(network, tmp_path, capsys):
    codes = {"weight": torch.randn(2, 6)}
    with pytest.raises(InputError, match="not the specs.json"):
        load_deepsdf(tmp_path)
    for key, value in (
        ("use_tanh", True),
        ("xyz_in_all", True),
        ("latent_in", [2, 4]),
        ("weight_norm", False),
    ):
        specs = {**SPECS, "NetworkSpecs": {**SPECS["NetworkSpecs"], key: value}}
        with pytest.raises(InputError, match="cannot be loaded"):
            load_deepsdf(write(tmp_path / "other", network, codes, specs))
    with pytest.raises(InputError, match="must be a deep_sdf_decoder"):
        load_deepsdf(write(tmp_path / "else", network, codes, {**SPECS, "NetworkArch": "deep_implicit"}))
    with pytest.raises(InputError, match="does not hold the network"):
        load_deepsdf(write(tmp_path / "wide", Published(width=40), codes))
    with pytest.raises(InputError, match="does not hold codes of 6 numbers"):
        load_deepsdf(write(tmp_path / "short", network, {"weight": torch.randn(2, 5)}))
    folder = write(tmp_path / "evil", network, codes)
    torch.save({"model_state_dict": Evil()}, folder / "ModelParameters" / "latest.pth")
    with pytest.raises(InputError, match="no file of tensors"):
        load_deepsdf(folder)
    assert "never" not in capsys.readouterr().out
    (folder / "ModelParameters" / "latest.pth").write_bytes(b"nothing")
    with pytest.raises(InputError, match="no file of tensors"):
        load_deepsdf(folder)
    (folder / "ModelParameters" / "latest.pth").unlink()
    with pytest.raises(InputError, match="there is no file"):
        load_deepsdf(folder)
