"""Preparing whole collections: time, doubtful signs, and the released render-and-vote rule in comparison.

    python -m benchmarks.preparation

All meshes of the benchmark collections at 100,000 samples each, with the threads that torch has. The rule of
the released sampler is then applied to some shapes of every class and some samples of each, because it takes
seconds per shape. Two official sample files show what that rule leaves behind.
"""

import argparse
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from scipy.spatial import KDTree

from benchmarks.helpers.common import RESULTS, data_folder, save_results
from benchmarks.helpers.render_and_vote import SIZE, VIEWS, VOTES, compare, render_and_vote
from bozzetto import load_mesh, load_points
from bozzetto.sdf import (
    Collection,
    find_meshes,
    load_collection,
    near_copies,
    prepare_collection,
    split_collection,
)


def kind(name: str) -> str:
    """The class in a shape's name."""
    return name.split("/")[1]


def by_class(report: dict) -> dict[str, dict]:
    """Figures of every class of a report."""
    rows = {}
    for name in sorted({kind(name) for name in report["shapes"]}):
        shapes = {n: record for n, record in report["shapes"].items() if kind(n) == name}
        ambiguity = [record["ambiguity"] for record in shapes.values()]
        rows[name] = {
            "shapes": len(shapes),
            "thread_seconds": round(sum(record["seconds"] for record in shapes.values()), 1),
            "inside_median": statistics.median(record["inside"] for record in shapes.values()),
            "ambiguity_mean": round(statistics.mean(ambiguity), 6),
            "ambiguity_max": max(ambiguity),
            "turned": {n.split("/")[2]: r["turned"] for n, r in shapes.items() if r["turned"] > 0},
        }
    return rows


def voting(meshes: dict[str, Path], prepared: Collection, shapes: int, samples: int) -> dict:
    """The rule on evenly chosen shapes of every class."""
    rows: dict[str, dict] = {}
    for name in sorted({kind(name) for name in prepared.names}):
        indices = [i for i, other in enumerate(prepared.names) if kind(other) == name]
        chosen = sorted({indices[(2 * k + 1) * len(indices) // (2 * shapes)] for k in range(shapes)})
        found = []
        begin = time.perf_counter()
        for index in chosen:
            mesh = load_mesh(meshes[prepared.names[index]])
            unit = mesh.with_vertices(prepared.normalisations[index].apply(mesh.vertices.double()).float())
            every = prepared.samples[index]
            some = every[torch.randperm(len(every), generator=torch.Generator().manual_seed(index))[:samples]]
            found.append(compare(some, render_and_vote(unit, some.points)))
        seconds = round((time.perf_counter() - begin) / len(chosen), 2)
        shape_names = [prepared.names[index].split("/")[2] for index in chosen]
        rows[name] = {"shapes": shape_names, "seconds_per_shape": seconds}
        rows[name] |= {key: round(statistics.mean(row[key] for row in found), 6) for key in found[0]}
        rows[name]["sign_differs_of_kept_max"] = round(max(row["sign_differs_of_kept"] for row in found), 6)
        print(name, rows[name], flush=True)
    return {"views": VIEWS, "size": SIZE, "votes": VOTES, "samples_per_shape": samples, "classes": rows}


def official_files() -> dict[str, dict]:
    """What the readers make of the official files, and their distances against the official surface samples."""
    folder, rows = data_folder("sdf_samples"), {}
    collection = load_collection(folder)
    for name, samples, to_unit in zip(
        collection.names, collection.samples, collection.normalisations, strict=True
    ):
        with np.load(folder / "SdfSamples" / f"{name}.npz") as content:
            stored = len(content["pos"]) + len(content["neg"])
        surface = to_unit.apply(load_points(folder / "SurfaceSamples" / f"{name}.ply").points)
        nearest = torch.from_numpy(KDTree(surface.numpy()).query(samples.points.numpy(), workers=-1)[0])
        difference = (nearest - samples.distances.abs()).abs()
        rows[name] = {
            "rows": stored,
            "dropped_as_nan": stored - len(samples),
            "outside": len(samples.outside),
            "inside": len(samples.inside),
            "surface_radius": float(surface.norm(dim=1).max()),
            "median_difference_to_surface_samples": float(difference.median()),
        }
    return rows


def splits(meshes: list[tuple[str, Path]]) -> dict[str, dict]:
    """Near-copies of every class and how an 80/20 split comes out that keeps them together."""
    rows = {}
    for name in sorted({kind(name) for name, _ in meshes}):
        members = [(n, path) for n, path in meshes if kind(n) == name]
        groups = near_copies([load_mesh(path) for _, path in members])
        learn, test = split_collection([n for n, _ in members], groups)
        copies = [[members[i][0].split("/")[2] for i in group] for group in groups if len(group) > 1]
        rows[name] = {"groups": len(groups), "near_copies": copies, "learn": len(learn), "test": len(test)}
    return rows


def main() -> None:
    """Prepare, compare, write figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=int, default=100_000, help="per shape")
    parser.add_argument("--vote-shapes", type=int, default=5, help="per class, for the render-and-vote rule")
    parser.add_argument("--vote-samples", type=int, default=20_000, help="per shape, for the same")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    meshes = find_meshes(data_folder("collections"))
    with TemporaryDirectory() as folder:
        begin, used = time.perf_counter(), time.process_time()
        report = prepare_collection(meshes, folder, options.samples)
        seconds = round(time.perf_counter() - begin, 1)
        cpu_seconds = round(time.process_time() - used, 1)
        print(f"{len(report['shapes'])} meshes in {seconds} s, {cpu_seconds} s of processor time", flush=True)
        begin = time.perf_counter()
        prepare_collection(meshes, folder, options.samples, quiet=True)
        again = round(time.perf_counter() - begin, 2)
        voted = voting(dict(meshes), load_collection(folder), options.vote_shapes, options.vote_samples)
    results = {
        "meshes": len(meshes),
        "samples_per_mesh": options.samples,
        "preparation_seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "seconds_when_all_is_done": again,
        "classes": by_class(report),
        "doubtful": report["doubtful"],
        "failed": report["failed"],
        "render_and_vote": voted,
        "official_files": official_files(),
        "splits": splits(meshes),
    }
    save_results("preparation", results, options.out)


if __name__ == "__main__":
    main()
