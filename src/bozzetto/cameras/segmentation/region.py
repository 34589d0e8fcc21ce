"""Where the object is: a ball of space that most views look at."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ..camera import Cameras
from ..capture import Capture, ScenePoints
from .space import Region, pixels_per_unit


def starting_region(capture: Capture, around: Sequence[tuple[str, float, float]] = ()) -> Region:
    """A ball around the middle of the object, as large as half of the pictures that have its centre show whole.

    Its centre is where the rays through the pixels of the object meet; with one pixel, the place on its ray
    that is nearest to the points that its view sees beside it, or to what all views look at. Without any, the
    middle of the points that most views see, or the point nearest to all viewing axes.

    Args:
        capture: The views.
        around: Pixels of the object: name of the view, column and row.

    Raises:
        InputError: There is no such view or pixel, or the rays do not meet.
    """
    cameras, frames = capture.cameras.to("cpu"), known_frames(capture)
    center = nearest_to_rays(cameras, torch.arange(len(cameras)), frames.reshape(-1, 2, 2).mean(dim=1))
    if capture.points is not None and len(capture.points) >= 100:
        center = _densest(cameras, frames, capture.points, center)
    if around:
        views, pixels = _pixels(capture, around)
        if len(set(views.tolist())) > 1:
            center = nearest_to_rays(cameras, views, pixels)
        else:
            center = _on_ray(cameras, views[0], pixels.mean(dim=0), capture.points, center)
    fits = fitting_radii(cameras, frames, center)
    return Region(center, float(fits[fits > 0].median()) if bool((fits > 0).any()) else 1.0)


def _pixels(
    capture: Capture, around: Sequence[tuple[str, float, float]]
) -> tuple[Tensor, Float[Tensor, "P 2"]]:
    positions = {name: i for i, name in enumerate(capture.names)}
    width, height = capture.cameras.width, capture.cameras.height
    for name, column, row in around:
        if name not in positions:
            raise InputError(
                f"there is no photograph {name} to look around in; give one of {capture.names[0]}, ..."
            )
        if not (0 <= column <= width and 0 <= row <= height):
            raise InputError(
                f"the pixel {column:g} {row:g} of {name} is outside the picture of {width} x {height}; give a "
                "pixel of the object"
            )
    views = torch.tensor([positions[name] for name, _, _ in around])
    return views, torch.tensor([[column, row] for _, column, row in around], dtype=torch.float64)


def nearest_to_rays(cameras: Cameras, views: Tensor, pixels: Float[Tensor, "P 2"]) -> Float[Tensor, "3"]:
    """The point that is nearest to rays through pixels of some views, in the sense of least squares."""
    found = [cameras[[int(v)]].rays_through(p[None, None]) for v, p in zip(views, pixels, strict=True)]
    origins, directions = (torch.cat([f[i][:, 0] for f in found]) for i in (0, 1))
    off = torch.eye(3, dtype=torch.float64) - directions[:, :, None] * directions[:, None, :]
    start = origins.mean(dim=0)
    # The small term keeps the point near the cameras if rays are parallel.
    pull = 1e-6 * torch.eye(3, dtype=torch.float64)
    return start + torch.linalg.solve(off.sum(dim=0) + pull, torch.einsum("nij,nj->i", off, origins - start))


def known_frames(capture: Capture) -> Float[Tensor, "N 4"]:
    """Left, top, right and bottom of the known part of each picture: views of other sizes are padded."""
    frames = []
    for known in capture.known.cpu():
        rows, columns = (torch.nonzero(known.any(dim=axis))[:, 0] for axis in (1, 0))
        sides = (
            [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] if len(rows) else [0, 0, *known.shape[::-1]]
        )
        frames.append([float(side) for side in sides])
    return torch.tensor(frames, dtype=torch.float64)


def fitting_radii(
    cameras: Cameras, frames: Float[Tensor, "N 4"], center: Float[Tensor, "3"]
) -> Float[Tensor, "N"]:
    """Radius of the largest ball around a point that each frame shows whole; 0 or less if not even that."""
    place = cameras.project(center[None])[:, 0, :2]
    room = torch.cat([place - frames[:, :2], frames[:, 2:] - place], dim=1).amin(dim=1)
    scale = pixels_per_unit(cameras, center)
    return torch.where(scale > 0, room / scale.clamp(min=1e-12), -1.0)


def _densest(
    cameras: Cameras, frames: Float[Tensor, "N 4"], points: ScenePoints, start: Float[Tensor, "3"]
) -> Float[Tensor, "3"]:
    """The middle of the points that most views see, by mean shift from a start."""
    weights = points.visible.double().sum(dim=1).cpu()
    positions = points.positions.double().cpu()
    fits = fitting_radii(cameras, frames, start)
    if not bool((fits > 0).any()):
        return start
    reach, center = float(fits[fits > 0].median()), start
    for _ in range(20):
        near = weights * torch.exp(-0.5 * ((positions - center) ** 2).sum(dim=1) / reach**2)
        if float(near.sum()) <= 0:
            return start
        center = (near[:, None] * positions).sum(dim=0) / near.sum()
    return center


def _on_ray(
    cameras: Cameras,
    view: Tensor,
    pixel: Float[Tensor, "2"],
    points: ScenePoints | None,
    center: Float[Tensor, "3"],
) -> Float[Tensor, "3"]:
    """The place on a pixel's ray where the nearest points of the scene are, or else nearest to a point."""
    origins, directions = cameras[[int(view)]].rays_through(pixel[None, None])
    origin, direction = origins[0, 0], directions[0, 0]
    if points is not None and bool(points.visible[:, int(view)].any()):
        there = points.positions[points.visible[:, int(view)]].double().cpu()
        visible = cameras[[int(view)]].project(there)[0]
        away = (visible[:, :2] - pixel).norm(dim=1)
        center = there[away.argsort()[:5]].median(dim=0).values
    return origin + direction * float((center - origin) @ direction)
