"""Sparse extraction against the dense grid: evaluations, missed cells, time and memory.

    python -m benchmarks.extraction            # minutes
    python -m benchmarks.extraction --full     # also every node of the published network at 256^3

Networks are trained here for a short time on a few shapes of the benchmark collections: the default decoder,
and the published 8x512 network (`--priors` adds files). For the default decoder the dense grid of 256^3 is
evaluated completely, with the same evaluator, and both times include marching cubes. For the slow published
network that takes many minutes: its dense time is extrapolated from 2 % of the nodes unless `--full` is
given, and missed cells are looked for at 128^3. Functions without a network serve to count only. Memory is
the peak of a process of its own that extracts at 512^3, all libraries included.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.helpers.common import RESULTS, data_folder, save_results
from bozzetto import load_mesh
from bozzetto.geometry import implicit, isosurface
from bozzetto.geometry.sparse_marching_cubes import sparse_isosurface
from bozzetto.sdf import (
    Evaluator,
    ShapePrior,
    TrainConfig,
    extract_surface,
    load_prior,
    prepare_shape,
    save_prior,
    train_prior,
)
from bozzetto.sdf.config import REFERENCE_DECODER
from bozzetto.sdf.data import sample_table

LOW, HIGH = (-1.0,) * 3, (1.0,) * 3
CLASSES = ("vases", "lamps", "candles", "planes")
FUNCTIONS = {
    "sphere": implicit.sphere(0.6),
    "torus": implicit.torus(0.6, 0.2),
    "box and ball": implicit.union(
        implicit.rounded_box((0.7, 0.5, 0.6), 0.0, (0.2, 0.1, 0.0)), implicit.sphere(0.3, (-0.5, 0.2, 0.1))
    ),
    "thin sheet": implicit.rotate(implicit.rounded_box((1.1, 0.012, 0.9), 0.0), (1, 0.3, 0.5), 27),
    "distant speck": implicit.union(
        implicit.sphere(0.4, (-0.4, 0, 0)), implicit.sphere(0.008, (0.9, 0.91, -0.87))
    ),
}


def trained(config: TrainConfig, shapes: int) -> ShapePrior:
    """A prior over some shapes, of every class in turn."""
    classes = [sorted((data_folder("collections") / c).glob("*.ply")) for c in CLASSES]
    paths = [path for same in zip(*classes, strict=False) for path in same][:shapes]
    generator = torch.Generator().manual_seed(0)
    samples = [prepare_shape(load_mesh(path), 50_000, generator).samples for path in paths]
    names = [f"{path.parent.name}/{path.stem}" for path in paths]
    return train_prior(sample_table(samples, names), config)


def grid_nodes(resolution: int) -> torch.Tensor:
    """All nodes, z fastest, placed as the sparse extraction does."""
    axis = (torch.arange(resolution, dtype=torch.float64) * (2 / (resolution - 1)) - 1).float()
    return torch.cartesian_prod(axis, axis, axis)


def crossed(values: torch.Tensor) -> set[int]:
    """Numbers of the cells with a sign change."""
    above = values > 0
    some, every = above, above
    for axis in range(3):
        n = values.shape[axis] - 1
        some = some.narrow(axis, 0, n) | some.narrow(axis, 1, n)
        every = every.narrow(axis, 0, n) & every.narrow(axis, 1, n)
    return set((some & ~every).view(-1).nonzero()[:, 0].tolist())


def missed(cells: torch.Tensor, values: torch.Tensor) -> dict:
    """Cells of the dense grid that the sparse extraction has not, and the other way round."""
    n = values.shape[0] - 1
    x, y, z = cells.unbind(dim=1)
    ours, all_of_them = set(((x * n + y) * n + z).tolist()), crossed(values)
    return {
        "crossed_cells": len(all_of_them),
        "missed": len(all_of_them - ours),
        "surplus": len(ours - all_of_them),
    }


class Watch:
    """Time on the clock, and time of all cores, which other programs disturb less."""

    def __init__(self) -> None:
        self.begin = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Seconds since the beginning."""
        return time.perf_counter() - self.begin[0], time.process_time() - self.begin[1]


def measure(prior: ShapePrior, code: torch.Tensor, resolution: int, dense_share: float) -> dict:
    """One shape: sparse, then dense, completely or extrapolated from a share of the nodes."""
    found, times = extract_surface(prior, code, 32), []
    for _ in range(3):
        watch = Watch()
        found = extract_surface(prior, code, resolution)
        times.append(watch.read())
    sparse = [statistics.median(t) for t in zip(*times, strict=True)]
    row = {
        "evaluations": found.evaluations,
        "share_of_nodes": found.total / resolution**3,
        "lipschitz": round(found.lipschitz, 3),
        "sparse_seconds": sparse[0],
        "sparse_cpu_seconds": sparse[1],
    }
    evaluator, nodes = Evaluator(prior.decoder, code), grid_nodes(resolution)
    if dense_share == 1.0:
        watch = Watch()
        values = evaluator(nodes).view([resolution] * 3)
        mesh = isosurface(values, LOW, HIGH)
        dense = watch.read()
        row |= missed(found.cells, values)
        row["same_triangles"] = len(mesh.faces) == len(found.mesh.faces)
    else:
        part = nodes[torch.randint(len(nodes), (int(dense_share * len(nodes)),))]
        watch = Watch()
        evaluator(part)
        dense = [t / dense_share for t in watch.read()]
        row["dense_seconds_extrapolated_from"] = dense_share
    row |= {"dense_seconds": dense[0], "dense_cpu_seconds": dense[1]}
    return row | {"faster": dense[0] / sparse[0], "less_cpu_time": dense[1] / sparse[1]}


def measure_function(name: str, resolution: int) -> dict:
    """A function without a network: shares and missed cells; its own cost says nothing."""
    found = sparse_isosurface(FUNCTIONS[name], resolution, LOW, HIGH)
    values = torch.cat([FUNCTIONS[name](part) for part in grid_nodes(resolution).split(1 << 18)])
    return {
        "evaluations": found.evaluations,
        "share_of_nodes": found.total / resolution**3,
        **missed(found.cells, values.view([resolution] * 3)),
    }


def peak_memory(path: Path, shape: int, resolution: int) -> dict:
    """Peak memory of a process that extracts one shape."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.extraction",
        "--child",
        str(path),
        str(shape),
        str(resolution),
    ]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def peak() -> int:
    """Largest memory of this process so far in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # unlike the call below, without what the parent had before
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def child(path: str, shape: int, resolution: int) -> None:
    """Extract, and print time and peak memory."""
    torch.set_num_threads(2)
    prior = load_prior(path)
    before = peak()
    begin = time.perf_counter()
    found = extract_surface(prior, prior.codes[shape], resolution)
    took = time.perf_counter() - begin
    print(
        json.dumps(
            {
                "peak_gib": peak() / 2**30,
                "before_gib": before / 2**30,
                "seconds": took,
                "cells": len(found.cells),
                "share_of_nodes": found.total / resolution**3,
            }
        )
    )


def report(name: str, row: dict) -> None:
    """One line on the terminal."""
    faster = (
        f", {row['faster']:.0f}x faster ({row['less_cpu_time']:.0f}x by CPU time)" if "faster" in row else ""
    )
    cells = f", {row['missed']} of {row['crossed_cells']} cells missed" if "missed" in row else ""
    print(f"{name}: {100 * row['share_of_nodes']:.2f} % of the nodes{cells}{faster}", flush=True)


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="of training, per network")
    parser.add_argument("--shapes", type=int, default=8, help="that the default decoder is trained on")
    parser.add_argument("--measured", type=int, default=3, help="shapes measured per network")
    parser.add_argument("--priors", type=Path, nargs="*", default=[], help="trained elsewhere")
    parser.add_argument("--networks", nargs="*", default=["default", "reference"], help="to train")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.child[0], int(options.child[1]), int(options.child[2]))
    torch.set_num_threads(options.threads)
    configs = {
        "default": TrainConfig(shapes_per_step=4, seconds=options.seconds),
        "reference": TrainConfig(
            decoder=REFERENCE_DECODER,
            shapes_per_step=2,
            samples_per_shape=1024,
            lr=5e-4,
            code_lr=1e-3,
            seconds=2 * options.seconds,
        ),
    }
    shapes = {"default": options.shapes, "reference": 2}
    networks = {name: trained(configs[name], shapes[name]) for name in options.networks}
    networks |= {path.stem: load_prior(path) for path in options.priors}
    results: dict = {"threads": options.threads, "functions": {}, "networks": {}, "memory_512": {}}
    for name in FUNCTIONS:
        results["functions"][name] = measure_function(name, 256)
        report(name, results["functions"][name])
    with TemporaryDirectory() as folder:
        for name, prior in networks.items():
            rows = results["networks"][name] = {}
            slow = prior.decoder.config.hidden >= 512
            indices = range(0, len(prior.codes), max(1, len(prior.codes) // options.measured))
            for index in list(indices)[: options.measured]:
                code = prior.codes[index]
                share = 0.02 if slow and not options.full else 1.0
                row = rows[prior.names[index]] = measure(prior, code, 256, share)
                report(f"{name} {prior.names[index]} 256^3", row)
                if share < 1 and index == 0:
                    row["at_128"] = measure(prior, code, 128, 1.0)
                    report(f"{name} {prior.names[index]} 128^3", row["at_128"])
            save_prior(prior, Path(folder) / "prior.safetensors")
            memory = results["memory_512"][name] = peak_memory(Path(folder) / "prior.safetensors", 0, 512)
            print(f"{name} 512^3: {memory['peak_gib']:.2f} GiB, {memory['seconds']:.1f} s", flush=True)
    save_results("extraction", results, options.out)


if __name__ == "__main__":
    main()
