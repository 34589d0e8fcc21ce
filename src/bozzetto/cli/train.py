"""`bozzetto train sdf DATA`: a collection of shapes to a model."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ..errors import InputError
from .common import Options

if TYPE_CHECKING:
    from ..sdf.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Train(Options):
    """Learn a model from a folder of data; `sdf` learns a prior over shapes.

    Writes prior.safetensors and preview.png; a folder of meshes is prepared first, below the results.
    """

    engine: Annotated[Literal["sdf"], tyro.conf.Positional]
    """What to train."""
    data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    """Folder of meshes, a ShapeNet folder as it unpacks, or samples prepared as by the DeepSDF code."""
    out: Path = Path("bozzetto-out/train")
    """Folder for the results."""
    preset: Literal["default", "reference", "single"] = "default"
    """default: ours; reference: DeepSDF as released; single: one shape in detail."""
    split: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Split file of DeepSDF that names the shapes to take; all if none is given."""
    samples: int = 100_000
    """Samples per shape when meshes are prepared; 500000 as published."""
    minutes: Annotated[float | None, tyro.conf.arg(metavar="M")] = None
    """Time to train; schedules adapt to it. Otherwise the number of epochs of the preset."""
    epochs: int | None = None
    """Passes over the shapes, instead of those of the preset."""
    resume: bool = field(default=False)
    """Continue an interrupted training in the same folder."""

    def run(self) -> dict:
        """Train."""
        from ..pipelines import learn_shape_prior, prepared_collection
        from ..runs import RunFolder, resolve_device, seed_everything

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
        run = RunFolder.create(self.out, settings, self.overwrite, self.resume)
        collection = prepared_collection(run, self.data, self.samples, self.split, self.seed, self.quiet)
        figures = learn_shape_prior(run, collection, config, device, self.quiet)
        report = run.report(figures, device, self.seed)
        self.say(f"Prior: {run.path / 'prior.safetensors'}; some of its shapes: {run.path / 'preview.png'}")
        return report

    def settings(self) -> "TrainConfig":
        """The preset with what the options change."""
        from ..sdf.config import PRESETS

        if self.minutes is not None and not self.minutes > 0:
            raise InputError(f"--minutes {self.minutes} leaves no time to train; give a positive number")
        if self.epochs is not None and self.epochs < 1:
            raise InputError(f"--epochs {self.epochs} asks for no training; give at least 1")
        config = replace(PRESETS[self.preset], seed=self.seed)
        if self.minutes is not None:
            config = replace(config, seconds=60 * self.minutes, epochs=self.epochs or 10**9)
        return config if self.epochs is None else replace(config, epochs=self.epochs)
