"""What the benchmark scripts share: where the data is, what the machine is, how results are written."""

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy
import torch
import warp

import bozzetto
from bozzetto import Mesh, load_mesh
from bozzetto.geometry import merge_vertices
from bozzetto.shapes import normalisation

RESULTS = Path(__file__).parents[1] / "results"
FOLDERS = ("--work", "--out", "--photos", "--sheets")
"""Options that name folders of a machine."""
STARTED = time.perf_counter()


def data_folder(name: str) -> Path:
    """A folder of the benchmark data, found by the environment variable BOZZETTO_DATA."""
    root = os.environ.get("BOZZETTO_DATA")
    if not root:
        sys.exit("BOZZETTO_DATA is not set; point it at the folder that holds meshes/, captures/ and so on")
    folder = Path(root) / name
    if not folder.is_dir():
        sys.exit(f"{folder} does not exist; BOZZETTO_DATA must point at the folder that holds {name}/")
    return folder


def benchmark_mesh(name: str) -> Mesh:
    """A mesh of the benchmark data, seams sewn, centred and scaled to the unit sphere."""
    mesh, _ = merge_vertices(load_mesh(data_folder("meshes") / f"{name}.ply"))
    return mesh.with_vertices(normalisation(mesh.vertices).apply(mesh.vertices))


def machine() -> dict:
    """Processor, cores, memory and versions, for the head of every result file."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {m.__name__: m.__version__ for m in (bozzetto, torch, warp, numpy)},
    }


def processor() -> str:
    """The processor's name as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def commit() -> str | None:
    """The commit that is checked out, with `-dirty` if files differ from it; None outside of a checkout."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def script() -> str:
    """The name of the module that Python runs, `benchmarks.room` say."""
    return sys.modules["__main__"].__spec__.name


def command() -> str:
    """How the script was called, without the folders of this machine."""
    words, rest = ["python", "-m", script()], iter(sys.argv[1:])
    for word in rest:
        if word in FOLDERS:
            next(rest, None)
        elif word.split("=")[0] not in FOLDERS:
            words.append(word)
    return shlex.join(words)


def head() -> dict:
    """What every result holds besides its figures: date, commit, command, seconds so far and the machine."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        "command": command(),
        "seconds": round(time.perf_counter() - STARTED, 1),
        "machine": machine(),
    }


def with_head(results: dict) -> dict:
    """Results below their head."""
    above = head()
    if taken := above.keys() & results.keys():
        raise ValueError(f"results must not use the names {sorted(taken)} of the head")
    return above | results


def save_results(name: str, results: dict, folder: Path = RESULTS) -> Path:
    """Write `results` as JSON below their head and say where."""
    return _write(name, {"benchmark": name} | with_head(results), folder)


def save_part(name: str, part: str, results: dict, folder: Path = RESULTS) -> Path:
    """Write one part of a benchmark whose parts are measured in runs of their own, each below its own head."""
    path = folder / f"{name}.json"
    parts = json.loads(path.read_text())["parts"] if path.exists() else {}
    return _write(name, {"benchmark": name, "parts": parts | {part: with_head(results)}}, folder)


def _write(name: str, content: dict, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content, indent=2) + "\n")
    print(f"results written to {path}")
    return path
