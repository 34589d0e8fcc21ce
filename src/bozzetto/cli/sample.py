"""`bozzetto sample`: new shapes from a model of point clouds."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ..errors import InputError
from .common import Options

if TYPE_CHECKING:
    from ..score import CloudPrior


MOST = {"points": 10**8, "count": 10**5, "evaluations": 1000, "hypotheses": 100, "iterations": 100}
"""Largest values of options."""


@dataclass(frozen=True, kw_only=True)
class Sample(Options):
    """Invent shapes as point clouds, with a model from `bozzetto train score`.

    Writes points-1.ply and so on, all of them as points.npy, and sheet.png, in the normalised frame of the
    model: the bounding box of a shape is centred and its longest side is about 2.
    """

    model: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = "cloud-bodies"
    """cloud-bodies, cloud-airfoils or cloud-procedural, which come along, or a file from training."""
    out: Path = Path("bozzetto-out/sample")
    """Folder for the results."""
    count: int = 8
    """Shapes."""
    points: int = 2048
    """Points per shape, any number."""
    truncation: float = 1.0
    """In (0, 1]: smaller gives more typical shapes of less variety."""
    evaluations: int = 10
    """Evaluations of the network per point."""
    independent: bool = False
    """Draw points independently, as samples of a surface are, and not evenly; for comparisons of sets."""

    def run(self) -> dict:
        """Sample."""
        from ..pipelines import write_clouds
        from ..runs import RunFolder, resolve_device, seed_everything
        from ..score import sample

        device = resolve_device(self.device)
        seed_everything(self.seed)
        check_positive(count=self.count, points=self.points, evaluations=self.evaluations)
        prior = open_clouds(self.model).to(device)
        prior.check_truncation(self.truncation)
        settings = {"verb": "sample", "model": self.model, "count": self.count, "points": self.points}
        settings |= {"truncation": self.truncation, "evaluations": self.evaluations, "seed": self.seed}
        run = RunFolder.create(
            self.out, {**settings, "independent": self.independent}, self.overwrite, reads=[self.model]
        )
        with run.stage("sample"):
            clouds = sample(
                prior,
                self.count,
                self.points,
                self.seed,
                self.truncation,
                self.evaluations,
                not self.independent,
            )
        with run.stage("write"):
            write_clouds(run, list(clouds))
        report = run.report({"shapes": self.count, "points": self.points}, device, self.seed)
        self.say(f"Clouds: {run.path / 'points-1.ply'} and so on; picture: {run.path / 'sheet.png'}")
        return report


def check_positive(**values: int) -> None:
    """Refuse options that must be at least one, and not more than a computer can do in a day.

    Raises:
        InputError: One of them is not.
    """
    for name, value in values.items():
        if not 1 <= value <= MOST[name]:
            raise InputError(f"--{name} must lie in 1 to {MOST[name]:,}, got {value}".replace(",", " "))


def open_clouds(name: str) -> "CloudPrior":
    """A model of point clouds from a file, or one that comes with the program.

    Raises:
        InputError: There is none of this name, or the file holds something else.
    """
    from ..score import load_cloud_prior

    path = Path(name)
    if path.suffix or path.is_file():
        return load_cloud_prior(path)
    from ..weights import find

    return load_cloud_prior(find(name))
