"""How heights from photos depend on the number of scanned materials that were learned from.

    python -m benchmarks.studies.heightmap_learning --minutes 4

The same network, time and procedural and painted materials every time, but 5, 10, 20 or all 36 of the scanned
materials that are not held out (fewer are always among more; some of them may be used for tests only, so these
networks are not shipped). Measured on the twelve held-out ones by protocol HM-256, beside the luminance. A line
through error against the logarithm of the number tells how many materials a wanted error would take, if things
went on like that.
"""

import argparse
import math
import time
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.heightmap_materials import ASKED, COUNT, table
from benchmarks.helpers.common import data_folder, save_results
from bozzetto.heightmap import Predictor, find_pairs, held_out
from bozzetto.heightmap.config import PRESETS
from bozzetto.heightmap.data import Crops, procedural_pairs
from bozzetto.heightmap.pairs import PAINTED, SCANNED, PairFiles, load_pair
from bozzetto.heightmap.train import Training

COUNTS = (5, 10, 20, 36)


def learned(scanned: list[PairFiles], rest: list[PairFiles], options: argparse.Namespace) -> Predictor:
    """A network after so many minutes of one core."""
    config = replace(PRESETS[options.preset], seconds=60 * options.minutes, steps=10**9, seed=options.seed)
    pairs = [load_pair(files, config.side) for files in [*scanned, *rest]]
    samples = procedural_pairs(options.samples, options.seed + 1, config.side, None, options.work)
    crops = Crops(pairs, samples, config.shares, config.side, config.relight, config.recolor, options.seed)
    training = Training(crops, config)
    training.clock = time.process_time
    for _ in training.steps():
        pass
    print(f"{len(scanned)} scanned materials: {training.steps_done} steps", flush=True)
    return training.result({"steps": training.steps_done})


def wanted_count(errors: dict[int, float], wanted: float) -> float:
    """Materials that the line through error against the logarithm of their number would need."""
    x = torch.tensor([math.log(count) for count in errors], dtype=torch.float64)
    y = torch.tensor(list(errors.values()), dtype=torch.float64)
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())
    if slope >= 0:
        return math.inf
    exponent = float(x.mean()) + (wanted - float(y.mean())) / slope
    return math.exp(exponent) if exponent < 700 else math.inf


def main() -> None:
    """Train, measure, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=("default", "imagenet"), default="imagenet")
    parser.add_argument("--minutes", type=float, default=4, help="of one core, for each")
    parser.add_argument("--samples", type=int, default=600, help="procedural materials")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("runs-out/heights/pool"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    files = find_pairs(data_folder("textures"))
    scanned = [f for f in files if f.kind == SCANNED]
    away = held_out([f.name for f in scanned], COUNT)
    test = [f for f in scanned if f.name in away]
    known = [f for f in scanned if f.name not in away]
    order = torch.randperm(len(known), generator=torch.Generator().manual_seed(options.seed)).tolist()
    painted = [f for f in files if f.kind == PAINTED]
    networks = {str(count): learned([known[k] for k in order[:count]], painted, options) for count in COUNTS}
    rows = table(test, networks, 256, None)["table"]
    errors = {count: rows[str(count)]["rmse_affine"] for count in COUNTS}
    results = {
        "protocol": "HM-256 v1",
        "preset": options.preset,
        "minutes": options.minutes,
        "held_out": away,
        "table": rows,
        "materials_for_the_wanted_error": wanted_count(errors, ASKED["rmse_affine"]),
    }
    print({count: round(error, 4) for count, error in errors.items()})
    save_results("heightmap_learning", results)


if __name__ == "__main__":
    main()
