"""The paper's studies: six ways of descent, the number of views, and lambda, with plots.

    python -m benchmarks.studies.optimizer_study optimizers
    python -m benchmarks.studies.optimizer_study views
    python -m benchmarks.studies.optimizer_study smoothness

optimizers: gradient descent, momentum and Adam, each on the vertices x and on u, and AdamUniform on u.
views: 1 to 49 pictures; ours against Adam on x with a bi-Laplacian penalty.
smoothness: the paper's alpha from 0 to 0.999, that is lambda = alpha / (1 - alpha) from 0 to 999.

Everything keeps the connectivity of a sphere of 2,562 vertices and takes the same number of steps with a
falling step size. Each way, and each lambda, has the best step size of a scan, since units differ; step
sizes at the ends of a scan are marked in the result file.
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path

from benchmarks.helpers.common import RESULTS, benchmark_mesh, save_results
from benchmarks.helpers.fitting import fit, mesh_strip, quality, start_sphere, targets_around
from bozzetto import InputError, Mesh
from bozzetto.inverse import OptimizeConfig, Targets

SCANS = {
    "gradient_descent": {0.0: (3.0, 10.0, 30.0, 100.0), 19.0: (300.0, 1000.0, 3000.0, 10000.0)},
    "momentum": {0.0: (3.0, 10.0, 30.0, 100.0), 19.0: (300.0, 1000.0, 3000.0, 10000.0)},
    "adam": {0.0: (1e-3, 3e-3, 1e-2, 3e-2), 19.0: (1e-2, 3e-2, 1e-1, 3e-1)},
    "adam_uniform": {19.0: (0.2, 0.4, 0.8, 1.6)},
}
VIEWS = (1, 2, 4, 9, 16, 25, 49)
ALPHAS = (0.0, 0.25, 0.5, 0.75, 0.95, 0.98, 0.99, 0.999)
Rows, Meshes = dict[str, dict], dict[str, Mesh]


def best_of(
    label: str, targets: Targets, target: Mesh, config: OptimizeConfig, scan: tuple[float, ...]
) -> tuple[dict, Mesh]:
    """The fit with the best step size of a scan, by distance."""
    results = []
    for step_size in scan:
        try:
            mesh, losses = fit(targets, start_sphere(4), replace(config, step_size=step_size))
        except InputError:  # a step size at which the method diverges
            continue
        results.append(({"step_size": step_size, "losses": losses, **quality(mesh, target)}, mesh))
    if not results:
        raise SystemExit(f"{label}: every step size of {scan} diverged; put smaller ones into the scan")
    row, mesh = min(results, key=lambda result: result[0]["mean_distance"])
    row["at_end_of_scan"] = row["step_size"] in (scan[0], scan[-1])
    print(f"{label:24s}", {name: value for name, value in row.items() if name != "losses"}, flush=True)
    return row, mesh


def optimizers(options: argparse.Namespace, target: Mesh) -> tuple[Rows, Meshes]:
    """Every update rule on x and on u."""
    targets = targets_around(target, options.views, options.size)
    rows, meshes = {}, {}
    for name, spaces in SCANS.items():
        for smoothness, scan in spaces.items():
            label = f"{name.replace('_', ' ')} on {'u' if smoothness else 'x'}"
            config = OptimizeConfig(steps=options.steps, optimizer=name, smoothness=smoothness)
            rows[label], meshes[label] = best_of(label, targets, target, config, scan)
    return rows, meshes


def views(options: argparse.Namespace, target: Mesh) -> tuple[Rows, Meshes]:
    """1 to 49 pictures, ours against Adam with a bi-Laplacian penalty, same steps."""
    ours = OptimizeConfig(steps=options.steps, smoothness=19.0)
    penalised = OptimizeConfig(
        steps=options.steps,
        optimizer="adam",
        smoothness=0.0,
        regularizer="bilaplacian",
        regularizer_weight=2.1,
    )
    rows, meshes = {}, {}
    for count in VIEWS:
        targets = targets_around(target, count, options.size)
        for name, config, scan in (
            ("ours", ours, SCANS["adam_uniform"][19.0][:2]),
            ("bi-Laplacian", penalised, SCANS["adam"][0.0][1:3]),
        ):
            label = f"{name}, {count} views"
            rows[label], meshes[label] = best_of(label, targets, target, config, scan)
    return rows, meshes


def smoothness(options: argparse.Namespace, target: Mesh) -> tuple[Rows, Meshes]:
    """The paper's values of alpha, written as lambda."""
    targets = targets_around(target, options.views, options.size)
    rows, meshes = {}, {}
    for alpha in ALPHAS:
        value = alpha / (1 - alpha)
        label = f"lambda {value:.3g}"
        config = OptimizeConfig(steps=options.steps, smoothness=value)
        # Steps in u that move x alike grow with lambda.
        scan = tuple(math.sqrt(1 + value) * size for size in (0.01, 0.03, 0.1, 0.3))
        rows[label], meshes[label] = best_of(label, targets, target, config, scan)
    return rows, meshes


def plot(rows: Rows, path: Path) -> None:
    """Loss against steps, one line per row, and the final distances as bars."""
    from matplotlib import pyplot

    figure, (curves, bars) = pyplot.subplots(ncols=2, figsize=(11, 4.5), width_ratios=(3, 2), layout="tight")
    colors = pyplot.get_cmap("viridis" if len(rows) > 7 else "tab10")
    for number, (name, row) in enumerate(rows.items()):
        color = colors(number / len(rows) if len(rows) > 7 else number)
        dashed = "--" if name.startswith("bi-Laplacian") or name.endswith("on x") else "-"
        curves.semilogy(row["losses"], dashed, color=color, label=name, linewidth=1.2)
        bars.barh(name, row["mean_distance"], color=color)
    curves.set(xlabel="step", ylabel="L1 image loss")
    curves.legend(fontsize=7)
    bars.set(xscale="log", xlabel="symmetric mean distance (radius of the scene 1)")
    bars.xaxis.set_minor_formatter("")  # decades alone, or their labels overlap
    bars.invert_yaxis()
    bars.tick_params(axis="y", labelsize=7)
    figure.savefig(path, dpi=100)


STUDIES = {"optimizers": optimizers, "views": views, "smoothness": smoothness}


def main() -> None:
    """Run one study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--mesh", default=None, help="default: suzanne for smoothness, bunny otherwise")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--views", type=int, default=16, help="pictures, where their number is not studied")
    parser.add_argument("--size", type=int, default=64, help="image width and height")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    name = options.mesh or ("suzanne" if options.study == "smoothness" else "bunny")
    target = benchmark_mesh(name)
    rows, meshes = STUDIES[options.study](options, target)
    title = f"study_{options.study}"
    thinned = {label: {**row, "losses": row["losses"][::10]} for label, row in rows.items()}
    scene = {"mesh": name, "views": options.views, "size": options.size, "steps": options.steps}
    save_results(title, {**scene, "rows": thinned}, options.out)
    plot(rows, options.out / f"{title}.png")
    pictures = {**meshes, "target": target}
    mesh_strip(
        list(pictures.values()), options.out / f"{title}_meshes.png", list(pictures), columns=8, size=180
    )


if __name__ == "__main__":
    main()
