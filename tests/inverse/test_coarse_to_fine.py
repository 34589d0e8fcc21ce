"""A result is never worse than the surface it began with."""

import warnings
from dataclasses import replace

import pytest
import torch

from bozzetto import InputError
from bozzetto.cameras import Capture, fibonacci_cameras
from bozzetto.errors import InputWarning
from bozzetto.geometry import connected_components, intersecting_faces, is_watertight
from bozzetto.inverse import (
    Light,
    ReconstructConfig,
    Stage,
    ambient_light,
    capture_light,
    reconstruct_capture,
)
from bozzetto.inverse.coarse_to_fine import (
    SilhouetteFit,
    at_level,
    initial_surface,
    level_edge,
    pixel_size,
    silhouette_fit,
)
from bozzetto.inverse.data import mean_albedo
from bozzetto.rendering import render
from bozzetto.shapes import Mesh, icosphere, join, save_mesh, torus


def photographed(mesh: Mesh, light: torch.Tensor, views: int = 6, size: int = 48) -> Capture:
    cameras = fibonacci_cameras(views, distance=4.0, fov=0.6, size=size)
    pictures = render(mesh, cameras, light)
    known = torch.ones(views, size, size, dtype=torch.bool)
    names = tuple("abcdefghijkl"[:views])
    return Capture(names, cameras, pictures[..., :3], pictures[..., 3].clamp(0, 1), known)


def painted(mesh: Mesh, albedo: float) -> Mesh:
    return replace(mesh, colors=torch.full_like(mesh.vertices, albedo))


def test_the_fit_of_a_smaller_disc_is_the_ratio_of_areas():
    capture = photographed(icosphere(4, 0.8), capture_light(), size=128)
    same, smaller = (silhouette_fit(icosphere(4, radius), capture) for radius in (0.8, 0.4))
    assert same.mean > 0.99 and same.worst > 0.99
    # Seen from distance 4, a ball of radius r covers a disc of radius proportional to r / sqrt(16 - r^2).
    expected = (0.4**2 / (16 - 0.4**2)) / (0.8**2 / (16 - 0.8**2))
    assert smaller.mean == pytest.approx(expected, rel=0.03)


def test_unknown_pixels_do_not_count():
    capture = photographed(icosphere(4, 0.8), capture_light())
    known = capture.masks > 0.5
    assert silhouette_fit(icosphere(4, 1.2), replace(capture, known=known)).mean == 1


def test_worse_is_a_quarter_pixel_on_average_or_two_in_a_view():
    start = SilhouetteFit(0.95, 0.9, 0.02)
    assert SilhouetteFit(0.944, 0.9, 0.02).worse_than(start)
    assert SilhouetteFit(0.96, 0.85, 0.02).worse_than(start)
    assert not SilhouetteFit(0.946, 0.87, 0.02).worse_than(start)


def test_a_pixel_costs_the_length_of_the_outline_by_the_area():
    capture = photographed(icosphere(4, 0.8), capture_light(), size=128)
    area = float((capture.masks > 0.5).sum(dim=(1, 2)).float().mean())
    around = 2 * (torch.pi * area) ** 0.5
    assert silhouette_fit(icosphere(4, 0.8), capture).pixel == pytest.approx(around / area, rel=0.2)


def test_masks_are_needed():
    capture = replace(photographed(icosphere(2), capture_light()), masks=None)
    with pytest.raises(InputError, match="no masks"):
        silhouette_fit(icosphere(2), capture)


@pytest.mark.parametrize("albedo", [0.05, 0.4])
def test_the_first_albedo_is_that_of_an_even_object(albedo):
    ball = painted(icosphere(3, 0.8), albedo)
    found = mean_albedo(photographed(ball, capture_light()), ball, Light(capture_light(), 6))
    assert torch.allclose(found, torch.full((3,), albedo), rtol=0.02)


def test_a_dark_object_does_not_shrink():
    capture = photographed(painted(icosphere(4, 0.8), 0.03), ambient_light())
    stage = Stage(scale=1.0, edge_pixels=4.0, steps=20)
    result = reconstruct_capture(
        capture, ReconstructConfig(hull_resolution=32, stages=(stage,), views_per_step=3)
    )
    before, after = (silhouette_fit(mesh, capture).mean for mesh in (result.start, result.mesh))
    assert after > before - 0.01


def test_a_result_that_is_worse_is_not_delivered():
    ball = painted(icosphere(4, 0.8), 0.3)
    capture = photographed(ball, ambient_light())
    stage = Stage(scale=1.0, edge_pixels=4.0, steps=15, smoothness=0.0)
    wild = ReconstructConfig(hull_resolution=32, stages=(stage, stage), step_size=10.0)
    with pytest.warns(InputWarning, match="made the surface worse"):
        result = reconstruct_capture(capture, wild)
    start, delivered = (silhouette_fit(mesh, capture) for mesh in (result.start, result.mesh))
    assert not delivered.worse_than(start)
    assert float((result.mesh.colors - 0.3).abs().median()) < 0.1


def test_a_worse_result_is_replaced_in_a_resumed_run_alike():
    capture = photographed(painted(icosphere(4, 0.8), 0.3), ambient_light())
    gentle = Stage(scale=1.0, edge_pixels=4.0, steps=6)
    wild = replace(gentle, smoothness=0.0, step_factor=10.0)
    config = ReconstructConfig(hull_resolution=32, stages=(gentle, wild))
    states = []

    def keep(stage, optimization, loss):
        if (stage, optimization.steps_done) == (1, 3):
            states.append((stage, optimization.state()))

    with pytest.warns(InputWarning, match="made the surface worse"):
        whole = reconstruct_capture(capture, config, on_step=keep)
    with pytest.warns(InputWarning, match="made the surface worse"):
        resumed = reconstruct_capture(capture, config, resume_from=states[0])
    assert torch.equal(whole.mesh.vertices, resumed.mesh.vertices)
    assert torch.equal(whole.mesh.colors, resumed.mesh.colors)


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
        there = initial_surface(far, config)[0]
        here = ring((0.0, 0.0, 0.0)) if init.endswith("ply") else initial_surface(near, config)[0]
        moved = there.world_vertices - torch.tensor(FAR, dtype=torch.float64) - here.vertices
        assert any(there.offset) and float(moved.abs().max()) < 1e-5 * 14


def test_a_far_capture_is_reconstructed_where_it_is(tmp_path):
    save_mesh(ring(FAR), tmp_path / "ring.ply")
    stage = Stage(scale=1.0, steps=2, edge_pixels=1.5, step_factor=0.1)
    result = reconstruct_capture(
        captured(FAR), ReconstructConfig(init=str(tmp_path / "ring.ply"), stages=(stage,))
    )
    low, high = result.mesh.bounds.double() + torch.tensor(result.mesh.offset, dtype=torch.float64)
    middle, half = (low + high) / 2, (high - low) / 2
    assert float((middle - torch.tensor(FAR, dtype=torch.float64)).abs().max()) < 0.5
    assert float((half - torch.tensor([7.0, 7.0, 2.0], dtype=torch.float64)).abs().max()) < 0.5


def test_edges_are_as_long_as_the_faces_are_few():
    capture, ball = captured((0.0, 0.0, 0.0)), ring((0.0, 0.0, 0.0))
    stage = Stage(scale=1.0, steps=1, edge_pixels=0.25)
    few, many = (ReconstructConfig(most_faces=count) for count in (4000, 10**9))
    assert level_edge(capture, ball, many, stage) == pytest.approx(0.25 * pixel_size(capture.cameras))
    mesh = at_level(capture, ball, ball, few, stage)
    assert 3000 < len(mesh.faces) < 5000
    assert len(at_level(capture, ball, ball, many, stage).faces) > 10_000


def test_a_first_surface_that_crosses_itself_is_made_anew(tmp_path):
    capture = photographed(painted(icosphere(4, 0.8), 0.4), capture_light())
    half = icosphere(3, 0.5)
    shift = torch.tensor([0.3, 0.0, 0.0])
    twice = join([half.with_vertices(half.vertices + shift), half.with_vertices(half.vertices - shift)])
    assert len(intersecting_faces(twice))
    save_mesh(twice, tmp_path / "twice.ply")
    stage = Stage(scale=1.0, edge_pixels=3.0, steps=2)
    config = ReconstructConfig(init=str(tmp_path / "twice.ply"), stages=(stage,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        found = reconstruct_capture(capture, config).mesh
    assert len(intersecting_faces(found)) == 0 and is_watertight(found.faces)
    assert connected_components(found.faces, len(found.vertices)).max() == 0
