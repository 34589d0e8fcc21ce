"""Armadillo from an icosahedron with a remeshing schedule, as the paper's Figure 3 does with its dragon.

    python -m benchmarks.remeshing

Every remeshing halves the mean edge length. Against a fit without: an even sphere of at least as many
vertices as the schedule ends with, given the same steps (which take longer, because it is fine from the
start), with the default lambda and with the paper's. A picture per stage; closed and manifold at each.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.helpers.common import RESULTS, benchmark_mesh, save_results
from benchmarks.helpers.fitting import START_RADIUS, fit, mesh_strip, quality, start_sphere, targets_around
from bozzetto import Mesh
from bozzetto.geometry import is_manifold, is_watertight, remesh
from bozzetto.inverse import Optimization, OptimizeConfig, Targets
from bozzetto.shapes import icosahedron

PAPER_LAMBDA = 19.0
FRONT = (-1.1, 0.5, -3.3)


def staged(targets: Targets, config: OptimizeConfig) -> dict[str, Mesh]:
    """What every stage of the schedule arrives at: the mesh before each remeshing and at the end."""
    stages = {"start": icosahedron(START_RADIUS)}

    def keep(optimization: Optimization) -> None:
        if optimization.steps_done in (*config.remesh_at, config.steps):
            stages[f"step {optimization.steps_done}"] = optimization.mesh

    fit(targets, stages["start"], config, keep)
    return stages


def sphere_with(count: int) -> Mesh:
    """A sphere of at least this many vertices, nearly equilateral like the remesher's results."""
    # Each vertex has two faces of area sqrt(3)/4 edge^2 to itself.
    edge = START_RADIUS * (8 * 3.1416 / (3**0.5 * count)) ** 0.5
    while len((sphere := remesh(start_sphere(5), edge, tolerance=None)).vertices) < count:
        edge *= 0.97
    return sphere


def timed(function, *arguments):
    """The result and the seconds it took."""
    begin = time.perf_counter()
    return function(*arguments), round(time.perf_counter() - begin, 1)


def main() -> None:
    """Run the schedule and the comparison, write figures and the strip of stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--size", type=int, default=128, help="image width and height")
    parser.add_argument("--remesh-at", type=int, nargs="+", default=[20, 40, 70, 110, 160])
    parser.add_argument("--mesh", default="armadillo")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    target = benchmark_mesh(options.mesh)
    targets = targets_around(target, size=options.size)
    config = OptimizeConfig(steps=options.steps, remesh_at=tuple(options.remesh_at))
    stages, seconds = timed(staged, targets, config)
    rows = {}
    for name, mesh in stages.items():
        sound = {"closed": is_watertight(mesh.faces), "manifold": is_manifold(mesh.faces, len(mesh.vertices))}
        rows[name] = sound | quality(mesh, target)
        print(f"{name:10s}", rows[name], flush=True)
    pictures, fixed = dict(stages), {}
    sphere = sphere_with(len(mesh.vertices))
    for smoothness in (config.smoothness, PAPER_LAMBDA):
        plain = replace(config, remesh_at=(), smoothness=smoothness)
        (result, _), duration = timed(fit, targets, sphere, plain)
        name = f"not remeshed, lambda {smoothness:g}"
        fixed[name] = {"seconds": duration, **quality(result, target)}
        pictures[name] = result
        print(f"{name:10s}", fixed[name], flush=True)
    pictures["target"] = target
    scene = {"mesh": options.mesh, "views": len(targets), "size": options.size, "steps": options.steps}
    results = {**scene, "optimisation_seconds": seconds, "stages": rows, "without_remeshing": fixed}
    save_results("remeshing", results, options.out)
    mesh_strip(list(pictures.values()), options.out / "remeshing.png", list(pictures), columns=6, eye=FRONT)


if __name__ == "__main__":
    main()
