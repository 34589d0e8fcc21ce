"""The prior over human bodies that comes with the package.

    python -m benchmarks.weights.train_bodies --minutes 20 --out DIR

Learns from four fifths of the 320 bodies of `collections/bodies.npz` (MakeHuman base mesh and morph targets,
CC0); the others measure it (`completion.py`, `second_order_fit.py`). Writes a run folder with the prior, the
log of the training and a preview.
"""

import argparse
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.helpers.common import data_folder
from bozzetto import Mesh
from bozzetto.runs import Progress, RunFolder
from bozzetto.sdf import (
    Training,
    learn_shape_prior,
    load_collection,
    prepare_shape,
    save_normalisation,
    save_sdf_samples,
)
from bozzetto.sdf.config import PRESETS
from bozzetto.sdf.data import as_split, normalisation_path, sample_path, sample_table

SAMPLES = 60_000
CODE_SIZE = 64
ABOUT = {
    "name": "bodies",
    "what": "adult human bodies, arms lowered at an angle, y up, facing +z",
    "data": "MakeHuman base mesh and morph targets, CC0",
    "licence": "CC0-1.0",
}


def bodies() -> Iterator[tuple[str, Mesh]]:
    """Names and meshes, in metres."""
    content = np.load(data_folder("collections") / "bodies.npz")
    faces = torch.from_numpy(content["faces"].astype(np.int64))
    for index, offset in enumerate(content["offsets"]):
        vertices = content["mean"] + content["step"] * offset.T
        yield f"makehuman/bodies/body{index:03d}", Mesh(torch.from_numpy(vertices.astype(np.float32)), faces)


def split(names: list[str]) -> tuple[list[str], list[str]]:
    """Names to learn from and held-out names."""
    held_out = set(random.Random(0).sample(names, len(names) // 5))
    return [n for n in names if n not in held_out], sorted(held_out)


def prepare(folder: Path) -> list[str]:
    """Samples of all bodies; those that are there already stay."""

    def one(item: tuple[int, tuple[str, Mesh]]) -> str:
        index, (name, mesh) = item
        if not sample_path(folder, name).exists():
            shape = prepare_shape(mesh, SAMPLES, torch.Generator().manual_seed(index))
            for path in (sample_path(folder, name), normalisation_path(folder, name)):
                path.parent.mkdir(parents=True, exist_ok=True)
            save_normalisation(shape.normalisation, normalisation_path(folder, name))
            save_sdf_samples(shape.samples, sample_path(folder, name))
        return name

    names = []
    with ThreadPoolExecutor(2) as pool, Progress(320, "prepare", unit="body") as progress:
        for name in pool.map(one, enumerate(bodies())):
            names.append(name)
            progress.advance()
    return names


def main() -> None:
    """Prepare, train, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--work", type=Path, default=Path("bozzetto-out/bodies"), help="prepared samples")
    parser.add_argument("--out", type=Path, default=Path("bozzetto-out/train_bodies"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    learn, held_out = split(prepare(options.work))
    preset = PRESETS["default"]
    config = replace(
        preset,
        decoder=replace(preset.decoder, code_size=CODE_SIZE),
        seconds=60 * options.minutes,
        epochs=10**9,
        seed=options.seed,
    )
    run = RunFolder.create(options.out, {"settings": config, "samples": SAMPLES}, resume=options.resume)
    command = f"python -m benchmarks.weights.train_bodies --minutes {options.minutes:g} --seed {options.seed}"
    about = {**ABOUT, "held_out": held_out, "command": command}
    collection = load_collection(options.work, as_split(learn))
    training = Training(sample_table(list(collection.samples), collection.names), config)
    figures = learn_shape_prior(run, training, metadata=about)
    run.report(figures, seed=options.seed)


if __name__ == "__main__":
    main()
