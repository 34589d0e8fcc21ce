"""The protocol of Palfinger 2022: five scans from 16 pictures of normals, 512 x 512, and a small sphere.

    python -m benchmarks.continuous_remeshing

Continuous remeshing with the preconditioner of Large Steps, against Large Steps with scheduled remeshing (four
halvings) and Adam with a Laplacian penalty on the same schedule. All have the same seconds per model, the same
rasteriser and the same random views. RMS is over vertices of both surfaces, in units of the radius. Published
(GPU not stated, 3 s): .00145, Adam with Laplacian .00366.
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.helpers.common import RESULTS, benchmark_mesh, save_results
from benchmarks.helpers.fitting import mesh_strip, settings
from bozzetto import Mesh
from bozzetto.cameras import Cameras, look_at
from bozzetto.geometry import edge_lengths, is_manifold, is_watertight, self_intersections, unique_edges
from bozzetto.inverse import (
    ContinuousRemeshing,
    Light,
    Optimization,
    OptimizeConfig,
    Targets,
    synthetic_targets,
)
from bozzetto.metrics import flipped_faces, surface_distance, vertex_rms
from bozzetto.rendering import spherical_harmonics
from bozzetto.shapes import icosphere

MODELS = ("nefertiti", "armadillo", "bunny", "horse", "lucy")
SIZE, DISTANCE, HALF_WIDTH = 512, 10.0, 0.1  # half the image's width at unit depth
START = icosphere(2, 0.5)  # 162 vertices
ENDLESS = 1_000_000
VIEWS = 8  # in each step
EDGE = 3 * 2 * DISTANCE * HALF_WIDTH / SIZE  # of three pixels
HALVINGS = (30, 60, 100, 150)  # steps
PUBLISHED = {"continuous remeshing": 0.00145, "Adam + Laplacian": 0.00366}


def normal_light() -> torch.Tensor:
    """The light under which a white surface shows its normal as a colour, (n + 1) / 2."""
    # Shading is linear in the coefficients; of order 2 nothing is needed.
    directions = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    basis = spherical_harmonics(directions)[:, 1:4]
    light = torch.zeros(9, 3)
    light[0] = math.pi / 2 / (math.pi * 0.5 * math.sqrt(1 / math.pi))
    light[1:4] = math.pi / 2 / (2 * math.pi / 3) * torch.linalg.inv(basis)
    return light


def cameras() -> Cameras:
    """Four azimuths at each of four elevations."""
    poses = []
    for elevation in (-54, -18, 18, 54):
        for azimuth in (0, 90, 180, 270):
            up, around = math.radians(elevation), math.radians(azimuth)
            level = DISTANCE * math.cos(up)
            eye = (level * math.sin(around), DISTANCE * math.sin(up), level * math.cos(around))
            poses.append(look_at(eye, (0, 0, 0), (0, 1, 0)))
    focal = SIZE / 2 / HALF_WIDTH
    K = torch.tensor([[focal, 0, SIZE / 2], [0, focal, SIZE / 2], [0, 0, 1]], dtype=torch.float64)
    return Cameras(torch.cat(poses), K.expand(len(poses), 3, 3), SIZE, SIZE)


def methods(seconds: float, weight: float) -> dict[str, tuple[Mesh, OptimizeConfig]]:
    """First meshes and settings, by name; `weight` is that of the Laplacian penalty."""
    budget = OptimizeConfig(steps=ENDLESS, seconds=seconds, views_per_step=VIEWS)
    continuous = replace(
        budget,
        step_size=0.7,
        final_step_size=0.05,
        optimizer="vector_adam",
        floor=0.3,
        remeshing=ContinuousRemeshing(EDGE),
    )
    adam = replace(
        budget,
        step_size=1e-2,
        smoothness=0.0,
        optimizer="adam",
        regularizer="laplacian",
        regularizer_weight=weight,
    )
    return {
        "continuous remeshing": (START, continuous),
        "Large Steps, scheduled remeshing": (START, replace(budget, remesh_at=HALVINGS)),
        "Adam + Laplacian, scheduled remeshing": (START, replace(adam, remesh_at=HALVINGS)),
    }


def quality(mesh: Mesh, target: Mesh) -> dict:
    """What the protocol measures, and whether the mesh is sound."""
    lengths = edge_lengths(mesh.vertices, unique_edges(mesh.faces))
    return {
        "rms": vertex_rms(mesh, target),
        "rms_over_area": surface_distance(mesh, target).rms,
        "flipped_area": flipped_faces(mesh, target).area_ratio,
        "self_intersecting_faces": int(self_intersections(mesh).sum()),
        "sound": is_watertight(mesh.faces) and is_manifold(mesh.faces, len(mesh.vertices)),
        "mean_edge": float(lengths.mean()),
        "vertices": len(mesh.vertices),
    }


def fitted(targets: Targets, start: Mesh, config: OptimizeConfig) -> tuple[Mesh, int]:
    """The mesh after the seconds of the settings, and how many steps they were."""
    optimization = Optimization(targets, start, Light(normal_light(), len(targets)), config)
    while optimization.progress < 1:
        optimization.step()
    return optimization.mesh, optimization.steps_done


def summary(rows: list[dict]) -> dict:
    """Mean, and root of the mean square, of the RMS; mean of the flipped area."""
    rms = torch.tensor([row["rms"] for row in rows], dtype=torch.float64)
    return {
        "rms_mean": float(rms.mean()),
        "rms_root_mean_square": float(rms.square().mean().sqrt()),
        "flipped_area_mean": sum(row["flipped_area"] for row in rows) / len(rows),
        "self_intersecting_faces": sum(row["self_intersecting_faces"] for row in rows),
    }


def main() -> None:
    """Run all methods on all models and write figures and a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="time of every method and model")
    parser.add_argument("--weight", type=float, default=0.1, help="weight of the Laplacian penalty")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--methods", nargs="+", help="some of the methods only")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows: dict[str, dict[str, dict]] = {}
    for model in options.models:
        target = benchmark_mesh(model)
        targets, pictures = synthetic_targets(target, cameras(), normal_light()), {"target": target}
        for name, (start, config) in methods(options.seconds, options.weight).items():
            if options.methods and name not in options.methods:
                continue
            mesh, steps = fitted(targets, start, config)
            rows.setdefault(name, {})[model] = {"steps": steps} | quality(mesh, target)
            pictures[name] = mesh
            print(f"{model:10s} {name:40s}", rows[name][model], flush=True)
        picture = options.out / f"continuous_remeshing_{model}.png"
        mesh_strip(list(pictures.values()), picture, list(pictures), size=360)
    summaries = {name: summary(list(row.values())) for name, row in rows.items()}
    for name, facts in summaries.items():
        print(f"{name:40s}", facts)
    used = {name: settings(config) for name, (_, config) in methods(options.seconds, options.weight).items()}
    results = {
        "seconds_each": options.seconds,
        "views": len(cameras()),
        "size": SIZE,
        "published": PUBLISHED,
        "summary": summaries,
        "settings": used,
        "rows": rows,
    }
    save_results("continuous_remeshing", results, options.out)


if __name__ == "__main__":
    main()
