"""What the benchmarks of point clouds share: data, training of presets side by side, distances."""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.helpers.common import data_folder, script
from bozzetto.metrics import solve_assignments
from bozzetto.metrics.earth_mover import distances as distance_tables
from bozzetto.runs import RunFolder
from bozzetto.score import CloudPrior, Training, cloud_table, learn_clouds, load_clouds, points_of
from bozzetto.score.config import FLAT_MODEL, PRESETS, TrainConfig
from bozzetto.score.data import CloudTable

DATA = {
    "mnist": ("points", "mnist.npz"),
    "chairs": ("points", "modelnet10_chairs.npz"),
    "bodies": ("collections", "bodies.npz"),
    "airfoils": ("collections", "airfoils.npz"),
    "lamps": ("collections", "lamps"),
    "vases": ("collections", "vases"),
    "planes": ("collections", "planes"),
    "procedural": None,
}
KEPT = {"mnist": 1024}
POINTS = {"mnist": 800}
"""Points that are compared: 800 as in the paper for contours, else 2048."""


def add_options(parser: argparse.ArgumentParser, data: str) -> None:
    """Options that training needs."""
    parser.add_argument("--data", choices=DATA, default=data)
    parser.add_argument("--minutes", type=float, default=30, help="of training, for each preset")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall", help="what minutes are of")
    parser.add_argument("--shapes", type=int, default=50_000, help="training shapes, at most")
    parser.add_argument("--code-size", type=int, help="numbers per shape, for both presets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("bozzetto-out/score"), help="where models are kept")
    parser.add_argument("--only", choices=PRESETS, help="train this preset and stop")


def load(data: str, split: str, count: int, shapes: int) -> CloudTable:
    """Normalised clouds of a benchmark set."""
    where = DATA[data]
    path = Path("procedural") if where is None else data_folder(where[0]) / where[1]
    clouds = load_clouds(path, count, split)
    points, names = clouds.points[:shapes], clouds.names[:shapes]
    if data == "mnist":  # normalised by the whole contour, not by the points that were drawn
        return CloudTable(torch.stack(points), tuple(names))
    return cloud_table(points, names, count)


def settings(options: argparse.Namespace, preset: str, dimensions: int) -> TrainConfig:
    """A preset for the time that there is."""
    config = replace(PRESETS[preset], seconds=60 * options.minutes, epochs=10**9, seed=options.seed)
    if dimensions == 2:
        flat = replace(config.model, dimensions=2) if preset == "reference" else FLAT_MODEL
        config = replace(config, model=flat)
    if preset == "reference" and options.data in POINTS:
        config = replace(config, points=POINTS[options.data], inputs=(POINTS[options.data],) * 2)
    elif options.data in POINTS:  # whole and dense as the reference sees them
        config = replace(config, inputs=(256, POINTS[options.data]), cropped=0.0)
    if options.data == "mnist":  # 50,000 codes and nothing to compare: no second stage
        config = replace(config, latent=None if preset == "reference" else config.latent)
    if options.code_size:
        config = replace(config, model=replace(config.model, code_size=options.code_size))
    return config


def model_path(options: argparse.Namespace, preset: str) -> Path:
    """Where the model of a preset is kept."""
    name = f"{options.data}-{preset}-{options.minutes:g}-{options.seed}"
    return options.work / name / "model.safetensors"


def train(options: argparse.Namespace, preset: str) -> None:
    """Train one preset in this process and keep the model; a run that was cut short goes on."""
    torch.set_num_threads(1)
    table = load(options.data, "train", KEPT.get(options.data, 4096), options.shapes)
    config = settings(options, preset, table.points.shape[2])
    training = Training(table, config)
    if options.clock == "processor":
        training.clock = time.process_time
    run = RunFolder.create(model_path(options, preset).parent, {"settings": config}, resume=True)
    learn_clouds(run, training, quiet=preset != "default")


def training_of(options: argparse.Namespace, preset: str) -> dict:
    """What the log of a training says of its end; it has a line for every twenty steps."""
    log = model_path(options, preset).parent / "metrics.jsonl"
    return json.loads(log.read_text().splitlines()[-1]) if log.exists() else {"step": "fewer than 20"}


def train_both(options: argparse.Namespace, presets: list[str]) -> None:
    """Train presets that are not there yet, at the same time."""
    missing = [preset for preset in presets if not model_path(options, preset).exists()]
    words = [sys.executable, "-m", script(), *sys.argv[1:], "--only"]
    running = [subprocess.Popen([*words, preset]) for preset in missing]
    if any(process.wait() for process in running):
        sys.exit("a training has failed")


def distances(made: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
    """Mean Chamfer (x 10^4) and earth mover's distance (x 10^2)."""
    chamfer, mover = [], []
    for a, b in zip(made.split(10), truth.split(10), strict=True):
        table = distance_tables(a, b)
        chamfer.append(table.amin(2).square().mean(1) + table.amin(1).square().mean(1))
        mover.append(solve_assignments(table).upper)
    return {
        "chamfer": 1e4 * float(torch.cat(chamfer).mean()),
        "earth_mover": 1e2 * float(torch.cat(mover).mean()),
    }


@torch.no_grad()
def rebuilt(prior: CloudPrior, seen: torch.Tensor, count: int, **how: object) -> torch.Tensor:
    """Clouds of the shapes of which some points are seen."""
    codes = torch.cat([prior.model.encode(part) for part in seen.split(32)])
    return points_of(prior, codes, count, **how)
