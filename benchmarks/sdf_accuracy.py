"""Priors on shapes they have not seen: our default against DeepSDF as released, trained for the same time.

    python -m benchmarks.sdf_accuracy [--minutes 8]

Of each collection four fifths of the shapes are learned from and one fifth is held out; near-copies (meshes
with one list of faces) are on one side. Both priors train for the same time on the same samples, side by
side with one thread each. The reference keeps its network, loss and schedule but takes smaller steps, 16
shapes of 1,024 samples in place of 64 of 16,384: in minutes on one core it would otherwise make only a
handful. Codes of held-out shapes come from the same second-order fit to 100,000 samples; meshes at 128^3 are
compared with the original in its own frame. Baseline without learning: the nearest training shape.

    python -m benchmarks.sdf_accuracy --presets default variants --name sdf_variants

`variants` is the default preset that also learns from five stretched variants of every shape.
"""

import argparse
import json
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree

from benchmarks.helpers.common import RESULTS, data_folder, save_results
from bozzetto import InputError, Mesh, load_mesh
from bozzetto.metrics import SurfaceScores, evaluate, summarise
from bozzetto.sdf import (
    Collection,
    ShapePrior,
    TrainConfig,
    Training,
    find_meshes,
    fit_code,
    load_collection,
    near_copies,
    prepare_collection,
    save_prior,
    split_collection,
)
from bozzetto.sdf.config import PRESETS
from bozzetto.sdf.data import as_split, sample_table
from bozzetto.sdf.extract import extract_mesh
from bozzetto.sdf.prepare import variant_name
from bozzetto.shapes import sample_surface

TRAININGS = {
    "reference": replace(PRESETS["reference"], shapes_per_step=16, samples_per_shape=1024),
    "default": PRESETS["default"],
    "variants": PRESETS["default"],
}
VARIANTS = 5
COLLECTIONS = ("vases", "lamps", "candles", "planes")
RESOLUTION = 128


def prepare(
    name: str, work: Path, count: int, variants: int = 0
) -> tuple[dict[str, Path], Collection, Collection]:
    """Mesh files by name, and the shapes to learn from (with variants) and to test on."""
    meshes = dict(find_meshes(data_folder("collections") / name))
    prepare_collection(list(meshes.items()), work / name, count=count, quiet=True, variants=variants)
    names = tuple(meshes)
    groups = near_copies([load_mesh(path) for path in meshes.values()])
    learn, test = split_collection(names, groups)
    learn = tuple(variant_name(name, i) for i in range(variants + 1) for name in learn)
    parts = [load_collection(work / name, as_split(part)) for part in (learn, test)]
    return meshes, parts[0], parts[1]


def scores(
    prior: ShapePrior, code: torch.Tensor, shape: int, part: Collection, meshes: dict
) -> SurfaceScores:
    """Of one shape, in its original frame; a code without a surface counts as a point in the middle."""
    original = load_mesh(meshes[part.names[shape]])
    try:
        mesh = extract_mesh(prior, code, RESOLUTION)
    except InputError:
        mesh = Mesh(1e-3 * torch.eye(3), torch.tensor([[0, 1, 2]]))
    back = part.normalisations[shape].inverse()
    return evaluate(mesh.with_vertices(back.apply(mesh.vertices)), original)


def judge(prior: ShapePrior, learn: Collection, test: Collection, meshes: dict) -> dict:
    """Summaries over held-out shapes, and over as many training shapes."""
    held_out, seconds = [], []
    for shape, samples in enumerate(test.samples):
        fit = fit_code(prior, samples.points, samples.distances)
        seconds.append(fit.seconds)
        held_out.append(scores(prior, fit.code, shape, test, meshes))
    some = torch.linspace(0, len(learn) - 1, min(len(test), len(learn))).round().long().tolist()
    known = [scores(prior, prior.codes[i], i, learn, meshes) for i in some]
    return {
        "held_out": summarise(held_out),
        "training_shapes": summarise(known),
        "each_held_out": {name: asdict(s) for name, s in zip(test.names, held_out, strict=True)},
        "fit_seconds": statistics.median(seconds),
    }


def nearest(learn: Collection, test: Collection, meshes: dict) -> dict:
    """For each held-out shape the training shape with the smallest Chamfer distance, both normalised."""

    def points(part: Collection, shape: int) -> np.ndarray:
        return sample_surface(normalised(part, shape, meshes), 2000, torch.Generator().manual_seed(shape))[
            0
        ].numpy()

    clouds = [points(learn, i) for i in range(len(learn))]
    trees, best = [cKDTree(cloud) for cloud in clouds], []
    for shape in range(len(test)):
        wanted = points(test, shape)
        tree = cKDTree(wanted)
        gaps = [
            there.query(wanted)[0].mean() + tree.query(cloud)[0].mean()
            for there, cloud in zip(trees, clouds, strict=True)
        ]
        mesh = normalised(learn, int(np.argmin(gaps)), meshes)
        back = test.normalisations[shape].inverse()
        original = load_mesh(meshes[test.names[shape]])
        best.append(evaluate(mesh.with_vertices(back.apply(mesh.vertices)), original))
    return summarise(best)


def normalised(part: Collection, shape: int, meshes: dict) -> Mesh:
    """A shape in the normalised frame."""
    mesh = load_mesh(meshes[part.names[shape]])
    return mesh.with_vertices(part.normalisations[shape].apply(mesh.vertices))


def learn_for(minutes: float, learn: Collection, config: TrainConfig) -> tuple[ShapePrior, dict]:
    """A prior after so many minutes of steps."""
    table = sample_table(list(learn.samples), learn.names)
    training = Training(table, replace(config, seconds=60 * minutes, epochs=10**9))
    *_, metrics = training.steps()
    return training.result(), {"steps": training.steps_done, "epoch": training.epoch, **metrics}


def run(name: str, preset: str, minutes: float, work: Path, count: int) -> dict:
    """Figures of one prior on one collection; the prior stays in the work folder."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    meshes, learn, test = prepare(name, work, count)
    everything = prepare(name, work, count, VARIANTS)[1] if preset == "variants" else learn
    prior, last = learn_for(minutes, everything, TRAININGS[preset])
    save_prior(prior, work / f"{name}_{preset}.safetensors")
    row = {**judge(prior, learn, test, meshes), "training": last, "seconds": time.perf_counter() - began}
    print(name, preset, json.dumps({"chamfer": row["held_out"]["deepsdf_chamfer"], **last}), flush=True)
    return row


def main() -> None:
    """Train, fit, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8, help="of training, each")
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--collections", nargs="+", default=list(COLLECTIONS))
    parser.add_argument("--presets", nargs="+", default=["reference", "default"])
    parser.add_argument("--name", default="sdf_accuracy", help="of the results")
    parser.add_argument(
        "--work", type=Path, default=Path("bozzetto-out/sdf_accuracy"), help="prepared samples"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    results: dict = {"minutes": options.minutes, "samples": options.samples, "collections": {}}
    for name in options.collections:
        meshes, learn, test = prepare(name, options.work, options.samples)
        row: dict = {
            "shapes": [len(learn), len(test)],
            "nearest_training_shape": nearest(learn, test, meshes),
        }
        with ProcessPoolExecutor(len(options.presets), get_context("spawn")) as pool:
            jobs = {
                preset: pool.submit(run, name, preset, options.minutes, options.work, options.samples)
                for preset in options.presets
            }
            row.update({preset: job.result() for preset, job in jobs.items()})
        if {"reference", "default"} <= row.keys():
            ours, theirs = (row[p]["held_out"]["deepsdf_chamfer"]["median"] for p in ("default", "reference"))
            row["below_reference"] = 1 - ours / theirs
            print(
                f"{name}: median Chamfer {100 * row['below_reference']:.0f} % below the reference", flush=True
            )
        results["collections"][name] = row
        save_results(options.name, results, options.out)


if __name__ == "__main__":
    main()
