"""`bozzetto autoencode CLOUD`: a cloud to a code and back, dense where it was sparse."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from .common import Options
from .sample import check_positive, open_clouds

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Autoencode(Options):
    """Make a cloud of any number of points of the shape that a cloud, dense or sparse, is of.

    Writes points-1.ply and points.npy in the frame and unit of the cloud, and sheet.png.
    """

    cloud: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CLOUD")]
    """Point cloud, mesh (its vertices are taken), or an .npy array of shape (points, 2 or 3)."""
    model: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = "cloud-bodies"
    """A model that comes with the program, or a file from training."""
    out: Path = Path("bozzetto-out/autoencode")
    """Folder for the results."""
    points: int = 2048
    """Points of the result, any number."""
    evaluations: int = 10
    """Evaluations of the network per point."""
    start: Literal["gaussian", "uniform", "point"] = "gaussian"
    """What points begin as."""
    independent: bool = False
    """Draw points independently, and not evenly."""

    def run(self) -> dict:
        """Auto-encode."""
        from ..pipelines import write_clouds
        from ..runs import RunFolder, fingerprint, resolve_device, seed_everything
        from ..score import autoencode, encode

        device = resolve_device(self.device)
        seed_everything(self.seed)
        check_positive(points=self.points, evaluations=self.evaluations)
        prior = open_clouds(self.model).to(device)
        cloud = read_cloud(self.cloud)
        encode(prior, cloud, str(self.cloud))  # complains before anything is written
        settings = {"verb": "autoencode", "model": self.model, "points": self.points, "start": self.start}
        settings |= {"evaluations": self.evaluations, "independent": self.independent, "seed": self.seed}
        run = RunFolder.create(self.out, {**settings, "input": fingerprint(self.cloud)}, self.overwrite)
        with run.stage("autoencode"):
            made = autoencode(
                prior, cloud, self.points, self.seed, self.evaluations, not self.independent, self.start
            )
        with run.stage("write"):
            write_clouds(run, made[None])
        report = run.report({"points": self.points, "seen": len(cloud)}, device, self.seed)
        self.say(f"Cloud: {run.path / 'points-1.ply'}; picture: {run.path / 'sheet.png'}")
        return report


def read_cloud(path: Path) -> "Tensor":
    """Points of a file, in two or three dimensions.

    Raises:
        InputError: It cannot be read or holds no points.
    """
    from ..errors import InputError
    from ..shapes import load_points
    from .evaluate_files import load_array

    if path.suffix.lower() != ".npy":
        return load_points(path).points
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file; check the path")
    cloud = load_array(path)
    if cloud.ndim != 2 or cloud.shape[1] not in (2, 3):
        raise InputError(f"{path} has shape {tuple(cloud.shape)}, expected (points, 2 or 3)")
    return cloud
