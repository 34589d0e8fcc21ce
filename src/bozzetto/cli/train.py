"""`bozzetto train sdf|score|heightmap DATA`: a collection of shapes or photos to a model."""

from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ..errors import InputError
from .checks import MANY, OnlyFor, Within, refuse_options
from .common import Options

if TYPE_CHECKING:
    from ..sdf.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Train(Options):
    """Train a model: `sdf`, a prior over shapes; `score`, point clouds; `heightmap`, heights of surfaces.

    sdf writes prior.safetensors and preview.png; a folder of meshes is prepared first, below the results.
    score writes model.safetensors and preview.png.
    heightmap learns to see height in photos: heights.safetensors and preview.png.
    """

    engine: Annotated[Literal["sdf", "score", "heightmap"], tyro.conf.Positional]
    """What to train."""
    data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    """sdf: folder of meshes, a ShapeNet folder as it unpacks, samples prepared as by the DeepSDF code, or one
    mesh or scan, for --preset single.
    score: folder of meshes or clouds, ShapeNetCore.v2.PC15k, an array of clouds, or the word `procedural`.
    heightmap: folder whose sub-folders hold color.* and height.*, or the word `procedural`."""
    out: Path = Path("bozzetto-out/train")
    """Folder for the results."""
    preset: Literal["default", "reference", "single", "imagenet"] = "default"
    """default: ours; reference: as published; single: one shape in detail (sdf); imagenet: with an encoder that
    has seen ImageNet, from an optional package (heightmap)."""
    split: Annotated[Path | None, tyro.conf.arg(metavar="FILE"), OnlyFor("sdf")] = None
    """sdf: split file of DeepSDF that names the shapes to take; all if none is given."""
    frame: Annotated[Literal["box", "principal", "shared"], OnlyFor("score")] = "box"
    """score: how shapes are normalised: by their boxes, turned to their axes of inertia first, or all alike."""
    samples: Annotated[int, Within(1, 10**8), OnlyFor("sdf")] = 100_000
    """sdf: samples per shape when meshes are prepared; 500000 as published."""
    minutes: Annotated[float | None, tyro.conf.arg(metavar="M"), Within(0, 10**6, above=True)] = None
    """Minutes to train; schedules adapt to it. Without it, the epochs or steps of the preset."""
    epochs: Annotated[int | None, Within(1, MANY), OnlyFor("sdf", "score")] = None
    """sdf, score: passes over the shapes, instead of those of the preset."""
    steps: Annotated[int | None, Within(1, MANY), OnlyFor("heightmap")] = None
    """heightmap: largest number of steps."""
    synthetic: Annotated[int, Within(0, 100_000), OnlyFor("heightmap")] = 2400
    """heightmap: number of procedural materials, which are made before the training, on all cores."""
    store: Annotated[Path | None, tyro.conf.arg(metavar="DIR"), OnlyFor("heightmap")] = None
    """heightmap: folder for these, shared by several trainings; by default below the results."""
    held_out: Annotated[int, Within(0, 100_000), OnlyFor("heightmap")] = 0
    """heightmap: number of scanned materials to hold out for measuring, always the same ones."""
    init: Annotated[Path | None, tyro.conf.arg(metavar="FILE"), OnlyFor("heightmap")] = None
    """heightmap: weights of an earlier training to continue from, with other data or a new schedule."""
    flat: Annotated[bool, OnlyFor("heightmap")] = False
    """heightmap: keep the learning rate constant, for weights that another training continues from."""
    ship_only: Annotated[bool, OnlyFor("heightmap")] = False
    """heightmap: learn only from pairs whose terms let the weights be passed on."""
    resume: bool = field(default=False)
    """Continue an interrupted training in the same folder."""

    @property
    def task(self) -> str:
        """The engine."""
        return self.engine

    def check(self) -> None:
        """Refuse also presets of other engines, and options that do not apply to the data."""
        super().check()
        presets = import_module(f"..{self.engine}.config", __package__).PRESETS
        if self.preset not in presets:
            raise InputError(
                f"train {self.engine} has no --preset {self.preset}; choose {' or '.join(presets)}"
            )
        if self.engine == "heightmap" and str(self.data) == "procedural":
            refuse_options(
                self, "is about photos, and DATA is the word procedural", "--held-out", "--ship-only"
            )
        if self.synthetic == 0:
            refuse_options(self, "keeps procedural materials, of which --synthetic 0 makes none", "--store")

    def run(self) -> dict:
        """Train."""
        if self.engine == "score":
            from .train_score import train_score

            return train_score(self)
        if self.engine == "heightmap":
            from .train_heightmap import train_heightmap

            return train_heightmap(self)
        return self._sdf()

    def _sdf(self) -> dict:
        from ..runs import RunFolder, is_distributed, resolve_device, seed_everything, writing_folder
        from ..sdf import is_prepared, learn_shape_prior, prepared_collection

        config = self.settings()
        device = resolve_device(self.device)
        seed_everything(self.seed)
        if not self.data.exists():
            raise InputError(f"{self.data} does not exist; give a folder of meshes or prepared samples")
        settings = {
            "verb": "train sdf",
            "data": str(self.data.resolve()),
            "split": None if self.split is None else str(self.split.resolve()),
            "samples": self.samples,
            "settings": config,
        }
        if is_prepared(self.data):
            refuse_options(self, f"is for meshes, and {self.data} holds prepared samples", "--samples")
        elif is_distributed():
            raise InputError(f"several processes need samples; run `bozzetto prepare sdf {self.data}` first")
        with writing_folder(self.out) as folder:
            quiet = self.quiet or folder != self.out
            run = RunFolder.create(folder, settings, self.overwrite, self.resume, [self.data])
            collection = prepared_collection(run, self.data, self.samples, self.split, self.seed, quiet)
            figures = learn_shape_prior(run, collection, config, device, quiet)
            report = run.report(figures, device, self.seed)
        if folder == self.out:
            self.say(
                f"Prior: {run.path / 'prior.safetensors'}; some of its shapes: {run.path / 'preview.png'}"
            )
        return report

    def settings(self) -> "TrainConfig":
        """The preset with what the options change."""
        from ..sdf.config import PRESETS

        config = replace(PRESETS[self.preset], seed=self.seed)
        if self.minutes is not None:
            config = replace(config, seconds=60 * self.minutes, epochs=self.epochs or 10**9)
        return config if self.epochs is None else replace(config, epochs=self.epochs)
