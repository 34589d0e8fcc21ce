"""Pictures of a scene as a lens throws them onto a sensor, tile by tile."""

from collections.abc import Iterator
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from ....cameras import Cameras
from ....cameras.distortion import Lens
from ....geometry.launch import in_parts, launch
from ....rendering import rasterize
from . import kernels
from .scene import Scene

TILE = 1536
"""Rows and columns of what is rendered at a time, which bounds the memory."""
NEAR = 0.05


def lens_picture(
    scene: Scene,
    camera: Cameras,
    lens: Lens,
    window: Float[Tensor, "3"],
    samples: int = 2,
) -> Float[Tensor, "H W 4"]:
    """What one camera with a distorting lens sees: linear RGB, and coverage by the first part of the scene.

    The ideal picture is rendered with `samples` x `samples` points per pixel and looked up where the lens takes
    each of as many points of the sensor's pixel from.

    Args:
        scene: What there is to see.
        camera: One, of the sensor: its size, intrinsics and pose.
        lens: How it departs from a pinhole, by little.
        window: Where highlights come from.
        samples: Points along each side of a pixel.
    """
    fine = camera.resized(camera.width * samples, camera.height * samples)
    picture = torch.empty(camera.height, camera.width, 4)
    side = TILE // samples
    for top, left in _corners(camera.height, camera.width, side):
        rows, columns = min(side, camera.height - top), min(side, camera.width - left)
        first, shape = (left * samples, top * samples), (columns * samples, rows * samples)
        low, size, places = _lookup(tuple(fine.K[0].flatten().tolist()), lens, first, shape)
        tile = _tile(scene, fine, low, *size, window)
        seen = torch.nn.functional.grid_sample(tile.permute(2, 0, 1)[None], places, align_corners=False)
        mean = torch.nn.functional.avg_pool2d(seen, samples)[0].permute(1, 2, 0)
        picture[top : top + rows, left : left + columns] = mean
    return picture


@lru_cache(maxsize=4)  # pictures of one phone share it
def _lookup(
    K: tuple[float, ...], lens: Lens, first: tuple[int, int], size: tuple[int, int]
) -> tuple[Float[Tensor, "2"], tuple[int, int], Float[Tensor, "1 h w 2"]]:
    """The part of the ideal picture that a tile shows: its corner, its size, and where in it the pixels lie."""
    source = ideal_pixels(torch.tensor(K, dtype=torch.float64).view(3, 3), lens, first, size)
    low = (source.amin(dim=(0, 1)) - 1.5).floor()
    columns, rows = ((source.amax(dim=(0, 1)) + 1.5).ceil() - low).long().tolist()
    places = 2 * (source - low) / torch.tensor([columns, rows]) - 1
    return low, (columns, rows), places.float()[None]


def ideal_pixels(
    K: Float[Tensor, "3 3"], lens: Lens, first: tuple[int, int], size: tuple[int, int]
) -> Float[Tensor, "h w 2"]:
    """Where the pixels of a distorted picture would lie without distortion.

    Undoes `Lens.distort` by fixed-point steps, which shrink the error of weak lenses tenfold:
    twelve on a coarse grid, one more on all pixels. Together within 1e-3 pixel.

    Args:
        K: Intrinsics of both pictures.
        lens: How it departs from a pinhole.
        first: Column and row of the first pixel.
        size: Columns and rows.
    """
    coarse = [max(2, n // 8) for n in size]
    x, y = (
        torch.linspace(start + 0.5, start + n - 0.5, m, dtype=torch.float64)
        for start, n, m in zip(first, size, coarse, strict=True)
    )
    rough = _undistorted(torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1), None, K, lens, 12)
    guess = torch.nn.functional.interpolate(
        rough.permute(2, 0, 1)[None], size[::-1], mode="bilinear", align_corners=True
    )[0].permute(1, 2, 0)
    x, y = (
        torch.arange(start, start + n, dtype=torch.float64) + 0.5
        for start, n in zip(first, size, strict=True)
    )
    return _undistorted(torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1), guess, K, lens, 1)


def _undistorted(
    pixels: Float[Tensor, "h w 2"],
    guess: Float[Tensor, "h w 2"] | None,
    K: Float[Tensor, "3 3"],
    lens: Lens,
    steps: int,
) -> Float[Tensor, "h w 2"]:
    middle, focal = K[:2, 2], K.diagonal()[:2]
    plane = ((pixels - middle) / focal).view(-1, 2)
    ideal = plane if guess is None else ((guess - middle) / focal).view(-1, 2)
    for _ in range(steps):
        ideal = ideal + (plane - lens.distort(ideal))
    return ideal.view(pixels.shape) * focal + middle


def _corners(height: int, width: int, side: int) -> Iterator[tuple[int, int]]:
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield top, left


def _tile(
    scene: Scene,
    camera: Cameras,
    low: Float[Tensor, "2"],
    width: int,
    height: int,
    window: Float[Tensor, "3"],
) -> Float[Tensor, "h w 4"]:
    """A rectangle of the ideal picture, which may reach beyond it."""
    K = camera.K.clone()
    K[0, :2, 2] -= low
    view = Cameras(camera.T_cam_world, K, width, height, near=NEAR)
    fragments = rasterize(scene.vertices, scene.faces, view)
    color = torch.empty(len(fragments), 3)
    eye, focal = camera.centers[0].tolist(), float(K[0, 0, 0])

    def run(_: int, start: int, stop: int) -> None:
        seen = [fragments.face, fragments.barycentric, fragments.depth, fragments.faces, scene.part]
        surface = [scene.vertices, scene.normals, scene.uv, scene.tint, scene.light]
        look = [scene.texels, scene.layout, scene.settings, eye, window.tolist(), focal, start, color]
        launch(kernels.radiance, stop - start, [*seen, *surface, *look], color.device)

    in_parts(run, len(fragments), color.device)
    picture = torch.zeros(height * width, 4)
    subject = (scene.part[fragments.face] == 0).float()[:, None]
    picture[fragments.pixel] = torch.cat([color, subject], dim=1)
    return picture.view(height, width, 4)
