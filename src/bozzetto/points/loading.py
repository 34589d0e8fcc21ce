"""Reading clouds that a surface is to be found of."""

from pathlib import Path

from ..errors import InputError
from ..shapes import PointCloud, box_frame, load_points
from . import LEAST_POINTS
from .range_scans import is_range_scan, load_posed_scans, load_range_scan


def load_solid_cloud(path: Path) -> PointCloud:
    """A cloud in three dimensions, with its normals where it has them; of a mesh, its vertices.

    Raises:
        InputError: It cannot be read, is flat, or is too small or broken to describe a surface.
    """
    cloud = load_points(path)
    box_frame(cloud.points, str(path))
    if len(cloud) < LEAST_POINTS:
        raise InputError(
            f"{path} has {len(cloud)} points; {LEAST_POINTS} or more are needed to find a surface"
        )
    return cloud


def load_scans(path: Path, poses: Path | None = None) -> PointCloud:
    """A cloud, a range scan, or several range scans with poses, as one cloud.

    Args:
        path: A file that `load_points` reads, a PLY with range_grid, poses (.conf) beside their scans, or, with
            `poses`, the folder of the scans.
        poses: Poses of the scans (.conf).

    Raises:
        InputError: It cannot be read, or is too small or broken to describe a surface.
    """
    if poses is not None:
        if not path.is_dir():
            raise InputError(f"with poses, the cloud must be the folder of the scans, got {path}")
        return load_posed_scans(poses, path)
    if path.suffix.lower() == ".conf":
        return load_posed_scans(path)
    return load_range_scan(path) if is_range_scan(path) else load_solid_cloud(path)
