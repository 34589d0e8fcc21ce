from dataclasses import replace

import pytest
import torch

from bozzetto import InputError
from bozzetto.cameras import Cameras, fibonacci_cameras


@pytest.fixture(params=[None, 3.0], ids=["perspective", "orthographic"])
def cameras(request):
    return fibonacci_cameras(5, extent=request.param, size=(64, 48))


def test_unproject_undoes_project(cameras):
    points = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert (cameras.unproject(cameras.project(points)) - points).abs().max() < 1e-12


def test_rays_pass_through_their_pixel_centres(cameras):
    origins, directions = cameras.rays()
    assert directions.norm(dim=-1) == pytest.approx(1)
    for i in range(len(cameras)):
        there = origins[i, 30, 17] + 2.5 * directions[i, 30, 17]
        assert cameras.project(there[None])[i, 0, :2].tolist() == pytest.approx([17.5, 30.5])


def test_resizing_scales_pixels(cameras):
    points = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    scaled = cameras.resized(32, 12).project(points)
    expected = cameras.project(points) * torch.tensor([0.5, 0.25, 1.0], dtype=torch.float64)
    assert (scaled - expected).abs().max() < 1e-10


def broken(cameras, **changes):
    pose, K = cameras.T_cam_world.clone(), cameras.K.clone()
    changes["edit"](pose[2], K[2])
    return replace(cameras, T_cam_world=pose, K=K)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda T, K: T[0, 3].fill_(float("nan")), "NaN"),
        (lambda T, K: T[:3, :3].mul_(1.1), "no rotation"),
        (lambda T, K: T[0, :3].neg_(), "mirrored"),
        (lambda T, K: T[3, 0].fill_(1.0), "last row"),
        (lambda T, K: K[0, 0].fill_(0.0), "singular"),
        (lambda T, K: K[0, 2].fill_(float("inf")), "not finite"),
        (lambda T, K: K[2, 2].fill_(2.0), "last row"),
    ],
)
def test_broken_cameras_are_named(cameras, edit, message):
    with pytest.raises(InputError, match=f"(c.png.*{message})|({message}.*c.png)"):
        broken(cameras, edit=edit).check(["a.png", "b.png", "c.png", "d.png", "e.png"])


def test_good_cameras_pass_and_none_do_not(cameras):
    assert cameras.check() is cameras
    with pytest.raises(InputError, match="no cameras"):
        cameras[[]].check()


def test_shapes_and_size_are_checked():
    with pytest.raises(InputError, match="positive image size"):
        Cameras(torch.eye(4).double()[None], torch.eye(3).double()[None], 0, 5)
