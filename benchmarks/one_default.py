"""One default for every shape: does tuning lambda and the step size for each shape alone pay?

    python benchmarks/one_default.py

Six shapes from a sphere and 25 views, each once with the defaults and once with every pair of a grid of
lambdas and step sizes around them. The default should end within 10 % of the best of the grid.
"""

import argparse
import itertools
from dataclasses import replace
from pathlib import Path

from common import RESULTS, benchmark_mesh, save_results
from fitting import fit, start_sphere, summary, targets_around

from bozzetto.inverse import OptimizeConfig

SHAPES = ("suzanne", "bob", "bunny", "skull", "planck", "nefertiti")
LAMBDAS = (5.0, 10.0, 19.0, 49.0, 99.0)
STEP_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


def main() -> None:
    """Run the grid for all shapes and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--size", type=int, default=128, help="image width and height")
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES))
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    default = OptimizeConfig(steps=options.steps)
    shapes = {}
    for shape in options.shapes:
        target = benchmark_mesh(shape)
        targets = targets_around(target, size=options.size)
        rows = []
        for smoothness, factor in itertools.product(LAMBDAS, STEP_FACTORS):
            config = replace(default, smoothness=smoothness, step_size=default.step_size * factor)
            rows.append(summary(fit(targets, start_sphere(), config), config, target))
            print(
                f"{shape:10s} lambda {smoothness:<5g} step {config.step_size:<8g}"
                f" distance {rows[-1]['mean_distance']:.5f}",
                flush=True,
            )
        at_default = next(row for row in rows if row["settings"] == {"steps": options.steps})
        best = min(rows, key=lambda row: row["mean_distance"])
        shapes[shape] = {
            "default": at_default["mean_distance"],
            "best": best["mean_distance"],
            "best_settings": best["settings"],
            "ratio": at_default["mean_distance"] / best["mean_distance"],
            "rows": rows,
        }
        print(f"{shape:10s} default / best = {shapes[shape]['ratio']:.3f}", flush=True)
    worst = max(entry["ratio"] for entry in shapes.values())
    save_results(
        "one_default",
        {"steps": options.steps, "size": options.size, "worst_ratio": worst, "shapes": shapes},
        options.out,
    )


if __name__ == "__main__":
    main()
