"""`bozzetto surface CLOUD`: surface reconstruction from points, or from a model of point clouds."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ..errors import InputError
from .checks import LARGEST, MANY, Formerly, Within
from .common import Options, check_noise

if TYPE_CHECKING:
    import torch

    from ..shapes import PointCloud


@dataclass(frozen=True, kw_only=True)
class Surface(Options):
    """Reconstruct a surface mesh from a point cloud, in its frame and unit, or from a model of point clouds.

    Writes mesh.ply, mesh.glb and preview.png.
    """

    cloud: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CLOUD|MODEL")]
    """Point cloud, .npy array (points, 3), range scan (PLY with range_grid), poses of range scans (.conf),
    or a model of point clouds: cloud-bodies, cloud-procedural (shipped), or a file from training."""
    out: Path = Path("bozzetto-out/surface")
    """Folder for the results."""
    poses: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Poses (.conf, lines "bmesh FILE tx ty tz qx qy qz qw") of the range scans in the folder CLOUD."""
    noise: Annotated[float | None, tyro.conf.arg(metavar="LENGTH"), Within(0, LARGEST)] = None
    """Standard deviation of the noise, in the unit of the cloud; 0 for none; estimated by default."""
    boundary: Annotated[Literal["auto", "closed", "open"], Formerly("--ends")] = "auto"
    """auto: close small holes; closed: close all, for a watertight mesh; open: end where the points end."""
    resolution: Annotated[int | None, tyro.conf.arg(metavar="N"), Within(8, 1024)] = None
    """Grid cells along the longest side; by default as fine as the points allow."""
    shape: Annotated[int | None, tyro.conf.arg(metavar="N"), Within(0, MANY)] = None
    """With a model: index of a training shape; by default a new shape is generated."""

    def run(self) -> dict[str, Any]:
        """Reconstruct the surface."""
        from ..points import load_scans, surface_cloud
        from ..runs import fingerprint
        from ..score.sample import MESH_NOISE
        from ..weights import find

        device = self.begin()
        source = self.cloud if self.cloud.suffix or self.cloud.exists() else find(str(self.cloud))
        is_model = source.suffix.lower() == ".safetensors"
        if self.poses is not None and is_model:
            raise InputError("--poses is for range scans; leave it out for a model")
        if self.shape is not None and not is_model:
            raise InputError("--shape is for models (.safetensors); leave it out for a cloud")
        cloud = (self._from_model(source, device) if is_model else load_scans(source, self.poses)).to(device)
        check_noise(self.noise, cloud.points, str(self.cloud))
        settings = {"verb": "surface", "noise": self.noise, "ends": self.boundary, "shape": self.shape}
        whole = fingerprint(source) if is_model else fingerprint(cloud.points)
        settings |= {"resolution": self.resolution, "seed": self.seed, "input": whole}
        noise = MESH_NOISE if is_model and self.noise is None else self.noise
        boundary = "closed" if is_model and self.boundary == "auto" else self.boundary
        return self.in_folder(
            settings,
            lambda run: surface_cloud(run, cloud, self.resolution, boundary, noise),
            f"Mesh: {self.out / 'mesh.ply'} and mesh.glb; picture: {self.out / 'preview.png'}",
            [source, self.poses] if self.poses else [source],
            device,
        )

    def _from_model(self, path: Path, device: "torch.device") -> "PointCloud":
        from ..score import invented_codes, load_cloud_prior, points_of
        from ..score.sample import MESH_EVALUATIONS, MESH_POINTS
        from ..shapes import PointCloud

        prior = load_cloud_prior(path).to(device)
        if prior.model.config.dimensions != 3:
            raise InputError(f"{self.cloud} makes points in 2D; a surface needs points in 3D")
        if self.shape is None:
            codes = invented_codes(prior, 1, self.seed)
        elif 0 <= self.shape < len(prior.codes):
            codes = prior.codes[self.shape : self.shape + 1]
        else:
            raise InputError(f"--shape must lie in 0 to {len(prior.codes) - 1}, got {self.shape}")
        return PointCloud(points_of(prior, codes, MESH_POINTS, self.seed, MESH_EVALUATIONS)[0])
