"""Armadillo from an icosahedron with a remeshing schedule, as the paper's Figure 3 does with its dragon.

    python benchmarks/remeshing.py

Against the same number of vertices without remeshing: a sphere subdivided to the vertex count that the schedule
ends with, given the same steps. A picture per stage; closed and manifold at each.
"""

import argparse
import time
from pathlib import Path

from common import RESULTS, benchmark_mesh, save_results
from fitting import START_RADIUS, fit, quality, summary, targets_around

from bozzetto.geometry import is_manifold, is_watertight
from bozzetto.inverse import OptimizeConfig, optimize, studio_light
from bozzetto.render import mesh_strip
from bozzetto.shapes import Mesh, icosahedron, icosphere


def main() -> None:
    """Run the schedule and the comparison, write figures and the strip of stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--size", type=int, default=256, help="image width and height")
    parser.add_argument("--remesh-at", type=int, nargs="+", default=[50, 100, 175, 275, 450, 700, 1000])
    parser.add_argument("--mesh", default="armadillo")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    target = benchmark_mesh(options.mesh)
    targets = targets_around(target, size=options.size)
    config = OptimizeConfig(steps=options.steps, remesh_at=tuple(options.remesh_at))

    stages: dict[int, Mesh] = {}

    def keep(optimization, loss: float) -> None:
        # The state before each remeshing and at the end: what every stage arrived at.
        if optimization.steps_done in (*options.remesh_at, options.steps):
            stages[optimization.steps_done] = optimization.mesh

    start = icosahedron(START_RADIUS)
    begin = time.perf_counter()
    mesh = optimize(targets, start, studio_light(), config, on_step=keep)
    seconds = time.perf_counter() - begin
    rows = []
    for step, stage in stages.items():
        closed = is_watertight(stage.faces)
        manifold = is_manifold(stage.faces, len(stage.vertices))
        rows.append({"step": step, "closed": closed, "manifold": manifold, **quality(stage, target)})
        print(rows[-1], flush=True)
    plain_config = OptimizeConfig(steps=options.steps)
    plain = fit(targets, sphere_with(len(mesh.vertices)), plain_config)
    plain_row = summary(plain, plain_config, target)
    print("without remeshing:", plain_row, flush=True)
    mesh_strip(
        [start, *stages.values(), plain.mesh, target],
        options.out / "remeshing.png",
        ["start", *(f"step {step}" for step in stages), "same count, not remeshed", "target"],
    )
    save_results(
        "remeshing",
        {
            "mesh": options.mesh,
            "steps": options.steps,
            "size": options.size,
            "seconds": seconds,
            "stages": rows,
            "without_remeshing": plain_row,
        },
        options.out,
    )


def sphere_with(vertices: int) -> Mesh:
    """A sphere with at least this many vertices, as evenly spread as remeshing makes them."""
    from bozzetto.geometry import remesh

    sphere = icosphere(5, START_RADIUS)
    # Equilateral triangles: an area of sqrt(3)/4 h^2 each, two per vertex.
    area = 4 * 3.14159265 * START_RADIUS**2
    edge = (area / (2 * vertices) * 4 / 3**0.5) ** 0.5
    for _ in range(4):
        result = remesh(sphere, edge)
        if len(result.vertices) >= vertices:
            return result
        edge *= 0.97 * (len(result.vertices) / vertices) ** 0.5
    return result


if __name__ == "__main__":
    main()
