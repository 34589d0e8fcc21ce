"""The child ends with this process, whatever ends it. A stand-in takes pycolmap's place."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from bozzetto.cameras.poses.process import run_job
from bozzetto.errors import InputError

WAITING = """
import os, time
from types import SimpleNamespace
logging = SimpleNamespace(minloglevel=0)
def set_random_seed(seed):
    print("noise of a library")
    with open(os.environ["NUMBER"], "w") as file:
        file.write(str(os.getpid()))
    {action}
"""
JOB = {"task": "match", "seed": 0}


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Makes the child meet a module of this action under the name of pycolmap."""

    def make(action):
        (tmp_path / "modules").mkdir()
        (tmp_path / "modules" / "pycolmap.py").write_text(WAITING.format(action=action))
        paths = [str(tmp_path / "modules"), os.environ.get("PYTHONPATH", "")]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))
        monkeypatch.setenv("NUMBER", str(tmp_path / "number"))
        return tmp_path

    return make


def number_in(path):
    for _ in range(200):
        with suppress(OSError, ValueError):
            return int(path.read_text())
        time.sleep(0.05)
    raise AssertionError("the child has not begun")


def is_gone(number):
    for _ in range(200):
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="no timers here")
def test_an_interruption_leaves_no_process_behind(stand_in):
    folder = stand_in("time.sleep(60)")

    def interrupt(*_):
        if (folder / "number").exists():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_job(JOB, folder)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert is_gone(number_in(folder / "number"))


@pytest.mark.skipif(os.name == "nt", reason="processes are killed otherwise there")
def test_the_child_ends_when_this_process_is_killed(stand_in):
    folder = stand_in("time.sleep(60)")
    script = (
        "from pathlib import Path\n"
        "from bozzetto.cameras.poses.process import run_job\n"
        f"run_job({JOB!r}, Path({str(folder)!r}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    child = number_in(folder / "number")
    parent.kill()
    parent.wait()
    assert is_gone(child)


def test_a_failure_shows_what_the_child_said(stand_in, capfd):
    folder = stand_in("raise ValueError('what happened')")
    with pytest.raises(RuntimeError, match="(?s)noise of a library.*what happened"):
        run_job(JOB, folder)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(os.name == "nt", reason="no signals there")
def test_a_child_that_the_system_ends_is_explained(stand_in):
    folder = stand_in("os.kill(os.getpid(), 9)")
    with pytest.raises(InputError, match="ended by the system.*memory"):
        run_job(JOB, folder)
