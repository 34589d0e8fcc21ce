import errno
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bozzetto.errors import InputError
from bozzetto.files import NoSpace
from bozzetto.runs import read_checkpoint, write_checkpoint


@pytest.fixture
def path(tmp_path):
    tensors = {"x": torch.randn(3, 4).T, "shared": torch.ones(5)[1:], "empty": torch.zeros(0, 3)}
    tensors["again"] = tensors["x"]
    write_checkpoint(tmp_path / "c.safetensors", tensors, {"step": 7, "light": [0.5]})
    return tmp_path / "c.safetensors"


def test_round_trip(path):
    tensors, meta = read_checkpoint(path)
    assert meta == {"step": 7, "light": [0.5]}
    assert torch.equal(tensors["again"], tensors["x"])
    assert tensors["x"].shape == (4, 3)
    assert tensors["empty"].shape == (0, 3)


def test_every_truncation_is_noticed(path):
    whole = path.read_bytes()
    for length in (0, 5, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="damaged"):
            read_checkpoint(path)


def test_a_changed_number_is_noticed(path):
    whole = bytearray(path.read_bytes())
    whole[-3] ^= 1
    path.write_bytes(whole)
    with pytest.raises(InputError, match="changed"):
        read_checkpoint(path)


def test_changed_meta_is_noticed(path):
    whole = path.read_bytes()
    assert b'\\"step\\": 7' in whole
    path.write_bytes(whole.replace(b'\\"step\\": 7', b'\\"step\\": 8'))
    with pytest.raises(InputError, match="changed"):
        read_checkpoint(path)


def test_a_safetensors_file_of_others_is_refused(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "c.safetensors")
    with pytest.raises(InputError, match="not a checkpoint of bozzetto"):
        read_checkpoint(tmp_path / "c.safetensors")


def test_a_failed_write_keeps_the_old_checkpoint(path, monkeypatch):
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_checkpoint(path, {"x": torch.zeros(1)}, {"bad": object()})

    def disk_full(target, data):
        with target.open("wb") as file:
            file.write(data[:4])
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(Path, "write_bytes", disk_full)
    with pytest.raises(NoSpace, match="no space left"):
        write_checkpoint(path, {"x": torch.zeros(1)}, {})
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


def test_equal_content_gives_equal_bytes(tmp_path):
    tensors = {"b": torch.arange(3), "a": torch.ones(2, 2)}
    found = set()
    for number in range(20):
        write_checkpoint(
            tmp_path / f"{number}.safetensors", tensors, {"note": 'höhe \u2028 "', "x": [1, None]}
        )
        found.add((tmp_path / f"{number}.safetensors").read_bytes())
    assert len(found) == 1
    read, meta = read_checkpoint(tmp_path / "0.safetensors")
    assert torch.equal(read["b"], tensors["b"]) and meta == {"note": 'höhe \u2028 "', "x": [1, None]}
