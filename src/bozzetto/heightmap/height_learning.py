"""From pairs and procedural materials to a network that sees height: training, checkpoints, preview."""

from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..files import remove_leftovers
from ..images import save_image
from ..runs import RunFolder, run_training
from .config import TrainConfig
from .data import Crops, procedural_pairs
from .pairs import PairFiles, load_pairs
from .predictor import Predictor, save_predictor
from .train import Training

PREVIEWS = 8


def training_material(
    run: RunFolder,
    files: Sequence[PairFiles],
    config: TrainConfig,
    synthetic: int,
    exclude: Collection[str] = (),
    ship_only: bool = False,
    store: Path | None = None,
    quiet: bool = True,
) -> tuple[list[PairFiles], Crops]:
    """Pairs that may be learned from, and crops of them and of procedural samples.

    Args:
        run: Its folder keeps the procedural samples unless there is a store.
        files: All pairs.
        config: How to learn.
        synthetic: Number of procedural samples.
        exclude: Names of materials to keep away from.
        ship_only: Take only pairs that allow weights to be passed on.
        store: Folder for procedural samples, shared by trainings.
        quiet: Show no progress.
    """
    run.begin()
    chosen = [f for f in files if f.name not in exclude and (f.ship or not ship_only)]
    own = run.path / "prepared"
    remove_leftovers(own)
    with run.stage("prepare"):
        chosen, pairs = load_pairs(chosen, config.side)
        samples = procedural_pairs(synthetic, config.seed + 1, config.side, None, store or own, quiet)
    return chosen, Crops(
        pairs, samples, config.shares, config.side, config.relight, config.recolor, config.seed
    )


def learn_heights(
    run: RunFolder,
    crops: Crops,
    config: TrainConfig,
    device: torch.device | str = "cpu",
    quiet: bool = False,
    about: dict | None = None,
    start: Predictor | None = None,
) -> dict:
    """Train a network in a run folder, continuing from its checkpoint if it has one.

    Writes `heights.safetensors`, and `preview.png` with some crops, their true and their predicted heights.

    Returns:
        Figures: losses, steps, parameters, notes.
    """
    training = Training(crops, config, device, start)
    figures = run_training(run, training, quiet)
    predictor = training.predictor({"training": run.config, **(about or {})})
    with run.stage("write"):
        save_predictor(predictor, run.file("heights.safetensors"))
        save_image(run.file("preview.png"), training_preview(training))
    count = sum(p.numel() for p in predictor.network.parameters())
    return {**figures, "steps": training.steps_done, "parameters": count, "notes": training.notes}


def training_preview(training: Training, count: int = PREVIEWS) -> Tensor:
    """Rows of photo, true and predicted height."""
    batch = training.crops.draw(2**31, count)
    predictor = training.predictor()
    with torch.inference_mode():
        height = predictor.network(batch.photos).height
    rows = []
    for photo, truth, found in zip(batch.photos, batch.heights, height, strict=True):
        maps = [((m - m.mean()) / (5 * m.std() + 1e-9) + 0.5).clamp(0, 1) for m in (truth, found)]
        rows.append(torch.cat([photo, *(m.expand(3, -1, -1) for m in maps)], dim=2))
    return torch.cat(rows, dim=1).movedim(0, -1)
