"""Bad photographs, as people have them: `bozzetto reconstruct` says what is wrong and loses nothing.

    python -m benchmarks.robustness.bad_photos [--only panorama,blurred] [--workers 1] [--photos FOLDER]

Every kind is made from photographs that a phone of our own took in a furnished room of our own. The command is
run as a user runs it, with `--overwrite` onto the results of an earlier run, and has to exit with 2 and one
sentence, no traceback, within its limit; what was given and the earlier results must have the same bytes as
before. `--photos` keeps the photographs in a folder and takes them from there the next time.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.helpers.bad_photo_kinds import KINDS, Base, take_photos
from benchmarks.helpers.common import save_results

EARLIER = {
    "config.json": '{"bozzetto": "0", "config": {}}',
    "report.json": "{}",
    "mesh.ply": "ply of an earlier run",
    ".files": "config.json\nreport.json\nmesh.ply\n",
}
LIMIT = 1200.0
"""Seconds for one command; those that compare all photographs take a minute on an idle machine."""


def main() -> None:
    """Make, run and judge every kind, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(KINDS))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--photos", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base = take_photos(chosen.photos or Path(scratch) / "base")
        with ThreadPoolExecutor(chosen.workers) as pool:
            jobs = {kind: pool.submit(judge, kind, base, Path(scratch) / kind) for kind in chosen.only}
            results = {kind: job.result() for kind, job in jobs.items()}
    failed = [kind for kind, found in results.items() if found["wrong"]]
    print(
        f"{len(results) - len(failed)} of {len(results)} kinds are refused as they should be; not: {failed}"
    )
    save_results("bad_photos", {"kinds": results, "failed": failed})


def judge(kind: str, base: Base, folder: Path) -> dict:
    """Run the command on one kind of bad input."""
    given, out = folder / "given", folder / "out"
    given.mkdir(parents=True)
    out.mkdir()
    for name, text in EARLIER.items():
        (out / name).write_text(text)
    words = KINDS[kind](base, given)
    before = {**contents(given), **contents(out)}
    began = time.monotonic()
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "400"}
    command = [sys.executable, "-m", "bozzetto", "reconstruct", *words, "--out", str(out), "--preset", "fast"]
    try:
        done = subprocess.run(
            [*command, "--overwrite"],
            capture_output=True,
            timeout=LIMIT,
            env=environment,
            cwd=folder,
            encoding="utf-8",
            errors="replace",
        )
        code, said = done.returncode, done.stderr
    except subprocess.TimeoutExpired:
        code, said = -1, "it took too long"
    sentences = [line for line in said.splitlines() if line.startswith("bozzetto: ")]
    after = {**contents(given), **contents(out)}
    wrong = [
        *([f"exit code {code}"] if code != 2 else []),
        *([f"{len(sentences)} sentences"] if len(sentences) != 1 else []),
        *(["a traceback"] if "Traceback" in said else []),
        *([f"lost or changed: {name}" for name, data in before.items() if after.get(name) != data]),
        *([f"left behind: {name}" for name in after.keys() - before.keys()]),
    ]
    shutil.rmtree(folder, ignore_errors=True)
    sentence = (sentences or [said[-400:]])[0].removeprefix("bozzetto: ").replace(str(given), "PHOTOS")
    notes = [line.removeprefix("note: ") for line in said.splitlines() if line.startswith("note: ")]
    print(f"{'WRONG ' + ', '.join(wrong) if wrong else 'fine'} {kind}: {sentence}", flush=True)
    return {"wrong": wrong, "sentence": sentence, "notes": notes, "seconds": time.monotonic() - began}


def contents(folder: Path) -> dict[str, str]:
    """A hash of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


if __name__ == "__main__":
    main()
