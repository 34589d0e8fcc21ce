from dataclasses import replace

import pytest
import torch

from bozzetto import InputError
from bozzetto.cameras import fibonacci_cameras, object_bounds, orbit_cameras, visual_hull
from bozzetto.geometry import is_watertight

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")),
]


def volume(mesh):
    a, b, c = mesh.corners().double().unbind(dim=1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


def hull_of(capture, **options):
    return visual_hull(capture.cameras, capture.masks, capture.known, **{"resolution": 40, **options})


@pytest.mark.parametrize("device", DEVICES)
def test_many_views_of_a_sphere_give_the_sphere(sphere_capture, device):
    mesh = hull_of(sphere_capture(40).to(device), resolution=48).to("cpu")
    radius = mesh.vertices.norm(dim=1)
    assert is_watertight(mesh.faces)
    assert radius.min() > 0.97 and radius.max() < 1.12
    assert radius.mean() == pytest.approx(1.005, abs=0.015)
    assert volume(mesh) > 0  # outward faces


def test_the_hull_is_smooth_below_the_cell(sphere_capture):
    """A voxel staircase would leave the cone of each silhouette by half a cell."""
    capture = sphere_capture(8)
    mesh = hull_of(capture)
    pixels = capture.cameras.project(mesh.vertices)
    # The outermost vertices of each view lie on its outline, a circle around the picture's centre.
    reach = (pixels[..., :2] - torch.tensor([36.0, 32.0])).norm(dim=-1).quantile(0.99, dim=1)
    focal, distance = capture.cameras.K[0, 0, 0], 6.0
    expected = focal / (distance**2 - 1) ** 0.5
    assert (reach - expected).abs().max() < 0.5


def test_orthographic_views(coverage, sphere_capture):
    cameras = fibonacci_cameras(20, extent=3.0, size=64)
    mesh = visual_hull(cameras, coverage(cameras), resolution=40)
    assert is_watertight(mesh.faces)
    assert mesh.vertices.norm(dim=1).mean() == pytest.approx(1.01, abs=0.02)


def test_far_from_the_origin_nothing_is_lost(coverage):
    far = (5000.0, -3000.0, 2000.0)
    cameras = fibonacci_cameras(16, distance=6.0, fov=0.5, size=64, target=far)
    mesh = visual_hull(cameras, coverage(cameras, far), resolution=32)
    center = mesh.world_vertices.double().mean(dim=0) - torch.tensor(far, dtype=torch.float64)
    assert center.abs().max() < 0.05


def test_bounds_hold_the_object_and_little_more(sphere_capture):
    capture = sphere_capture(25, center=(0.2, -0.1, 0.3), radius=0.7)
    low, high = object_bounds(capture.cameras, capture.masks)
    center = torch.tensor([0.2, -0.1, 0.3])
    assert (low < center - 0.68).all() and (high > center + 0.68).all()
    assert (low > center - 0.95).all() and (high < center + 0.95).all()


def test_outside_the_frame_is_unknown(coverage):
    """Two of the views cut the sphere; the others still give all of it."""
    cameras = fibonacci_cameras(24, distance=6.0, fov=0.5, size=64)
    K = cameras.K.clone()
    K[:2, 0, 2] += 30
    cameras = replace(cameras, K=K)
    masks = coverage(cameras)
    assert masks[0, :, -1].max() == 1
    mesh = visual_hull(cameras, masks, resolution=40)
    radius = mesh.vertices.norm(dim=1)
    assert radius.min() > 0.97 and radius.max() < 1.25


def test_unknown_pixels_do_not_carve(sphere_capture):
    capture = sphere_capture(16)
    masks, known = capture.masks.clone(), capture.known.clone()
    masks[3, :, :36] = 0  # a shadow takes half of the sphere
    whole, cut = volume(hull_of(capture)), volume(hull_of(replace(capture, masks=masks)))
    known[3, :, :36] = False
    mended = volume(hull_of(replace(capture, masks=masks, known=known)))
    assert cut < 0.7 * whole
    assert mended == pytest.approx(whole, rel=0.03)


def test_one_wrong_view_is_tolerated_on_request(sphere_capture):
    capture = sphere_capture(16)
    masks = capture.masks.clone()
    masks[3, :, :36] = 0
    wrong = replace(capture, masks=masks)
    assert volume(hull_of(wrong, tolerance=1)) > 0.95 * volume(hull_of(capture))
    assert volume(hull_of(capture, tolerance=1)) > volume(hull_of(capture))


def test_only_the_largest_piece_is_kept(coverage):
    cameras = orbit_cameras(12, [-0.6, 0.6], distance=6.0, fov=0.6, size=72)
    masks = torch.maximum(coverage(cameras, (-0.5, 0, 0), 0.7), coverage(cameras, (1.2, 0, 0), 0.2))
    mesh = visual_hull(cameras, masks, resolution=48)
    assert mesh.vertices[:, 0].max() < 0.6


def test_views_that_leave_nothing_are_named(sphere_capture):
    capture = sphere_capture(12, radius=0.5)
    masks = capture.masks.clone()
    masks[5] = masks[5].roll(-30, dims=1)
    wrong = replace(capture, masks=masks)
    with pytest.raises(InputError, match="05.png disagree"):
        hull_of(wrong, names=capture.names)
    with pytest.raises(InputError, match="view 5 disagree"):
        object_bounds(wrong.cameras, wrong.masks)


def test_cameras_of_another_capture_are_refused(sphere_capture):
    capture = sphere_capture(12, center=(0.9, 0, 0), radius=0.4)
    with pytest.raises(InputError, match="do not match|disagree"):
        hull_of(replace(capture, masks=capture.masks.flip(dims=(0, 2))))


def test_a_camera_inside_the_object_is_named(sphere_capture):
    capture = sphere_capture(12)
    pose = capture.cameras.T_cam_world.clone()
    pose[7, :3, 3] = 0  # stands in the middle of the sphere
    masks = capture.masks.clone()
    masks[7] = 1
    masks[7, 0, 0] = 0
    cameras = replace(capture.cameras, T_cam_world=pose)
    with pytest.raises(InputError, match="camera of view 7 stands inside"):
        visual_hull(cameras, masks, capture.known, resolution=24)
