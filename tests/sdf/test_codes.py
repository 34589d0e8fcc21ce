import numpy as np
import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.sdf import ShapePrior, build_decoder, load_code, save_code


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
