"""Solvers of the preconditioner where the connectivity changes every few steps, as in continuous remeshing.

    python -m benchmarks.changing_connectivity

Between two remeshings lie 8 steps with two solves each, for three coordinates. The direct solver factorises
once for them; conjugate gradients need no factorisation and start from the solution before. Right-hand sides
are a gradient that changes slowly: a smooth field, noise, and more noise at every step. Medians of five; the
error is the largest difference to the direct solution, as a fraction of its largest value.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch

from benchmarks.helpers.common import RESULTS, save_results
from bozzetto.geometry import Solver, factorise, laplacian
from bozzetto.shapes import icosphere

STEPS, REPEATS = 8, 5
WAYS = {"direct": ("direct", 1e-6), "cg to 1e-6": ("cg", 1e-6), "cg to 1e-3": ("cg", 1e-3)}


def system(subdivisions: int, smoothness: float) -> torch.Tensor:
    """I + lambda L of a sphere."""
    sphere = icosphere(subdivisions)
    count = len(sphere.vertices)
    graph = laplacian(sphere.faces, count)
    diagonal = torch.arange(count)
    unit = torch.sparse_coo_tensor(torch.stack([diagonal, diagonal]), torch.ones(count), (count, count))
    return (unit + smoothness * graph).coalesce().float()


def gradients(count: int) -> list[torch.Tensor]:
    """Right-hand sides of the steps of one interval."""
    generator = torch.Generator().manual_seed(0)
    kept = torch.linspace(-1, 1, count)[:, None].expand(count, 3) + torch.randn(count, 3, generator=generator)
    return [kept + 0.3 * torch.randn(count, 3, generator=generator) for _ in range(STEPS)]


def interval(matrix: torch.Tensor, method: str, tolerance: float) -> tuple[float, float, torch.Tensor]:
    """Seconds of the preparation and of all solves, and the last solution."""
    begin = time.perf_counter()
    solver: Solver = factorise(matrix, method, tolerance)
    prepared = time.perf_counter()
    for gradient in gradients(len(matrix)):
        solution = solver(solver(gradient, adjoint=True))
    return prepared - begin, time.perf_counter() - prepared, solution


def main() -> None:
    """Measure all solvers on spheres of several sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows = []
    for subdivisions in (4, 5, 6):
        for smoothness in (2.0, 19.0):
            matrix = system(subdivisions, smoothness)
            runs: dict[str, list] = {name: [] for name in WAYS}
            for _ in range(REPEATS):
                for name, way in WAYS.items():
                    runs[name].append(interval(matrix, *way))
            exact = runs["direct"][-1][2]
            row: dict = {"vertices": len(matrix), "lambda": smoothness}
            for name, results in runs.items():
                row[name] = {
                    "prepare_seconds": round(statistics.median(r[0] for r in results), 5),
                    "solve_seconds": round(statistics.median(r[1] for r in results), 5),
                    "error": float((results[-1][2] - exact).abs().max() / exact.abs().max()),
                }
            rows.append(row)
            print(row, flush=True)
    save_results("changing_connectivity", {"steps": STEPS, "rows": rows}, options.out)


if __name__ == "__main__":
    main()
