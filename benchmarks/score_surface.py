"""Meshes of clouds, and rays through their fields, against the true surface and screened Poisson.

    BOZZETTO_DATA=... python -m benchmarks.score_surface

Procedural solids that no network was trained on, 1,500 to 8,000 points of each. `sheet` tells whether a mesh is
watertight and consistently wound, which doubled sheets with rims are not, and `crossings` on how many random
lines it separates inside from outside as often as the truth. F-scores are at 1 % of the radius: `own` with
normals that we find ourselves, `given` with exact ones, and screened Poisson with the same points and the same
normals as either. Seconds are of the processor.

Rays are cast through the field of 20,000 points. A false hit is one farther than 2 % of the radius from the
surface; a miss is a ray that the surface stops, by sphere tracing of the exact distance, and that goes on for
more than 5 % of the radius.
"""

import argparse
import time

import torch

from benchmarks.helpers.common import save_results
from bozzetto.geometry import (
    implicit,
    is_consistently_wound,
    is_watertight,
    largest_component,
    screened_poisson,
    signed_distance,
)
from bozzetto.metrics import evaluate
from bozzetto.points import surface
from bozzetto.points.fit_training import training_shape
from bozzetto.points.orient import outward_normals
from bozzetto.score import CloudField, cast_rays
from bozzetto.shapes import Mesh, PointCloud

FIRST = 900_000
SIDE = 128  # of the grid that the truth is extracted on
POISSON = 96
DENSE = 20_000


def rays(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random lines through the unit ball, from outside."""
    draw = torch.Generator().manual_seed(0)
    ends = torch.nn.functional.normalize(torch.randn(2, count, 3, generator=draw), dim=2) * 1.1
    return ends[0], torch.nn.functional.normalize(ends[1] - ends[0], dim=1)


def crossings(inside: torch.Tensor) -> torch.Tensor:
    """Changes along the samples of each line."""
    return (inside[:, 1:] != inside[:, :-1]).sum(dim=1)


def same_crossings(mesh: Mesh, truth: Mesh) -> float:
    """Share of random lines that cross two surfaces equally often, by 100 places on each."""
    origins, directions = rays(300)
    places = origins[:, None] + torch.linspace(0, 2.2, 100)[:, None] * directions[:, None]
    inside = [(signed_distance(m, places.reshape(-1, 3)) < 0).view(300, 100) for m in (mesh, truth)]
    return float((crossings(inside[0]) == crossings(inside[1])).float().mean())


def first_hits(distance, origins: torch.Tensor, directions: torch.Tensor, reach: float) -> torch.Tensor:
    """Depths at which rays meet a surface, infinite where they do not, by sphere tracing."""
    depth = torch.zeros(len(origins))
    for _ in range(400):
        depth = depth + 0.7 * distance(origins + depth[:, None] * directions).clamp(min=0)
    left = distance(origins + depth[:, None] * directions)
    return torch.where((left < 2e-3) & (depth < reach), depth, torch.inf)


def family_of(seed: int) -> str:
    """Chairs of boxes and unions of round parts take turns."""
    return "chair" if seed % 2 else "blob"


def ray_figures(seed: int) -> dict:
    """How often rays through the field of a dense cloud end where there is nothing, or pass the surface."""
    points, distance = training_shape(seed, DENSE, family_of(seed))
    origins, directions = rays(2000)
    with torch.no_grad():
        field = CloudField(points, 1.5 * (6 / DENSE) ** 0.5)
        hits = cast_rays(field, origins, directions, 2.4)
        truth = first_hits(distance, origins, directions, 2.4)
        false = distance(hits.points).abs()[hits.hit] > 0.02
        stopped = torch.isfinite(truth)
        missed = stopped & ~(hits.depth <= truth + 0.05)
    return {
        "rays": len(origins),
        "hits": int(hits.hit.sum()),
        "false": int(false.sum()),
        "true": int(stopped.sum()),
        "missed": int(missed.sum()),
    }


def mesh_figures(seed: int) -> dict:
    """Ours and Poisson's meshes of one shape."""
    points, distance = training_shape(seed, family=family_of(seed))
    x = points.clone().requires_grad_()
    (slope,) = torch.autograd.grad(distance(x).sum(), x)
    exact = torch.nn.functional.normalize(slope, dim=1)
    truth = implicit.zero_set(distance, (-1.05,) * 3, (1.05,) * 3, 2.1 / SIDE)
    found = outward_normals(points)
    ways = {
        "own": lambda: surface(PointCloud(points), noise=0, boundary="closed"),
        "poisson, own": lambda: largest_component(screened_poisson(points, found, POISSON)),
        "given": lambda: surface(PointCloud(points, exact), noise=0, boundary="closed"),
        "poisson, given": lambda: largest_component(screened_poisson(points, exact, POISSON)),
    }
    row: dict = {"points": len(points)}
    for name, make in ways.items():
        began = time.process_time()
        mesh = make()
        seconds = time.process_time() - began
        row[name] = {
            "sheet": is_watertight(mesh.faces) and is_consistently_wound(mesh.faces),
            "crossings": same_crossings(mesh, truth),
            "f_score": evaluate(mesh, truth, 10_000).f_score,
            "seconds": seconds,
        }
    return row


def single_sheets(first: int, count: int) -> dict[str, int]:
    """How many closed meshes of some shapes, from points alone, are one sheet."""
    good = 0
    for seed in range(first, first + count):
        mesh = surface(
            PointCloud(training_shape(seed, family=family_of(seed))[0]), noise=0, boundary="closed"
        )
        good += is_watertight(mesh.faces) and is_consistently_wound(mesh.faces)
    return {"meshes": count, "single_sheet": good}


def main() -> None:
    """All shapes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shapes", type=int, default=10)
    parser.add_argument("--ray-shapes", type=int, default=10)
    parser.add_argument("--sheets", type=int, default=100, help="shapes whose meshes are only checked")
    options = parser.parse_args()
    meshes, cast = {}, {}
    for seed in range(FIRST, FIRST + options.ray_shapes):
        cast[seed] = ray_figures(seed)
        print(seed, cast[seed], flush=True)
    for seed in range(FIRST + 10, FIRST + 10 + options.shapes):  # the first ten served to choose settings
        meshes[seed] = mesh_figures(seed)
        print(seed, meshes[seed], flush=True)
    total = {
        key: sum(row[key] for row in cast.values()) for key in ("rays", "hits", "false", "true", "missed")
    }
    names = [name for name in next(iter(meshes.values()), {}) if name != "points"]
    mean = {
        name: {
            key: sum(float(row[name][key]) for row in meshes.values()) / len(meshes)
            for key in ("sheet", "crossings", "f_score", "seconds")
        }
        for name in names
    }
    sheets = single_sheets(FIRST + 1000, options.sheets)
    print(total, mean, sheets)
    results = {"rays": total, "mean": mean, "sheets": sheets, "ray_shapes": cast, "shapes": meshes}
    save_results("score_surface", results)


if __name__ == "__main__":
    main()
