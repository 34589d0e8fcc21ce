"""Small scenes and cameras that the tests of this room share."""

import math

import pytest
import torch

from bozzetto import Cameras, Mesh
from bozzetto.cameras import orbit_cameras
from bozzetto.shapes import box, icosphere, join

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")),
]


def cameras(count: int = 2, size: int = 48, orthographic: bool = False, distance: float = 3.0) -> Cameras:
    """Views around the origin, tilted so that nothing lines up with the pixels."""
    extent = 2.6 if orthographic else None
    angles = [0.3 + 2 * math.pi * i / count for i in range(count)]
    rig = {"distance": distance, "fov": math.radians(48), "extent": extent, "size": (size, size - 8)}
    return orbit_cameras(angles, 0.4, **rig)


def facing_camera(
    width: int = 8, height: int = 6, focal: float = 10.0, orthographic: bool = False
) -> Cameras:
    """A camera at the origin of the world that looks along +Z, with x to the right and y down."""
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float64)
    return Cameras(torch.eye(4, dtype=torch.float64)[None], K[None], width, height, orthographic)


def bumpy(seed: int = 0, subdivisions: int = 2) -> Mesh:
    """A sphere with noise: no two faces alike, and folds that hide one another."""
    sphere = icosphere(subdivisions)
    noise = torch.randn(sphere.vertices.shape, generator=torch.Generator().manual_seed(seed))
    return Mesh(sphere.vertices + 0.1 * noise, sphere.faces)


def turned(mesh: Mesh, angles: tuple[float, float, float], shift: tuple[float, float, float]) -> Mesh:
    """A mesh rotated about x, y and z and moved."""
    a, b, c = (torch.tensor(angle).double() for angle in angles)
    zero, one = a * 0, a * 0 + 1
    about_x = torch.stack([one, zero, zero, zero, a.cos(), -a.sin(), zero, a.sin(), a.cos()]).view(3, 3)
    about_y = torch.stack([b.cos(), zero, b.sin(), zero, one, zero, -b.sin(), zero, b.cos()]).view(3, 3)
    about_z = torch.stack([c.cos(), -c.sin(), zero, c.sin(), c.cos(), zero, zero, zero, one]).view(3, 3)
    rotated = mesh.vertices.double() @ (about_x @ about_y @ about_z)
    return Mesh((rotated + torch.tensor(shift).double()).float(), mesh.faces)


def crossing_boxes() -> Mesh:
    """Two boxes that pass through each other."""
    return join([box(1.1), turned(box(1.1), (0.5, 0.7, 0.3), (0.35, 0.25, 0.3))])


def smooth_moves(vertices: torch.Tensor, count: int, seed: int = 0) -> torch.Tensor:
    """Directions to move all vertices in, (count, V, 3) of size about 1: shifts, then smooth waves."""
    generator = torch.Generator().manual_seed(seed)
    moves = [torch.eye(3)[k].expand_as(vertices) for k in range(3)]
    for _ in range(count - 3):
        waves = torch.randn(3, 3, generator=generator) * 1.5
        moves.append(torch.sin(vertices @ waves + 6 * torch.rand(3, generator=generator)))
    return torch.stack(moves[:count])


def agreement(a: torch.Tensor, b: torch.Tensor) -> tuple[float, float]:
    """Cosine between two vectors and the ratio of their norms."""
    a, b = a.flatten().double(), b.flatten().double()
    return float(a @ b / (a.norm() * b.norm())), float(a.norm() / b.norm())
