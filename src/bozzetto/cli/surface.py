"""`bozzetto surface CLOUD`: points, or a shape that a model knows, to a mesh."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ..errors import InputError
from .checks import LARGEST, MANY, Within
from .common import Options
from .denoise import check_noise, read_solid_cloud
from .sample import open_clouds

if TYPE_CHECKING:
    import torch

    from ..shapes import PointCloud


@dataclass(frozen=True, kw_only=True)
class Surface(Options):
    """Reconstruct a surface mesh from a point cloud, in its frame and unit, or from a model of point clouds.

    Writes mesh.ply, mesh.glb and preview.png.
    """

    cloud: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CLOUD|MODEL")]
    """Point cloud (normals should point outwards; wrong ones are not used), range scan (PLY with range_grid),
    poses of several (.conf), .npy array (points, 3), model.safetensors, or name of a model that comes with the
    program."""
    out: Path = Path("bozzetto-out/surface")
    """Folder for the results."""
    poses: Path | None = None
    """Poses of several range scans (.conf, lines "bmesh FILE tx ty tz qx qy qz qw"); CLOUD is their folder."""
    noise: Annotated[float | None, Within(0, LARGEST)] = None
    """Standard deviation of each coordinate, in the unit of the cloud; 0 for none, estimated without it."""
    ends: Literal["auto", "closed", "open"] = "auto"
    """closed: close all holes; open: end the surface where points end; auto: leave only large holes open, for
    models none."""
    resolution: Annotated[int | None, Within(8, 1024)] = None
    """Cells of the grid along the longest side; by default as fine as the points allow."""
    shape: Annotated[int | None, Within(0, MANY)] = None
    """Of a model: number of the training shape; without it a new shape is generated from the seed."""

    def run(self) -> dict:
        """Make the surface."""
        from ..points import surface_cloud
        from ..runs import RunFolder, fingerprint, resolve_device, seed_everything
        from ..score.sample import MESH_NOISE
        from ..weights import find

        device = resolve_device(self.device)
        seed_everything(self.seed)
        source = self.cloud if self.cloud.suffix or self.cloud.exists() else find(str(self.cloud))
        is_model = source.suffix.lower() == ".safetensors"
        if self.poses is not None and is_model:
            raise InputError("--poses is for range scans; leave it out for a model")
        if self.shape is not None and not is_model:
            raise InputError("--shape is for models (.safetensors); leave it out for a cloud")
        cloud = (self._from_model(source, device) if is_model else self._read(source)).to(device)
        check_noise(self.noise, cloud.points, str(self.cloud))
        settings = {"verb": "surface", "noise": self.noise, "ends": self.ends, "shape": self.shape}
        whole = fingerprint(source) if is_model else fingerprint(cloud.points)
        settings |= {"resolution": self.resolution, "seed": self.seed, "input": whole}
        run = RunFolder.create(
            self.out, settings, self.overwrite, reads=[source, self.poses] if self.poses else [source]
        )
        noise = MESH_NOISE if is_model and self.noise is None else self.noise
        ends = "closed" if is_model and self.ends == "auto" else self.ends
        figures = surface_cloud(run, cloud, self.resolution, ends, noise)
        report = run.report(figures, device, self.seed)
        self.say(f"Mesh: {run.path / 'mesh.ply'} and mesh.glb; picture: {run.path / 'preview.png'}")
        return report

    def _read(self, path: Path) -> "PointCloud":
        from ..points import is_range_scan, load_posed_scans, load_range_scan

        if self.poses is not None:
            if not path.is_dir():
                raise InputError(f"with --poses, CLOUD must be the folder of the scans, got {path}")
            return load_posed_scans(self.poses, path)
        if path.suffix.lower() == ".conf":
            return load_posed_scans(path)
        return load_range_scan(path) if is_range_scan(path) else read_solid_cloud(path)

    def _from_model(self, path: Path, device: "torch.device") -> "PointCloud":
        from ..score import invented_codes, points_of
        from ..score.sample import MESH_EVALUATIONS, MESH_POINTS
        from ..shapes import PointCloud

        prior = open_clouds(str(path)).to(device)
        if prior.model.config.dimensions != 3:
            raise InputError(f"{self.cloud} makes points in 2D; a surface needs points in 3D")
        if self.shape is None:
            codes = invented_codes(prior, 1, self.seed)
        elif 0 <= self.shape < len(prior.codes):
            codes = prior.codes[self.shape : self.shape + 1]
        else:
            raise InputError(f"--shape must lie in 0 to {len(prior.codes) - 1}, got {self.shape}")
        return PointCloud(points_of(prior, codes, MESH_POINTS, self.seed, MESH_EVALUATIONS)[0])
