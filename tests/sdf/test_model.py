from dataclasses import replace

import pytest
import torch

from bozzetto.sdf import DecoderConfig, build_decoder
from bozzetto.sdf.config import REFERENCE_DECODER
from bozzetto.sdf.model import ConcatenatingDecoder, GridDecoder, positional_encoding

SMALL = {
    "concatenate": DecoderConfig("concatenate", code_size=5, hidden=24, layers=4, skip=2, dropout=0.1),
    "grid": DecoderConfig("grid", code_size=5, hidden=16, layers=2, grid=4, features=3, octaves=2),
}


def decoder(architecture):
    torch.manual_seed(0)
    built = build_decoder(SMALL[architecture]).double().eval()
    torch.nn.init.normal_(built.last.weight)
    return built


def test_the_published_network_has_the_published_number_of_parameters():
    built = build_decoder(REFERENCE_DECODER)
    # Weight normalisation adds a length per unit; the release counts them too.
    assert sum(p.numel() for p in built.parameters()) == 1_843_195


@pytest.mark.parametrize("architecture", SMALL)
def test_a_batch_is_what_its_shapes_are_alone(architecture):
    built = decoder(architecture)
    codes, points = torch.randn(3, 5).double(), torch.rand(3, 7, 3).double() * 2 - 1
    together = built(codes, points)
    alone = torch.cat([built(codes[i : i + 1], points[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("architecture", SMALL)
def test_derivatives_match_differences(architecture):
    built = decoder(architecture)
    code, points = 0.1 * torch.randn(5).double(), torch.rand(11, 3).double() * 1.6 - 0.8
    values, by_code, by_point = built.value_and_jacobian(code, points)
    torch.testing.assert_close(values, built(code[None], points[None])[0].detach())
    step = 1e-6

    def difference(code_move, point_move):
        ahead = built((code + code_move)[None], (points + point_move)[None])[0]
        behind = built((code - code_move)[None], (points - point_move)[None])[0]
        return ((ahead - behind) / (2 * step)).detach()

    for axis, move in enumerate(step * torch.eye(5).double()):
        torch.testing.assert_close(by_code[:, axis], difference(move, 0.0), rtol=1e-5, atol=1e-7)
    for axis, move in enumerate(step * torch.eye(3).double()):
        torch.testing.assert_close(by_point[:, axis], difference(0.0, move), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("entry", ["grid", "concatenate", "concatenate again"])
def test_mixed_precision_sees_small_moves(entry):
    # A first layer that magnifies x around 0.9: its later rounding is small beside what a move of 0.002 does.
    skip = 1 if entry.endswith("again") else None
    config = replace(SMALL[entry.split()[0]], layers=2 if skip else 1, skip=skip, hidden=16, dropout=0.0)
    built = build_decoder(config).eval().requires_grad_(False)
    sizes = built.hidden[-1].in_features, built.hidden[-1].out_features
    layer = built.hidden[-1] = torch.nn.Linear(*sizes).requires_grad_(False)
    column = -3 if isinstance(built, ConcatenatingDecoder) else config.features
    layer.weight.zero_()
    layer.weight[0, column], layer.bias[0] = 100.0, 0.5 - 0.9 * 100
    torch.nn.init.zeros_(built.last.weight)
    built.last.weight[0, 0] = 0.01
    points = torch.tensor([[[0.9, 0.0, 0.0], [0.902, 0.0, 0.0]]])
    exact = built(torch.zeros(1, 5), points).diff()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = built(torch.zeros(1, 5), points).diff()
    assert float(exact) > 0.0015
    torch.testing.assert_close(mixed.float(), exact, rtol=0.05, atol=0.0)


def test_the_grid_decoder_begins_as_a_sphere_for_every_code():
    torch.manual_seed(1)
    built = build_decoder(SMALL["grid"])
    points = torch.rand(2, 50, 3) * 2 - 1
    expected = points.norm(dim=-1) - GridDecoder.RADIUS
    torch.testing.assert_close(built(torch.randn(2, 5), points).detach(), expected)


def test_features_belong_to_places():
    built = decoder("grid")
    with torch.no_grad():
        built.volume.weight.zero_()
        built.volume.bias.zero_()
        # A feature at the node where x, y, z are lowest is felt in the cells around it only.
        built.volume.bias.view(3, 4, 4, 4)[:, 0, 0, 0] = 5.0
        changed = built(
            torch.zeros(1, 5).double(), torch.tensor([[[-0.9, -0.9, -0.9], [0.9, -0.9, -0.9]]]).double()
        )
        built.volume.bias.zero_()
        plain = built(
            torch.zeros(1, 5).double(), torch.tensor([[[-0.9, -0.9, -0.9], [0.9, -0.9, -0.9]]]).double()
        )
    assert (changed - plain)[0, 0].abs() > 1e-3
    assert (changed - plain)[0, 1] == 0


def test_waves_are_sines_and_cosines_of_octaves():
    point = torch.tensor([[0.5, 0.25, -1.0]])
    found = positional_encoding(point, 2)
    angles = torch.tensor([0.5, 1.0, 0.25, 0.5, -1.0, -2.0]) * torch.pi
    torch.testing.assert_close(found[0], torch.cat([angles.sin(), angles.cos()]))
