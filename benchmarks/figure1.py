"""Figure 1 of Large Steps: Nefertiti from 25 views and a sphere, three ways of descent in equal time.

    python benchmarks/figure1.py --seconds 120

Ours (u-space, AdamUniform, once without and once with one remeshing) against Adam on the vertices without
regularisation and with a bi-Laplacian penalty, the paper's weight (16) and weaker and stronger ones, since our
scene is scaled to radius 1. Every method renders with the same rasteriser and gets the same seconds.
"""

import argparse
from pathlib import Path

import torch
from common import RESULTS, benchmark_mesh, save_results
from fitting import fit, start_sphere, summary, targets_around

from bozzetto.inverse import OptimizeConfig
from bozzetto.render import mesh_strip


def methods(seconds: float) -> dict[str, OptimizeConfig]:
    """The compared settings; the baselines use the paper's optimiser and step size."""
    endless = 1_000_000
    baseline = dict(
        steps=endless, seconds=seconds, optimizer="adam", smoothness=0.0, step_size=1e-2, final_step_size=1.0
    )
    ours = dict(steps=endless, seconds=seconds)
    rows = {
        "ours": OptimizeConfig(**ours),
        "ours, remeshed": OptimizeConfig(**ours, remesh_at=(150,)),
        "no regularisation": OptimizeConfig(**baseline),
    }
    for weight in (0.16, 1.6, 16.0, 160.0):
        rows[f"bi-Laplacian {weight:g}"] = OptimizeConfig(
            **baseline, regularizer="bilaplacian", regularizer_weight=weight
        )
    return rows


def main() -> None:
    """Run all methods and write figures and a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="time of every method")
    parser.add_argument("--size", type=int, default=256, help="image width and height")
    parser.add_argument("--mesh", default="nefertiti")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    target = benchmark_mesh(options.mesh)
    targets = targets_around(target, views=25, size=options.size)
    rows, meshes = {}, {}
    for name, config in methods(options.seconds).items():
        torch.manual_seed(0)
        result = fit(targets, start_sphere(6), config)
        rows[name] = summary(result, config, target)
        meshes[name] = result.mesh
        print(f"{name:24s}", {k: v for k, v in rows[name].items() if k != "settings"}, flush=True)
    save_results(
        "figure1", {"mesh": options.mesh, "views": 25, "size": options.size, "rows": rows}, options.out
    )
    mesh_strip([target, *meshes.values()], options.out / "figure1.png", ["target", *meshes])


if __name__ == "__main__":
    main()
