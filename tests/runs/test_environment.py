"""Tests of runs.environment."""

import importlib
import random
import time

import numpy as np
import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.runs import (
    Stopwatch,
    available_memory,
    environment,
    fingerprint,
    peak_memory,
    resolve_device,
    seed_everything,
)

MODULE = importlib.import_module("bozzetto.runs.environment")  # its name in the room is a function


def test_seed_repeats_every_generator():
    def draw() -> list[float]:
        seed_everything(5)
        return [random.random(), np.random.rand(), float(torch.rand(()))]

    assert draw() == draw()


def test_device():
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA device"):
            resolve_device("cuda")


def test_environment_names_versions():
    versions = environment()["versions"]
    assert versions["torch"] == torch.__version__  # with the device it was built for, as in 2.6.0+cpu
    assert versions["numpy"] == np.__version__


def test_stages_add_up_also_when_they_fail_or_still_run():
    watch = Stopwatch({"hull": 2.0})
    with pytest.raises(RuntimeError), watch.stage("hull"):
        time.sleep(0.01)
        raise RuntimeError
    with watch.stage("optimise"):
        time.sleep(0.01)
        assert watch.seconds["optimise"] >= 0.01
    assert watch.seconds["hull"] >= 2.01
    assert list(watch.seconds) == ["hull", "optimise"]


def test_peak_memory_sees_a_large_array():
    before = peak_memory()["host"]
    if before == 0:
        pytest.skip("this system does not tell")
    block = np.ones(before // 8 + 50_000_000 // 8)  # more than everything so far
    assert peak_memory()["host"] >= block.nbytes


def test_available_memory_is_plausible():
    available = available_memory()
    assert 2**26 < available < 2**45


def test_a_container_has_no_more_than_its_limit(tmp_path, monkeypatch):
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.current").write_text("400\n")
    (group / "memory.stat").write_text("anon 350\ninactive_file 50\n")
    for limit, expected in (("1000\n", 650), ("300\n", 1), ("max\n", 4 * 2**30)):
        (group / "memory.max").write_text(limit)
        monkeypatch.setattr(MODULE, "Path", lambda path: tmp_path / str(path).lstrip("/"))
        monkeypatch.setattr(MODULE, "_other_available", lambda: 0)
        assert available_memory() == expected


def test_content_decides(tmp_path):
    (tmp_path / "a.txt").write_text("same")
    (tmp_path / "b.txt").write_text("same")
    (tmp_path / "c.txt").write_text("other")
    a, b, c = (fingerprint(tmp_path / name) for name in ("a.txt", "b.txt", "c.txt"))
    assert a == b != c
    x = torch.arange(6.0)
    assert fingerprint(x.reshape(2, 3).T.contiguous()) == fingerprint(x.reshape(2, 3).T)
    assert (
        len({fingerprint(x), fingerprint(x.reshape(2, 3)), fingerprint(x.double()), fingerprint(x + 1)}) == 4
    )
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint(torch.tensor(True)) != fingerprint(torch.tensor(False))
