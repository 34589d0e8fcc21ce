import pytest
import torch

from bozzetto import InputError
from bozzetto.datasets.synthetic import bust, vase
from bozzetto.geometry import connected_components, euler_number, is_watertight, self_intersections
from bozzetto.shapes import Mesh


@pytest.fixture(scope="module")
def statue() -> Mesh:
    return bust(0.6)


def pieces(mesh: Mesh) -> int:
    return len(connected_components(mesh.faces, len(mesh.vertices)).unique())


def test_bust_is_closed_and_in_one_piece_without_handles(statue):
    assert is_watertight(statue.faces) and pieces(statue) == 1 and euler_number(statue.faces) == 2
    assert not self_intersections(statue).any()


def test_bust_stands_life_size_on_the_ground(statue):
    low, high = statue.bounds
    assert float(low[1]) == pytest.approx(0, abs=1e-6)
    assert 0.48 < float(high[1]) < 0.55
    assert abs(float(low[0] + high[0])) < 0.01
    a, b, c = statue.vertices[statue.faces].double().unbind(dim=1)
    volume = float((a * torch.linalg.cross(b, c)).sum() / 6)
    assert 0.009 < volume < 0.012  # positive: faces look outward


def test_bust_has_a_face_in_front_and_varying_albedo(statue):
    at_nose = (statue.vertices[:, 1] - 0.335).abs() < 0.02  # between brow and mouth
    front = statue.vertices[at_nose, 2].max()
    assert front > statue.vertices[(statue.vertices[:, 1] - 0.42).abs() < 0.02, 2].max()
    assert statue.colors is not None
    assert 0.02 < float(statue.colors.min()) and float(statue.colors.max()) < 0.95
    assert statue.colors.std(dim=0).min() > 0.05


def test_detail_is_the_sampling_density(statue):
    coarse = bust(0.4)
    assert len(statue.faces) / len(coarse.faces) == pytest.approx((0.6 / 0.4) ** 2, rel=0.1)
    with pytest.raises(InputError, match="detail"):
        bust(0.01)


def test_vase_is_closed_with_a_hollow():
    mesh = vase(0.6)
    assert is_watertight(mesh.faces) and pieces(mesh) == 1 and euler_number(mesh.faces) == 2
    axis = mesh.vertices[mesh.vertices[:, [0, 2]].norm(dim=-1) < 0.01, 1]
    assert float(axis.max()) < 0.05 < float(mesh.bounds[1, 1])  # the floor of the hollow, far below the rim
