"""Tests of shapes.frames."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto import InputError, Mesh
from bozzetto.shapes import box, box_frame, for_printing, placed, principal_frames


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 3), st.floats(1e-3, 1e3), st.floats(-100, 100), st.integers(0, 99))
def test_frames_centre_the_box_and_are_undone(dimensions, scale, shift, seed):
    cloud = (
        torch.randn(40, dimensions, generator=torch.Generator().manual_seed(seed)).double() * scale + shift
    )
    for frame in (box_frame(cloud), *principal_frames(cloud)):
        inside = frame.apply(cloud)
        low, high = inside.amin(dim=0), inside.amax(dim=0)
        torch.testing.assert_close(low, -high, atol=1e-6, rtol=0)
        assert float((high - low).max()) == pytest.approx(2)
        torch.testing.assert_close(frame.undo(inside), cloud)


@pytest.mark.parametrize("dimensions, choices", [(2, 2), (3, 4)])
def test_principal_frames_turn_with_the_cloud(dimensions, choices):
    generator = torch.Generator().manual_seed(0)
    cloud = torch.rand(200, dimensions, generator=generator, dtype=torch.float64) ** 3
    cloud *= torch.tensor([3.0, 2.0, 1.0])[:dimensions]
    turn = torch.linalg.qr(torch.randn(dimensions, dimensions, generator=generator, dtype=torch.float64)).Q
    turn[0] *= torch.linalg.det(turn).sign()
    frames, turned = principal_frames(cloud), principal_frames(cloud @ turn.T + 5)
    assert len(frames) == choices
    for frame in frames:
        assert float(torch.linalg.det(frame.rotation)) == pytest.approx(1)
    torch.testing.assert_close(turned[0].apply(cloud @ turn.T + 5), frames[0].apply(cloud))
    spread = frames[0].apply(cloud).var(dim=0)
    assert (spread[:-1] >= spread[1:]).all()


@pytest.mark.parametrize(
    "cloud, sentence",
    [
        (torch.zeros(0, 3), "0 points"),
        (torch.zeros(1, 3), "1 points"),
        (torch.ones(9, 3), "all 9 points"),
        (torch.tensor([[0.0, 0.0], [1.0, torch.nan]]), "1 points with NaN"),
    ],
)
def test_clouds_without_frame_are_refused(cloud, sentence):
    for frame in (box_frame, principal_frames):
        with pytest.raises(InputError, match=f"scan.ply.*{sentence}|{sentence}.*scan.ply"):
            frame(cloud, "scan.ply")


DIRECTIONS = [(0, 1, 0), (0, 0, 1), (0, -1, 0), (-1, 0, 0), (0.3, -0.5, 0.8)]


def shape():
    block = box((1.0, 2.0, 4.0))
    return Mesh(block.vertices + torch.tensor([5.0, -3, 2]), block.faces, offset=(1e6, 0.0, 0.0))


@pytest.mark.parametrize("up", DIRECTIONS)
def test_the_shape_stands_upright_on_the_ground_in_metres(up):
    up = torch.tensor(up, dtype=torch.float64)
    place = placed(shape(), up, size_mm=200)
    turn = place.rotation
    assert torch.allclose(turn @ turn.T, torch.eye(3, dtype=torch.float64), atol=1e-12)
    assert float(torch.linalg.det(turn)) == pytest.approx(1)
    assert torch.allclose(turn @ up / up.norm(), torch.tensor([0.0, 1, 0], dtype=torch.float64), atol=1e-9)
    points = place.apply(shape().world_vertices)
    low, high = points.amin(dim=0), points.amax(dim=0)
    assert float((high - low).max()) == pytest.approx(0.2)
    assert low[1] == pytest.approx(0, abs=1e-9)
    assert (low + high)[[0, 2]].tolist() == pytest.approx([0, 0], abs=1e-9)


@pytest.mark.parametrize("up", DIRECTIONS)
def test_the_front_faces_z(up):
    up = torch.tensor(up, dtype=torch.float64)
    front = torch.tensor([0.9, 0.2, 0.4], dtype=torch.float64)
    seen = placed(shape(), up, front=front).rotation @ front
    assert seen[0] == pytest.approx(0, abs=1e-9) and seen[2] > 0


def test_without_a_size_the_unit_stays():
    assert placed(shape(), torch.tensor([0.0, 0, 1])).scale == 1.0


def test_printers_get_millimetres_and_z_up():
    place = placed(shape(), torch.tensor([0.0, 1, 0]), size_mm=100)
    points = shape().world_vertices
    x, y, z = (1000 * place.apply(points)).unbind(dim=1)
    assert torch.allclose(for_printing(place).apply(points), torch.stack([x, -z, y], dim=1), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"up": (0, 0, 0)}, "direction up"),
        ({"up": (0, float("nan"), 0)}, "direction up"),
        ({"up": (0, 1, 0), "front": (0, 2, 0)}, "points up"),
        ({"up": (0, 1, 0), "size_mm": 0}, "positive"),
        ({"up": (0, 1, 0), "size_mm": float("inf")}, "positive"),
    ],
)
def test_bad_options_are_refused(options, words):
    given = {k: torch.tensor(v, dtype=torch.float64) if k != "size_mm" else v for k, v in options.items()}
    with pytest.raises(InputError, match=words):
        placed(shape(), **given)
