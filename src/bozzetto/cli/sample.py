"""`bozzetto sample`: new shapes from a model of point clouds or a prior over shapes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ..errors import InputError
from .checks import Formerly, Within, refuse_options
from .common import Options

if TYPE_CHECKING:
    import torch

    from ..runs import RunFolder

MOST_POINTS = 10**9
"""Largest number of points of all shapes of a call together, whose coordinates take 12 GB."""


@dataclass(frozen=True, kw_only=True)
class Sample(Options):
    """Generate new shapes: point clouds or meshes.

    A model of point clouds writes points-1.ply and so on, points.npy with all of them, and sheet.png; with
    --mesh watertight meshes mesh-1.ply and so on in their place. A prior over shapes writes such meshes and
    their latent codes. Shapes are in the normalised frame of the model: the bounding box is centred and its
    longest side is about 2.
    """

    model: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = "cloud-bodies"
    """cloud-bodies, cloud-airfoils, cloud-procedural, the prior bodies (shipped), or a file from
    training."""
    mesh: bool = False
    """Write watertight meshes of one piece instead of points; a prior over shapes always does."""
    resolution: Annotated[int | None, tyro.conf.arg(metavar="N"), Within(8, 512)] = None
    """Grid cells for meshes, along each axis; by default 128 with a prior over shapes, else 100."""
    out: Path = Path("bozzetto-out/sample")
    """Folder for the results."""
    count: Annotated[int, Within(1, 10**5)] = 8
    """Number of shapes."""
    points: Annotated[int, Within(1, 10**8)] = 2048
    """Points per shape."""
    truncation: Annotated[float, Within(0, 1, above=True)] = 1.0
    """Factor on the latent noise, in (0, 1]: smaller gives more typical shapes of less variety."""
    evaluations: Annotated[int, Within(1, 1000)] = 10
    """Evaluations of the network per point."""
    iid: Annotated[bool, Formerly("--independent")] = False
    """Draw points independently (i.i.d.) instead of evenly, for comparisons of sets."""

    def check(self) -> None:
        """Check options, including the total number of points, which must fit into memory."""
        super().check()
        if self.count * self.points > MOST_POINTS:
            raise InputError(
                f"--count {self.count} times --points {self.points} is more than {MOST_POINTS:g} points; "
                "make fewer at a time, with another --seed each"
            )

    def run(self) -> dict[str, Any]:
        """Sample."""
        from ..score import is_cloud_prior

        makes_meshes = not is_cloud_prior(self.model)
        if self.mesh or makes_meshes:
            reason = "is for points, and meshes are made here"
            refuse_options(self, reason, "--points", "--evaluations", "--iid")
            device = self.begin()
            return self._meshes(self._of_prior(device) if makes_meshes else self._of_clouds(device), device)
        refuse_options(self, "is for meshes; give --mesh", "--resolution")
        return self._clouds()

    def _of_prior(self, device: "torch.device") -> Callable[..., dict[str, Any]]:
        from ..sdf import invent_meshes, open_prior

        prior = open_prior(self.model).to(device)
        return partial(invent_meshes, prior=prior, resolution=self.resolution or 128)

    def _of_clouds(self, device: "torch.device") -> Callable[..., dict[str, Any]]:
        from ..score import invent_meshes, open_cloud_prior

        prior = open_cloud_prior(self.model).to(device)
        return partial(invent_meshes, prior=prior, resolution=self.resolution)

    def _meshes(self, make: Callable[..., dict[str, Any]], device: "torch.device") -> dict[str, Any]:
        settings = {"verb": "sample", "model": self.model, "count": self.count, "mesh": True}
        settings |= {"truncation": self.truncation, "resolution": self.resolution, "seed": self.seed}
        return self.in_folder(
            settings,
            lambda run: make(run, count=self.count, seed=self.seed, truncation=self.truncation),
            f"Meshes: {self.out / 'mesh-1.ply'} and so on; picture: {self.out / 'sheet.png'}",
            [self.model],
            device,
        )

    def _clouds(self) -> dict[str, Any]:
        from ..score import open_cloud_prior, sample, write_clouds

        device = self.begin()
        prior = open_cloud_prior(self.model).to(device)
        prior.check_truncation(self.truncation)
        settings = {"verb": "sample", "model": self.model, "count": self.count, "points": self.points}
        settings |= {"truncation": self.truncation, "evaluations": self.evaluations, "seed": self.seed}
        draw = partial(sample, prior, self.count, self.points, self.seed, self.truncation, self.evaluations)

        def work(run: "RunFolder") -> dict[str, Any]:
            with run.stage("sample"):
                clouds = draw(not self.iid)
            with run.stage("write"):
                write_clouds(run, list(clouds))
            return {"shapes": self.count, "points": self.points}

        told = f"Clouds: {self.out / 'points-1.ply'} and so on; picture: {self.out / 'sheet.png'}"
        return self.in_folder({**settings, "independent": self.iid}, work, told, [self.model], device)
