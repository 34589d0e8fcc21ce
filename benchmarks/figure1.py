"""Figure 1 of Large Steps: Nefertiti from 25 views and a sphere, several ways of descent in equal time.

    python -m benchmarks.figure1

Ours (u-space, AdamUniform), once on the first sphere's connectivity (lambda 49) and once remeshed (lambda 8),
against Adam on the vertices without regularisation and with a bi-Laplacian penalty: the paper's weight and
step size (16 and 1e-2, kept to the end), weaker and stronger penalties, and for every one of them also the
falling step size that ours has. All start from a sphere of radius 0.5 and 10,242 vertices, the remeshed one
from 642. Everything renders with the same rasteriser. The methods take turns, step by step, until each has
spent the same seconds, so that a busy machine treats them alike.
"""

import argparse
from pathlib import Path

from benchmarks.helpers.common import RESULTS, benchmark_mesh, save_results
from benchmarks.helpers.fitting import (
    begin,
    mesh_strip,
    pixel,
    quality,
    settings,
    start_sphere,
    targets_around,
)
from bozzetto import Mesh
from bozzetto.inverse import Optimization, OptimizeConfig, Targets

ENDLESS = 1_000_000
WEIGHTS = (1.6, 16.0, 160.0)
FRONT = (-1.3, 0.6, -3.2)


def methods(targets: Targets, seconds: float) -> dict[str, Optimization]:
    """The compared settings, ready to go."""
    budget = dict(steps=ENDLESS, seconds=seconds)
    adam = dict(**budget, optimizer="adam", smoothness=0.0, step_size=1e-2)
    fine = start_sphere(5)
    # Edges of two pixels hold what the pictures show; finer ones leave room for folds.
    edge = 2 * pixel(targets.cameras.width)
    remeshed = OptimizeConfig(**budget, smoothness=8.0, remesh_at=(25, 50, 80, 110), remesh_edge=edge)
    runs = {
        "ours": begin(targets, fine, OptimizeConfig(**budget, smoothness=49.0)),
        "ours, remeshed": begin(targets, start_sphere(3), remeshed),
    }
    for schedule, final in (("", 1.0), (", falling", OptimizeConfig().final_step_size)):
        plain = OptimizeConfig(**adam, final_step_size=final)
        runs["unregularised" + schedule] = begin(targets, fine, plain)
        for weight in WEIGHTS:
            penalty = OptimizeConfig(
                **adam, final_step_size=final, regularizer="bilaplacian", regularizer_weight=weight
            )
            runs[f"bi-Laplacian {weight:g}{schedule}"] = begin(targets, fine, penalty)
    return runs


def take_turns(runs: dict[str, Optimization]) -> dict[str, list[float]]:
    """Step whichever has spent least until all budgets are used; their losses."""
    losses: dict[str, list[float]] = {name: [] for name in runs}
    while going := [name for name, run in runs.items() if run.progress < 1]:
        name = min(going, key=lambda name: runs[name].seconds_spent)
        losses[name].append(runs[name].step())
    return losses


def verdict(rows: dict[str, dict], ours: str) -> dict[str, dict]:
    """For each measure ours, the best baseline, and whether ours is ahead of (or level with) all of them."""
    baselines = {name: row for name, row in rows.items() if not name.startswith("ours")}
    result = {}
    for measure in ("mean_distance", "hausdorff", "flipped_faces", "self_intersecting_faces"):
        best = min(baselines, key=lambda name: baselines[name][measure])
        mine, theirs = rows[ours][measure], baselines[best][measure]
        outcome = "wins" if mine < theirs else "level" if mine == theirs else "loses"
        result[measure] = {"ours": mine, "best_baseline": best, "value": theirs, "outcome": outcome}
    return result


def main() -> None:
    """Run all methods and write figures and a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40, help="time of every method")
    parser.add_argument("--size", type=int, default=128, help="image width and height")
    parser.add_argument("--mesh", default="nefertiti")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    target = benchmark_mesh(options.mesh)
    runs = methods(targets_around(target, views=25, size=options.size), options.seconds)
    losses, rows = take_turns(runs), {}
    meshes: dict[str, Mesh] = {"target": target}
    for name, run in runs.items():
        meshes[name] = run.mesh
        count = len(losses[name])
        rows[name] = {"steps": count, "loss": losses[name][-1], **quality(run.mesh, target)}
        print(f"{name:28s}", {k: round(v, 5) for k, v in rows[name].items()}, flush=True)
        rows[name] |= {"settings": settings(run.config), "losses": losses[name][:: max(1, count // 100)]}
    verdicts = {name: verdict(rows, name) for name in rows if name.startswith("ours")}
    for name, measures in verdicts.items():
        for measure, facts in measures.items():
            print(f"{name:16s} {measure:24s}", facts)
    scene = {"mesh": options.mesh, "views": 25, "size": options.size, "seconds_each": options.seconds}
    save_results("figure1", {**scene, "verdicts": verdicts, "rows": rows}, options.out)
    mesh_strip(list(meshes.values()), options.out / "figure1.png", list(meshes), columns=5, eye=FRONT)


if __name__ == "__main__":
    main()
