"""Whether priors know their family: members and strangers, ends of interpolations, inventions.

    python -m benchmarks.families --members 20 --meshes 8

Held-out bodies, turned, scaled and moved, as whole clouds, random parts, noisy clouds and depth views, and
other shapes are given to the shipped prior over bodies; whole clouds and parts to the shipped model of clouds.
Codes of held-out meshes by `fit_mesh` are compared with a direct fit in the prior's own frame, by the mean
distance of the true surface from that of the code. Inventions of both are counted that are closed and of one
piece, and of the model of clouds also those that it recognises without a second draw; variety is the mean
distance of a cloud to its nearest other.
"""

import argparse
import math
import statistics

import numpy as np
import torch

from benchmarks.completion import depth_view
from benchmarks.helpers.common import benchmark_mesh, save_part
from benchmarks.helpers.shape_families import Family
from bozzetto import Mesh
from bozzetto.datasets.synthetic.solids import chairs
from bozzetto.geometry import is_one_solid
from bozzetto.score import encode, fit_limits, fit_of, invented_codes, load_cloud_prior, points_of
from bozzetto.score.data import cropped_clouds
from bozzetto.score.sample import least_likeness, recognised, sample_meshes
from bozzetto.sdf import (
    CompleteConfig,
    Observations,
    family_width,
    fit_code,
    fit_mesh,
    load_prior,
    observe_mesh,
    observe_points,
    prepare_shape,
)
from bozzetto.sdf.complete import solve_scan
from bozzetto.sdf.sample import sample
from bozzetto.shapes import PointCloud, Similarity, box, sample_surface
from bozzetto.shapes.similarity import rotation_about
from bozzetto.weights import find

KINDS = ("part", "noisy", "whole", "part", "depth")
MESHES = ("spot", "horse", "armadillo", "bunny", "lucy", "suzanne")


def scan_of(mesh: Mesh, kind: str, seed: int) -> Observations:
    """A scan in a random pose: turned about the upright axis, tilted by up to 6 degrees, of any unit."""
    generator = torch.Generator().manual_seed(seed)
    a, b, c, d, e = torch.rand(5, generator=generator, dtype=torch.float64).tolist()
    if kind == "depth":
        return depth_view(mesh, 2 * math.pi * a)
    points = sample_surface(mesh, 4000, generator)[0]
    if kind == "part":
        height = points @ torch.randn(3, generator=generator)
        points = points[height.argsort()[: int(len(points) * (0.35 + 0.55 * b))]]
    if kind == "noisy":
        size = float((mesh.bounds[1] - mesh.bounds[0]).norm())
        points = points + (0.0025 + 0.005 * b) * size * torch.randn(points.shape, generator=generator)
    turn = rotation_about((0, 1, 0), 2 * math.pi * a) @ rotation_about((d - 0.5, 0, 0.5), math.radians(6) * c)
    pose = Similarity(10 ** (4 * e - 2), torch.randn(3, generator=generator).double(), turn)
    return observe_points(PointCloud(pose.apply(points.double()).float()))


def strangers() -> dict[str, torch.Tensor]:
    """Clouds of what is no body."""
    generator = torch.Generator().manual_seed(0)
    ball = torch.from_numpy(np.random.default_rng(0).normal(size=(4000, 3)))
    ball = (ball / ball.norm(dim=1, keepdim=True)).float()
    found = {
        "sphere": ball,
        "half sphere": ball[ball[:, 2] > 0],
        "noise": torch.rand(4000, 3, generator=generator),
    }
    found["box"] = sample_surface(box(1.0), 4000, generator)[0]
    found["tall box"] = sample_surface(box((0.5, 1.8, 0.3)), 4000, generator)[0]
    found["chair"] = chairs(1, 3000, 0, 5)[0]
    for name in MESHES:
        found[name] = sample_surface(benchmark_mesh(name), 4000, generator)[0]
    for name in ("vases", "lamps", "candles", "planes"):
        family = Family(name)
        found[name] = sample_surface(family[family.keys[3]], 4000, generator)[0]
    return found


def misfits(prior, scans: dict[str, Observations]) -> dict[str, float]:
    """The misfit of every scan."""
    rows = {}
    for name, seen in scans.items():
        rows[name] = solve_scan(seen, prior, CompleteConfig())[1].metrics["misfit"]
        print(name, round(rows[name], 5), flush=True)
    return rows


def ends(prior, family: Family, keys: list[str]) -> dict[str, dict[str, float]]:
    """Errors of codes of held-out meshes that are turned by any angle, and of direct fits."""
    rows = {}
    for seed, key in enumerate(keys):
        mesh, pose = (
            family[key],
            Similarity(3.0, torch.ones(3).double(), rotation_about((0, 1, 0), 0.5 * seed)),
        )
        found = fit_mesh(mesh.with_vertices(pose.apply(mesh.vertices.double()).float()), prior).code
        prepared = prepare_shape(mesh, 60_000, torch.Generator().manual_seed(1))
        direct = fit_code(prior, prepared.samples.points, prepared.samples.distances).code
        surface = sample_surface(mesh, 4000, torch.Generator().manual_seed(2))[0]
        places = prepared.normalisation.apply(surface.double()).float()[None]
        both = [float(prior.decoder(code[None], places)[0].abs().mean()) for code in (found, direct)]
        rows[key] = {"fit_mesh": both[0], "direct": both[1], "ratio": both[0] / both[1]}
        print(key, rows[key], flush=True)
    return rows


def clouds(prior, family: Family) -> dict:
    """Misfits of all held-out bodies, of parts of them and of strangers, and the limits."""
    generator, limits = torch.Generator().manual_seed(5), fit_limits(prior)
    wholes, parts = {}, {}
    for key in family.keys[4::5]:
        points = sample_surface(family[key], 2048, generator)[0]
        share = 0.35 + 0.65 * torch.rand(1, generator=generator)
        part = cropped_clouds(points[None], share, 1000, generator)[0]
        wholes[key] = fit_of(prior, points, encode(prior, points))
        parts[key] = fit_of(prior, part, encode(prior, part))
    others = {name: fit_of(prior, cloud, encode(prior, cloud)) for name, cloud in strangers().items()}
    rows = {"wholes": wholes, "parts": parts, "strangers": others}
    counts = {
        name: {
            "of": len(row),
            "warned": sum(limits.whole < value <= limits.part for value in row.values()),
            "refused": sum(value > limits.part for value in row.values()),
        }
        for name, row in rows.items()
    }
    return {"limits": [limits.whole, limits.part], "counts": counts, "misfits": rows}


def spread(made: torch.Tensor) -> float:
    """Mean distance (root of the Chamfer distance) of clouds to their nearest others."""
    rows = []
    for i, one in enumerate(made):
        apart = torch.cdist(one[None].expand(len(made), -1, -1), made)
        chamfer = apart.amin(dim=1).square().mean(dim=1) + apart.amin(dim=2).square().mean(dim=1)
        chamfer[i] = torch.inf
        rows.append(float(chamfer.min().sqrt()))
    return statistics.mean(rows)


def inventions(prior, model, meshes: int) -> dict:
    """How many are of one piece, how many the model of clouds recognises, and how much they vary."""
    rows: dict = {}
    for seed in (0, 1):
        found = [mesh for _, mesh in sample(prior, 64, seed, resolution=96)]
        raw, kept = model.sample_codes(64, seed), invented_codes(model, 64, seed)
        drawn = {"raw": raw, "kept": kept, "training": model.codes[:64]}
        rows[f"seed {seed}"] = {
            "prior_one_piece_of_64": sum(is_one_solid(mesh) for mesh in found),
            "clouds_recognised_of_64": {
                name: int((recognised(model, codes) > least_likeness(model)).sum())
                for name, codes in drawn.items()
            },
            "spread": {name: spread(points_of(model, codes, 512)) for name, codes in drawn.items()},
        }
        print(rows[f"seed {seed}"], flush=True)
    made = sample_meshes(model, meshes, 0) if meshes else []
    rows["cloud_meshes"] = {"of": meshes, "one_piece": sum(is_one_solid(mesh) for mesh in made)}
    return rows


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--members", type=int, default=20, help="held-out bodies, one scan each")
    parser.add_argument(
        "--only", choices=("ends", "clouds", "inventions", "scans"), help="keep the rest as stored"
    )
    parser.add_argument("--meshes", type=int, default=8, help="meshes from the model of clouds")
    options = parser.parse_args()
    prior, model = load_prior(find("bodies")), load_cloud_prior(find("cloud-bodies"))
    family, width = Family("bodies"), family_width(prior)
    keys = family.held_out(prior, options.members)
    scans = {f"{key} {KINDS[i % 5]}": scan_of(family[key], KINDS[i % 5], i) for i, key in enumerate(keys)}
    wanted = options.only
    if wanted in (None, "ends"):
        save_part("families", "ends", {"shapes": ends(prior, family, keys)})
    if wanted in (None, "clouds"):
        found = clouds(model, family)
        print(found["limits"], found["counts"], flush=True)
        save_part("families", "clouds", found)
    if wanted in (None, "inventions"):
        save_part("families", "inventions", inventions(prior, model, options.meshes))
    if wanted not in (None, "scans"):
        return
    others = {name: observe_points(PointCloud(cloud)) for name, cloud in strangers().items()}
    others["depth view of horse"] = depth_view(benchmark_mesh("horse"), 0.7)
    others["mesh of spot"] = observe_mesh(benchmark_mesh("spot"))
    for name, some in (("members", scans), ("strangers", others)):
        rows = misfits(prior, some)
        refused = sum(value > width for value in rows.values())
        print(name, len(rows), refused, flush=True)
        figures = {"family_width": width, "of": len(rows), "refused": refused, "misfits": rows}
        save_part("families", name, figures)


if __name__ == "__main__":
    main()
