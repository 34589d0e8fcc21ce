"""What a step costs: 16 views of 512x512 of a 100k-face mesh, against a minimal bounding-box loop.

    python -m benchmarks.rasterizer_cost

The baseline (bounding_box_loop.py) only writes the index of the visible triangle, without gradients. Measured
beside it, in turns, medians of several rounds: our index image and fragments, and one full optimisation step:
solve, normals, rasterise, interpolate, shade, antialias, L1 loss, backward with the second solve, AdamUniform.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.helpers.bounding_box_loop import index_images
from benchmarks.helpers.common import RESULTS, benchmark_mesh, save_results
from benchmarks.helpers.fitting import targets_around
from bozzetto import Mesh
from bozzetto.geometry import vertex_normals
from bozzetto.inverse import Light, Optimization, OptimizeConfig, Targets, capture_light
from bozzetto.rendering import ImageLoss, compose, interpolate, rasterize, shade, visible_triangles


def milliseconds(work: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    begin = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - begin)


def stages(step: Optimization, targets: Targets) -> dict[str, float]:
    """Forward and backward time of every part of a step, each after the one before is finished."""
    times: dict[str, float] = {}

    def part(name: str, work: Callable[[], torch.Tensor]) -> torch.Tensor:
        begin = time.perf_counter()
        result = work()
        times[name] = 1e3 * (time.perf_counter() - begin)
        return result

    faces, light = step.faces, step.light.coefficients.detach()
    loss = ImageLoss(targets.images)
    x = part("solve", step.positions)
    normals = part("normals", lambda: vertex_normals(x, faces))
    fragments = part("rasterise", lambda: rasterize(x, faces, targets.cameras))
    rows = part("interpolate", lambda: interpolate(fragments, normals))
    colors = part("shade", lambda: shade(rows, light))
    picture = part("antialias", lambda: compose(fragments, colors, coverage=True))
    value = part("loss", lambda: loss(picture))
    part("backward, with the second solve", lambda: value.backward())
    part("update", lambda: step.optimizer.step())
    return times


def main() -> None:
    """Measure in turns and write medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--mesh", default="nefertiti")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(2)
    mesh = benchmark_mesh(options.mesh)
    targets = targets_around(mesh, views=16, size=512)
    start = Mesh(mesh.vertices * 0.98, mesh.faces)
    light = Light(capture_light(), 16).requires_grad_(False)
    step = Optimization(targets, start, light, OptimizeConfig(steps=10_000, step_size=1e-4, smoothness=19.0))
    vertices, faces, cameras = start.vertices.contiguous(), start.faces, targets.cameras
    faces32 = faces.to(torch.int32).contiguous()

    works = {
        "bounding-box loop": lambda: index_images(vertices, faces32, cameras),
        "index image": lambda: visible_triangles(vertices, faces, cameras),
        "fragments": lambda: rasterize(vertices, faces, cameras),
        "full step": step.step,
    }
    ours, loop = visible_triangles(vertices, faces, cameras), index_images(vertices, faces32, cameras)
    agreement = float((ours == loop).float().mean())
    rounds: dict[str, list[float]] = {name: [] for name in works}
    parts: list[dict[str, float]] = []
    for number in range(options.rounds + 2):
        measured = {name: milliseconds(work) for name, work in works.items()}
        breakdown = stages(step, targets)
        if number >= 2:  # the first rounds compile and warm up
            for name, value in measured.items():
                rounds[name].append(value)
            parts.append(breakdown)
    median = {name: statistics.median(values) for name, values in rounds.items()}
    base = median["bounding-box loop"]
    results = {
        "milliseconds": median,
        "ratio_to_loop": {name: value / base for name, value in median.items()},
        "stages_milliseconds": {name: statistics.median(p[name] for p in parts) for name in parts[0]},
        "pixels_equal_to_loop": agreement,
        "covered_pixels": int((ours >= 0).sum()),
        "rounds": rounds,
    }
    for name, value in median.items():
        print(f"{name:24s} {value:8.1f} ms  {value / base:5.2f} x loop")
    for name, value in results["stages_milliseconds"].items():
        print(f"    {name:32s} {value:8.1f} ms")
    save_results("rasterizer_cost", results, options.out)


if __name__ == "__main__":
    main()
