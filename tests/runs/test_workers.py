"""Workers give results in order, pass on what they say, and end with their parent however it ends."""

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bozzetto.errors import InputError, InputWarning
from bozzetto.runs import map_in_processes

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")


WORK = """
import os, signal
from bozzetto.errors import InputError, warn_input

def work(number):
    if number == 2:
        warn_input("two is an even prime; it is used")
    if number == 3:
        raise InputError("three is too many; give two")
    if number == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return 1 / (number - 5)
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A function that other processes can import."""
    (tmp_path / "work_for_workers.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("work_for_workers").work


def test_results_warnings_and_errors_come_back(work):
    results = map_in_processes(work, [(k,) for k in (0, 1, 2, 3, 0)], 2)
    assert [next(results), next(results)] == [-1 / 5, -1 / 4]
    with pytest.warns(InputWarning, match="even prime"):
        assert next(results) == -1 / 3
    with pytest.raises(InputError, match="three is too many"):
        next(results)


def test_bugs_keep_their_traceback(work):
    with pytest.raises(ZeroDivisionError) as error:
        list(map_in_processes(work, [(5,)], 1))
    assert "in work" in error.value.__notes__[0]


def test_a_worker_that_is_killed_is_one_sentence(work):
    with pytest.raises(InputError, match="a worker process was ended"):
        list(map_in_processes(work, [(4,)], 1))


SLOW = """
import os, sys, time
from multiprocessing import parent_process

def slow(path):
    open(path + str(os.getpid()), "w").close()
    time.sleep(600)

if parent_process() is not None and sys.argv[2] == "import":
    slow(sys.argv[1])
"""
SCRIPT = """
import sys
from bozzetto.runs.workers import map_in_processes
from slow_work import slow

if __name__ == "__main__":
    try:
        list(map_in_processes(slow, [(sys.argv[1],)] * 4, 2))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def session_of(pid: int) -> list[int]:
    """Processes of the session of a process that led it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == pid and fields[0] != "Z":
            found.append(int(folder.name))
    return found


@pytest.mark.parametrize("at", ["work", "import"])
@pytest.mark.parametrize("number, whole_group", [(signal.SIGKILL, False), (signal.SIGINT, True)])
def test_workers_end_with_their_parent(number, whole_group, at, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "slow_work.py").write_text(SLOW)
    (tmp_path / "working").mkdir()
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "script.py", f"{tmp_path / 'working'}/", at],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "working").iterdir())) < 2:
        assert time.monotonic() < deadline and parent.poll() is None
        time.sleep(0.05)
    workers = [int(path.name) for path in (tmp_path / "working").iterdir()]
    assert all(alive(pid) for pid in workers)
    if whole_group:  # as Ctrl-C in a terminal
        os.killpg(parent.pid, number)
    else:
        parent.send_signal(number)
    # Reading to the end waits for everybody who holds these streams.
    output, errors = parent.communicate(timeout=10)
    assert errors == "" and output == ("interrupted\n" if whole_group else "")
    deadline = time.monotonic() + 3
    while session_of(parent.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert session_of(parent.pid) == []
