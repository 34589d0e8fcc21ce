"""Whether a training collapses: 20 seeds, steps of 1, 2, 4 and 8 shapes, on thin shapes.

    python -m benchmarks.studies.collapse [--seeds 20] [--reference-seeds 3]

A collapsed DeepSDF predicts "outside" everywhere, or one shape for every code. Eight aeroplanes, whose wings
are the thinnest things of the benchmark collections, are learned for so many steps. Counted per shape: the
share of samples inside it that are found inside with its code, and with the code of the next shape. A
training has collapsed if it finds less than half of the inside of any shape, or if the codes do not matter.
"""

import argparse
import statistics
from dataclasses import replace

import torch

from benchmarks.helpers.common import RESULTS, save_results
from benchmarks.helpers.shape_families import Family, Path
from bozzetto import InputError
from bozzetto.sdf import SdfSamples, prepare_shape, train_prior
from bozzetto.sdf.config import PRESETS, TrainConfig
from bozzetto.sdf.data import sample_table

SHAPES, SAMPLES = 8, 20_000
BATCHES = (1, 2, 4, 8)
STEPS = {"default": 300, "reference": 300}


def error(values: torch.Tensor, samples: SdfSamples) -> float:
    """Mean clamped distance error of predictions for the samples of a shape."""
    return float((values.clamp(-0.1, 0.1) - samples.distances.clamp(-0.1, 0.1)).abs().mean())


def examine(parts: list[SdfSamples], config: TrainConfig) -> dict:
    """Figures of one training."""
    names = [str(i) for i in range(len(parts))]
    try:
        prior = train_prior(sample_table(parts, names), config)
    except InputError as stopped:
        return {"collapsed": True, "why": str(stopped)}
    found, own, other = [], [], []
    for i, samples in enumerate(parts):
        with torch.no_grad():
            values = prior.decoder(prior.codes[i : i + 1], samples.points[None])[0]
            wrong = prior.decoder(prior.codes[[(i + 1) % len(parts)]], samples.points[None])[0]
        found.append(float((values[samples.distances < 0] < 0).float().mean()))
        own.append(error(values, samples))
        other.append(error(wrong, samples))
    ratio = statistics.mean(own) / statistics.mean(other)
    return {
        "collapsed": min(found) < 0.5 or ratio > 0.9,
        "least_inside_found": min(found),
        "error": statistics.mean(own),
        "error_of_own_code_to_that_of_the_next": ratio,
    }


def main() -> None:
    """Train many times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--reference-seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    family = Family("planes")
    generator = torch.Generator().manual_seed(0)
    keys = family.keys[:: len(family.keys) // SHAPES][:SHAPES]
    parts = [prepare_shape(family[key], SAMPLES, generator).samples for key in keys]
    results: dict = {"shapes": keys, "steps": STEPS}
    for preset, seeds in (("default", options.seeds), ("reference", options.reference_seeds)):
        rows: dict = {}
        for batch in BATCHES:
            config = replace(
                PRESETS[preset],
                shapes_per_step=batch,
                samples_per_shape=1024,
                epochs=max(1, STEPS[preset] * batch // SHAPES),
            )
            runs = [examine(parts, replace(config, seed=seed)) for seed in range(seeds)]
            alive = [run for run in runs if "error" in run]
            rows[str(batch)] = {
                "trainings": len(runs),
                "collapsed": sum(run["collapsed"] for run in runs),
                "least_inside_found": min((run["least_inside_found"] for run in alive), default=0.0),
                "error_mean": statistics.mean(run["error"] for run in alive) if alive else None,
                "each": runs,
            }
            print(preset, batch, {k: v for k, v in rows[str(batch)].items() if k != "each"}, flush=True)
        results[preset] = rows
        save_results("collapse", results, options.out)


if __name__ == "__main__":
    main()
