"""The networks of `bozzetto denoise` that come with the package.

    python -m benchmarks.weights.train_denoiser

Makes every shape that it learns from itself, with the recipe `DenoiserRecipe`. Writes denoiser.safetensors
among the shipped weights, or to `--out`, and the log of the training beside the results of benchmarks. On one
machine two trainings have the same numbers, but for the seconds.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch

import bozzetto
from benchmarks.helpers.common import RESULTS, command, commit
from bozzetto.points.denoiser import DenoiserRecipe, save_denoiser
from bozzetto.points.fit_training import train_denoiser

SHIPPED = Path(bozzetto.__file__).parent / "weights" / "denoiser.safetensors"


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=DenoiserRecipe.seed, help="of shapes, noise and weights")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="file to write")
    options = parser.parse_args()
    began, lines = time.process_time(), []

    def log(figures: dict) -> None:
        lines.append(figures | {"elapsed": round(time.process_time() - began, 1)})
        print(lines[-1], flush=True)

    denoiser = train_denoiser(DenoiserRecipe(seed=options.seed), log)
    made = {
        "command": command(),
        "commit": commit(),
        "torch": torch.__version__,
        "training": {"seconds of processor": round(time.process_time() - began)},
        "last": {line["network"]: line["loss"] for line in lines},
        "licence": "CC0-1.0",
    }
    save_denoiser(replace(denoiser, metadata=denoiser.metadata | made), options.out)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    folder = RESULTS if options.out == SHIPPED else options.out.parent
    (folder / "train_denoiser.jsonl").write_text(text)
    print(f"weights written to {options.out}")


if __name__ == "__main__":
    main()
