"""Light in a room: from windows and lamps with soft shadows, and from wall to wall."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ....geometry.closest import warp_mesh
from ....geometry.launch import in_parts, launch
from .kernels import direct_light, look_around
from .panels import Vector
from .scene import Scene

LIFT = 1e-3
"""Metres above the surface at which rays begin."""


@dataclass(frozen=True)
class Lamp:
    """A rectangle that shines towards `right` x `up`, with this radiance (linear RGB)."""

    corner: Vector
    right: Vector
    up: Vector
    radiance: Vector

    def places(self, count: int) -> tuple[Float[Tensor, "L 3"], Float[Tensor, "L 3"], Float[Tensor, "L 3"]]:
        """About so many places on it, their normals, and radiance times area of each."""
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

    Radiosity over the faces: what a point receives beside direct light is the mean, over rays distributed by
    the cosine, of what the faces that they meet reflect.

    Args:
        scene: In any light.
        lamps: They stand in front of the surfaces that show them, by more than `LIFT`.
        rays: Rays per vertex for reflected light.
        places: Places per lamp, for direct light.
        bounces: How often light is reflected.
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
    """Every vertex half its own and half the mean of its neighbours: hides the pattern of the rays."""
    edges = torch.cat([scene.faces[:, [0, 1]], scene.faces[:, [1, 2]], scene.faces[:, [2, 0]]])
    edges = torch.cat([edges, edges.flip(1)])
    degree = torch.zeros(len(light)).index_add_(0, edges[:, 0], torch.ones(len(edges)))[:, None]
    for _ in range(rounds):
        around = torch.zeros_like(light).index_add_(0, edges[:, 0], light[edges[:, 1]])
        light = 0.5 * light + 0.5 * around / degree.clamp_min(1)
    return light
