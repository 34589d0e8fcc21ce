"""Readers of clouds for surface reconstruction: clouds, and range scans with poses."""

from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from ..errors import InputError, warn_input
from ..shapes import PointCloud, box_frame, load_points
from ..shapes.offsets import split_offset
from . import LEAST_POINTS, normals_of
from .cloud_cleaning import clean_cloud

HEADER = 65536
"""Largest size in bytes of the header that marks a file as a range scan."""


def is_range_scan(path: Path) -> bool:
    """Whether a file is a range scan of the Stanford repository: a PLY with a grid of points (range_grid)."""
    if path.suffix.lower() != ".ply" or not path.is_file():
        return False
    with path.open("rb") as file:
        return b"element range_grid" in file.read(HEADER).split(b"end_header")[0]


def load_range_scan(path: Path) -> PointCloud:
    """Read one range scan in its own frame, without outliers, with normals.

    The scanner looks along -z from far away, so normals, which are estimated from neighbours, point towards +z.
    Normals of the file are used unchanged.

    Raises:
        InputError: The file cannot be read, or has too few points.
    """
    cloud = load_points(path)
    if len(cloud) < LEAST_POINTS:
        raise InputError(f"{path} has {len(cloud)} points; {LEAST_POINTS} or more are needed for normals")
    sound = clean_cloud(cloud, path.name).cloud
    if sound.normals is not None:
        return sound
    normals = normals_of(sound.points)
    return PointCloud(sound.points, torch.where(normals[:, 2:] < 0, -normals, normals), offset=cloud.offset)


def load_posed_scans(poses: Path, folder: Path | None = None) -> PointCloud:
    """Read several range scans into one frame.

    Args:
        poses: A .conf file as in the Stanford 3D Scanning Repository. Lines `bmesh FILE tx ty tz qx qy qz qw`
            name scans and their poses x' = R^T x + t, with R the rotation of the unit quaternion, and so do
            lines `mesh`. The pose of the camera and comments (#) are not used; other lines are named.
        folder: Folder of the scans; None takes the folder of `poses`.

    Raises:
        InputError: A line or a scan cannot be read, or there are no scans.
    """
    folder = poses.parent if folder is None else folder
    points, normals = [], []
    for number, line in enumerate(_lines(poses), start=1):
        words = line.split()
        if not words or words[0].startswith("#") or words[0] == "camera":
            continue
        if words[0] not in ("bmesh", "mesh"):
            warn_input(f"line {number} of {poses} is not used, '{line.strip()[:60]}': it names no scan")
            continue
        rotation, shift = _pose(words, f"line {number} of {poses}")
        scan = load_range_scan(folder / words[1])
        assert scan.normals is not None
        world = (scan.points.double() + torch.tensor(scan.offset, dtype=torch.float64)) @ rotation + shift
        points.append(world)
        normals.append((scan.normals.double() @ rotation).float())
    if not points:
        raise InputError(f"{poses} names no scans; lines 'bmesh FILE tx ty tz qx qy qz qw' are expected")
    near, offset = split_offset(torch.cat(points).numpy(), name=str(poses))
    return PointCloud(torch.from_numpy(near), torch.cat(normals), offset=offset)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as poses of scans: {error}") from error


def _pose(words: list[str], where: str) -> tuple[Tensor, Tensor]:
    """Matrix R, with which points in rows are multiplied from the right, and translation of a pose."""
    try:
        numbers = np.array([float(word) for word in words[2:]])
    except ValueError:
        numbers = np.zeros(0)
    if len(numbers) != 7 or not np.isfinite(numbers).all() or not np.linalg.norm(numbers[3:]) > 0:
        raise InputError(f"{where} must read 'bmesh FILE tx ty tz qx qy qz qw', got '{' '.join(words)}'")
    # The file means the inverse rotation; points are rows on the left, so its matrix is used unchanged.
    return torch.from_numpy(Rotation.from_quat(numbers[3:]).as_matrix()), torch.from_numpy(numbers[:3])


def load_solid_cloud(path: Path) -> PointCloud:
    """Read a 3D cloud, with its normals if it has any; a mesh is read as its vertices.

    Raises:
        InputError: The file cannot be read, is 2D, or has too few or invalid points.
    """
    cloud = load_points(path)
    box_frame(cloud.points, str(path))
    if len(cloud) < LEAST_POINTS:
        raise InputError(
            f"{path} has {len(cloud)} points; {LEAST_POINTS} or more are needed to find a surface"
        )
    return cloud


def load_scans(path: Path, poses: Path | None = None) -> PointCloud:
    """Read a cloud, a range scan, or several range scans with poses, as one cloud.

    Args:
        path: A file that `load_points` reads, a PLY with range_grid, a file of poses (.conf) in the folder of
            its scans, or, with `poses`, the folder of the scans.
        poses: Poses of the scans (.conf).

    Raises:
        InputError: A file cannot be read, or the cloud has too few or invalid points.
    """
    if poses is not None:
        if not path.is_dir():
            raise InputError(f"with poses, the cloud must be the folder of the scans, got {path}")
        return load_posed_scans(poses, path)
    if path.suffix.lower() == ".conf":
        return load_posed_scans(path)
    return load_range_scan(path) if is_range_scan(path) else load_solid_cloud(path)
