"""`bozzetto train heightmap DATA`: photos with height maps, and procedural materials, to a network."""

from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from ..heightmap.config import TrainConfig
    from ..heightmap.pairs import PairFiles
    from .train import Train


def train_heightmap(options: "Train") -> dict:
    """Learn to see height.

    Raises:
        InputError: The data cannot be used, or the options leave nothing to learn.
    """
    from ..heightmap.pairs import find_pairs
    from ..heightmap.predictor import load_predictor
    from ..heightmap.run import learn_heights, training_material
    from ..runs import RunFolder, fingerprint, resolve_device, seed_everything, writing_folder

    config = settings(options)
    device = resolve_device(options.device)
    seed_everything(options.seed)
    procedural = str(options.data) == "procedural"
    files = [] if procedural else find_pairs(options.data)
    away = _away(options, files)
    start = None if options.init is None else load_predictor(options.init)
    if start is not None and start.config != config.network:
        raise InputError(f"{options.init} holds another network than --preset {options.preset} trains")
    identity = {
        "verb": "train heightmap",
        "data": "procedural" if procedural else str(options.data.resolve()),
        "held_out": away,
        "ship_only": options.ship_only,
        "input": fingerprint(*(part for f in files for part in (f.name, f.color, f.height))),
        "synthetic": options.synthetic,
        "init": None if start is None else fingerprint(options.init),
        "settings": config,
    }
    reads = [options.data, *([] if options.init is None else [options.init])]
    with writing_folder(options.out) as folder:
        run = RunFolder.create(folder, identity, options.overwrite, options.resume, reads)
        quiet = options.quiet or folder != options.out
        chosen, crops = training_material(
            run, files, config, options.synthetic, away, options.ship_only, options.store, quiet
        )
        about = {"held_out": away, "materials": [pair.name for pair in chosen]}
        figures = learn_heights(run, crops, config, device, quiet, about, start)
        report = run.report({**figures, "materials": len(chosen), "held_out": away}, device, options.seed)
    if folder == options.out:
        for note in figures["notes"]:
            options.say(f"Note: {note}")
        options.say(f"Network: {run.path / 'heights.safetensors'}; what it sees: {run.path / 'preview.png'}")
    return report


def _away(options: "Train", files: "list[PairFiles]") -> list[str]:
    """Names of the materials that are kept away from the training."""
    from ..heightmap.pairs import SCANNED, held_out

    scanned = [pair.name for pair in files if pair.kind == SCANNED]
    if options.held_out >= max(1, len(scanned)) and options.held_out > 0:
        raise InputError(
            f"--held-out {options.held_out} keeps all {len(scanned)} scanned materials away; give fewer"
        )
    away = held_out(scanned, options.held_out)
    used = sum((pair.ship or not options.ship_only) and pair.name not in away for pair in files)
    if used == 0 and options.synthetic < 1:
        raise InputError("there is nothing to learn from; give --synthetic a number or DATA some pairs")
    return away


def settings(options: "Train") -> "TrainConfig":
    """The preset with what the options change."""
    from ..heightmap.config import PRESETS

    config = replace(PRESETS[options.preset], seed=options.seed)
    if options.flat:
        config = replace(config, schedule="flat")
    if options.init is not None:  # it knows the small already
        config = replace(config, quarters=0.0)
    if options.minutes is not None:
        config = replace(config, seconds=60 * options.minutes, steps=options.steps or 10**9)
    return config if options.steps is None else replace(config, steps=options.steps)
