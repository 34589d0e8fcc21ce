"""Surfaces that end where nothing was seen."""

import math
from dataclasses import replace

import pytest
import torch

from bozzetto.cameras import Capture, fibonacci_cameras
from bozzetto.geometry import face_areas, is_watertight
from bozzetto.inverse import ReconstructConfig, Stage, capture_light, reconstruct_capture
from bozzetto.inverse.ends import leaves_frame, visible_faces, with_ends
from bozzetto.rendering import render
from bozzetto.shapes import Mesh, icosphere

BALL = icosphere(4, 0.8)


def photographed(mesh: Mesh = BALL, front: bool = False, size: int = 64, fov: float = 0.6) -> Capture:
    """From all sides, or from above (+z) only."""
    cameras = fibonacci_cameras(24, distance=4.0, fov=fov, size=size)
    if front:
        cameras = cameras[torch.nonzero(cameras.centers[:, 2] > 2.0)[:, 0]]
    pictures = render(mesh, cameras, capture_light())
    known = torch.ones(len(cameras), size, size, dtype=torch.bool)
    names = tuple(map(str, range(len(cameras))))
    return Capture(names, cameras, pictures[..., :3], pictures[..., 3].clamp(0, 1), known)


def share(mesh: Mesh, faces: torch.Tensor) -> float:
    areas = face_areas(mesh.vertices, mesh.faces)
    return float(areas[faces].sum() / areas.sum())


def test_all_of_a_ball_is_seen_from_all_sides():
    assert bool(visible_faces(BALL, photographed()).all())


def test_one_camera_sees_the_cap_that_faces_it():
    capture = photographed().subset([0])
    # Within 80 degrees of the line of sight: a cap up to the angle a with cos a = ..., by the law of sines.
    angle = math.radians(80) - math.asin(0.8 / 4 * math.sin(math.radians(80)))
    expected = (1 - math.cos(angle)) / 2
    assert share(BALL, visible_faces(BALL, capture)) == pytest.approx(expected, abs=0.02)


def test_what_is_hidden_or_unknown_is_not_seen():
    capture = photographed().subset([0])
    unknown = replace(capture, known=torch.zeros_like(capture.known))
    assert not bool(visible_faces(BALL, unknown).any())
    towards = torch.nn.functional.normalize(capture.cameras.centers, dim=1).float()
    screen = icosphere(3, 0.9).with_vertices(icosphere(3, 0.9).vertices + 1.8 * towards)
    both = Mesh(
        torch.cat([BALL.vertices, screen.vertices]),
        torch.cat([BALL.faces, screen.faces + len(BALL.vertices)]),
    )
    assert share(BALL, visible_faces(both, capture)[: len(BALL.faces)]) < 0.02


def test_seen_from_one_side_the_surface_ends():
    capture = photographed(front=True)
    for ends in ("open", "auto"):
        open_mesh = with_ends(BALL, capture, ends)
        assert not is_watertight(open_mesh.faces)
        assert float(open_mesh.vertices[:, 2].min()) > -0.75
        assert float(open_mesh.vertices[:, 2].max()) == pytest.approx(0.8, abs=1e-3)
    assert with_ends(BALL, capture, "closed") is BALL


def test_seen_from_all_sides_it_stays_closed():
    assert with_ends(BALL, photographed(), "auto") is BALL
    assert with_ends(BALL, photographed(), "open") is BALL


def test_an_object_that_leaves_the_frame():
    assert not leaves_frame(photographed())
    assert leaves_frame(photographed(fov=0.25))


def test_reconstruct_leaves_out_what_nobody_saw():
    capture = photographed(front=True, size=48)
    stage = Stage(scale=1.0, edge_pixels=3.0, steps=4, step_factor=0.1)
    result = reconstruct_capture(
        capture, ReconstructConfig(hull_resolution=32, stages=(stage,), boundary="auto")
    )
    assert not is_watertight(result.mesh.faces)
    assert is_watertight(result.start.faces)
