import pytest
import torch

from bozzetto import InputError, Mesh
from bozzetto.shapes import box, for_printing, placed

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
