"""The command in the surroundings that shells, pipes and terminals give it."""

import os
import signal
import subprocess
import sys
import time

import pytest

POSIX = pytest.mark.skipif(os.name == "nt", reason="signals and closed streams of POSIX")
# A verb of our own, so that nothing heavy is imported.
SLOW = """
import sys, time
import bozzetto.cli
from bozzetto.cli.common import Options, carry_out
class Slow(Options):
    def run(self):
        try:
            print("begun", flush=True)
            time.sleep(60)
        finally:
            print("ended", flush=True)
            {ending}
bozzetto.cli.main = lambda: carry_out(Slow())
from bozzetto.__main__ import main
sys.exit(main())
"""


def command(*words: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "bozzetto", *words], stderr=subprocess.PIPE, **options)


@POSIX
@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("full", ["data", "list"]),
        ("closed", ["data", "list"]),
        ("pipe", ["data", "list"]),
        ("pipe", ["--help"]),
    ],
)
def test_output_that_nobody_takes(target, words):
    if target == "full" and not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    if target == "pipe":
        reader, writer = os.pipe()
        os.close(reader)
        done = command(*words, stdout=writer)
        os.close(writer)
    elif target == "full":
        with open("/dev/full", "w") as full:
            done = command(*words, stdout=full)
    else:
        done = command(*words, preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (1, b"")


@POSIX
def test_a_closed_stderr_is_no_error():
    script = [sys.executable, "-m", "bozzetto", "data", "get", "nothing"]
    done = subprocess.run(script, stdout=subprocess.PIPE, preexec_fn=lambda: os.close(2))
    assert (done.returncode, done.stdout) == (2, b"")
    script[-2:] = ["list"]
    done = subprocess.run(script, stdout=subprocess.PIPE, preexec_fn=lambda: os.close(2))
    assert done.returncode == 0 and b"dino" in done.stdout


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_names_that_the_terminal_cannot_show(encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = command("data", "get", "花", stdout=subprocess.PIPE, env=environment)
    assert done.returncode == 2 and done.stderr.startswith(b"bozzetto: there is no sample set '\\u82b1'")
    script = (
        "from bozzetto.terminal import open_streams, output_is_lost\n"
        "open_streams(); print('caf\\udce9 花'); raise SystemExit(output_is_lost())"
    )
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment)
    assert (done.returncode, done.stdout.strip()) == (0, b"caf? ?")


@POSIX
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_end_a_verb(number, code):
    with started(SLOW.format(ending="")) as process:
        process.send_signal(number)
        output, complaint = process.communicate(timeout=20)
        assert (process.returncode, complaint) == (code, "bozzetto: interrupted\n")
        assert output == "ended\n"


@POSIX
def test_the_second_signal_ends_at_once():
    with started(SLOW.format(ending="time.sleep(60)")) as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "ended\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130


@POSIX
def test_a_signal_that_was_switched_off_stays_so():
    script = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)" + SLOW.format(ending="")
    with started(script) as process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == 143


@POSIX
def test_interrupted_while_it_starts():
    script = (
        "import os, sys, signal, builtins\n"
        "real = builtins.__import__\n"
        "def slow(name, *rest):\n"
        "    if name == 'tyro': os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = slow\n"
        "from bozzetto.__main__ import main\n"
        "sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "bozzetto: interrupted\n")


def started(script: str) -> subprocess.Popen:
    """A process that runs this and has begun."""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "begun\n"
    return process
