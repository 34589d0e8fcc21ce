"""Codes of held-out shapes: Levenberg-Marquardt against the released 800 Adam steps, on the same samples.

    python -m benchmarks.second_order_fit --family bodies [--prior FILE]

Both minimise mean clamped L1 + 1e-4 mean(z^2) over the same 8,000 samples, on one thread. For each shape:
how many iterations, and what part of the time, the second-order fit needs to come within a thousandth of the
loss that Adam ends with; and the loss of both at their ends, which shows what the thousandth hides.
"""

import argparse
import statistics

import torch

from benchmarks.helpers.common import RESULTS, save_results
from benchmarks.helpers.shape_families import Family, Path, add_options, choose_prior
from bozzetto.sdf import fit_code, prepare_shape
from bozzetto.sdf.fit_code import balanced, published_fit_loss

SAMPLES = 8000
TOLERANCE = 1e-3


def compare(prior, mesh, seed: int) -> dict:
    """Figures of one shape."""
    generator = torch.Generator().manual_seed(seed)
    samples = prepare_shape(mesh, 50_000, generator).samples
    chosen = balanced(samples.distances, SAMPLES, generator)
    points, distances = samples.points[chosen], samples.distances[chosen]
    adam = fit_code(prior, points, distances, "adam", seed=seed)
    second = fit_code(prior, points, distances, regulariser="isotropic", seed=seed)
    ends = [float(published_fit_loss(prior, fit.code, points, distances)) for fit in (adam, second)]
    reached = next((i for i, loss in enumerate(second.losses) if loss <= (1 + TOLERANCE) * ends[0]), None)
    # One evaluation comes before the first iteration.
    pace = second.seconds / (second.iterations + 1)
    return {
        "adam_loss": ends[0],
        "second_order_loss": ends[1],
        "adam_seconds": adam.seconds,
        "second_order_seconds": second.seconds,
        "iterations": second.iterations,
        "iterations_to_loss_of_adam": reached,
        "times_faster_to_loss_of_adam": None if reached is None else adam.seconds / (pace * (reached + 1)),
        "times_faster": adam.seconds / second.seconds,
    }


def main() -> None:
    """Fit and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_options(parser)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    family = Family(options.family)
    prior = choose_prior(options, family)
    rows = {}
    for seed, key in enumerate(family.held_out(prior, options.shapes)):
        rows[key] = compare(prior, family[key], seed)
        print(key, {name: round(v, 5) for name, v in rows[key].items() if v is not None}, flush=True)
    reached = [row["iterations_to_loss_of_adam"] for row in rows.values()]
    faster = [
        row["times_faster_to_loss_of_adam"] for row in rows.values() if row["times_faster_to_loss_of_adam"]
    ]
    summary = {
        "reached_share": sum(r is not None for r in reached) / len(reached),
        "iterations_median": statistics.median(r for r in reached if r is not None) if faster else None,
        "iterations_largest": max((r for r in reached if r is not None), default=None),
        "times_faster_median": statistics.median(faster) if faster else None,
        "times_faster_least": min(faster, default=None),
        "loss_ratio_largest": max(r["second_order_loss"] / r["adam_loss"] for r in rows.values()),
        "loss_ratio_median": statistics.median(
            r["second_order_loss"] / r["adam_loss"] for r in rows.values()
        ),
        "times_faster_to_the_end_median": statistics.median(r["times_faster"] for r in rows.values()),
    }
    print(summary)
    save_results(
        f"second_order_fit_{options.family}",
        {
            "prior": options.prior and options.prior.name,
            "decoder": vars(prior.decoder.config),
            "summary": summary,
            "shapes": rows,
        },
        options.out,
    )


if __name__ == "__main__":
    main()
