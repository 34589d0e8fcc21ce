"""Reading clouds for a surface: a cloud, or range scans with their poses, whose normals face the scanner."""

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
"""Bytes at most in which a file must say that it is a range scan."""


def is_range_scan(path: Path) -> bool:
    """Whether a file is a PLY of the Stanford repository that says which points lie beside each other."""
    if path.suffix.lower() != ".ply" or not path.is_file():
        return False
    with path.open("rb") as file:
        return b"element range_grid" in file.read(HEADER).split(b"end_header")[0]


def load_range_scan(path: Path) -> PointCloud:
    """One range scan in its own frame, without strays, with normals.

    Its scanner looks along -z, from far away: normals, of surfaces through neighbours, are on the side of +z.
    Normals that the file has are used as they are.

    Raises:
        InputError: It cannot be read, or has too few points.
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
    """Several range scans in one frame.

    Args:
        poses: A .conf file as in the Stanford 3D Scanning Repository. Lines `bmesh FILE tx ty tz qx qy qz qw`
            name scans and their poses x' = R^T x + t, with R the rotation of the unit quaternion, and so do
            lines `mesh`. The pose of the camera and comments (#) are not used; other lines are named.
        folder: Where the scans are; None for the folder of `poses`.

    Raises:
        InputError: A line or a scan cannot be read, or there is none.
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
    """The matrix that rows are multiplied by from the right, and the shift."""
    try:
        numbers = np.array([float(word) for word in words[2:]])
    except ValueError:
        numbers = np.zeros(0)
    if len(numbers) != 7 or not np.isfinite(numbers).all() or not np.linalg.norm(numbers[3:]) > 0:
        raise InputError(f"{where} must read 'bmesh FILE tx ty tz qx qy qz qw', got '{' '.join(words)}'")
    # The file means the inverse rotation; rows are multiplied from the left, so its matrix serves as it is.
    return torch.from_numpy(Rotation.from_quat(numbers[3:]).as_matrix()), torch.from_numpy(numbers[:3])


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
