"""Cameras refined against surfaces: residuals, derivatives of the cost, recovery."""

import math
import sys
from dataclasses import replace

import pytest
import torch

from bozzetto.cameras import Cameras, Capture, examine, fibonacci_cameras
from bozzetto.cameras.examination import Examination
from bozzetto.errors import InputError, InputWarning
from bozzetto.inverse import ReconstructConfig, Stage, capture_light, reconstruct_capture
from bozzetto.inverse.camera_motion import Motion, rotations
from bozzetto.inverse.camera_steps import (
    CameraPictures,
    Outline,
    _cost,
    _normal_equations,
    _Prior,
    _scales,
    displacements,
    moved_pixels,
    refine_cameras,
)
from bozzetto.inverse.coarse_to_fine import silhouette_fit
from bozzetto.inverse.reconstruct import require_sound
from bozzetto.inverse.refinement import register_views
from bozzetto.inverse.silhouette_alignment import align_silhouettes
from bozzetto.rendering import interpolate, render
from bozzetto.shapes import Mesh, icosphere


def lump() -> Mesh:
    """A surface without symmetry, with a pattern."""
    ball = icosphere(4)
    x, y, z = ball.vertices.unbind(dim=1)
    radius = 0.7 + 0.12 * torch.sin(3 * x + 1) * torch.cos(2 * y) + 0.15 * z + 0.1 * x * y
    colors = 0.5 + 0.3 * torch.stack([torch.sin(9 * x), torch.sin(8 * y + z), torch.cos(7 * z)], dim=1)
    return Mesh(ball.vertices * radius[:, None], ball.faces, colors)


def photographed(
    views: int = 8, size: int = 96, distance: float = 4.0, fov: float = 0.5
) -> tuple[Mesh, Capture]:
    mesh, cameras = lump(), fibonacci_cameras(views, distance=distance, fov=fov, size=size)
    pictures = render(mesh, cameras, capture_light())
    known = torch.ones(views, size, size, dtype=torch.bool)
    names = tuple("abcdefghijklmnop"[:views])
    return mesh, Capture(names, cameras, pictures[..., :3], pictures[..., 3].clamp(0, 1), known)


def disturbed(cameras: Cameras, degrees: float, share: float, zoom: float = 0.0, seed: int = 0) -> Cameras:
    """Cameras turned about themselves, and moved by a share of their distance, in random directions."""
    generator = torch.Generator().manual_seed(seed)
    axes, ways = torch.randn(2, len(cameras), 3, dtype=torch.float64, generator=generator)
    axes, ways = (torch.nn.functional.normalize(v, dim=1) for v in (axes, ways))
    T, K = cameras.T_cam_world.clone(), cameras.K.clone()
    centers = cameras.centers + share * cameras.centers.norm(dim=1, keepdim=True) * ways
    T[:, :3, :3] = rotations(math.radians(degrees) * axes) @ T[:, :3, :3]
    T[:, :3, 3] = -torch.einsum("nij,nj->ni", T[:, :3, :3], centers)
    K[:, :2, :2] *= 1 + zoom
    return replace(cameras, T_cam_world=T, K=K)


def painter(mesh: Mesh):
    """The true colours of the surface."""
    from bozzetto.geometry import vertex_normals
    from bozzetto.rendering import shade

    def paint(fragments, view):
        normals = interpolate(fragments, vertex_normals(mesh.vertices, mesh.faces))
        return shade(normals, capture_light(), interpolate(fragments, mesh.colors))

    return paint


def test_the_outline_of_a_disc():
    v, u = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    away = 20 - torch.hypot(u - 30, v - 33)
    outline = Outline.of((away + 0.5).clamp(0, 1), torch.ones(64, 64, dtype=torch.bool))
    radius = torch.linalg.vector_norm(outline.points - torch.tensor([30.0, 33.0]), dim=1)
    assert len(radius) > 100 and float((radius - 20).abs().mean()) < 0.3
    inwards = torch.nn.functional.normalize(torch.tensor([30.0, 33.0]) - outline.points, dim=1)
    assert float((outline.normals * inwards).sum(dim=1).min()) > 0.9


def test_an_outline_at_something_unknown_is_none():
    mask, known = torch.zeros(40, 40), torch.ones(40, 40, dtype=torch.bool)
    mask[10:, 10:30] = 1  # leaves the frame below
    known[:, :20] = False
    outline = Outline.of(mask, known)
    assert float(outline.points[:, 0].min()) > 20 and float(outline.points[:, 1].max()) < 39
    assert not bool(outline.trusted[38, 25])


def test_true_cameras_stay():
    mesh, capture = photographed()
    refined = refine_cameras(
        CameraPictures.of(capture), capture.cameras, mesh.vertices, mesh.faces, painter(mesh), steps=3
    )
    assert float(moved_pixels(capture.cameras, refined.cameras, mesh.vertices.double()).max()) < 0.15
    assert refined.outline < 0.15


def test_the_gradient_of_the_cost_is_that_of_differences():
    mesh, capture = photographed(views=4)
    pictures = CameraPictures.of(capture)
    cameras = disturbed(capture.cameras, 0.3, 0.003)
    group = torch.zeros(4, dtype=torch.int64)
    prior = _Prior(capture.cameras, group, (0.05, 0.05, 0.05, 0.05))
    paint = painter(mesh)
    now = pictures.residuals(cameras, mesh.vertices, mesh.faces, paint)
    scales = _scales(now)
    vector = _normal_equations(cameras, group, now, scales, prior, torch.zeros(0, 3).double())[1]

    def cost(view: int, unknown: int, step: float) -> float:
        poses, zoom = torch.zeros(4, 6).double(), torch.zeros(1).double()
        if unknown == 6:
            zoom[0] = step
        else:
            poses[view, unknown] = step
        moved = Motion(poses, zoom, group).applied(cameras)
        return _cost(pictures.residuals(moved, mesh.vertices, mesh.faces, paint), scales) + prior.cost(moved)

    # Points of the outline and pixels compared change as cameras move: the true slope is near, not equal.
    for view, unknown, step in [(1, 3, 4e-3), (1, 4, 4e-3), (2, 2, 8e-3), (0, 6, 5e-3)]:
        difference = (cost(view, unknown, step) - cost(view, unknown, -step)) / (2 * step) / 2
        position = 24 if unknown == 6 else 6 * view + unknown
        assert float(vector[position]) == pytest.approx(difference, rel=0.5)


@pytest.mark.parametrize("colors", [False, True])
def test_disturbed_cameras_come_back_to_a_known_surface(colors):
    mesh, capture = photographed()
    wrong = disturbed(capture.cameras, 0.8, 0.01)
    points = mesh.vertices.double()
    before = moved_pixels(capture.cameras, wrong, points)
    refined = refine_cameras(
        replace(CameraPictures.of(capture), start=wrong),
        wrong,
        mesh.vertices,
        mesh.faces,
        painter(mesh) if colors else None,
        focal=False,
        steps=15,
    )
    after = moved_pixels(capture.cameras, refined.cameras, points)
    assert float(before.mean()) > 1.5
    assert float(after.mean()) < (0.1 if colors else 0.6)


def test_a_surface_that_is_too_small_is_no_reason_to_zoom_in():
    mesh, capture = photographed()
    pictures, small = CameraPictures.of(capture), 0.97 * mesh.vertices
    changes = []
    for bends in (False, True):
        refined = refine_cameras(
            pictures, pictures.start, small, mesh.faces, painter(mesh), steps=15, bends=bends
        )
        changes.append(float((refined.cameras.K[:, 0, 0] / pictures.start.K[:, 0, 0]).mean()) - 1)
    assert abs(changes[0]) > 0.01 and abs(changes[1]) < 0.25 * abs(changes[0])


def test_the_gradient_for_a_bent_surface_is_that_of_differences():
    mesh, capture = photographed(views=4)
    pictures, cameras = CameraPictures.of(capture), disturbed(capture.cameras, 0.3, 0.003)
    group, paint = torch.zeros(4, dtype=torch.int64), painter(mesh)
    prior = _Prior(capture.cameras, group, (0.05, 0.05, 0.05, 0.05))
    now = pictures.residuals(cameras, mesh.vertices, mesh.faces, paint)
    scales, bend = _scales(now), torch.zeros(10, 3).double()
    vector = _normal_equations(cameras, group, now, scales, prior, bend)[1]

    def cost(unknown: int, step: float) -> float:
        moved = bend.clone()
        moved.view(-1)[unknown] += step
        vertices = mesh.vertices + displacements(mesh.vertices, moved)
        return _cost(pictures.residuals(cameras, vertices, mesh.faces, paint), scales)

    for unknown in (3, 7, 11, 12):  # shears and squeezes
        difference = (cost(unknown, 5e-3) - cost(unknown, -5e-3)) / (2 * 5e-3) / 2
        assert float(vector[25 + unknown]) == pytest.approx(difference, rel=0.5)


def test_a_step_never_raises_the_cost():
    mesh, capture = photographed(views=4)
    wrong = disturbed(capture.cameras, 2.0, 0.05, seed=5)
    pictures = replace(CameraPictures.of(capture), start=wrong)
    cost, cameras = math.inf, wrong
    for _ in range(3):
        found = refine_cameras(pictures, cameras, mesh.vertices, mesh.faces, None, steps=0)
        refined = refine_cameras(pictures, cameras, mesh.vertices, mesh.faces, None, steps=1)
        assert refined.cost <= found.cost
        cost, cameras = refined.cost, refined.cameras
    assert math.isfinite(cost)


def test_silhouettes_that_do_not_fit_are_aligned_and_others_stay():
    mesh, capture = photographed(views=6, size=64)
    wrong = replace(capture, cameras=disturbed(capture.cameras, 1.0, 0.01))
    aligned = align_silhouettes(wrong)
    assert align_silhouettes(capture) is capture.cameras
    found = register_views(mesh, capture_light(), replace(wrong, cameras=aligned))
    assert float(moved_pixels(capture.cameras, found, mesh.vertices.double()).mean()) < 0.3


@pytest.fixture(scope="module")
def contradicting() -> Capture:
    """Silhouettes from cameras that are only roughly right."""
    _, capture = photographed(size=64, distance=8.0, fov=0.25)
    return replace(capture, cameras=disturbed(capture.cameras, 1.5, 0.01))


@pytest.fixture(scope="module")
def contradiction(contradicting) -> Examination:
    return examine(contradicting)


@pytest.fixture
def examined_before(contradicting, contradiction, monkeypatch) -> str:
    """Spares `require_sound` the first of its examinations, which takes seconds."""
    module = sys.modules[require_sound.__module__]  # its name in the room is that of the function

    def remembered(capture: Capture) -> Examination:
        return contradiction if capture is contradicting else examine(capture)

    monkeypatch.setattr(module, "examine", remembered)
    return module.__name__


def test_cameras_that_contradict_each_other_are_aligned_where_that_is_asked_for(
    contradicting, contradiction, examined_before
):
    assert contradiction.rough and "--refine-cameras yes" in (contradiction.fatal or "")
    with pytest.raises(InputError, match="roughly right"):
        require_sound(contradicting, "photos")
    with pytest.warns(InputWarning, match="cameras moved"):
        aligned = require_sound(contradicting, "photos", align=True)
    assert aligned.fatal is None and aligned.consistency is not None
    assert float(aligned.consistency.missing.max()) < 0.02


def test_cameras_of_another_convention_are_not_aligned():
    _, capture = photographed(size=64)
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]).double())  # axes of OpenGL
    other = replace(capture, cameras=replace(capture.cameras, T_cam_world=flip @ capture.cameras.T_cam_world))
    with pytest.raises(InputError, match="they fit if the camera axes are turned") as caught:
        require_sound(other, "photos", align=True)
    assert "was not enough" not in str(caught.value)


def test_where_alignment_does_not_help_that_is_said(contradicting, examined_before, monkeypatch):
    monkeypatch.setattr(
        sys.modules[require_sound.__module__], "align_silhouettes", lambda capture: capture.cameras
    )
    with pytest.raises(InputError, match="was not enough"):
        require_sound(contradicting, "photos", align=True)


def test_views_that_are_far_off_are_fitted_to_a_finished_surface():
    mesh, capture = photographed(distance=8.0, fov=0.25)
    wrong = disturbed(capture.cameras, 3.0, 0.01)
    points = mesh.vertices.double()
    found = register_views(mesh, capture_light(), replace(capture, cameras=wrong))
    assert float(moved_pixels(capture.cameras, wrong, points).median()) > 12
    assert float(moved_pixels(capture.cameras, found, points).max()) < 0.3


def test_surface_and_cameras_are_found_together_and_resumed_alike():
    _, capture = photographed(views=6, size=64)
    wrong = replace(capture, cameras=disturbed(capture.cameras, 1.0, 0.01))
    stage = Stage(scale=1.0, edge_pixels=4.0, steps=25)
    stages = (stage, replace(stage, edge_pixels=3.0))
    config = ReconstructConfig(
        hull_resolution=40, stages=stages, refine_cameras=True, refine_focal=False, views_per_step=4
    )
    states = []

    def keep(stage, optimization, loss):
        if (stage, optimization.steps_done) == (1, 10):
            states.append((stage, optimization.state()))

    result = reconstruct_capture(wrong, config, on_step=keep)
    assert result.moved is not None and result.moved.median_pixels > 0.5
    fit = silhouette_fit(result.mesh, replace(wrong, cameras=result.cameras))
    as_given = silhouette_fit(result.start, wrong)
    assert fit.mean > 0.96 > as_given.mean
    resumed = reconstruct_capture(wrong, config, resume_from=states[0])
    assert torch.equal(result.mesh.vertices, resumed.mesh.vertices)
    assert torch.equal(result.cameras.T_cam_world, resumed.cameras.T_cam_world)
