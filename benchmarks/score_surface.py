"""Meshes of clouds, and rays through their fields, against the true surface and screened Poisson.

    BOZZETTO_DATA=... python benchmarks/score_surface.py

Procedural solids that nothing was trained on. `sheet` tells whether a mesh is watertight and consistently
wound, which doubled sheets with rims are not, and `crossings` on how many random lines it separates inside from
outside as often as the truth. F-scores are at 1 % of the radius, with normals of our own and with those given;
screened Poisson gets the latter. False hits are rays that end farther than 2 % of the radius from the surface.
"""

import argparse

import torch
from common import save_results
from screened_poisson import screened_poisson

from bozzetto.geometry import closest_points, implicit, is_consistently_wound, is_watertight, signed_distance
from bozzetto.metrics import evaluate_surface
from bozzetto.score import CloudField, cast_rays, surface
from bozzetto.score.fit_training import training_shape
from bozzetto.shapes import Mesh, PointCloud

FIRST = 900_000
SIDE = 128


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


def main() -> None:
    """All shapes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shapes", type=int, default=6)
    options = parser.parse_args()
    rows = {}
    for seed in range(FIRST, FIRST + options.shapes):
        points, distance = training_shape(seed)
        x = points.clone().requires_grad_()
        (slope,) = torch.autograd.grad(distance(x).sum(), x)
        normals = torch.nn.functional.normalize(slope, dim=1)
        truth = implicit.surface(distance, (-1.05,) * 3, (1.05,) * 3, 2.1 / SIDE)
        own = surface(PointCloud(points), noise=0, ends="closed")
        given = surface(PointCloud(points, normals), noise=0, ends="closed")
        poisson = screened_poisson(points, normals, SIDE)
        made = {"own": own, "given": given, "poisson": poisson}
        row: dict = {"points": len(points)}
        for name, mesh in made.items():
            sheet = is_watertight(mesh.faces) and is_consistently_wound(mesh.faces)
            score = evaluate_surface(mesh, truth, 10_000).f_score
            row[name] = {"sheet": sheet, "crossings": same_crossings(mesh, truth), "f_score": score}
        origins, directions = rays(2000)
        hits = cast_rays(CloudField(points, 1.5 * (6 / len(points)) ** 0.5), origins, directions, 2.4)
        away = closest_points(truth, hits.points[hits.hit])[0]
        row["rays"] = {"hits": int(hits.hit.sum()), "false": float((away > 0.02).float().mean())}
        rows[seed] = row
        print(seed, row, flush=True)
    save_results("score_surface", {"shapes": rows})


if __name__ == "__main__":
    main()
