import pytest
import torch

from bozzetto.errors import InputError, InputWarning
from bozzetto.geometry import is_one_solid
from bozzetto.sdf import Decoder, DecoderConfig, ShapePrior
from bozzetto.sdf.sample import sample


class Pair(Decoder):
    """Two balls: one piece if the code is positive, two otherwise."""

    def forward(self, codes: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        apart = torch.where(codes[:, :1] > 0, 0.15, 0.5)[..., None] * torch.tensor([1.0, 0.0, 0.0])
        return torch.minimum((points - apart).norm(dim=-1), (points + apart).norm(dim=-1)) - 0.3


def pairs(mean: float) -> ShapePrior:
    codes = mean + torch.randn(40, 1, generator=torch.Generator().manual_seed(0))
    return ShapePrior(Pair(DecoderConfig(code_size=1)).eval(), codes, ())


def test_inventions_of_several_pieces_are_drawn_again():
    found = sample(pairs(0.0), 6, seed=3, resolution=24)
    assert all(is_one_solid(mesh) and float(code[0]) > 0 for code, mesh in found)
    alone = sample(pairs(0.0), 2, seed=3, resolution=24)
    assert all(torch.equal(one[0], other[0]) for one, other in zip(alone, found, strict=False))
    assert not torch.equal(sample(pairs(0.0), 1, seed=4, resolution=24)[0][0], found[0][0])


def test_families_of_several_pieces_are_said():
    with pytest.warns(InputWarning, match="2 of 2 invented shapes are not closed or not of one piece"):
        sample(pairs(-30.0), 2, resolution=24)


def test_smaller_truncation_means_less_variety(figures):
    spread = []
    for truncation in (0.1, 1.0):
        codes = torch.stack([code for code, _ in sample(figures, 6, truncation=truncation, resolution=24)])
        spread.append(float(codes.var(dim=0).mean()))
    assert spread[0] < 0.02 * spread[1]
    for words in ({"shapes": 0}, {"shapes": 1, "truncation": 0.0}):
        with pytest.raises(InputError):
            sample(figures, **words)
