"""Train the shipped height network: procedural materials, and pairs whose terms let the weights be passed on.

The twelve class A materials that `heightmap_materials.py` measures with are held out, so its figures are those
of the shipped weights.

    python -m benchmarks.weights.train_heights --minutes 50 --work runs-out/heights --pack
    python -m benchmarks.weights.train_heights --preset imagenet --minutes 15 --work runs-out/heights --pack

A training that was interrupted is continued; `--pack` also puts the result among the shipped weights.
"""

import argparse
import json
import shutil
from pathlib import Path

import bozzetto
from benchmarks.helpers.common import RESULTS, data_folder
from bozzetto.cli import main as bozzetto_main
from bozzetto.heightmap import Predictor, load_predictor, save_predictor

WEIGHTS = Path(bozzetto.__file__).parent / "weights"
HELD_OUT = 12


def train(out: Path, preset: str, minutes: float, samples: int, store: Path) -> None:
    """Train unless that is done."""
    if (out / "report.json").exists():
        return
    words = ["train", "heightmap", str(data_folder("textures")), "--out", str(out), "--minutes", str(minutes)]
    words += ["--preset", preset]
    words += ["--held-out", str(HELD_OUT), "--redistributable-only", "--cache-dir", str(store)]
    words += ["--procedural-samples", str(samples)]
    if bozzetto_main([*words, "--resume"]) != 0:
        raise SystemExit(f"the training in {out} failed")


def pack(out: Path, name: str) -> None:
    """The network, with where it comes from and without paths of this machine; and the log."""
    predictor = load_predictor(out / "heights.safetensors")
    training = json.loads((out / "config.json").read_text())["config"]
    training.pop("data", None)
    about = {
        "training": training,
        "steps": json.loads((out / "report.json").read_text())["figures"]["steps"],
        "held_out": predictor.metadata["held_out"],
        "materials": predictor.metadata["materials"],
    }
    save_predictor(Predictor(predictor.network, predictor.config, about), WEIGHTS / f"{name}.safetensors")
    shutil.copyfile(out / "metrics.jsonl", RESULTS / f"train_{name.replace('-', '_')}.jsonl")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=("default", "imagenet"), default="default")
    parser.add_argument("--minutes", type=float, default=50)
    parser.add_argument("--samples", type=int, default=600, help="procedural samples")
    parser.add_argument("--work", type=Path, default=Path("runs-out/heights"))
    parser.add_argument("--pack", action="store_true", help="put the result among the shipped weights")
    options = parser.parse_args()
    name = "heights" if options.preset == "default" else f"heights-{options.preset}"
    train(options.work / name, options.preset, options.minutes, options.samples, options.work / "pool")
    if options.pack:
        pack(options.work / name, name)


if __name__ == "__main__":
    main()
