"""Structure from motion by pycolmap, as a program of its own: one job per call, progress as lines of JSON.

It is run without the package around it and imports only the files beside it: pycolmap brings libraries of
its own that must not meet those of Pillow in one process. What pycolmap writes to the terminal goes to a file.
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
    """Do the job that a JSON file describes; its result is the last line of stdout."""
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
    """End this process when the one that started it has closed our stdin, or has ended."""
    while os.read(0, 1024):  # not through sys.stdin, whose lock this thread would hold when Python ends
        pass
    os._exit(1)


def _redirect(log: Path) -> Callable[[dict[str, Any]], None]:
    """Send what anybody prints to a file; what the returned function is given goes to the old stdout."""
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
    os._exit(0)  # at once: a thread of ours waits for stdin
