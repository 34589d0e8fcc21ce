import time

import numpy as np
import pytest

from bozzetto.runs import Stopwatch, available_memory, peak_memory, resources


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
        monkeypatch.setattr(resources, "Path", lambda path: tmp_path / str(path).lstrip("/"))
        monkeypatch.setattr(resources, "_other_available", lambda: 0)
        assert available_memory() == expected
