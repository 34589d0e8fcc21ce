"""The paper's studies: six optimisers, the number of views, and lambda, with plots.

    python benchmarks/optimizer_study.py optimizers
    python benchmarks/optimizer_study.py views
    python benchmarks/optimizer_study.py smoothness

optimizers: gradient descent, momentum and Adam, each on the vertices x and on u, and AdamUniform on u; every one
with the best step size of a scan, since their units differ. views: 1 to 49 views. smoothness: the paper's alpha
0 to 0.999, that is lambda = alpha / (1 - alpha) from 0 to 999.
"""

import argparse
from pathlib import Path

from common import RESULTS, benchmark_mesh, save_results
from fitting import Fit, quality, start_sphere, targets_around

from bozzetto.inverse import OptimizeConfig, optimize, studio_light
from bozzetto.render import mesh_strip

SCANS = {
    "gradient_descent": (1e1, 1e2, 1e3, 1e4),
    "momentum": (1e0, 1e1, 1e2, 1e3),
    "adam": (1e-3, 3e-3, 1e-2, 3e-2),
    "adam_uniform": (3e-3, 1e-2, 3e-2),
}


def run(targets, target, config: OptimizeConfig) -> tuple[dict, Fit]:
    """One fit with its loss curve."""
    losses: list[float] = []
    mesh = optimize(
        targets, start_sphere(), studio_light(), config, on_step=lambda _, loss: losses.append(loss)
    )
    row = {"losses": losses, **quality(mesh, target)}
    return row, Fit(mesh, losses[-1], len(losses), 0.0)


def optimizers(options, target) -> tuple[dict, dict]:
    """Best of a scan of step sizes for each optimiser and space."""
    targets = targets_around(target, size=options.size)
    rows, meshes = {}, {}
    for name, scan in SCANS.items():
        for smoothness in (0.0, 19.0):
            if name == "adam_uniform" and smoothness == 0:
                continue
            label = f"{name.replace('_', ' ')} on {'u' if smoothness else 'x'}"
            for step in scan:
                config = OptimizeConfig(
                    steps=options.steps,
                    optimizer=name,
                    smoothness=smoothness,
                    step_size=step,
                    final_step_size=1.0,
                )
                try:
                    row, result = run(targets, target, config)
                except ValueError as error:  # a step size at which the method diverges
                    print(f"{label:24s} step {step:g}: {error}")
                    continue
                if label not in rows or row["mean_distance"] < rows[label]["mean_distance"]:
                    rows[label], meshes[label] = {"step_size": step, **row}, result.mesh
            print(f"{label:24s}", short(rows[label]), flush=True)
    return rows, meshes


def views(options, target) -> tuple[dict, dict]:
    """1 to 49 views, ours against Adam with a bi-Laplacian penalty, same steps."""
    rows, meshes = {}, {}
    ours = OptimizeConfig(steps=options.steps)
    penalised = OptimizeConfig(
        steps=options.steps,
        optimizer="adam",
        smoothness=0.0,
        step_size=1e-2,
        final_step_size=1.0,
        regularizer="bilaplacian",
        regularizer_weight=2.1,
    )
    for count in (1, 2, 4, 9, 16, 25, 49):
        targets = targets_around(target, views=count, size=options.size)
        for name, config in (("ours", ours), ("bi-Laplacian", penalised)):
            label = f"{name}, {count} views"
            rows[label], result = run(targets, target, config)
            meshes[label] = result.mesh
            print(f"{label:24s}", short(rows[label]), flush=True)
    return rows, meshes


def smoothness(options, target) -> tuple[dict, dict]:
    """The paper's values of alpha, written as lambda."""
    targets = targets_around(target, size=options.size)
    rows, meshes = {}, {}
    for alpha in (0.0, 0.25, 0.5, 0.75, 0.95, 0.98, 0.99, 0.999):
        value = alpha / (1 - alpha)
        label = f"lambda {value:.3g}"
        rows[label], result = run(targets, target, OptimizeConfig(steps=options.steps, smoothness=value))
        meshes[label] = result.mesh
        print(f"{label:24s}", short(rows[label]), flush=True)
    return rows, meshes


def short(row: dict) -> dict:
    """A row without its curve, for the terminal."""
    return {name: value for name, value in row.items() if name != "losses"}


def plot(rows: dict, path: Path) -> None:
    """Loss against steps, one line per row."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5))
    for name, row in rows.items():
        axes.semilogy(row["losses"], label=f"{name}: distance {row['mean_distance']:.2e}")
    axes.set(xlabel="step", ylabel="L1 image loss")
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=120, bbox_inches="tight")


STUDIES = {"optimizers": optimizers, "views": views, "smoothness": smoothness}


def main() -> None:
    """Run one study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--mesh", default=None, help="default: suzanne for smoothness, bunny otherwise")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--size", type=int, default=128, help="image width and height")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    name = options.mesh or ("suzanne" if options.study == "smoothness" else "bunny")
    target = benchmark_mesh(name)
    rows, meshes = STUDIES[options.study](options, target)
    save_results(
        f"study_{options.study}",
        {
            "mesh": name,
            "steps": options.steps,
            "size": options.size,
            "rows": {k: short(v) for k, v in rows.items()},
        },
        options.out,
    )
    plot(rows, options.out / f"study_{options.study}.png")
    mesh_strip(
        [target, *meshes.values()], options.out / f"study_{options.study}_meshes.png", ["target", *meshes]
    )


if __name__ == "__main__":
    main()
