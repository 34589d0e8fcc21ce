"""Structure from motion by pycolmap as a separate program: one job per call, progress as lines of JSON.

It runs without importing the package and imports only the files of its folder, because libraries of pycolmap
conflict with those of Pillow in one process. Output of pycolmap to the terminal is redirected to a file.
"""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .mapping import place
from .matching import match, verify


def main(job_file: str) -> None:
    """Do the job that a JSON file describes; the last line of stdout is its result."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    say = _redirect(Path(job["log"]))
    import pycolmap

    pycolmap.logging.minloglevel = 1
    pycolmap.set_random_seed(job["seed"])
    tasks = {"match": match, "verify": verify, "map": place}
    say({"result": tasks[job["task"]](pycolmap, job, say)})


def _end_with_parent() -> None:
    """End this process when its parent closes stdin or ends."""
    while os.read(0, 1024):  # not with sys.stdin, whose lock this thread would hold when Python ends
        pass
    os._exit(1)


def _redirect(log: Path) -> Callable[[dict[str, Any]], None]:
    """Redirect all output to a file; the returned function writes messages to the original stdout."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with log.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)

    def say(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    return say


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Exception:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # at once, because a thread waits for stdin
