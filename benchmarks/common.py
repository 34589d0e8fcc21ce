"""What the benchmark scripts share: where the data is, what the machine is, how results are written."""

import json
import os
import platform
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

RESULTS = Path(__file__).parent / "results"


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


def save_results(name: str, results: dict, folder: Path = RESULTS) -> Path:
    """Write `results` with the machine's description as JSON and say where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    content = {"benchmark": name, "date": time.strftime("%Y-%m-%d"), "machine": machine(), **results}
    path.write_text(json.dumps(content, indent=2) + "\n")
    print(f"results written to {path}")
    return path
