"""Auto-encoding of point clouds: the default preset and ShapeGF as released, after equal time side by side.

    python -m benchmarks.score_autoencoding --data mnist --minutes 30

Each preset trains in a process of its own with one thread; both run at the same time. Then every shape is
encoded from one sample of its points, drawn anew by the model, and compared with a second, disjoint sample, by
Chamfer distance (squared, both directions, times 10^4) and exact earth mover's distance (times 10^2). The row
`oracle` compares the first sample with the second. Points of the default come from even noise, and from
independent noise in the row `default, independent`: even points are nearer to any sample than a second sample
is, so that ratios below 1 are possible. The reference needs 20 seconds and more for a cloud: it is compared
on the first few shapes, with the other rows on the same. Below that: fewer input points, seconds.
"""

import argparse
import time

import torch

from benchmarks.helpers.common import save_results
from benchmarks.helpers.score_common import (
    POINTS,
    add_options,
    distances,
    load,
    model_path,
    rebuilt,
    train,
    train_both,
    training_of,
)
from bozzetto.score import CloudPrior, load_cloud_prior, points_of

INPUTS = (2048, 1024, 512, 256, 128, 64)


def evaluate(options: argparse.Namespace, presets: list[str]) -> dict:
    """All rows, on training and on held-out shapes."""
    count = POINTS.get(options.data, 2048)
    results: dict = {}
    for split in ("test", "train"):
        some = options.test if split == "test" else min(options.test, 60)
        table = load(options.data, split, max(2 * count, 4096), some)
        seen, truth = table.points[:, :count], table.points[:, count : 2 * count]
        prior = load_cloud_prior(model_path(options, "default"))
        results[split] = compared(prior, seen, truth)
        print(split, results[split], flush=True)
        if "reference" in presets:
            few = slice(options.reference_test)
            reference = load_cloud_prior(model_path(options, "reference"))
            results[f"{split}, first {options.reference_test}"] = {
                **compared(prior, seen[few], truth[few]),
                "reference": distances(rebuilt(reference, seen[few], count), truth[few]),
            }
            print(results[f"{split}, first {options.reference_test}"], flush=True)
        if split == "test":
            results["inputs"] = inputs(prior, table.points, truth, count)
            print(results["inputs"], flush=True)
            results["evaluations"] = {
                n: distances(rebuilt(prior, seen, count, evaluations=n), truth) for n in (5, 8, 10, 16)
            }
    return results


def compared(prior: CloudPrior, seen: torch.Tensor, truth: torch.Tensor) -> dict:
    """The oracle, and the default from even and from independent noise."""
    count = seen.shape[1]
    rows = {
        "oracle": distances(seen, truth),
        "default": distances(rebuilt(prior, seen, count), truth),
        "default, independent": distances(rebuilt(prior, seen, count, stratified=False), truth),
    }
    return ratios(rows)


def inputs(prior: CloudPrior, points: torch.Tensor, truth: torch.Tensor, count: int) -> dict:
    """What fewer input points cost."""
    sizes = [size for size in INPUTS if size <= count]
    return {size: distances(rebuilt(prior, points[:, :size], count), truth) for size in sizes}


def ratios(rows: dict[str, dict[str, float]]) -> dict:
    """Every row with its ratio to the oracle."""
    oracle = rows["oracle"]
    return {
        name: {**row, **{f"{key}_over_oracle": row[key] / oracle[key] for key in row}}
        for name, row in rows.items()
    }


def seconds(options: argparse.Namespace, presets: list[str], points: int = 2048) -> dict:
    """Seconds for one cloud: the default with 10 evaluations, the reference with 100."""
    found = {"threads": torch.get_num_threads()}
    for preset in presets:
        prior = load_cloud_prior(model_path(options, preset))
        times = []
        for _ in range(2 if preset == "reference" else 10):
            began = time.perf_counter()
            points_of(prior, prior.codes[:1], points)
            times.append(time.perf_counter() - began)
        found[preset] = min(times)
    return found


def main() -> None:
    """Train what is missing, evaluate, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_options(parser, "mnist")
    parser.add_argument("--test", type=int, default=200, help="held-out shapes, at most")
    parser.add_argument(
        "--reference-test", type=int, default=12, help="shapes that the slow reference rebuilds"
    )
    parser.add_argument("--skip-reference", action="store_true", help="default preset alone")
    options = parser.parse_args()
    if options.only:
        return train(options, options.only)
    presets = ["default"] if options.skip_reference else ["default", "reference"]
    train_both(options, presets)
    about = {preset: training_of(options, preset) for preset in presets}
    results = {"data": options.data, "minutes": options.minutes, "clock": options.clock, "seed": options.seed}
    results |= {
        "training": about,
        **evaluate(options, presets),
        "seconds_per_cloud": seconds(options, presets),
    }
    save_results(f"score_autoencoding_{options.data}", results)


if __name__ == "__main__":
    main()
