"""Files that hold scans."""

import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras
from ..errors import InputError
from ..shapes import Mesh, load_shape
from ..shapes.readers import read_arrays
from .observations import Observations, observe_depth, observe_mesh, observe_points


def load_scan(
    path: str | os.PathLike, noise: float | None = None, viewpoint: Float[Tensor, "3"] | None = None
) -> Observations:
    """Read a partial scan.

    | file | what |
    |---|---|
    | any format of shapes without faces | a point cloud, perhaps with normals |
    | any format of shapes with faces | a mesh, perhaps with holes, sampled |
    | `.npz` with `depth`, `K` and perhaps `T_cam_world` | a depth map (H, W), see `observe_depth` |

    Args:
        path: The file.
        noise: Standard deviation of points in the unit of the file; None estimates it.
        viewpoint: Where the scanner of a point cloud stood.

    Raises:
        InputError: The file is missing, damaged, of unknown kind, empty, or too small to say anything.
    """
    path = Path(path)
    depth = _depth(path)
    if depth is not None:
        _refuse_viewpoint(viewpoint, f"{path} holds a depth map, whose camera says where it stood")
        return observe_depth(*depth, noise, str(path))
    shape = load_shape(path)
    if isinstance(shape, Mesh):
        _refuse_viewpoint(viewpoint, f"{path} holds a mesh, whose faces say what is outside")
        return observe_mesh(shape, noise=noise, name=str(path))
    return observe_points(shape, noise, viewpoint, str(path))


def _refuse_viewpoint(viewpoint: Tensor | None, reason: str) -> None:
    if viewpoint is not None:
        raise InputError(f"the viewpoint is for point clouds, and {reason}; leave it out")


def holds_depth(path: str | os.PathLike) -> bool:
    """Whether a file is a depth map, and no shape.

    Raises:
        InputError: It is damaged.
    """
    return _depth(Path(path)) is not None


def _depth(path: Path) -> tuple[Tensor, Cameras] | None:
    if path.suffix.lower() != ".npz" or not path.is_file():
        return None
    try:
        arrays = read_arrays(path, ("depth", "K", "T_cam_world"))
    except InputError as error:
        raise InputError(f"{path.name} cannot be read as a scan: {error}") from None
    if "depth" not in arrays:
        return None
    pose = arrays.get("T_cam_world", np.eye(4))
    if "K" not in arrays or arrays["depth"].ndim != 2 or arrays["K"].shape != (3, 3) or pose.shape != (4, 4):
        raise InputError(
            f"{path} needs depth (H, W), K (3, 3) and perhaps T_cam_world (4, 4), "
            f"got {', '.join(f'{name} {value.shape}' for name, value in arrays.items())}"
        )
    depth = torch.from_numpy(arrays["depth"].astype(np.float32))
    camera = Cameras(
        torch.from_numpy(pose.astype(np.float64))[None],
        torch.from_numpy(arrays["K"].astype(np.float64))[None],
        depth.shape[1],
        depth.shape[0],
    )
    return depth, camera.check([str(path)])
