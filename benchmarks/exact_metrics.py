"""Exact 1-NNA, COV and MMD by Chamfer and earth mover's distance: time and assignments solved.

    python -m benchmarks.exact_metrics                       # 300 against 300 clouds of 1024 points
    python -m benchmarks.exact_metrics --clouds 60 --points 512 --check 200

Clouds are drawn on the surfaces of a procedural family of chairs (seat, back and four legs of random sizes),
or with `--chairs` from the voxel chairs in BOZZETTO_DATA, scaled to [-1, 1] each. Both sets come from the same
law, so that the right 1-NNA is one half. Beside it: one assignment by SciPy, for what all pairs would take.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from benchmarks.helpers.common import RESULTS, data_folder, save_results
from bozzetto.metrics import evaluate_generation, solve_assignments
from bozzetto.metrics.earth_mover import distances
from bozzetto.runs.folder import as_json
from bozzetto.shapes import box, join, sample_surface


def procedural_chair(points: int, generator: torch.Generator) -> torch.Tensor:
    """Points on a chair of random proportions."""
    width, depth, height, leg, thick = (0.3 + 0.7 * torch.rand(5, generator=generator)).tolist()
    bar = 0.05 + 0.1 * thick
    parts = [((width, depth, bar), (0.0, 0.0, 0.0)), ((width, bar, height), (0.0, depth / 2, height / 2))]
    for x in (-1, 1):
        for y in (-1, 1):
            parts.append(((bar, bar, leg), (x * (width - bar) / 2, y * (depth - bar) / 2, -leg / 2)))
    unit = box(1.0)
    mesh = join(
        [unit.with_vertices(unit.vertices * torch.tensor(size) + torch.tensor(at)) for size, at in parts]
    )
    return sample_surface(mesh, points, generator)[0]


def voxel_chairs(count: int, points: int, generator: torch.Generator) -> torch.Tensor:
    """Points in the occupied voxels of scanned-in chairs, in random order of the chairs."""
    stored = np.load(data_folder("points") / "modelnet10_chairs.npz")
    grids = np.unpackbits(stored["bits"], axis=1).reshape(stored["shape"])
    filled = [i for i in range(len(grids)) if grids[i].any()]
    clouds = []
    for k in torch.randperm(len(filled), generator=generator)[:count].tolist():
        cells = torch.from_numpy(np.argwhere(grids[filled[k]])).float()
        chosen = torch.randint(len(cells), (points,), generator=generator)
        clouds.append(cells[chosen] + torch.rand(points, 3, generator=generator))
    return torch.stack(clouds)


def scipy_seconds(clouds: torch.Tensor, pairs: int = 3) -> float:
    """Seconds of one assignment by SciPy, its costs given."""
    costs = distances(clouds[:pairs], clouds[pairs : 2 * pairs]).double().numpy()
    begin = time.perf_counter()
    for matrix in costs:
        linear_sum_assignment(matrix)
    return (time.perf_counter() - begin) / pairs


def check(clouds: torch.Tensor, pairs: int, generator: torch.Generator) -> dict:
    """Our solver against SciPy's on random pairs: largest difference, and its own time."""
    i, j = torch.randint(len(clouds), (2, pairs), generator=generator)
    costs = distances(clouds[i], clouds[j])
    begin = time.perf_counter()
    ours = solve_assignments(costs)
    seconds = time.perf_counter() - begin
    theirs = []
    for matrix in costs.double().numpy():
        row, column = linear_sum_assignment(matrix)
        theirs.append(matrix[row, column].mean())
    expected = torch.tensor(theirs)
    different = ((ours.upper - expected).abs() / expected.clamp(min=1e-12))[i != j].max()
    gap = ((ours.upper - ours.lower) / ours.upper.clamp(min=1e-12))[i != j].max()
    return {
        "pairs": pairs,
        "largest_relative_difference": float(different),
        "largest_relative_gap": float(gap),
        "seconds_each": seconds / pairs,
    }


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clouds", type=int, default=300, help="in each of both sets")
    parser.add_argument("--points", type=int, default=1024)
    parser.add_argument("--chairs", action="store_true", help="the voxel chairs instead of procedural ones")
    parser.add_argument("--check", type=int, default=20, help="pairs to compare with SciPy")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(options.seed)
    total = 2 * options.clouds
    if options.chairs:
        clouds = voxel_chairs(total, options.points, generator)
    else:
        clouds = torch.stack([procedural_chair(options.points, generator) for _ in range(total)])
    pred, ref = clouds[: options.clouds], clouds[options.clouds :]
    stages: dict[str, float] = {}

    def note(stage: str, share: float) -> None:
        stages.setdefault(stage, time.perf_counter())

    begin, used = time.perf_counter(), time.process_time()
    scores = evaluate_generation(pred, ref, "shapegf", seed=options.seed, progress=note)
    end, used = time.perf_counter(), time.process_time() - used
    names = list(stages)
    marks = [*stages.values(), end]
    seconds = {name: round(marks[k + 1] - marks[k], 1) for k, name in enumerate(names)}
    alone = scipy_seconds(clouds)
    results = {
        "family": "voxel chairs" if options.chairs else "procedural chairs",
        "clouds": [options.clouds, options.clouds],
        "points": options.points,
        "scoring_seconds": round(end - begin, 1),
        "processor_seconds": round(used, 1),
        "seconds_by_stage": seconds,
        "scipy_seconds_each": round(alone, 4),
        "scipy_hours_for_all_pairs_on_one_core": round(alone * scores.search.pairs / 3600, 2),
        "share_of_pairs_solved": round(scores.search.solved / scores.search.pairs, 4),
        "scores": scores,
        "against_scipy": check(clouds, options.check, generator),
    }
    results = as_json(results)
    for key, value in results.items():
        print(f"{key}: {value}")
    save_results("exact_metrics", results, options.out)


if __name__ == "__main__":
    main()
