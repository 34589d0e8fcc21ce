"""Captures in survey coordinates: single precision comes in only relative to an offset."""

import pytest
import torch

from bozzetto.cameras import Capture, fibonacci_cameras
from bozzetto.inverse import ReconstructConfig, Stage, reconstruct
from bozzetto.inverse.reconstruct import at_level, initial_surface, level_edge, pixel_size
from bozzetto.render import render
from bozzetto.shapes import Mesh, save_mesh, torus

FAR = (448000.0, 5412000.0, 320.0)


def ring(offset: tuple[float, float, float]) -> Mesh:
    mesh = torus(5.0, 2.0, 24, 12)
    return Mesh(mesh.vertices, mesh.faces, torch.full_like(mesh.vertices, 0.7), offset)


def captured(offset: tuple[float, float, float]) -> Capture:
    """A torus seen from six sides."""
    cameras = fibonacci_cameras(6, distance=25.0, target=offset, size=32)
    light = torch.zeros(9, 3)
    light[0] = 2.0
    pictures = render(ring(offset), cameras, light)
    known = torch.ones(6, 32, 32, dtype=torch.bool)
    return Capture(tuple("abcdef"), cameras, pictures[..., :3], pictures[..., 3], known)


def test_far_pictures_are_the_same_pictures():
    near, far = captured((0.0, 0.0, 0.0)), captured(FAR)
    assert float((near.images - far.images).abs().max()) < 1e-5


def test_far_captures_begin_with_the_same_surfaces(tmp_path):
    near, far = captured((0.0, 0.0, 0.0)), captured(FAR)
    save_mesh(ring(FAR), tmp_path / "ring.ply")
    for init in ("hull", "sphere", str(tmp_path / "ring.ply")):
        config = ReconstructConfig(init=init, hull_resolution=24)
        there = initial_surface(far, config)
        here = ring((0.0, 0.0, 0.0)) if init.endswith("ply") else initial_surface(near, config)
        moved = there.world_vertices - torch.tensor(FAR, dtype=torch.float64) - here.vertices
        assert any(there.offset) and float(moved.abs().max()) < 1e-5 * 14


def test_a_far_capture_is_reconstructed_where_it_is(tmp_path):
    save_mesh(ring(FAR), tmp_path / "ring.ply")
    stage = Stage(scale=1.0, steps=2, edge_pixels=1.5, step_factor=0.1, resurface=False)
    result = reconstruct(captured(FAR), ReconstructConfig(init=str(tmp_path / "ring.ply"), stages=(stage,)))
    low, high = result.mesh.bounds.double() + torch.tensor(result.mesh.offset, dtype=torch.float64)
    middle, half = (low + high) / 2, (high - low) / 2
    assert float((middle - torch.tensor(FAR, dtype=torch.float64)).abs().max()) < 0.5
    assert float((half - torch.tensor([7.0, 7.0, 2.0], dtype=torch.float64)).abs().max()) < 0.5


def test_edges_are_as_long_as_the_faces_are_few():
    capture, ball = captured((0.0, 0.0, 0.0)), ring((0.0, 0.0, 0.0))
    stage = Stage(scale=1.0, steps=1, edge_pixels=0.25, resurface=False)
    few, many = (ReconstructConfig(most_faces=count) for count in (4000, 10**9))
    assert level_edge(capture, ball, many, stage) == pytest.approx(0.25 * pixel_size(capture.cameras))
    mesh = at_level(capture, ball, ball, few, stage)
    assert 3000 < len(mesh.faces) < 5000
    assert len(at_level(capture, ball, ball, many, stage).faces) > 10_000
