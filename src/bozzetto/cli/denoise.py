"""`bozzetto denoise CLOUD`: the points of a noisy cloud to its surface."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ..errors import InputError
from .autoencode import read_cloud
from .checks import LARGEST, Within
from .common import Options

if TYPE_CHECKING:
    from torch import Tensor

    from ..shapes import PointCloud


@dataclass(frozen=True, kw_only=True)
class Denoise(Options):
    """Remove noise: move the points of a cloud to their surface; order, frame and unit stay.

    Writes points.ply, with normals (on the side of the cloud's own, or outward), and preview.png.
    """

    cloud: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CLOUD")]
    """Point cloud, mesh (its vertices are taken), or an .npy array of shape (points, 3)."""
    out: Path = Path("bozzetto-out/denoise")
    """Folder for the results."""
    noise: Annotated[float | None, Within(0, LARGEST, above=True)] = None
    """Standard deviation of each coordinate, in the unit of the cloud; estimated without it."""
    iterations: Annotated[int, Within(1, 100)] = 2
    """Passes over the cloud."""
    points: Annotated[int | None, Within(1, 10**8)] = None
    """Number of points of the result: points are added between those of the clean cloud."""

    def run(self) -> dict:
        """Denoise."""
        from ..points import denoise_cloud
        from ..runs import RunFolder, fingerprint, resolve_device, seed_everything

        device = resolve_device(self.device)
        seed_everything(self.seed)
        cloud = read_solid_cloud(self.cloud)
        check_noise(self.noise, cloud.points, str(self.cloud))
        if self.points is not None and self.points <= len(cloud):
            raise InputError(f"--points must exceed the {len(cloud)} that the cloud has, got {self.points}")
        settings = {"verb": "denoise", "noise": self.noise, "iterations": self.iterations}
        settings |= {"points": self.points}
        run = RunFolder.create(
            self.out, {**settings, "input": fingerprint(self.cloud)}, self.overwrite, reads=[self.cloud]
        )
        figures = denoise_cloud(run, cloud.to(device), self.noise, self.iterations, self.points)
        report = run.report(figures, device, self.seed)
        self.say(f"Cloud: {run.path / 'points.ply'}; picture: {run.path / 'preview.png'}")
        return report


def check_noise(noise: float | None, points: "Tensor", name: str) -> None:
    """Refuse noise that is larger than the shape itself.

    Raises:
        InputError: It is.
    """
    size = float((points.amax(dim=0) - points.amin(dim=0)).max())
    if noise is not None and noise >= size:
        raise InputError(
            f"--noise {noise:g} is as large as {name}, whose longest side is {size:g}; give it in that unit"
        )


def read_solid_cloud(path: Path) -> "PointCloud":
    """A cloud in three dimensions, with its normals where it has them.

    Raises:
        InputError: It cannot be read, is flat, or is too small or broken to describe a surface.
    """
    import torch

    from ..points import LEAST_POINTS
    from ..shapes import PointCloud, box_frame, load_points
    from ..shapes.offsets import split_offset

    if path.suffix.lower() == ".npy":
        points = read_cloud(path)
        if points.shape[1] != 3:
            raise InputError(f"{path} holds points in 2D; a surface needs points in 3D, shape (points, 3)")
        near, offset = split_offset(points.numpy(), name=str(path))
        cloud = PointCloud(torch.from_numpy(near), offset=offset)
    else:
        cloud = load_points(path)
    box_frame(cloud.check(str(path)).points, str(path))
    if len(cloud) < LEAST_POINTS:
        raise InputError(
            f"{path} has {len(cloud)} points; {LEAST_POINTS} or more are needed to find a surface"
        )
    return cloud
