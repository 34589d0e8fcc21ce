"""Invented shapes against held-out shapes: the prior learned beside the field, and the published latent GAN.

    python -m benchmarks.score_generation --data procedural --minutes 20

The default preset and ShapeGF as released are trained for equal time side by side, see `score_autoencoding.py`.
Latent GANs get a quarter of that time on top. Sets of clouds are compared exactly (MMD, COV,
1-NNA with Chamfer and earth mover's distance, JSD), protocol `shapegf`. Rows: other held-out shapes or, for the
procedural family, another draw of it (`law`, the only row whose right 1-NNA is known: 50 %); the training set;
codes of training shapes drawn anew, which tells what the field costs; the default; the default's field with a
latent GAN in place of its prior, which tells what the prior is worth; the reference (it needs 10 seconds and
more for a cloud; `--skip-reference` leaves it out). All points are independent: even ones would tell a
generated cloud from a sampled one.
"""

import argparse
import time
from dataclasses import asdict, replace

import torch

from benchmarks.helpers.common import save_results
from benchmarks.helpers.score_common import add_options, load, model_path, train, train_both, training_of
from bozzetto.metrics import evaluate_generation
from bozzetto.score import CloudPrior, fit_latent_gan, load_cloud_prior, points_of
from bozzetto.score.config import REFERENCE_LATENT


def invented(prior: CloudPrior, shapes: int, points: int, seed: int) -> torch.Tensor:
    """Shapes of a model, points independent."""
    return points_of(prior, prior.sample_codes(shapes, seed), points, seed, stratified=False)


def sets(options: argparse.Namespace) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Reference clouds, and the clouds of every row."""
    shapes, points = options.test, options.points
    held_out = load(options.data, "test", points, 2 * shapes).points
    training = load(options.data, "train", points, options.shapes).points
    shapes = min(shapes, len(held_out) // 2 if options.data == "procedural" else len(held_out))
    chosen = torch.randperm(len(training), generator=torch.Generator().manual_seed(options.seed))[:shapes]
    rows = {"training set": training[chosen]}
    if options.data == "procedural":
        rows = {"law": held_out[shapes : 2 * shapes], **rows}
    default = load_cloud_prior(model_path(options, "default"))
    rows["training codes"] = points_of(default, default.codes[chosen], points, options.seed, stratified=False)
    rows["default"] = invented(default, shapes, points, options.seed)
    clock = time.process_time if options.clock == "processor" else time.monotonic
    gan = fit_latent_gan(default.codes, REFERENCE_LATENT, options.seed, 15 * options.minutes, clock)
    rows["default with latent GAN"] = invented(replace(default, latent=gan), shapes, points, options.seed)
    if not options.skip_reference:
        reference = load_cloud_prior(model_path(options, "reference"))
        rows["reference"] = invented(reference, shapes, points, options.seed)
    return held_out[:shapes], rows


def main() -> None:
    """Train what is missing, compare, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_options(parser, "procedural")
    parser.add_argument("--test", type=int, default=150, help="clouds per set, at most")
    parser.add_argument("--points", type=int, default=1024, help="points per cloud")
    parser.add_argument("--skip-reference", action="store_true", help="default preset alone")
    parser.add_argument("--chamfer-only", action="store_true", help="leave out the earth mover's distance")
    options = parser.parse_args()
    if options.only:
        return train(options, options.only)
    presets = ["default"] if options.skip_reference else ["default", "reference"]
    train_both(options, presets)
    reference, rows = sets(options)
    results: dict = {"data": options.data, "minutes": options.minutes, "clock": options.clock, "rows": {}}
    results["training"] = {name: training_of(options, name) for name in presets}
    for name, clouds in rows.items():
        scores = evaluate_generation(clouds, reference, "shapegf", not options.chamfer_only, options.seed)
        results["rows"][name] = asdict(scores)
        nna = [f.one_nna.value for f in (scores.chamfer, scores.earth_mover) if f is not None]
        print(f"{name:26} 1-NNA", *(f"{100 * value:.1f}" for value in nna), f"JSD {scores.jsd}", flush=True)
    save_results(f"score_generation_{options.data}", results)


if __name__ == "__main__":
    main()
