import pytest
import torch
from safetensors.torch import save_file

from bozzetto.errors import InputError
from bozzetto.heightmap import load_predictor, open_predictor, save_predictor


def test_a_network_comes_back(predictor, tmp_path):
    path = tmp_path / "n.safetensors"
    save_predictor(predictor, path, half=False)
    again = load_predictor(path)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.network(image).height, predictor.network(image).height)
    assert again.config == predictor.config and again.metadata == {"made": "for tests"}
    save_predictor(predictor, path)
    near = load_predictor(path).network(image).height
    assert (near - predictor.network(image).height).abs().max() < 0.02


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="no file"):
        load_predictor(tmp_path / "n.safetensors")
    (tmp_path / "n.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read"):
        load_predictor(tmp_path / "n.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "n.safetensors")
    with pytest.raises(InputError, match="no height network"):
        load_predictor(tmp_path / "n.safetensors")


def test_a_network_is_opened_by_name_or_file(predictor, tmp_path):
    path = tmp_path / "n.safetensors"
    save_predictor(predictor, path)
    assert open_predictor(str(path)).config == predictor.config
    assert not open_predictor("heights").config.imagenet
    with pytest.raises(InputError, match="no weights named nobody .* heights"):
        open_predictor("nobody")
    with pytest.raises(InputError, match="no height network"):
        open_predictor("bodies")
