"""Seconds for a cloud of 2,048 points: the default's sampler against annealed Langevin dynamics of ShapeGF.

    python -m benchmarks.score_speed --threads 2

Time does not depend on weights, so both networks are untrained. Wall time is the best of several runs; beside
it processor time, which counts all threads and which other programs hardly change. The reference takes 100
evaluations as published; `--levels` measures fewer of its ten levels and multiplies.
"""

import argparse
import time
from collections.abc import Callable

import torch

from benchmarks.helpers.common import save_results
from bozzetto.score import annealed_langevin, build_model, draw_points
from bozzetto.score.config import REFERENCE_MODEL, ModelConfig

POINTS = 2048


def seconds(work: Callable[[], object], rounds: int) -> dict[str, float]:
    """Best wall and processor time of some calls."""
    wall, processor = [], []
    for _ in range(rounds):
        began = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - began[0])
        processor.append(time.process_time() - began[1])
    return {"wall": min(wall), "processor": min(processor)}


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--levels", type=int, default=10, help="of the reference, of ten")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    default, reference = (build_model(config).eval() for config in (ModelConfig(), REFERENCE_MODEL))
    codes = [torch.randn(1, model.config.code_size) for model in (default, reference)]
    start = torch.rand(1, POINTS, 3) * 3 - 1.5
    rows = {"default": seconds(lambda: draw_points(default, codes[0], POINTS), options.rounds)}
    walked = seconds(lambda: annealed_langevin(reference, codes[1], start, levels=options.levels), 1)
    rows["reference"] = {key: value * 10 / options.levels for key, value in walked.items()}
    ratio = {key: rows["reference"][key] / rows["default"][key] for key in walked}
    for name, row in {**rows, "ratio": ratio}.items():
        print(f"{name:10} wall {row['wall']:.4f}  processor {row['processor']:.4f}")
    results = {"points": POINTS, "threads": options.threads, "levels_measured": options.levels}
    save_results("score_speed", {**results, "seconds_per_shape": rows, "ratio": ratio})


if __name__ == "__main__":
    main()
