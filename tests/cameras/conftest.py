"""Captures of things whose silhouettes are known exactly."""

import math
from dataclasses import replace

import pytest
import torch

from bozzetto.cameras import (
    Cameras,
    Capture,
    agreement,
    fibonacci_cameras,
    intrinsics_from_fov,
    orbit_cameras,
)
from bozzetto.cameras.carving import prepare_silhouettes


@pytest.fixture
def coarse_hulls(monkeypatch) -> None:
    """A cell of the hulls that silhouettes are compared with is two pixels of the small pictures here."""
    monkeypatch.setattr(agreement, "GRID", 32)


def sphere_coverage(cameras, center=(0.0, 0.0, 0.0), radius=1.0):
    """Coverage of every pixel by a sphere, from the distance of the pixel's ray to the outline."""
    origins, directions = cameras.rays()
    offset = torch.tensor(center, dtype=torch.float64) - origins
    along = (offset * directions).sum(dim=-1)
    miss = torch.sqrt(((offset - along[..., None] * directions) ** 2).sum(dim=-1).clamp(min=0)) - radius
    per_unit = cameras.K[:, 0, 0, None, None]
    pixels = miss * per_unit if cameras.orthographic else miss * per_unit / along
    coverage = (0.5 - pixels).clamp(0, 1)
    return (coverage if cameras.orthographic else coverage * (along > 0)).float()


def make_capture(masks, cameras, light=0.7, background=(0.0, 0.0, 0.0)):
    color = torch.tensor([light, 0.8 * light, 0.6 * light])
    behind = torch.tensor(background)
    images = masks[..., None] * color + (1 - masks[..., None]) * behind
    return Capture(
        names=tuple(f"{i:02}.png" for i in range(len(cameras))),
        cameras=cameras,
        images=images,
        masks=masks,
        known=torch.ones_like(masks, dtype=torch.bool),
    )


@pytest.fixture
def sphere_capture():
    """Makes captures of a unit sphere around the origin."""

    def make(count=12, size=(72, 64), center=(0.0, 0.0, 0.0), radius=1.0, **options):
        cameras = fibonacci_cameras(count, distance=6.0, fov=0.5, size=size)
        return make_capture(sphere_coverage(cameras, center, radius), cameras, **options)

    return make


BALLS = [((0.1, 0.0, 0.0), 0.5), ((0.5, 0.35, 0.2), 0.25), ((-0.3, 0.1, 0.55), 0.18)]


@pytest.fixture(scope="session")
def ball_capture():
    """Makes captures of three balls that no symmetry hides, from all around."""

    def make(count=9, size=(64, 48), **options):
        angles = [(2.4 * i + math.sin(7 * i), 0.3 + 0.8 * math.sin(3 * i)) for i in range(count)]
        poses = [orbit_cameras([a], [e], distance=3.2).T_cam_world for a, e in angles]
        K = intrinsics_from_fov(0.8, *size).repeat(count, 1, 1)
        cameras = Cameras(torch.cat(poses), K, *size)
        masks = torch.stack([sphere_coverage(cameras, *ball) for ball in BALLS]).amax(dim=0)
        return make_capture(masks, cameras, **options)

    return make


@pytest.fixture
def coverage():
    return sphere_coverage


@pytest.fixture
def without_masks():
    return lambda capture: replace(capture, masks=None)


@pytest.fixture(params=[None, 3.0], ids=["perspective", "orthographic"])
def silhouettes(request, coverage):
    cameras = fibonacci_cameras(7, distance=6.0, fov=0.5, extent=request.param, size=(72, 64))
    masks = coverage(cameras)
    return prepare_silhouettes(cameras, masks, torch.ones_like(masks, dtype=torch.bool))
