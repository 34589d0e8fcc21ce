"""Checkpoints of the released code, against a restatement of its networks."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bozzetto import InputError
from bozzetto.errors import InputWarning
from bozzetto.score import (
    is_cloud_prior,
    load_cloud_prior,
    load_shapegf,
    open_cloud_prior,
    save_cloud_prior,
    save_shapegf,
)


class Encoder(nn.Module):
    """models/encoders/l3dp_encoder.py, deterministic."""

    def __init__(self, size=5):
        super().__init__()
        widths = [3, 128, 128, 256, 512]
        for i in range(4):
            self.add_module(f"conv{i + 1}", nn.Conv1d(widths[i], widths[i + 1], 1))
            self.add_module(f"bn{i + 1}", nn.BatchNorm1d(widths[i + 1]))
        self.fc1, self.fc2, self.fc3 = nn.Linear(512, 256), nn.Linear(256, 128), nn.Linear(128, size)
        self.fc_bn1, self.fc_bn2 = nn.BatchNorm1d(256), nn.BatchNorm1d(128)

    def forward(self, x):
        x = x.transpose(1, 2)
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.relu(self.bn3(self.conv3(x)))
        x = torch.max(self.bn4(self.conv4(x)), 2)[0]
        x = F.relu(self.fc_bn1(self.fc1(x)))
        return self.fc3(F.relu(self.fc_bn2(self.fc2(x))))


class Conditional(nn.Module):
    def __init__(self, c, width):
        super().__init__()
        self.conv_gamma, self.conv_beta = nn.Conv1d(c, width, 1), nn.Conv1d(c, width, 1)
        self.bn = nn.BatchNorm1d(width, affine=False)

    def forward(self, x, c):
        return self.conv_gamma(c) * self.bn(x) + self.conv_beta(c)


class Plain(nn.BatchNorm1d):
    def forward(self, x, c):
        return super().forward(x)


class Block(nn.Module):
    def __init__(self, c, width, conditional):
        super().__init__()
        self.bn_0, self.bn_1 = (Conditional(c, width) if conditional else Plain(width) for _ in range(2))
        self.fc_0, self.fc_1 = nn.Conv1d(width, width, 1), nn.Conv1d(width, width, 1)
        if not conditional:
            self.fc_c = nn.Conv1d(c, width, 1)

    def forward(self, x, c):
        dx = self.fc_1(F.relu(self.bn_1(self.fc_0(F.relu(self.bn_0(x, c))), c)))
        return x + dx + (self.fc_c(c) if hasattr(self, "fc_c") else 0)


class Decoder(nn.Module):
    """models/decoders/resnet_add.py and resnet_cbn.py."""

    def __init__(self, conditional, size=5, width=16, blocks=3):
        super().__init__()
        c = size + 4
        self.conv_p = nn.Conv1d(c, width, 1)
        self.blocks = nn.ModuleList(Block(c, width, conditional) for _ in range(blocks))
        self.bn_out = Conditional(c, width) if conditional else Plain(width)
        self.conv_out = nn.Conv1d(width, 3, 1)

    def forward(self, x, z_sigma):
        p = x.transpose(1, 2)
        c = torch.cat([p, z_sigma.unsqueeze(2).expand(-1, -1, p.shape[2])], dim=1)
        net = self.conv_p(c)
        for block in self.blocks:
            net = block(net, c)
        return self.conv_out(F.relu(self.bn_out(net, c))).transpose(1, 2)


@pytest.fixture(params=[False, True], ids=["add", "cbn"])
def networks(request):
    """Encoder and decoder whose batch normalisation has seen data."""
    torch.manual_seed(0)
    encoder, decoder = Encoder(), Decoder(request.param)
    for _ in range(3):
        cloud = torch.randn(4, 60, 3)
        decoder(cloud, torch.cat([encoder(cloud), torch.rand(4, 1)], dim=1))
    return encoder.eval(), decoder.eval()


def write(path, encoder, decoder, prefix=""):
    parts = {"enc": encoder, "dec": decoder}
    states = {k: {prefix + n: v for n, v in m.state_dict().items()} for k, m in parts.items()}
    torch.save({**states, "epoch": 7, "step": 1}, path)
    return path


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_loaded_model_agrees_with_the_published_networks(networks, tmp_path, prefix):
    encoder, decoder = networks
    path = write(tmp_path / "latest.pt", encoder, decoder, prefix)
    (tmp_path / "config.yaml").write_text("trainer:\n  sigma_begin: 0.5\n  sigma_end: 0.005\n  seed: 1\n")
    cloud, sigma = torch.randn(2, 40, 3), torch.tensor([0.3, 0.02])
    codes = encoder(cloud).detach()
    expected = (cloud + decoder(cloud, torch.cat([codes, sigma[:, None]], dim=1))).detach()
    assert (expected - cloud).std() > 0.01
    prior = open_cloud_prior(str(path))
    assert is_cloud_prior(str(path)) and not is_cloud_prior(str(tmp_path))
    assert (prior.model.config.high, prior.model.config.low) == (0.5, 0.005) and prior.metadata["epoch"] == 7
    save_cloud_prior(prior, tmp_path / "model.safetensors")
    save_shapegf(prior, tmp_path / "again.pt")
    for model in (
        prior,
        load_cloud_prior(tmp_path / "model.safetensors"),
        load_shapegf(tmp_path / "again.pt", tmp_path / "config.yaml"),
    ):
        torch.testing.assert_close(model.model.encode(cloud), codes, rtol=0, atol=1e-5)
        clean = model.model.denoise(model.model.prepare(codes), cloud[:, None], sigma[:, None])[:, 0]
        torch.testing.assert_close(clean, expected, rtol=0, atol=1e-5)
    stored = torch.load(tmp_path / "again.pt", weights_only=True)
    encoder.load_state_dict(stored["enc"])  # names and shapes are the released ones
    decoder.load_state_dict(stored["dec"])


def test_other_files_are_refused(networks, tmp_path, tiny):
    encoder, decoder = networks
    path = write(tmp_path / "latest.pt", encoder, decoder)
    levels = tmp_path / "levels.yaml"
    levels.write_text("sigma_begin: 1\nsigma_end: 0.01\n")
    with pytest.raises(InputError, match="lacks one sigma_begin"):
        load_shapegf(path, tmp_path / "nothing.yaml")
    (tmp_path / "wrong.yaml").write_text("sigma_begin: 0.1\nsigma_end: 1\n")
    with pytest.raises(InputError, match="must fall"):
        load_shapegf(path, tmp_path / "wrong.yaml")
    with pytest.raises(InputError, match="has no encoder"):
        torch.save({"gen": {}}, tmp_path / "gan.pt")
        load_shapegf(tmp_path / "gan.pt")
    (tmp_path / "two.yaml").write_text(
        "sigma_begin: 1\nsigma_end: 0.01\nx:\n  sigma_begin: 2\n  sigma_end: 0.1\n"
    )
    with pytest.raises(InputError, match="lacks one sigma_begin"):
        load_shapegf(path, tmp_path / "two.yaml")
    more = copy.deepcopy(decoder)
    more.attention = nn.Linear(2, 2)
    with pytest.raises(InputError, match="such as attention"):
        load_shapegf(write(tmp_path / "more.pt", encoder, more), levels)
    with pytest.raises(InputError, match="deterministic"):
        load_shapegf(write(tmp_path / "other.pt", nn.Linear(2, 2), decoder))
    with pytest.raises(InputError, match="lacks dec"):
        del decoder.blocks[1].fc_1
        load_shapegf(write(tmp_path / "part.pt", encoder, decoder), levels)
    with pytest.raises(InputError, match="published networks"):
        save_shapegf(tiny, tmp_path / "tiny.pt")


def test_without_its_configuration_the_levels_are_said(networks, tmp_path):
    path = write(tmp_path / "latest.pt", *networks)
    with pytest.warns(InputWarning, match="go from 1 to 0.01, as published"):
        open_cloud_prior(str(path))
    for name in ("a.yaml", "b.yml"):
        (tmp_path / name).write_text("sigma_begin: 0.5\nsigma_end: 0.1\n")
    with pytest.warns(InputWarning, match="and no other"):
        assert open_cloud_prior(str(path)).model.config.high == 1
