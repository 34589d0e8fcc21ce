import numpy as np
import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.sdf import CodeDistribution, ShapePrior, build_decoder, load_code, save_code


def test_many_codes_give_their_own_covariance():
    generator = torch.Generator().manual_seed(0)
    factor = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.3, 0.0], [0.0, 0.2, 0.1]])
    codes = torch.randn(20000, 3, generator=generator) @ factor.T + torch.tensor([1.0, 2.0, 3.0])
    found = CodeDistribution.of(codes)
    assert torch.allclose(found.mean.float(), torch.tensor([1.0, 2.0, 3.0]), atol=0.03)
    assert torch.allclose(found.covariance.float(), factor @ factor.T, atol=0.03)


def test_few_codes_give_a_covariance_that_can_be_inverted():
    codes = torch.randn(5, 30, generator=torch.Generator().manual_seed(0))
    found = CodeDistribution.of(codes)
    assert torch.linalg.eigvalsh(found.covariance).min() > 0.1
    assert torch.isclose(found.covariance.trace(), (codes - codes.mean(0)).double().square().sum() / 5)


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_codes_are_enough(count):
    found = CodeDistribution.of(torch.full((count, 4), 0.3))
    assert torch.allclose(found.mean, torch.tensor(0.3, dtype=torch.float64))
    assert torch.linalg.eigvalsh(found.covariance).min() > 0


def test_no_codes_are_refused():
    with pytest.raises(InputError, match="no codes"):
        CodeDistribution.of(torch.zeros(0, 4))


def test_samples_have_the_distribution():
    given = CodeDistribution(torch.ones(2).double(), torch.tensor([[2.0, 0.5], [0.5, 1.0]]).double())
    drawn = given.sample(20000, torch.Generator().manual_seed(0))
    assert torch.allclose(drawn.mean(0), given.mean, atol=0.05)
    assert torch.allclose(drawn.T.cov(), given.covariance, atol=0.06)
    assert given.distance(given.mean.float()) == 0


def test_a_code_survives_and_knows_its_prior(figures, tmp_path):
    code = figures.codes[0]
    save_code(code, figures, tmp_path / "a.safetensors")
    assert torch.equal(load_code(tmp_path / "a.safetensors", figures), code)
    torch.manual_seed(0)
    other = ShapePrior(build_decoder(figures.decoder.config), figures.codes, figures.names)
    with pytest.raises(InputError, match="another prior"):
        load_code(tmp_path / "a.safetensors", other)


def test_arrays_are_codes_too(figures, tmp_path):
    np.save(tmp_path / "a.npy", figures.codes[0].double().numpy())
    assert torch.equal(load_code(tmp_path / "a.npy", figures), figures.codes[0])
    np.save(tmp_path / "b.npy", np.zeros(7))
    with pytest.raises(InputError, match="codes have 4 numbers"):
        load_code(tmp_path / "b.npy", figures)
    np.save(tmp_path / "c.npy", np.array(["x"]))
    with pytest.raises(InputError, match="expected numbers"):
        load_code(tmp_path / "c.npy", figures)


def test_damaged_files_are_refused(figures, tmp_path):
    path = tmp_path / "a.safetensors"
    save_code(figures.codes[0], figures, path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="changed"):
        load_code(path, figures)
    (tmp_path / "b.npy").write_bytes(b"nonsense")
    for name in ("b.npy", "missing.npy", "a.txt"):
        with pytest.raises(InputError):
            load_code(tmp_path / name, figures)
    with pytest.raises(InputError, match="NaN"):
        save_code(figures.codes[0] * torch.nan, figures, path)
