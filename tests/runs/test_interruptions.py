"""Signals are noted in a block; a second one ends the process at once."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from bozzetto.runs import deferred_interruptions


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_is_noted_and_handlers_come_back(number):
    before = signal.getsignal(number)
    with deferred_interruptions() as interruption:
        assert not interruption
        os.kill(os.getpid(), number)
        assert interruption and interruption.number == number and interruption.exit_code == 128 + number
    assert signal.getsignal(number) == before


def test_a_second_signal_ends_at_once():
    script = (
        "import os, signal\nfrom bozzetto.runs import deferred_interruptions\n"
        "with deferred_interruptions():\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('first', flush=True)\n    os.kill(os.getpid(), signal.SIGINT)\n    print('second')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "first\n", "")


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with deferred_interruptions() as interruption:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interruption
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_change_nothing():
    found = []

    def work():
        with deferred_interruptions() as interruption:
            found.append((bool(interruption), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, signal.getsignal(signal.SIGINT))]
