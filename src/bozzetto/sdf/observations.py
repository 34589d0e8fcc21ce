"""Observations of a shape by a scan: points on its surface, and space that is known to be empty."""

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import KDTree
from torch import Tensor

from ..cameras import Cameras
from ..errors import InputError
from ..geometry import face_normals
from ..points.cloud_cleaning import clean_cloud
from ..shapes import Mesh, PointCloud, Similarity, load_shape, normalisation, sample_surface
from ..shapes.offsets import NO_OFFSET, Offset, offset_of
from ..shapes.readers import read_arrays
from ..values import value_type

NEIGHBOURS = 12


@value_type
class Observations:
    """Observations of a shape, in the frame and unit of the scan.

    Attributes:
        points: Points on the surface, up to noise.
        noise: Standard deviation of the distance of the points to the surface.
        normals: Outward unit normals at the points, or None.
        empty_from: Starts of line segments in empty space, or None.
        empty_to: Ends of these segments, or None.
        offset: Offset that all positions are relative to, see `Mesh`.
    """

    points: Float[Tensor, "P 3"]
    noise: float
    normals: Float[Tensor, "P 3"] | None = None
    empty_from: Float[Tensor, "Q 3"] | None = None
    empty_to: Float[Tensor, "Q 3"] | None = None
    offset: Offset = NO_OFFSET

    def moved(self, similarity: Similarity) -> "Observations":
        """The same observations in another frame; the similarity takes positions relative to the offset."""

        def place(points: Tensor | None) -> Tensor | None:
            return None if points is None else similarity.apply(points.double()).float()

        turn = similarity.rotation
        normals = (
            self.normals if self.normals is None or turn is None else self.normals @ turn.T.to(self.normals)
        )
        return Observations(
            similarity.apply(self.points.double()).float(),
            self.noise * similarity.scale,
            normals,
            place(self.empty_from),
            place(self.empty_to),
        )

    def to(self, device: torch.device | str) -> "Observations":
        """The observations on another device."""
        parts = (self.normals, self.empty_from, self.empty_to)
        normals, start, end = (None if part is None else part.to(device) for part in parts)
        return Observations(self.points.to(device), self.noise, normals, start, end, self.offset)


Scan = Observations | PointCloud | Mesh | str | os.PathLike[str]
"""Types of a scan in arguments, see `as_observations`."""


def observe_points(
    cloud: PointCloud,
    noise: float | None = None,
    viewpoint: Float[Tensor, "3"] | None = None,
    name: str = "the scan",
) -> Observations:
    """Observations from a point cloud with or without normals.

    Args:
        cloud: Points in any unit; outliers, repeated points and unreliable normals are not used, see
            `clean_cloud`.
        noise: Standard deviation in that unit; None estimates it from the distances of neighbouring points to
            planes.
        viewpoint: Position of the scanner in world coordinates. If given, the segments from there to all points
            are empty space, and missing normals are estimated and oriented towards it.
        name: Name of the scan in messages.

    Raises:
        InputError: Fewer than 10 points, points that all coincide, or values that are not finite.
    """
    require_extent(cloud.check(name).points, name)
    cloud = clean_cloud(cloud, name).cloud
    if noise is not None and not 0 < noise < math.inf:
        raise InputError(f"noise must be a positive length in the unit of the scan, got {noise:g}")
    normals, spread = local_planes(cloud.points)
    size = float((cloud.bounds[1] - cloud.bounds[0]).norm())
    noise = noise or max(float(spread.median()), 1e-4 * size)
    seen = Observations(cloud.points, noise, offset=cloud.offset)
    if cloud.normals is not None:
        seen = replace(seen, normals=torch.nn.functional.normalize(cloud.normals, dim=1))
    if viewpoint is None:
        return seen
    eye = (viewpoint.double().cpu() - torch.tensor(cloud.offset, dtype=torch.float64)).to(cloud.points)
    if seen.normals is None:
        towards = (normals * (eye - cloud.points)).sum(dim=1, keepdim=True)
        seen = replace(seen, normals=torch.where(towards < 0, -normals, normals))
    return replace(seen, empty_from=eye.expand_as(cloud.points), empty_to=cloud.points)


def observe_depth(
    depth: Float[Tensor, "H W"], camera: Cameras, noise: float | None = None, name: str = "the depth map"
) -> Observations:
    """Observations from a depth map with its camera.

    Args:
        depth: Camera-space z per pixel in the unit of the camera's pose. Infinite where the ray hits nothing,
            so that space is known to be empty; 0, negative or NaN where nothing is known.
        camera: One camera with an image of this size.
        noise: Standard deviation of the depth; None estimates it.
        name: Name of the depth map in messages.

    Raises:
        InputError: The sizes differ, or fewer than 10 pixels have a depth.
    """
    if len(camera) != 1 or depth.shape != (camera.height, camera.width):
        raise InputError(
            f"{name} has {tuple(depth.shape)} pixels and {len(camera)} cameras of {camera.height} x "
            f"{camera.width}; give one camera with the size of the map"
        )
    rows, columns = torch.meshgrid(*[torch.arange(n) for n in depth.shape], indexing="ij")
    pixels = torch.stack([columns, rows], dim=-1).double() + 0.5
    depth = depth.detach().double().cpu()
    camera = camera.to("cpu")
    hit, beyond = (depth > 0) & torch.isfinite(depth), torch.isposinf(depth)
    seen = torch.cat([pixels[hit], depth[hit][:, None]], dim=1)
    points = camera.unproject(seen[None])[0]
    require_extent(points.float(), name)
    offset = offset_of(torch.stack([points.amin(dim=0), points.amax(dim=0)]))
    camera = camera.relative_to(offset)
    points = camera.unproject(seen[None])[0]
    origin, ray = camera.rays_through(pixels.reshape(1, -1, 2))
    eye = origin[0, hit.flatten()]
    far = 2 * float((points - eye).norm(dim=1).max())
    out = origin[0, beyond.flatten()]
    normals, spread = local_planes(points.float())
    towards = (normals * (eye - points).float()).sum(dim=1, keepdim=True)
    size = float(points.float().amax(dim=0).sub(points.float().amin(dim=0)).norm())
    return Observations(
        points.float(),
        noise or max(float(spread.median()), 1e-4 * size),
        torch.where(towards < 0, -normals, normals),
        torch.cat([eye, out]).float(),
        torch.cat([points, out + far * ray[0, beyond.flatten()]]).float(),
        offset,
    )


def observe_mesh(
    mesh: Mesh, count: int = 6000, noise: float | None = None, seed: int = 0, name: str = "the mesh"
) -> Observations:
    """Observations from a mesh, possibly with holes: random points on its faces, with reliable normals.

    Raises:
        InputError: The mesh has no faces, no area, or values that are not finite.
    """
    mesh.check(name)
    require_extent(mesh.corners().reshape(-1, 3), name)
    points, face = sample_surface(mesh, count, torch.Generator(mesh.vertices.device).manual_seed(seed))
    size = float((mesh.bounds[1] - mesh.bounds[0]).norm())
    normals = face_normals(mesh.vertices, mesh.faces)[face]
    used = clean_cloud(PointCloud(points, normals, offset=mesh.offset), name).cloud
    return Observations(used.points, noise or 1e-3 * size, used.normals, offset=used.offset)


def require_extent(points: Float[Tensor, "P 3"], name: str) -> None:
    """Raise an error for points from which no pose can be computed.

    Raises:
        InputError: There are fewer than 10 points, they are not finite, or all of them coincide.
    """
    if len(points) < 10:
        raise InputError(f"{name} has {len(points)} points; a completion needs at least 10 on the surface")
    if not torch.isfinite(points).all():
        raise InputError(f"{name} has NaN or infinite coordinates; remove these points")
    try:
        normalisation(points)
    except InputError:
        raise InputError(f"all {len(points)} points of {name} coincide; check its export") from None


def local_planes(
    points: Float[Tensor, "P 3"], neighbours: int = NEIGHBOURS
) -> tuple[Float[Tensor, "P 3"], Float[Tensor, " P"]]:
    """Fit a plane to the nearest neighbours of each point: normal of either sign, and standard deviation from
    the plane."""
    places = points.detach().cpu().double()
    count = min(neighbours, len(places))
    _, index = KDTree(places.numpy()).query(places.numpy(), k=count)
    group = places[torch.from_numpy(index).long()]
    group = group - group.mean(dim=1, keepdim=True)
    values, axes = torch.linalg.eigh(group.mT @ group)
    spread = (values[:, 0].clamp_min(0) / max(count - 3, 1)).sqrt()
    return axes[:, :, 0].to(points), spread.to(points)


def load_scan(
    path: str | os.PathLike[str], noise: float | None = None, viewpoint: Float[Tensor, "3"] | None = None
) -> Observations:
    """Read a partial scan from a file.

    | file | content |
    |---|---|
    | any shape format, without faces | a point cloud with or without normals, see `observe_points` |
    | any shape format, with faces | a mesh, possibly with holes, see `observe_mesh` |
    | `.npz` with `depth`, `K` and optionally `T_cam_world` | a depth map (H, W), see `observe_depth` |

    Args:
        path: The file.
        noise: Standard deviation of points in the unit of the file; None estimates it.
        viewpoint: Position of the scanner of a point cloud, in world coordinates.

    Raises:
        InputError: The file is missing, damaged, in an unknown format, empty, or has too few points.
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


def as_observations(scan: Scan, name: str = "the scan") -> Observations:
    """Convert a scan of any type to observations.

    Args:
        scan: Observations, which are returned unchanged; or a cloud, a mesh with holes, or the path of a file,
            which are converted with the defaults of `observe_points`, `observe_mesh` and `load_scan`.
        name: Name of the scan in messages; a file is named by its path.

    Raises:
        InputError: The scan is empty or damaged, or has too few points.
    """
    if isinstance(scan, Observations):
        return scan
    if isinstance(scan, PointCloud):
        return observe_points(scan, name=name)
    return observe_mesh(scan, name=name) if isinstance(scan, Mesh) else load_scan(scan)


def _refuse_viewpoint(viewpoint: Tensor | None, reason: str) -> None:
    if viewpoint is not None:
        raise InputError(f"the viewpoint is for point clouds, and {reason}; leave it out")


def holds_depth(path: str | os.PathLike[str]) -> bool:
    """Whether a file contains a depth map instead of a shape.

    Raises:
        InputError: The file is damaged.
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
