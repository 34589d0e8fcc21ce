"""`bozzetto denoise CLOUD`: denoising and upsampling of point clouds."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ..errors import InputError
from .checks import LARGEST, Within
from .common import Options, check_noise

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, kw_only=True)
class Denoise(Options):
    """Remove noise from a point cloud; with --points, upsample it as well.

    The result keeps the frame and unit of the cloud and the order of its points. Writes points.ply with
    normals (oriented like those of the cloud, or outward) and preview.png.
    """

    cloud: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CLOUD")]
    """Point cloud, mesh (its vertices are taken), or an .npy array of shape (points, 3)."""
    out: Path = Path("bozzetto-out/denoise")
    """Folder for the results."""
    noise: Annotated[float | None, tyro.conf.arg(metavar="LENGTH"), Within(0, LARGEST, above=True)] = None
    """Standard deviation of the noise per coordinate, in the unit of the cloud; estimated by default."""
    iterations: Annotated[int, Within(1, 100)] = 2
    """Passes of denoising."""
    points: Annotated[int | None, tyro.conf.arg(metavar="N"), Within(1, 10**8)] = None
    """Upsample to this number of points."""

    def run(self) -> dict[str, Any]:
        """Denoise."""
        from ..points import denoise_cloud, load_solid_cloud
        from ..runs import fingerprint

        device = self.begin()
        cloud = load_solid_cloud(self.cloud)
        check_noise(self.noise, cloud.points, str(self.cloud))
        if self.points is not None and self.points <= len(cloud):
            raise InputError(f"--points must exceed the {len(cloud)} that the cloud has, got {self.points}")
        settings = {"verb": "denoise", "noise": self.noise, "iterations": self.iterations}
        settings |= {"points": self.points, "input": fingerprint(self.cloud)}
        return self.in_folder(
            settings,
            lambda run: denoise_cloud(run, cloud.to(device), self.noise, self.iterations, self.points),
            f"Cloud: {self.out / 'points.ply'}; picture: {self.out / 'preview.png'}",
            [self.cloud],
            device,
        )
