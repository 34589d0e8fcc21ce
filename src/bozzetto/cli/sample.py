"""`bozzetto sample`: new shapes from a model of point clouds or a prior over meshes."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ..errors import InputError
from .checks import Within, refuse_options
from .common import Options

if TYPE_CHECKING:
    from ..score import CloudPrior

MOST_POINTS = 10**9
"""Of all shapes of a call together; their coordinates take 12 GB."""


@dataclass(frozen=True, kw_only=True)
class Sample(Options):
    """Generate new shapes: clouds or meshes with a model of clouds, meshes with a prior over meshes.

    Writes points-1.ply and so on, all of them as points.npy, and sheet.png, in the normalised frame of the
    model: the bounding box of a shape is centred and its longest side is about 2. With --mesh, or a prior over
    meshes, mesh-1.ply and so on, closed and of one piece, and sheet.png; of a prior also codes, in its frame.
    """

    model: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = "cloud-bodies"
    """cloud-bodies, cloud-airfoils, cloud-procedural, the prior bodies (shipped with the program), or a file
    from training."""
    mesh: bool = False
    """Write closed meshes of one piece in place of points; a prior over meshes always does."""
    resolution: Annotated[int | None, Within(8, 512)] = None
    """Grid for meshes, along each axis; by default 128 for a prior over meshes, 100 for a model of clouds."""
    out: Path = Path("bozzetto-out/sample")
    """Folder for the results."""
    count: Annotated[int, Within(1, 10**5)] = 8
    """Number of shapes."""
    points: Annotated[int, Within(1, 10**8)] = 2048
    """Points per shape, any number."""
    truncation: Annotated[float, Within(0, 1, above=True)] = 1.0
    """In (0, 1]: smaller gives more typical shapes of less variety."""
    evaluations: Annotated[int, Within(1, 1000)] = 10
    """Evaluations of the network per point."""
    independent: bool = False
    """Draw points independently, as samples of a surface are, and not evenly; for comparisons of sets."""

    def check(self) -> None:
        """Refuse also more points in total than fit into memory."""
        super().check()
        if self.count * self.points > MOST_POINTS:
            raise InputError(
                f"--count {self.count} times --points {self.points} is more than {MOST_POINTS:g} points; "
                "make fewer at a time, with another --seed each"
            )

    def run(self) -> dict:
        """Sample."""
        from .interpolate_clouds import is_cloud_model

        of_meshes = not is_cloud_model(self.model)
        if self.mesh or of_meshes:
            reason = "is for points, and meshes are made here"
            refuse_options(self, reason, "--points", "--evaluations", "--independent")
            return self._meshes(of_meshes)
        refuse_options(self, "is for meshes; give --mesh", "--resolution")
        return self._clouds()

    def _meshes(self, of_meshes: bool) -> dict:
        from ..runs import RunFolder, resolve_device, seed_everything
        from .complete import open_prior

        device = resolve_device(self.device)
        seed_everything(self.seed)
        if of_meshes:
            from ..sdf import invent_meshes

            prior = open_prior(self.model).to(device)
            make = partial(invent_meshes, prior=prior, resolution=self.resolution or 128)
        else:
            from ..score import invent_meshes

            make = partial(
                invent_meshes, prior=open_clouds(self.model).to(device), resolution=self.resolution
            )
        settings = {"verb": "sample", "model": self.model, "count": self.count, "mesh": True}
        settings |= {"truncation": self.truncation, "resolution": self.resolution, "seed": self.seed}
        run = RunFolder.create(self.out, settings, self.overwrite, reads=[self.model])
        figures = make(run, count=self.count, seed=self.seed, truncation=self.truncation)
        report = run.report(figures, device, self.seed)
        self.say(f"Meshes: {run.path / 'mesh-1.ply'} and so on; picture: {run.path / 'sheet.png'}")
        return report

    def _clouds(self) -> dict:
        from ..runs import RunFolder, resolve_device, seed_everything
        from ..score import sample, write_clouds

        device = resolve_device(self.device)
        seed_everything(self.seed)
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
