"""One default for every shape: does tuning lambda and the step size for each shape alone pay?

    python -m benchmarks.one_default

Six shapes from a sphere, on one schedule (16 views, remeshing as the shape grows), each with every pair of a
grid of lambdas and step sizes around the defaults. The error is the symmetric mean distance to the true
surface, not the image loss: it is what the user of the mesh sees, and unlike the loss it does not reward
roughness that explains single pixels. The default should end within 10 % of the best of the grid.
"""

import argparse
import itertools
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.helpers.common import RESULTS, benchmark_mesh, save_results
from benchmarks.helpers.fitting import fit, pixel, quality, settings, start_sphere, targets_around
from bozzetto import Mesh
from bozzetto.inverse import OptimizeConfig

SHAPES = ("suzanne", "bob", "bunny", "skull", "planck", "nefertiti")
SMOOTHNESS_FACTORS = (0.5, 1.0, 2.0)
STEP_FACTORS = (0.5, 1.0, 2.0)


def schedule(steps: int, size: int) -> OptimizeConfig:
    """The defaults on the common schedule: remeshed four times, to edges of 1.4 pixels."""
    remesh_at = tuple(round(fraction * steps) for fraction in (0.13, 0.27, 0.47, 0.67))
    return OptimizeConfig(steps=steps, remesh_at=remesh_at, remesh_edge=1.4 * pixel(size))


def tune(target: Mesh, default: OptimizeConfig, options: argparse.Namespace) -> dict:
    """All pairs of the grid for one shape."""
    targets = targets_around(target, views=options.views, size=options.size)
    rows = []
    for smoothness, step in itertools.product(SMOOTHNESS_FACTORS, STEP_FACTORS):
        config = replace(
            default, smoothness=default.smoothness * smoothness, step_size=default.step_size * step
        )
        begin = time.perf_counter()
        mesh, losses = fit(targets, start_sphere(3), config)
        figures = {
            "loss": losses[-1],
            "seconds": round(time.perf_counter() - begin, 1),
            **quality(mesh, target),
        }
        rows.append({"smoothness": config.smoothness, "step_size": config.step_size, **figures})
        print("   ", {name: round(value, 5) for name, value in rows[-1].items()}, flush=True)
    ours = next(
        row
        for row in rows
        if row["smoothness"] == default.smoothness and row["step_size"] == default.step_size
    )
    best = min(rows, key=lambda row: row["mean_distance"])
    ratio = ours["mean_distance"] / best["mean_distance"]
    return {"ratio": ratio, "default": ours, "best": best, "rows": rows}


def main() -> None:
    """Run the grid for all shapes and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--views", type=int, default=16)
    parser.add_argument("--size", type=int, default=64, help="image width and height")
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES))
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    default, shapes = schedule(options.steps, options.size), {}
    for shape in options.shapes:
        print(shape, flush=True)
        shapes[shape] = tune(benchmark_mesh(shape), default, options)
        print(f"{shape}: default / best = {shapes[shape]['ratio']:.3f}", flush=True)
    worst = max(entry["ratio"] for entry in shapes.values())
    print(f"worst of all shapes: {worst:.3f}")
    scene = {"views": options.views, "size": options.size, "settings": settings(default)}
    save_results("one_default", {**scene, "worst_ratio": worst, "shapes": shapes}, options.out)


if __name__ == "__main__":
    main()
