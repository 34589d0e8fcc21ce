"""Families of shapes for benchmarks of priors: their meshes, which of them a prior has not seen, and priors."""

import argparse
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.helpers.common import data_folder
from bozzetto import Mesh, load_mesh
from bozzetto.sdf import (
    ShapePrior,
    load_prior,
    near_copies,
    prepare_shape,
    save_prior,
    split_collection,
    train_prior,
)
from bozzetto.sdf.config import TrainConfig
from bozzetto.sdf.data import sample_table
from bozzetto.sdf.prepare_shape import shape_normalisation
from bozzetto.shapes import Similarity

FAMILIES = ("bodies", "vases", "lamps", "candles", "planes")


class Family:
    """The meshes of a collection by key: the number of a body, or the name of a file without its ending."""

    def __init__(self, name: str) -> None:
        self.name, folder = name, data_folder("collections")
        if name == "bodies":
            self.bodies = np.load(folder / "bodies.npz")
            self.keys = [str(i) for i in range(len(self.bodies["offsets"]))]
            self.faces = torch.from_numpy(self.bodies["faces"].astype(np.int64))
        else:
            self.files = {path.stem: path for path in sorted((folder / name).glob("*.ply"))}
            self.keys = list(self.files)

    def __getitem__(self, key: str) -> Mesh:
        if self.name != "bodies":
            return load_mesh(self.files[key])
        offset = self.bodies["step"] * self.bodies["offsets"][int(key)].T
        return Mesh(torch.from_numpy((self.bodies["mean"] + offset).astype(np.float32)), self.faces)

    def key_of(self, name: str) -> str:
        """The key of a training shape by the name that a prior has for it."""
        tail = name.split("/")[-1].removesuffix(".ply").split("~")[0]
        return str(int(re.findall(r"\d+", tail)[-1])) if self.name == "bodies" else tail

    def held_out(self, prior: ShapePrior, count: int) -> list[str]:
        """Keys of shapes that a prior has not seen, spread over the family."""
        seen = {self.key_of(name) for name in prior.names}
        unseen = [key for key in self.keys if key not in seen]
        spread = torch.linspace(0, len(unseen) - 1, min(count, len(unseen))).round().long()
        return [unseen[i] for i in spread.tolist()]

    def seen(self, prior: ShapePrior) -> Iterator[Mesh]:
        """Training shapes in the normalised frame, without their stretched variants."""
        for name in (name for name in prior.names if "~" not in name):
            mesh = self[self.key_of(name)]
            yield mesh.with_vertices(normalisation_of(mesh).apply(mesh.vertices.double()).float())


def normalisation_of(mesh: Mesh) -> Similarity:
    """The true pose of a shape."""
    return shape_normalisation(mesh)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options that `choose_prior` needs."""
    parser.add_argument("--family", choices=FAMILIES, default="bodies")
    parser.add_argument("--prior", type=Path, help="a trained prior; without one, a quick one is trained")
    parser.add_argument("--seconds", type=float, default=120, help="of training, without a prior")
    parser.add_argument("--keep", type=Path, help="where to write the quick prior")
    parser.add_argument("--shapes", type=int, default=10, help="held-out shapes")


def choose_prior(options: argparse.Namespace, family: Family) -> ShapePrior:
    """The prior of the options, or a small one of the default preset.

    It is trained on four fifths of a family, near-copies on one side, or on every fourth body.
    """
    if options.prior is not None:
        return load_prior(options.prior)
    if family.name == "bodies":
        keys = family.keys[::4]
    else:  # near-copies of held-out shapes are no shapes to learn from
        groups = near_copies([family[key] for key in family.keys])
        keys = list(split_collection(family.keys, groups)[0])
    generator = torch.Generator().manual_seed(0)
    samples = [prepare_shape(family[key], 10_000, generator).samples for key in keys]
    config = TrainConfig()
    config = replace(
        config,
        decoder=replace(config.decoder, code_size=32),
        seconds=options.seconds,
        epochs=10**9,
        samples_per_shape=1024,
        shapes_per_step=8,
    )
    prior = train_prior(sample_table(samples, keys), config)
    if options.keep is not None:
        save_prior(prior, options.keep)
    return prior
