"""Pictures that show people a result: comparisons with photographs and turntables. All in linear RGB."""

import math
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ..files import atomic_path
from ..render import render
from ..shapes import Mesh, linear_to_srgb, srgb_to_linear
from ..views import Cameras, orbit_cameras

BACKDROP = (0.9, 0.9, 0.9, 0.0)


def comparison_sheet(
    photo: Float[Tensor, "H W 3"], picture: Float[Tensor, "H W 3"]
) -> Float[Tensor, "H three_W 3"]:
    """Photo, render and difference side by side.

    The difference is of encoded values and signed around mid-grey: brighter where the render is brighter.
    """
    photo, picture = photo.clamp(0, 1), picture.clamp(0, 1)
    signed = linear_to_srgb(picture) - linear_to_srgb(photo)
    difference = srgb_to_linear(0.5 + 0.5 * signed)
    return torch.cat([photo, picture, difference], dim=1)


def turntable(
    mesh: Mesh, cameras: Cameras, light: Float[Tensor, "9 3"], count: int = 24, size: int = 320
) -> Float[Tensor, "count size size 3"]:
    """A mesh from all around, upright as the photographs show it, under its light.

    Args:
        mesh: The mesh, with its colours.
        cameras: Those of the photographs; they tell which way is up.
        light: Radiance coefficients; they turn with the mesh, since only the camera moves.
        count: Frames of one turn.
        size: Pixels.
    """
    low, high = mesh.bounds.double().cpu()
    middle, radius = (low + high) / 2, float((high - low).norm()) / 2
    views = orbit_cameras(
        count,
        math.radians(15),
        distance=3.2 * radius,
        target=middle,
        up=upright(cameras),
        fov=2 * math.asin(1 / 3.2),
        size=size,
    )
    background = torch.tensor(BACKDROP, device=mesh.vertices.device)
    frames = [render(mesh, views[[i]], light.to(mesh.vertices.device), background)[0] for i in range(count)]
    return torch.stack(frames)[..., :3].clamp(0, 1)


def upright(cameras: Cameras) -> Float[Tensor, "3"]:
    """World direction that points upwards in most pictures.

    Photographs may be turned in the image plane, some of them upside down. Then the direction about which
    the cameras stand in a ring is taken: the normal of the plane that fits their viewing directions.
    """
    ups = -cameras.T_cam_world[:, 1, :3].cpu()
    mean = ups.mean(dim=0)
    if float(mean.norm()) > 0.5:
        return mean / mean.norm()
    spread = cameras.forward.cpu() - cameras.forward.cpu().mean(dim=0)
    axis = torch.linalg.eigh(spread.T @ spread)[1][:, 0]  # eigenvalues ascend
    # Of the two directions along the axis, the one that more pictures show as up.
    return axis if int(((ups @ axis) > 0).sum()) * 2 >= len(ups) else -axis


def save_animation(path: Path, frames: Float[Tensor, "N H W 3"], seconds: float = 2.4) -> None:
    """Write linear RGB frames as a GIF that repeats."""
    encoded = (linear_to_srgb(frames).clamp(0, 1) * 255).round().byte().cpu().numpy()
    images = [Image.fromarray(frame) for frame in encoded]
    step = 1000 * seconds / len(images)
    with atomic_path(path) as temporary:
        images[0].save(temporary, "GIF", save_all=True, append_images=images[1:], duration=step, loop=0)
