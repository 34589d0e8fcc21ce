"""Runs the program in `colmap_program` as a child that ends with this process, and reports its progress."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...files import write_text
from ...steps import report_progress

PROGRAM = (
    f"import runpy, sys; sys.path.append({str(Path(__file__).parent)!r}); "
    "runpy.run_module('colmap_program', run_name='__main__', alter_sys=True)"
)
"""It is found without this package, which would load libraries that must not meet those of pycolmap."""
_LAST = 2000  # characters of its messages that are shown when it fails


def require_pycolmap() -> None:
    """Refuse to begin without the optional package; it is looked for, not imported.

    Raises:
        InputError: It is not installed.
    """
    if find_spec("pycolmap") is None:
        raise InputError(
            "photos without cameras need pycolmap to find them, which is not installed; run: "
            "pip install 'bozzetto[poses]'"
        )


def run_job(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Do one job of `colmap_program`; its messages go to `folder/log.txt`, its progress to `steps`.

    The child holds the other end of a pipe and ends when it is closed: when this process ends, in whatever way.
    Ctrl-C does not reach it; it is killed when an exception leaves this function.

    Raises:
        InputError: It was ended by the system.
    """
    log, described = folder / "log.txt", folder / "job.json"
    write_text(described, json.dumps({**job, "log": str(log)}))
    alone: dict[str, Any] = {"process_group": 0}
    if sys.platform == "win32":
        alone = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", PROGRAM, str(described)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        env={**os.environ, "PYTHONWARNINGS": "ignore", "OPENBLAS_NUM_THREADS": "1"},
        **alone,
    )
    assert process.stdout is not None and process.stdin is not None
    result = None
    try:
        for line in process.stdout:
            message = json.loads(line)
            result = message.get("result", result)
            if "share" in message:
                report_progress(message["stage"], message["share"])
    finally:
        if result is None:
            process.kill()
        process.stdin.close()
        process.wait()
        process.stdout.close()
    if result is None:
        raise _failure(process.returncode, log)
    return result


def _failure(code: int, log: Path) -> Exception:
    text = log.read_text(encoding="utf-8", errors="replace")[-_LAST:] if log.is_file() else ""
    if code < 0 or code > 0x4000_0000:  # a signal, or what Windows has instead
        return InputError(
            f"pycolmap was ended by the system (code {code}), perhaps because memory or disk space ran out; "
            f"close other programs or give fewer photos (its messages: {log})"
        )
    return RuntimeError(f"pycolmap failed with exit code {code}; the end of its messages:\n{text}")
