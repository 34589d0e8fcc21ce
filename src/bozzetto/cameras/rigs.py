"""Camera rigs: cameras that look at a point, on circles, or evenly distributed over a sphere."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from .camera import Cameras

Vector = Sequence[float] | Float[Tensor, "3"]


def look_at(
    eye: Vector | Float[Tensor, "N 3"], target: Vector = (0, 0, 0), up: Vector = (0, 0, 1)
) -> Float[Tensor, "N 4 4"]:
    """World-to-camera transforms (float64) of cameras at `eye` that look at `target`.

    Args:
        eye: One position or N of them, world frame.
        target: The point at the centre of the picture.
        up: World direction that points upwards in the picture. For a camera that looks along it, another
            direction is chosen.

    Raises:
        InputError: A camera position is equal to the target.
    """
    eyes = torch.as_tensor(eye, dtype=torch.float64).reshape(-1, 3)
    forward = torch.as_tensor(target, dtype=torch.float64).to(eyes.device) - eyes
    length = torch.linalg.vector_norm(forward, dim=1, keepdim=True)
    if not bool((length > 0).all()):
        raise InputError("a camera cannot look at the point where it stands; move the eye or the target")
    forward = forward / length
    upwards = torch.as_tensor(up, dtype=torch.float64).to(eyes.device).expand_as(eyes)
    upwards = upwards / torch.linalg.vector_norm(upwards, dim=1, keepdim=True)
    along = torch.linalg.vector_norm(torch.linalg.cross(forward, upwards), dim=1) < 1e-6
    upwards = torch.where(along[:, None], upwards.roll(1, dims=1), upwards)
    diagonal = along & (torch.linalg.vector_norm(torch.linalg.cross(forward, upwards), dim=1) < 1e-6)
    upwards = torch.where(diagonal[:, None], upwards * upwards.new_tensor([1.0, 1.0, -1.0]), upwards)
    right = torch.linalg.cross(forward, upwards)
    right = right / torch.linalg.vector_norm(right, dim=1, keepdim=True)
    rotation = torch.stack([right, torch.linalg.cross(forward, right), forward], dim=1)
    T_cam_world = torch.eye(4, dtype=torch.float64, device=eyes.device).repeat(len(eyes), 1, 1)
    T_cam_world[:, :3, :3] = rotation
    T_cam_world[:, :3, 3] = -torch.einsum("nij,nj->ni", rotation, eyes)
    return T_cam_world


def intrinsics_from_fov(fov: float, width: int, height: int) -> Float[Tensor, "3 3"]:
    """Intrinsics (pixels) with square pixels and the principal point in the middle.

    Args:
        fov: Horizontal field of view in radians, in (0, pi).
        width: Image width in pixels.
        height: Image height in pixels.

    Raises:
        InputError: The field of view is out of range.
    """
    if not 0 < fov < math.pi:
        raise InputError(f"a horizontal field of view of {fov:g} is not between 0 and pi; give it in radians")
    return _intrinsics(width / 2 / math.tan(fov / 2), width, height)


def _intrinsics(focal: float, width: int, height: int) -> Float[Tensor, "3 3"]:
    return torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float64)


def _rig(
    directions: Float[Tensor, "N 3"],
    distance: float,
    target: Vector,
    up: Vector,
    fov: float,
    extent: float | None,
    size: int | tuple[int, int],
) -> Cameras:
    width, height = (size, size) if isinstance(size, int) else size
    if extent is not None and not extent > 0:
        raise InputError(f"an orthographic picture needs a positive extent, got {extent:g}")
    K = (
        intrinsics_from_fov(fov, width, height)
        if extent is None
        else _intrinsics(width / extent, width, height)
    )
    eyes = torch.as_tensor(target, dtype=torch.float64) + distance * directions
    T_cam_world = look_at(eyes, target, up)
    return Cameras(T_cam_world, K.repeat(len(eyes), 1, 1), width, height, orthographic=extent is not None)


def _basis(up: Vector) -> Float[Tensor, "3 3"]:
    """Rows: two horizontal directions and the unit up vector, right-handed; the identity for up = +Z."""
    z = torch.as_tensor(up, dtype=torch.float64)
    z = z / torch.linalg.vector_norm(z)
    seed = torch.eye(3, dtype=torch.float64)[0 if abs(z[0]) < 0.9 else 1]
    x = seed - (seed @ z) * z
    x = x / torch.linalg.vector_norm(x)
    return torch.stack([x, torch.linalg.cross(z, x), z])


def orbit_cameras(
    azimuths: int | Sequence[float] = 16,
    elevations: float | Sequence[float] = 0.0,
    *,
    distance: float = 3.0,
    target: Vector = (0, 0, 0),
    up: Vector = (0, 0, 1),
    fov: float = math.radians(40),
    extent: float | None = None,
    size: int | tuple[int, int] = 512,
) -> Cameras:
    """Cameras on circles around a target: every azimuth at every elevation, azimuths running fastest.

    Args:
        azimuths: Angles around `up` in radians, or a number of angles that are spread evenly over the full
            circle.
        elevations: Angles above the horizontal plane in radians.
        distance: Distance of each camera from the target, in world units.
        target: The point that all cameras look at.
        up: World direction of the axis of the circles, which points upwards in the pictures.
        fov: Horizontal field of view in radians.
        extent: Width of the picture in world units. If given, the cameras are orthographic and `fov` is
            ignored.
        size: Image width and height in pixels, or one number for both.
    """
    if isinstance(azimuths, int):
        azimuths = [2 * math.pi * i / azimuths for i in range(azimuths)]
    raised = [elevations] if isinstance(elevations, float | int) else elevations
    local = [
        (math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)) for e in raised for a in azimuths
    ]
    directions = torch.tensor(local, dtype=torch.float64).reshape(-1, 3) @ _basis(up)
    return _rig(directions, distance, target, up, fov, extent, size)


def fibonacci_cameras(
    count: int = 25,
    *,
    distance: float = 3.0,
    target: Vector = (0, 0, 0),
    up: Vector = (0, 0, 1),
    fov: float = math.radians(40),
    extent: float | None = None,
    size: int | tuple[int, int] = 512,
) -> Cameras:
    """Cameras spread evenly over a sphere around a target, in the directions of `fibonacci_directions`.

    The other arguments are those of `orbit_cameras`.
    """
    directions = fibonacci_directions(count) @ _basis(up)
    return _rig(directions, distance, target, up, fov, extent, size)


def fibonacci_directions(count: int) -> Float[Tensor, "N 3"]:
    """Unit vectors (float64) spread evenly over the sphere, on the spherical Fibonacci lattice.

    Heights are the midpoints of `count` equal slices, which all have the same area, and azimuths advance by
    the golden angle (Gonzalez 2010, "Measurement of areas on a sphere using Fibonacci and
    latitude-longitude lattices").
    """
    index = torch.arange(count, dtype=torch.float64)
    z = 1 - (2 * index + 1) / count
    azimuth = index * (math.pi * (3 - math.sqrt(5)))
    radius = torch.sqrt(1 - z * z)
    return torch.stack([radius * torch.cos(azimuth), radius * torch.sin(azimuth), z], dim=1)
