"""The models of point clouds that come with the package: bodies, airfoils, procedural chairs.

    python benchmarks/train_clouds.py --data bodies --minutes 30 --out DIR

Learns from four fifths of a collection whose terms allow it to be passed on (bodies: MakeHuman base mesh and
morph targets, CC0; airfoils: AeroSandbox, MIT; chairs: our own) and writes a run folder; `shipped.safetensors`
in it is the model in half precision, as `src/bozzetto/weights/cloud-DATA.safetensors` holds it.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from score_common import KEPT, load, settings

from bozzetto.pipelines import learn_clouds
from bozzetto.runs import RunFolder
from bozzetto.score import load_cloud_prior, save_cloud_prior

ABOUT = {
    "bodies": ("adult human bodies, arms lowered at an angle, y up, facing +z", "CC0-1.0"),
    "airfoils": ("outlines of airfoils, chord along x, y up", "MIT, Copyright (c) 2019-2023 Peter Sharpe"),
    "procedural": ("chairs of boxes, y up, facing +z", "Apache-2.0"),
}


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", choices=ABOUT, default="bodies")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--out", type=Path, default=Path("bozzetto-out/train_clouds"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    options.code_size = None
    table = load(options.data, "train", KEPT.get(options.data, 4096), 10**6)
    config = settings(options, "default", table.points.shape[2])
    what, licence = ABOUT[options.data]
    command = f"python benchmarks/train_clouds.py --data {options.data} --minutes {options.minutes:g}"
    about = {"name": f"cloud-{options.data}", "what": what, "licence": licence, "command": command}
    run = RunFolder.create(options.out, {"settings": config, "data": options.data}, resume=options.resume)
    figures = learn_clouds(run, table, config, about=about)
    prior = load_cloud_prior(run.file("model.safetensors"))
    if len(prior.names) > 400:  # a code per shape is only kept where they are few
        kept = torch.linspace(0, len(prior.names) - 1, 400).round().long()
        prior = replace(prior, codes=prior.codes[kept], names=tuple(prior.names[i] for i in kept.tolist()))
    save_cloud_prior(prior, run.file("shipped.safetensors"), torch.float16)
    run.report(figures, seed=options.seed)


if __name__ == "__main__":
    main()
