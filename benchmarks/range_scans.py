"""A real object from its range scans: one network fitted to twelve views, with empty space as evidence.

    python -m benchmarks.range_scans [--minutes 3]

The Stanford armadillo, twelve range views with estimated poses. Every tenth point is kept aside. A place is
outside if a view sees past it, inside if at least three views have it behind what they see and none sees past
it; other places are left out. Its distance is that to the nearest point of all views. The preset `single`
learns the samples; figures are distances in millimetres between the mesh and the points kept aside, from the
points to the mesh and (thinned to 30,000 samples) back.
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from benchmarks.helpers.common import RESULTS, data_folder, save_results
from bozzetto.geometry import closest_points, largest_component
from bozzetto.metrics import mesh_report
from bozzetto.sdf import SdfSamples, Training
from bozzetto.sdf.config import PRESETS
from bozzetto.sdf.data import sample_table
from bozzetto.sdf.extract import extract_mesh
from bozzetto.shapes import Similarity, sample_surface, save_mesh

SEES_PAST, BEHIND = 0.002, 0.002  # metres by which a place must lie in front of or behind what a view sees
LOW, HIGH = 0.037, 0.173  # the figure's range of y in metres; what lies beyond is stray


@dataclass(frozen=True)
class RangeView:
    """Points of one view in its own frame, and its pose: x' = x R + t for rows x."""

    points: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """From this view's frame to the common one."""
        return points @ self.rotation + self.translation

    def to_view(self, points: np.ndarray) -> np.ndarray:
        """Back."""
        return (points - self.translation) @ self.rotation.T


def read_view(path: Path, pose: list[float]) -> RangeView:
    """A binary big-endian range PLY."""
    header, body = path.read_bytes().split(b"end_header\n", 1)
    count = int(next(line for line in header.split(b"\n") if line.startswith(b"element vertex")).split()[2])
    points = np.frombuffer(body, ">f4", 3 * count).reshape(-1, 3).astype(np.float64)
    # The file holds the inverse rotation; rows are multiplied from the left, so its matrix serves as it is.
    rotation = Rotation.from_quat(pose[3:]).as_matrix()
    return RangeView(points, rotation, np.array(pose[:3]))


def read_views(folder: Path) -> list[RangeView]:
    """All views named by the .conf file."""
    (conf,) = folder.glob("*.conf")
    rows = [line.split() for line in conf.read_text().splitlines() if line.startswith("bmesh")]
    return [read_view(folder / row[1], [float(value) for value in row[2:]]) for row in rows]


def sees(view: RangeView, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which places a view sees past, and which it has behind what it sees; it looks along -z, in parallel."""
    tree = cKDTree(view.points[:, :2])
    local = view.to_view(places)
    gap, nearest = tree.query(local[:, :2])
    height = local[:, 2] - view.points[nearest, 2]
    on_picture = gap < 0.0006
    return on_picture & (height > SEES_PAST), on_picture & (height < -BEHIND)


def samples_of(views: list[RangeView], kept: list[np.ndarray], count: int, seed: int) -> tuple:
    """Samples in the normalised frame, and the map to it."""
    random = np.random.default_rng(seed)
    cloud = np.concatenate([view.to_world(points) for view, points in zip(views, kept, strict=True)])
    middle = (cloud.max(axis=0) + cloud.min(axis=0)) / 2
    scale = 1 / (1.03 * np.linalg.norm(cloud - middle, axis=1).max())
    frame = Similarity(scale, torch.from_numpy(-middle * scale))
    near = cloud[random.integers(len(cloud), size=count)]
    near += random.normal(size=near.shape) * random.choice([0.0224, 0.0707], size=(count, 1)) / scale
    places = np.concatenate([near, middle + random.uniform(-1, 1, size=(count // 8, 3)) / scale])
    past, behind = (np.stack(part) for part in zip(*(sees(view, places) for view in views), strict=True))
    outside, inside = past.any(axis=0), ~past.any(axis=0) & (behind.sum(axis=0) >= 3)
    # Far from everything nothing is seen, which is empty as well.
    distance = cKDTree(cloud).query(places)[0]
    outside |= ~past.any(axis=0) & ~behind.any(axis=0) & (distance > 0.02)
    known = outside | inside
    signed = np.where(inside, -distance, distance)[known] * scale
    points = frame.apply(torch.from_numpy(places[known])).float()
    return SdfSamples(points, torch.from_numpy(signed).float()), frame, cloud


def millimetres(distances: torch.Tensor) -> dict:
    """Median, mean and 95th percentile of distances in metres."""
    values = 1e3 * distances.double()
    return {
        "median": float(values.median()),
        "mean": float(values.mean()),
        "p95": float(values.quantile(0.95)),
    }


def main() -> None:
    """Sample, fit, extract, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--samples", type=int, default=400_000)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    views = read_views(data_folder("scans") / "armadillo")
    on_figure = [(v.to_world(v.points)[:, 1] > LOW) & (v.to_world(v.points)[:, 1] < HIGH) for v in views]
    views = [replace(v, points=v.points[on]) for v, on in zip(views, on_figure, strict=True)]
    samples, frame, _ = samples_of(
        views, [np.delete(v.points, np.s_[::10], 0) for v in views], options.samples, 0
    )
    config = replace(PRESETS["single"], seconds=60 * options.minutes, epochs=10**9)
    training = Training(sample_table([samples], ["armadillo"]), config)
    *_, last = training.steps()
    prior = training.result()
    mesh = largest_component(extract_mesh(prior, prior.codes[0], options.resolution))
    mesh = mesh.with_vertices(frame.inverse().apply(mesh.vertices))
    options.out.mkdir(parents=True, exist_ok=True)
    save_mesh(mesh, options.out / "range_scans.ply")
    aside = torch.from_numpy(np.concatenate([v.to_world(v.points[::10]) for v in views])).float()
    everything = cKDTree(np.concatenate([v.to_world(v.points) for v in views]))
    on_mesh = sample_surface(mesh, 30_000, torch.Generator().manual_seed(0))[0]
    back = torch.from_numpy(everything.query(on_mesh.double().numpy())[0])
    report = mesh_report(mesh)
    results = {
        "minutes": options.minutes,
        "samples": len(samples),
        "loss": last,
        "points_to_mesh_mm": millimetres(closest_points(mesh, aside)[0]),
        "mesh_to_points_mm": millimetres(back),
        "watertight": report.watertight,
        "components": report.components,
    }
    print(json.dumps(results, indent=2))
    save_results("range_scans", results, options.out)


if __name__ == "__main__":
    main()
