"""The models of point clouds that come with the package: bodies, airfoils, procedural chairs.

    python -m benchmarks.weights.train_clouds --data bodies --minutes 12 --clock processor --pack

Learns from four fifths of a collection whose terms allow it to be passed on (bodies: MakeHuman base mesh and
morph targets, CC0; airfoils: AeroSandbox, MIT; chairs: our own), as `score_autoencoding.py` does: a model that
one of the two has left in `--work` is taken as it is. So the figures of the benchmarks are those of the shipped
weights. `--pack` puts the model, in half precision, and the log of its training where they belong.
"""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import torch

import bozzetto
from benchmarks.helpers.common import RESULTS
from benchmarks.helpers.score_common import add_options, model_path, train
from bozzetto.score import load_cloud_prior, save_cloud_prior

WEIGHTS = Path(bozzetto.__file__).parent / "weights"
ABOUT = {
    "bodies": ("adult human bodies, arms lowered at an angle, y up, facing +z", "CC0-1.0"),
    "airfoils": ("outlines of airfoils, chord along x, y up", "MIT, Copyright (c) 2019-2023 Peter Sharpe"),
    "procedural": ("chairs of boxes, y up, facing +z", "Apache-2.0"),
}
CODES = 200
"""A code per training shape is only kept where they are so few; otherwise of so many, evenly chosen."""


def pack(options: argparse.Namespace) -> None:
    """The trained model among the shipped weights, without paths of this machine."""
    prior = load_cloud_prior(model_path(options, "default"))
    if len(prior.names) > CODES:
        kept = torch.linspace(0, len(prior.names) - 1, CODES).round().long()
        prior = replace(prior, codes=prior.codes[kept], names=tuple(prior.names[i] for i in kept.tolist()))
    what, licence = ABOUT[options.data]
    log = model_path(options, "default").parent / "metrics.jsonl"
    about = {
        "name": f"cloud-{options.data}",
        "what": what,
        "licence": licence,
        "command": f"python -m benchmarks.weights.train_clouds --data {options.data} "
        f"--minutes {options.minutes:g} --clock {options.clock} --seed {options.seed} --pack",
        "training": prior.metadata["training"],
        "last_step": json.loads(log.read_text().splitlines()[-1]),
    }
    prior = replace(prior, metadata=about)
    save_cloud_prior(prior, WEIGHTS / f"cloud-{options.data}.safetensors", torch.float16)
    shutil.copyfile(log, RESULTS / f"train_clouds_{options.data}.jsonl")


def main() -> None:
    """Train unless that is done, and pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_options(parser, "bodies")
    parser.add_argument("--pack", action="store_true", help="put the result among the shipped weights")
    options = parser.parse_args()
    if options.data not in ABOUT:
        parser.error(f"the terms of {options.data} do not allow its weights to be passed on")
    if not model_path(options, "default").exists():
        train(options, "default")
    if options.pack:
        pack(options)


if __name__ == "__main__":
    main()
