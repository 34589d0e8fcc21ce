"""All parts of a room as one textured mesh, its light, and pictures of it.

Light comes from windows and lamps, with soft shadows, and from interreflection. Pictures are rendered through a
lens, tile by tile.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int32, Int64, UInt8
from torch import Tensor

from ....cameras import Cameras
from ....cameras.distortion import Lens
from ....geometry.launch import in_parts, launch
from ....geometry.mesh_queries import warp_mesh
from ....images import srgb_to_linear
from ....rendering import rasterize
from ....values import value_type
from . import kernels
from .kernels import direct_light, look_around
from .panels import Piece, Vector

LEVELS = 10
"""Number of mipmap levels of every texture."""


@value_type
class Scene:
    """The complete scene as one mesh.

    Attributes:
        vertices, faces, normals: World frame, metres.
        uv: Texture coordinates in the texture of the part.
        tint: Linear colour factor of the texture, per vertex.
        light: Irradiance at the vertices divided by pi, so that the outgoing radiance is albedo times light.
        part: Index of the part of every face.
        texels: All textures at all mipmap levels, as bytes of square roots of linear albedo.
        layout: Per part and level: first texel, width, height.
        settings: Per part: texels per metre, grain and its size, glow, gloss.
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int64[Tensor, "F 3"]
    normals: Float[Tensor, "V 3"]
    uv: Float[Tensor, "V 2"]
    tint: Float[Tensor, "V 3"]
    light: Float[Tensor, "V 3"]
    part: Int32[Tensor, " F"]
    texels: UInt8[Tensor, "T 3"]
    layout: Int32[Tensor, "parts levels 3"]
    settings: Float[Tensor, "parts 5"]

    def lit(self, light: Float[Tensor, "V 3"]) -> "Scene":
        """The same scene with another light."""
        return replace(self, light=light)

    @property
    def albedo(self) -> Float[Tensor, "F 3"]:
        """Approximate mean linear albedo of every face: the smallest mipmap level of its texture."""
        last = self.texels[self.layout[:, -1, 0].long()].float() / 255
        return (last**2)[self.part.long()] * self.tint[self.faces].mean(dim=1)


def joined_scene(pieces: Sequence[Piece]) -> Scene:
    """One scene of all parts, numbered in their order, without light."""
    first = np.cumsum([0, *(len(p.vertices) for p in pieces)])
    texels, layout, start = [], [], 0
    plain: dict[bytes, list[list[int]]] = {}  # the many parts in one colour share their texels
    for piece in pieces:
        key = piece.picture.tobytes() if piece.picture.size <= 12 else b""
        if key in plain:
            layout.append(plain[key])
            continue
        rows = []
        for level in _levels(piece.picture):
            texels.append(level.reshape(-1, 3))
            rows.append([start, level.shape[1], level.shape[0]])
            start += len(texels[-1])
        layout.append(rows + [rows[-1]] * (LEVELS - len(rows)))
        if key:
            plain[key] = layout[-1]
    finishes = [p.finish for p in pieces]
    vertices = torch.cat([p.vertices for p in pieces]).contiguous()
    return Scene(
        vertices=vertices,
        faces=torch.cat([p.faces + int(s) for p, s in zip(pieces, first[:-1], strict=True)]),
        normals=torch.cat([p.normals for p in pieces]).contiguous(),
        uv=torch.cat([p.uv for p in pieces]).contiguous(),
        tint=torch.cat([p.tint for p in pieces]).contiguous(),
        light=torch.zeros_like(vertices),
        part=torch.repeat_interleave(
            torch.arange(len(pieces), dtype=torch.int32), torch.tensor([len(p.faces) for p in pieces])
        ),
        texels=torch.cat(texels),
        layout=torch.tensor(layout, dtype=torch.int32),
        settings=torch.tensor([[f.per_metre, f.grain, f.grain_size, f.glow, f.gloss] for f in finishes]),
    )


def _levels(picture: npt.NDArray[Any]) -> list[UInt8[Tensor, "_h _w 3"]]:
    """The picture at up to `LEVELS` sizes, averaged in linear light."""
    image = srgb_to_linear(torch.from_numpy(np.ascontiguousarray(picture, np.float32)))
    levels = []
    while len(levels) < LEVELS and (not levels or levels[-1].shape[:2] != (1, 1)):
        levels.append((image.clamp(0, 1).sqrt() * 255 + 0.5).to(torch.uint8))
        size = [max(1, n // 2) for n in image.shape[:2]]
        shrunk = torch.nn.functional.interpolate(image.permute(2, 0, 1)[None], size, mode="area")
        image = shrunk[0].permute(1, 2, 0)
    return levels


LIFT = 1e-3
"""Distance, in metres, from the surface at which rays start."""


@dataclass(frozen=True)
class Lamp:
    """A rectangle that emits light towards `right` x `up`, with the given radiance (linear RGB)."""

    corner: Vector
    right: Vector
    up: Vector
    radiance: Vector

    def places(self, count: int) -> tuple[Float[Tensor, "L 3"], Float[Tensor, "L 3"], Float[Tensor, "L 3"]]:
        """About `count` points on the lamp, their normals, and the radiance times area of each."""
        o, a, b = (torch.tensor(v, dtype=torch.float32) for v in (self.corner, self.right, self.up))
        across = max(1, round(math.sqrt(count * float(a.norm() / b.norm()))))
        down = max(1, round(count / across))
        s, t = torch.meshgrid(*((torch.arange(n) + 0.5) / n for n in (across, down)), indexing="ij")
        # Rows are shifted against each other, or shadows would show a grid.
        s = (s + 0.5 / across * ((torch.arange(down) % 2) - 0.5)).reshape(-1, 1)
        normal = torch.linalg.cross(a, b)
        power = torch.tensor(self.radiance, dtype=torch.float32) * normal.norm() / len(s)
        places = o + s * a + t.reshape(-1, 1) * b
        direction = (normal / normal.norm()).expand_as(places).contiguous()
        return places, direction, power.expand_as(places).contiguous()


def illuminated(scene: Scene, lamps: list[Lamp], rays: int = 64, places: int = 24, bounces: int = 4) -> Scene:
    """The scene with the light of the lamps, direct and reflected by diffuse surfaces.

    Radiosity over the faces: the indirect light at a point is the mean, over cosine-weighted rays, of the light
    reflected by the faces that they hit.

    Args:
        scene: The scene; its light is ignored.
        lamps: The lamps, in front of the surfaces that depict them by more than `LIFT`.
        rays: Rays per vertex for reflected light.
        places: Number of sample points per lamp, for direct light.
        bounces: Number of reflections.
    """
    index = warp_mesh(scene.vertices, scene.faces)
    parts = [torch.cat(p) for p in zip(*(lamp.places(places) for lamp in lamps), strict=True)]
    device, count = scene.vertices.device, len(scene.vertices)
    direct = torch.empty_like(scene.vertices)
    seen = torch.empty(count, rays, dtype=torch.int32)
    k = torch.arange(rays) + 0.5
    radius, angle = (k / rays).sqrt(), k * (math.pi * (3 - math.sqrt(5)))
    disc = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)

    def run(_: int, start: int, stop: int) -> None:
        where = [index.id, scene.vertices[start:stop], scene.normals[start:stop]]
        launch(direct_light, stop - start, [*where, *parts, LIFT, direct[start:stop]], device)
        launch(look_around, stop - start, [*where, disc, LIFT, seen[start:stop]], device)

    in_parts(run, count, device)
    albedo = torch.cat([scene.albedo, torch.zeros(1, 3)])  # the last row: rays that met nothing
    seen_faces = seen.long() % len(albedo)
    light = direct = direct / math.pi
    for _ in range(bounces):
        sent = albedo[:-1] * light[scene.faces].mean(dim=1)
        sent = torch.cat([sent, torch.zeros(1, 3)])
        light = direct + torch.stack([sent[:, c][seen_faces].mean(dim=1) for c in range(3)], dim=1)
    return replace(scene, light=_smoothed(scene, light).contiguous())


def _smoothed(scene: Scene, light: Float[Tensor, "V 3"], rounds: int = 2) -> Float[Tensor, "V 3"]:
    """Smooth the light: half the vertex's own and half the mean of its neighbours, to reduce ray noise."""
    edges = torch.cat([scene.faces[:, [0, 1]], scene.faces[:, [1, 2]], scene.faces[:, [2, 0]]])
    edges = torch.cat([edges, edges.flip(1)])
    degree = torch.zeros(len(light)).index_add_(0, edges[:, 0], torch.ones(len(edges)))[:, None]
    for _ in range(rounds):
        around = torch.zeros_like(light).index_add_(0, edges[:, 0], light[edges[:, 1]])
        light = 0.5 * light + 0.5 * around / degree.clamp_min(1)
    return light


TILE = 1536
"""Rows and columns of tiles, which bound the memory."""
NEAR = 0.05


def lens_picture(
    scene: Scene,
    camera: Cameras,
    lens: Lens,
    window: Float[Tensor, "3"],
    samples: int = 2,
) -> Float[Tensor, "H W 4"]:
    """Picture of a camera with lens distortion: linear RGB, and the coverage by the first part of the scene.

    The pinhole picture is rendered with `samples` x `samples` points per pixel and then sampled at the
    undistorted positions of as many points per pixel of the sensor.

    Args:
        scene: The scene.
        camera: The camera of the sensor: its size, intrinsics and pose.
        lens: Its distortion, which must be weak.
        window: Position of the light source of highlights.
        samples: Number of samples along each side of a pixel.
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
    """The part of the pinhole picture that a tile covers: its corner, its size, and the positions of pixels in
    it."""
    source = ideal_pixels(torch.tensor(K, dtype=torch.float64).view(3, 3), lens, first, size)
    low = (source.amin(dim=(0, 1)) - 1.5).floor()
    columns, rows = ((source.amax(dim=(0, 1)) + 1.5).ceil() - low).long().tolist()
    places = 2 * (source - low) / torch.tensor([columns, rows]) - 1
    return low, (columns, rows), places.float()[None]


def ideal_pixels(
    K: Float[Tensor, "3 3"], lens: Lens, first: tuple[int, int], size: tuple[int, int]
) -> Float[Tensor, "h w 2"]:
    """Undistorted positions of the pixels of a distorted picture.

    Inverts `Lens.distort` by fixed-point steps, which reduce the error of weak lenses tenfold each: twelve on a
    coarse grid, then one on all pixels. The error is below 1e-3 pixel.

    Args:
        K: Intrinsics of both pictures.
        lens: Its distortion.
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
    """A rectangle of the pinhole picture, which may extend beyond it."""
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
