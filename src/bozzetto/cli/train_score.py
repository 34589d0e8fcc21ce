"""`bozzetto train score DATA`: a collection of clouds to a model."""

from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from ..score.config import FrameKind, ModelConfig, TrainConfig
    from .train import Train

POINTS = 8192
"""Points of a shape that are kept to learn from."""


def train_score(options: "Train") -> dict:
    """Read the clouds and train."""
    from ..runs import RunFolder, fingerprint, resolve_device, seed_everything, writing_folder
    from ..score import cloud_table, learn_clouds, load_clouds

    config = _settings(options)
    device = resolve_device(options.device)
    seed_everything(options.seed)
    clouds = load_clouds(options.data, POINTS, "train", options.seed)
    dimensions = {cloud.shape[1] for cloud in clouds.points}
    if len(dimensions) > 1:
        raise InputError(f"{options.data} mixes clouds in 2D and 3D; train on one kind")
    config = replace(config, model=_networks(config.model, dimensions.pop(), options.frame))
    size = min(POINTS, max(len(cloud) for cloud in clouds.points))
    table = cloud_table(clouds.points, clouds.names, size, config.model.frame)
    settings = {"verb": "train score", "data": str(options.data), "settings": config}
    settings["input"] = fingerprint(table.points, list(table.names))
    with writing_folder(options.out) as folder:
        run = RunFolder.create(folder, settings, options.overwrite, options.resume, [options.data])
        figures = learn_clouds(run, table, config, device, options.quiet or folder != options.out)
        report = run.report(figures, device, options.seed)
    if folder == options.out:
        options.say(f"Model: {run.path / 'model.safetensors'}; what it makes: {run.path / 'preview.png'}")
    return report


def _networks(model: "ModelConfig", dimensions: int, frame: "FrameKind") -> "ModelConfig":
    from ..score.config import FLAT_MODEL

    if model.architecture == "grid" and dimensions == 2:
        model = FLAT_MODEL
    return replace(model, dimensions=dimensions, frame=frame)


def _settings(options: "Train") -> "TrainConfig":
    from ..score.config import PRESETS

    config = replace(PRESETS[options.preset], seed=options.seed)
    if options.minutes is not None:
        config = replace(config, seconds=60 * options.minutes, epochs=options.epochs or 10**9)
    return config if options.epochs is None else replace(config, epochs=options.epochs)
