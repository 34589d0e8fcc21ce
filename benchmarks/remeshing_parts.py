"""What remeshing changes: volume, area, creases and corners of machined parts, and the triangles of all shapes.

    python -m benchmarks.remeshing_parts
    python -m benchmarks.remeshing_parts --parts 0

A hundred invented parts (machined_parts.py) or, with none, fandisk and rocker arm: at the default length and
at shares of the size of the box; and scans at a length near that of their own edges, with the tolerance and
without. Creases are compared in both directions, as edges that bend by 35 degrees (30 on the other side).
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree

from benchmarks.helpers.common import RESULTS, benchmark_mesh, save_results
from benchmarks.helpers.machined_parts import machined_parts
from bozzetto import Mesh
from bozzetto.geometry import (
    euler_number,
    face_areas,
    is_manifold,
    is_watertight,
    remesh,
    self_intersections,
)
from bozzetto.geometry.remeshing.creases import dihedral_angles, find_tips
from bozzetto.geometry.remeshing.surface import Features, WorkingMesh
from bozzetto.metrics import surface_distance

SHARP, NEARLY = math.radians(35), math.radians(30)
SAMPLES = 400  # of a line as long as the shape
BOUND = 1e-3


def volume(mesh: Mesh) -> float:
    """Of a closed mesh."""
    a, b, c = (mesh.corners().double() - mesh.vertices.double().mean(dim=0)).unbind(dim=1)
    return float((a * torch.linalg.cross(b, c)).sum()) / 6


def area(mesh: Mesh) -> float:
    """Of a mesh."""
    return float(face_areas(mesh.vertices.double(), mesh.faces).sum())


def size(mesh: Mesh) -> float:
    """Longest side of the box."""
    low, high = mesh.bounds
    return float((high - low).max())


def least_angles(mesh: Mesh) -> NDArray:
    """(F,) the smallest angle of every face, in degrees."""
    corners = mesh.corners().double()
    sides = corners.roll(-1, 1) - corners
    sides = sides / sides.norm(dim=2, keepdim=True).clamp(min=1e-300)
    cosine = -(sides * sides.roll(1, 1)).sum(dim=2)
    return np.degrees(np.arccos(cosine.clamp(-1, 1).numpy())).min(axis=1)


def crease_segments(mesh: Mesh, angle: float) -> NDArray:
    """(N, 2, 3) the edges that bend by at least an angle, and tips as segments without length.

    At the tip of a steep cone, the few edges of good triangles bend more than the many of slivers.
    """
    vertices = mesh.vertices.double().numpy()
    none = Features(np.empty((0, 2), np.int64), np.empty((0, 2)), np.zeros(len(vertices), bool))
    surface = WorkingMesh(vertices, mesh.faces.numpy(), np.ones(len(vertices)), none)
    sharp = np.abs(dihedral_angles(surface)) >= angle
    tips = np.flatnonzero(find_tips(surface, sharp, angle))
    return vertices[np.concatenate([surface.edges.ends[sharp], np.stack([tips, tips], axis=1)])]


def farthest(segments: NDArray, others: NDArray, step: float) -> float:
    """The largest distance of points on some segments to others."""
    if len(segments) == 0 or len(others) == 0:
        return 0.0 if len(segments) == 0 else math.inf
    points, _ = sampled(segments, step)
    places, number = sampled(others, step)
    _, near = KDTree(places).query(points)
    start, end = others[number[near]].transpose(1, 0, 2)
    along = end - start
    share = np.einsum("ij,ij->i", points - start, along) / np.maximum((along**2).sum(1), 1e-300)
    return float(np.linalg.norm(points - start - np.clip(share, 0, 1)[:, None] * along, axis=1).max())


def sampled(segments: NDArray, step: float) -> tuple[NDArray, NDArray]:
    """Points on segments at most a step apart, and the segments that they are on."""
    count = np.ceil(np.linalg.norm(segments[:, 1] - segments[:, 0], axis=1) / step).astype(int) + 1
    number = np.repeat(np.arange(len(segments)), count)
    within = np.arange(len(number)) - np.repeat(np.cumsum(count) - count, count)
    share = (within / np.maximum(count - 1, 1)[number])[:, None]
    return segments[number, 0] * (1 - share) + segments[number, 1] * share, number


def changes(before: Mesh, length: float | None, creases: bool = True, **options) -> dict:
    """What remeshing to a length changes, and what triangles it gives."""
    begin = time.perf_counter()
    after = remesh(before, length, **options)
    seconds = time.perf_counter() - begin
    angles, whole = least_angles(after), size(before)
    row = {
        "seconds": round(seconds, 2),
        "faces_before": len(before.faces),
        "faces": len(after.faces),
        "volume_change": volume(after) / volume(before) - 1,
        "area_change": area(after) / area(before) - 1,
        "least_angle": float(angles.min()),
        "least_angle_1_percent": float(np.quantile(angles, 0.01)),
        "least_angle_mean": float(angles.mean()),
        "sound": is_watertight(after.faces)
        and is_manifold(after.faces, len(after.vertices))
        and euler_number(after.faces) == euler_number(before.faces),
        "new_self_intersections": int(self_intersections(after).sum())
        if not self_intersections(before).any()
        else None,
    }
    if creases:
        sharp = [crease_segments(mesh, SHARP) for mesh in (before, after)]
        nearly = [crease_segments(mesh, NEARLY) for mesh in (after, before)]
        step = whole / SAMPLES
        lost, made = (farthest(a, b, step) / whole for a, b in zip(sharp, nearly, strict=True))
        row |= {"crease_lost": lost, "crease_made": made}
    else:
        distance = surface_distance(after, before)
        row |= {"mean_distance": distance.mean / whole, "hausdorff": distance.hausdorff / whole}
    return row


def summary(rows: list[dict]) -> dict:
    """The worst of several shapes."""
    worst = {
        name: max(abs(row[name]) for row in rows)
        for name in ("volume_change", "area_change", "crease_lost", "crease_made")
    }
    return worst | {
        "shapes": len(rows),
        "within_bounds": sum(abs(r["volume_change"]) < BOUND > abs(r["area_change"]) for r in rows),
        "all_sound": all(row["sound"] for row in rows),
        "new_self_intersections": sum(row["new_self_intersections"] or 0 for row in rows),
        "least_angle": min(row["least_angle"] for row in rows),
        "least_angle_1_percent_median": float(np.median([row["least_angle_1_percent"] for row in rows])),
        "faces_median": float(np.median([row["faces"] for row in rows])),
        "seconds": round(sum(row["seconds"] for row in rows), 1),
    }


def main() -> None:
    """Remesh everything, print and store the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--parts", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shares", type=float, nargs="*", default=[0.5, 0.1, 0.02], help="of the size")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    shares = [None, *options.shares]
    parts = machined_parts(options.parts, options.seed)
    results: dict = {"seed": options.seed, "parts": {}}
    for share in shares if parts else []:
        rows = [{"part": name, **changes(mesh, share and share * size(mesh))} for name, mesh in parts.items()]
        label = "default" if share is None else f"{share:g}"
        worst = sorted(rows, key=lambda r: -max(abs(r["volume_change"]), abs(r["area_change"])))[:3]
        results["parts"][label] = summary(rows) | {"worst": worst}
        print("parts", label, summary(rows), flush=True)
    if parts:
        save_results("remeshing_parts", results, options.out)
        return
    results = {"meshes": {}, "scans": {}}
    for name in ("fandisk", "rocker_arm"):
        mesh = benchmark_mesh(name)
        for share in shares:
            label = f"{name}, {'default' if share is None else share}"
            results["meshes"][label] = changes(mesh, share and share * size(mesh))
            print(label, results["meshes"][label], flush=True)
    for name, share in (("bunny", 0.01), ("armadillo", 0.01)):
        mesh = benchmark_mesh(name)
        for words, kept in (
            ("tolerance", {}),
            ("even", {"tolerance": None}),
            ("even, no creases", {"tolerance": None, "crease_angle": None}),
        ):
            label = f"{name}, {share}, {words}"
            results["scans"][label] = changes(mesh, share * size(mesh), creases=False, **kept)
            print(label, results["scans"][label], flush=True)
    save_results("remeshing_meshes", results, options.out)


if __name__ == "__main__":
    main()
