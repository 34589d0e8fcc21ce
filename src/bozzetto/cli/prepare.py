"""`bozzetto prepare sdf DATA`: samples of signed distances of meshes, for the training of a prior."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import tyro

from .checks import Within
from .common import Options

if TYPE_CHECKING:
    from ..runs import TrainingConfig

    Config = TypeVar("Config", bound=TrainingConfig)


@dataclass(frozen=True, kw_only=True)
class Prepare(Options):
    """Sample signed distances of a folder of meshes, for `train sdf`, in the layout of the DeepSDF code.

    Writes SdfSamples/, NormalizationParameters/, split.json and report.json. The same command again
    continues an interrupted run and adds meshes that are new or have changed. Meshes that fail are left out
    and named in the report; if more than half fail, that is an error.
    """

    kind: Annotated[Literal["sdf"], tyro.conf.Positional, tyro.conf.arg(metavar="sdf")]
    """The engine that the data is for."""
    data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    """Folder of meshes (PLY, OBJ, STL, OFF, GLB, glTF), also a ShapeNet folder as unpacked."""
    out: Path = Path("bozzetto-out/prepare")
    """The prepared folder."""
    split: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Only the shapes of this split file: {dataset: {class: [name, ...]}}."""
    samples: Annotated[int, Within(1, 10**8)] = 500_000
    """Samples per shape."""
    protocol: Literal["released", "paper"] = "released"
    """Variances of the samples near the surface: those of the released code or of the paper."""
    variants: Annotated[int, Within(0, 1000)] = 0
    """Smoothly stretched copies of every shape as further data; 5 help a collection of a few dozen."""

    def run(self) -> dict[str, Any]:
        """Prepare."""
        from ..runs import resolve_device
        from ..sdf import find_meshes, prepare_collection

        meshes = find_meshes(self.data, self.split)
        report = prepare_collection(
            meshes,
            self.out,
            self.samples,
            self.seed,
            self.protocol,
            resolve_device(self.device),
            self.overwrite,
            self.quiet,
            self.variants,
        )
        if doubtful := report["doubtful"]:
            self.say(f"doubtful signs (open or turned inconsistently): {', '.join(doubtful[:10])}")
        wanted = len(meshes) * (1 + self.variants)
        self.say(f"prepared: {len(report['shapes'])} of {wanted} shapes in {self.out}; see report.json")
        return report
