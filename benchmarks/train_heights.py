"""Train the shipped height network: procedural materials, and pairs whose terms let the weights be passed on.

Two stages: a long one with an even step size, then one in which it falls. The twelve class A materials that
`heightmap_materials.py` measures with are held out of both, so its figures are those of the shipped weights.

    python benchmarks/train_heights.py --minutes 28 38 --work runs-out/heights

A stage whose results are there already is not repeated; one that was interrupted is continued. `--pack` also
puts the result among the shipped weights.
"""

import argparse
import json
import shutil
from pathlib import Path

from common import RESULTS, data_folder

import bozzetto
from bozzetto.cli import main as bozzetto_main
from bozzetto.heightmap import Predictor, load_predictor, save_predictor

WEIGHTS = Path(bozzetto.__file__).parent / "weights"
HELD_OUT = 12


def train(out: Path, minutes: float, samples: int, store: Path, *more: str) -> None:
    if (out / "report.json").exists():
        return
    words = ["train", "heightmap", str(data_folder("textures")), "--out", str(out), "--minutes", str(minutes)]
    words += ["--held-out", str(HELD_OUT), "--ship-only", "--synthetic", str(samples), "--store", str(store)]
    if bozzetto_main([*words, "--resume", *more]) != 0:
        raise SystemExit(f"the training in {out} failed")


def pack(stages: list[Path]) -> None:
    """The last stage's network, with where it comes from and without paths of this machine; and the logs."""
    predictor = load_predictor(stages[-1] / "heights.safetensors")
    training = [json.loads((stage / "config.json").read_text())["config"] for stage in stages]
    for config in training:
        config.pop("data", None)
    about = {
        "stages": training,
        "steps": [json.loads((s / "report.json").read_text())["figures"]["steps"] for s in stages],
        "held_out": predictor.about["held_out"],
        "materials": predictor.about["materials"],
    }
    save_predictor(Predictor(predictor.network, predictor.config, about), WEIGHTS / "heights.safetensors")
    for number, stage in enumerate(stages, start=1):
        shutil.copyfile(stage / "metrics.jsonl", RESULTS / f"train_heights_{number}.jsonl")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, nargs=2, default=(28, 38), help="of the two stages")
    parser.add_argument("--samples", type=int, default=600, help="procedural samples")
    parser.add_argument("--work", type=Path, default=Path("runs-out/heights"))
    parser.add_argument("--pack", action="store_true", help="put the result among the shipped weights")
    options = parser.parse_args()
    stages = [options.work / "trunk", options.work / "ship"]
    store = options.work / "pool"
    train(stages[0], options.minutes[0], options.samples, store, "--flat")
    start = str(stages[0] / "heights.safetensors")
    train(stages[1], options.minutes[1], options.samples, store, "--init", start)
    if options.pack:
        pack(stages)


if __name__ == "__main__":
    main()
