import time

import numpy as np
import pytest

from bozzetto.runs import Stopwatch, peak_memory


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
