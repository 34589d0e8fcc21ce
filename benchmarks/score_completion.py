"""Half of a held-out shape to the whole: several hypotheses against what the encoder alone makes of it.

    python -m benchmarks.score_completion --data bodies --minutes 20

Every held-out cloud loses the half on one side of a random plane. `encoder` draws the shape of the code that
the encoder gives to the rest; `best of 8` and `mean of 8` are the hypotheses of `complete`, whose observed
points stay. Chamfer distance to the whole (squared, both directions, times 10^4) and exact earth mover's
distance (times 10^2). The frame of the whole is known, as in the benchmarks of the literature. `oracle` is the
code of the whole.
"""

import argparse

import torch

from benchmarks.helpers.common import save_results
from benchmarks.helpers.score_common import (
    add_options,
    distances,
    load,
    model_path,
    rebuilt,
    train,
    train_both,
    training_of,
)
from bozzetto.score import CompleteConfig, complete, load_cloud_prior
from bozzetto.score.data import cropped_clouds
from bozzetto.shapes.frames import Frame

POINTS = 2048


def exactly(points: torch.Tensor, count: int) -> torch.Tensor:
    """A cloud of exactly so many points, some twice if need be."""
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))
    return points[order.repeat(-(-count // len(points)))[:count]]


def hypotheses(prior, part: torch.Tensor, options: argparse.Namespace) -> torch.Tensor:
    """Completed clouds of one part."""
    config = CompleteConfig(hypotheses=options.hypotheses, points=POINTS, seed=options.seed)
    known = Frame(torch.zeros(part.shape[1], dtype=torch.float64), 1.0)
    return torch.stack([exactly(one.points, POINTS) for one in complete(part, prior, config, known)])


def main() -> None:
    """Train if need be, complete, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_options(parser, "bodies")
    parser.add_argument("--test", type=int, default=20, help="held-out shapes, at most")
    parser.add_argument("--hypotheses", type=int, default=8)
    options = parser.parse_args()
    if options.only:
        return train(options, options.only)
    train_both(options, ["default"])
    prior = load_cloud_prior(model_path(options, "default"))
    table = load(options.data, "test", 2 * POINTS, options.test).points
    seen, truth = table[:, :POINTS], table[:, POINTS:]
    half = torch.full((len(seen),), 0.5)
    parts = cropped_clouds(seen, half, POINTS // 2, torch.Generator().manual_seed(options.seed))
    rows = {"oracle": distances(rebuilt(prior, seen, POINTS), truth)}
    rows["encoder"] = distances(rebuilt(prior, parts, POINTS), truth)
    found = []
    for part, whole in zip(parts, truth, strict=True):
        made = hypotheses(prior, part, options)
        found.append([distances(one[None], whole[None]) for one in made])
        print(min(one["chamfer"] for one in found[-1]), flush=True)
    for key in ("chamfer", "earth_mover"):
        values = torch.tensor([[one[key] for one in some] for some in found])
        rows.setdefault(f"best of {options.hypotheses}", {})[key] = float(values.amin(dim=1).mean())
        rows.setdefault(f"mean of {options.hypotheses}", {})[key] = float(values.mean())
        rows.setdefault("first", {})[key] = float(values[:, 0].mean())
    for name, row in rows.items():
        print(f"{name:12} chamfer {row['chamfer']:.2f}  earth mover {row['earth_mover']:.2f}")
    results = {"data": options.data, "minutes": options.minutes, "training": training_of(options, "default")}
    save_results(f"score_completion_{options.data}", {**results, "shapes": len(seen), "rows": rows})


if __name__ == "__main__":
    main()
