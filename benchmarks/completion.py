"""Completion of held-out shapes from one depth view, with the pose unknown.

    python -m benchmarks.completion --family bodies [--prior FILE]
    python -m benchmarks.completion --family vases [--prior FILE]

Compared with the nearest training shape (best of all, placed by its true orientation and then by similarity
ICP on the observed part) and with screened Poisson reconstruction. Lengths are in the
normalised frame, where the true shape has radius 1 / 1.03; completeness is within 1 % of it.

Then the pose alone: from starts whose rotation is off by up to 20 degrees about a random axis, scale by up to
20 % and place by up to 0.1, how often rotation comes within 5 degrees, scale within 5 % and place within 0.05
(a fortieth of the size), and how often within twice that. For families of (nearly) round things the rotation
counts by the upright axis.
"""

import argparse
import math
import statistics
import time

import torch

from benchmarks.helpers.common import RESULTS, save_results
from benchmarks.helpers.shape_families import Family, Path, add_options, choose_prior, normalisation_of
from bozzetto import Mesh
from bozzetto.cameras import orbit_cameras
from bozzetto.geometry import SurfaceIndex, largest_component, screened_poisson
from bozzetto.metrics import evaluate
from bozzetto.rendering import render_depth
from bozzetto.sdf import CompleteConfig, Observations, complete, find_code, observe_depth
from bozzetto.shapes import Similarity
from bozzetto.shapes.similarity import compose_poses, rotation_about, rotation_angle, rotation_of

ROUND = ("vases", "lamps", "candles")
MEASURES = ("chamfer_sum", "deepsdf_chamfer", "completeness", "f_score", "normal_consistency")


def depth_view(mesh: Mesh, azimuth: float, size: int = 160, fov: float = 0.6) -> Observations:
    """What one camera at a little more than eye level sees."""
    centre = mesh.bounds.double().mean(dim=0)
    radius = float((mesh.vertices.double() - centre).norm(dim=1).max())
    camera = orbit_cameras(
        [azimuth],
        0.2,
        distance=1.1 * radius / math.sin(fov / 2),
        target=centre.tolist(),
        up=(0, 1, 0),
        fov=fov,
        size=size,
    )
    return observe_depth(render_depth(mesh, camera)[0], camera)


def nearest_shape(known: list[Mesh], points: torch.Tensor) -> Mesh:
    """The training shape closest to observed points in the normalised frame, after similarity ICP."""
    some = points[torch.randperm(len(points), generator=torch.Generator().manual_seed(0))[:500]]
    indices = [SurfaceIndex(mesh) for mesh in known]
    first = [float(index.closest(some).distance.mean()) for index in indices]
    order = sorted(range(len(known)), key=first.__getitem__)[:5]
    fits = [icp(indices[i], some) for i in order]
    best = min(range(len(order)), key=lambda i: fits[i][0])
    mesh = known[order[best]]
    return mesh.with_vertices(fits[best][1].inverse().apply(mesh.vertices.double()).float())


def icp(index: SurfaceIndex, points: torch.Tensor, steps: int = 15) -> tuple[float, Similarity]:
    """The similarity that takes points to a surface, by nearest points (Umeyama 1991 at every step)."""
    pose = Similarity(1.0, torch.zeros(3, dtype=torch.float64))
    for _ in range(steps):
        moved = pose.apply(points.double())
        pose = compose_poses(umeyama(moved, index.closest(moved.float()).point.double()), pose)
    # Errors in the unit of the scan, so that a small copy is no better than a large one.
    return float(index.closest(pose.apply(points)).distance.mean()) / pose.scale, pose


def umeyama(a: torch.Tensor, b: torch.Tensor) -> Similarity:
    """The similarity that takes points `a` to points `b` in the sense of least squares."""
    centre_a, centre_b = a.mean(dim=0), b.mean(dim=0)
    u, s, v = torch.linalg.svd((b - centre_b).T @ (a - centre_a) / len(a))
    sign = torch.ones(3, dtype=torch.float64)
    sign[2] = torch.sign(torch.linalg.det(u @ v))
    rotation = u @ torch.diag(sign) @ v
    scale = float((s * sign).sum() / (a - centre_a).square().sum(dim=1).mean())
    return Similarity(scale, centre_b - scale * rotation @ centre_a, rotation)


def disturbed(true: Similarity, generator: torch.Generator) -> Similarity:
    """A start near the true pose."""
    random = torch.rand(5, generator=generator, dtype=torch.float64)
    axis = torch.randn(3, generator=generator, dtype=torch.float64)
    shift = torch.nn.functional.normalize(torch.randn(3, generator=generator, dtype=torch.float64), dim=0)
    scale = math.exp(math.log(1.2) * (2 * float(random[1]) - 1))
    turn = rotation_about(axis, math.radians(20) * float(random[0]))
    return compose_poses(Similarity(scale, 0.1 * float(random[2]) * shift, turn), true)


def pose_errors(found: Similarity, true: Similarity) -> dict:
    """Rotation and tilt of the upright axis in degrees, relative scale, shift in the normalised frame."""
    up = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    cosine = float((rotation_of(found).T @ up) @ (rotation_of(true).T @ up))
    middle = true.inverse().apply(torch.zeros(1, 3, dtype=torch.float64))
    return {
        "rotation": math.degrees(rotation_angle(found, true)),
        "tilt": math.degrees(math.acos(max(-1.0, min(1.0, cosine)))),
        "scale": found.scale / true.scale,
        "shift": float(found.apply(middle).norm()),
    }


def is_found(errors: dict, upright: bool, slack: float = 1.0) -> bool:
    """Whether a pose is the true one."""
    turn = errors["tilt" if upright else "rotation"]
    scale = abs(math.log(errors["scale"]))
    return turn < 5 * slack and scale < slack * math.log(1.05) and errors["shift"] < 0.05 * slack


def examine(prior, family: Family, known: list[Mesh], key: str, seed: int, options) -> dict:
    """All figures of one shape."""
    mesh = family[key]
    true = normalisation_of(mesh)
    seen = depth_view(mesh, azimuth=0.4 + 2.4 * seed)
    reference = mesh.with_vertices(true.apply(mesh.vertices.double()).float())
    points = true.apply(seen.points.double()).float()
    began = time.perf_counter()
    result = complete(seen, prior, CompleteConfig(turns=options.turns, resolution=options.resolution))
    seconds = time.perf_counter() - began
    normals = seen.normals if true.rotation is None else seen.normals @ true.rotation.T.float()
    candidates = {
        "completion": result.mesh.with_vertices(true.apply(result.mesh.vertices.double()).float()),
        "nearest_training_shape": nearest_shape(known, points),
        "screened_poisson": largest_component(screened_poisson(points, normals)),
    }
    row: dict = {"seconds": seconds, "pose": pose_errors(result.pose, true), "points": len(points)}
    row["within_two_noise"] = result.metrics["within_two_noise"]
    for name, candidate in candidates.items():
        scores = evaluate(candidate, reference, samples=options.samples)
        row[name] = {measure: getattr(scores, measure) for measure in MEASURES}
    generator, starts = torch.Generator().manual_seed(seed), []
    for _ in range(options.starts):
        _, pose = find_code(seen, prior, CompleteConfig(), [disturbed(true, generator)])
        starts.append(pose_errors(pose, true))
    row["starts"] = starts
    upright = family.name in ROUND
    row["starts_found"] = sum(is_found(errors, upright) for errors in starts)
    row["starts_within_twice"] = sum(is_found(errors, upright, 2.0) for errors in starts)
    return row


def main() -> None:
    """Complete and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_options(parser)
    parser.add_argument("--turns", type=int, default=8, help="directions to start from")
    parser.add_argument("--starts", type=int, default=5, help="disturbed starts per shape")
    parser.add_argument("--resolution", type=int, default=192)
    parser.add_argument("--samples", type=int, default=30_000, help="of each surface, for the measures")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    family = Family(options.family)
    prior = choose_prior(options, family)
    known, rows = list(family.seen(prior)), {}
    for seed, key in enumerate(family.held_out(prior, options.shapes)):
        row = rows[key] = examine(prior, family, known, key, seed, options)
        brief = {name: round(row[name]["chamfer_sum"], 4) for name in row if name in CANDIDATES}
        print(key, brief, row["pose"], f"{row['starts_found']} of {options.starts} starts", flush=True)
    summary: dict = {
        name: {
            measure: {
                "mean": statistics.mean(row[name][measure] for row in rows.values()),
                "median": statistics.median(row[name][measure] for row in rows.values()),
            }
            for measure in MEASURES
        }
        for name in CANDIDATES
    }
    total = len(rows) * options.starts
    for name in ("starts_found", "starts_within_twice"):
        summary[name] = sum(row[name] for row in rows.values()) / total if total else None
    summary["seconds_median"] = statistics.median(row["seconds"] for row in rows.values())
    print(summary)
    prior_name = options.prior and options.prior.name
    results = {"prior": prior_name, "turns": options.turns, "summary": summary, "shapes": rows}
    save_results(f"completion_{options.family}", results, options.out)


CANDIDATES = ("completion", "nearest_training_shape", "screened_poisson")

if __name__ == "__main__":
    main()
