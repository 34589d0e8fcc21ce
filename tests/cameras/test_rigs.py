import math

import pytest
import torch

from bozzetto import InputError
from bozzetto.cameras import fibonacci_cameras, intrinsics_from_fov, look_at, orbit_cameras


@pytest.mark.parametrize("up", [(0, 0, 1), (0, 1, 0), (1, 1, 1), (0.3, -2, 0.1)])
@pytest.mark.parametrize("eye", [(3, 0, 0), (0, 0, 2), (0, -2, 0), (1, 1, 1), (-1, -1, -1)])
def test_look_at_is_rigid_centred_and_upright(eye, up):
    T = look_at(eye, (0.1, 0.2, 0.3), up)[0]
    rotation = T[:3, :3]
    assert rotation @ rotation.T == pytest.approx(torch.eye(3, dtype=torch.float64), abs=1e-12)
    assert torch.linalg.det(rotation).item() == pytest.approx(1)
    target = rotation @ torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64) + T[:3, 3]
    assert target[:2].tolist() == pytest.approx([0, 0], abs=1e-12)
    assert target[2] > 0
    assert (rotation @ torch.tensor(up, dtype=torch.float64))[1] < 0  # image y points down
    assert (rotation @ torch.tensor(up, dtype=torch.float64))[0].abs() < 1e-9


@pytest.mark.parametrize("axis", [(0, 0, 1), (1, 1, 1), (1, 0, 0), (-1, -1, 1)])
def test_looking_along_up_still_works(axis):
    T = look_at([2.0 * a for a in axis], up=axis)[0]
    assert T[:3, :3] @ T[:3, :3].T == pytest.approx(torch.eye(3, dtype=torch.float64), abs=1e-12)


def test_look_at_refuses_its_own_place():
    with pytest.raises(InputError, match="where it stands"):
        look_at((1, 2, 3), (1, 2, 3))


def test_orbit_takes_every_azimuth_at_every_elevation():
    cameras = orbit_cameras(4, [-0.3, 0.3], distance=2.0, target=(1, 0, 0), size=(20, 10)).check()
    assert len(cameras) == 8
    offset = cameras.centers - torch.tensor([1.0, 0, 0], dtype=torch.float64)
    assert offset.norm(dim=1) == pytest.approx(2)
    assert (offset[:, 2] / 2).asin().tolist() == pytest.approx([-0.3] * 4 + [0.3] * 4)
    assert cameras.project(torch.tensor([[1.0, 0, 0]]))[:, 0, :2] == pytest.approx(
        torch.tensor([[10.0, 5.0]] * 8), abs=1e-9
    )


def test_orbit_turns_around_up():
    cameras = orbit_cameras([0.0, 1.0, 2.0], 0.5, distance=1.0, up=(0, 1, 0))
    assert cameras.centers[:, 1].tolist() == pytest.approx([math.sin(0.5)] * 3)


@pytest.mark.parametrize("count", [1, 2, 25, 200])
def test_fibonacci_cameras_are_even(count):
    centers = fibonacci_cameras(count, distance=1.0).check().centers
    assert len(centers) == count
    if count >= 25:
        assert centers.mean(dim=0).abs().max() < 1 / count
        cosines = centers @ centers.T - 2 * torch.eye(count)
        nearest = cosines.amax(dim=1).clamp(-1, 1).acos()
        assert nearest.min() > 0.8 * math.sqrt(4 * math.pi / count)  # hexagonal packing reaches 1.07


def test_orthographic_pictures_have_their_extent():
    cameras = orbit_cameras(3, extent=4.0, size=(80, 60))
    assert cameras.orthographic
    corner = cameras.unproject(
        torch.tensor([[[0.0, 30, 1], [80.0, 30, 1]]], dtype=torch.float64).expand(3, -1, -1)
    )
    assert (corner[:, 1] - corner[:, 0]).norm(dim=1) == pytest.approx(4)
    with pytest.raises(InputError, match="extent"):
        orbit_cameras(3, extent=-1.0)


def test_field_of_view_is_horizontal():
    K = intrinsics_from_fov(math.pi / 2, 200, 100)
    assert torch.allclose(K, torch.tensor([[100.0, 0, 100], [0, 100, 50], [0, 0, 1]]).double())
    with pytest.raises(InputError, match="radians"):
        intrinsics_from_fov(40.0, 10, 10)
