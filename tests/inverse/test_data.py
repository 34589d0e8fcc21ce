import math
from dataclasses import replace

import pytest
import torch

from bozzetto import InputError
from bozzetto.cameras import Capture, fibonacci_cameras
from bozzetto.inverse import capture_light, capture_targets
from bozzetto.inverse.data import cameras_in_frame
from bozzetto.rendering import irradiance
from bozzetto.shapes import Similarity

FRAME = Similarity(0.3, torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64))


@pytest.mark.parametrize("extent", [None, 2.5])
def test_points_stay_on_their_pixels(extent):
    cameras = fibonacci_cameras(7, distance=4.0, fov=0.7, extent=extent, size=(60, 40))
    points = torch.randn(30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before = cameras.project(points)
    moved = cameras_in_frame(cameras, FRAME)
    after = moved.project(FRAME.apply(points))
    torch.testing.assert_close(after[..., :2], before[..., :2], atol=1e-9, rtol=0)
    torch.testing.assert_close(after[..., 2], before[..., 2] * 0.3, atol=1e-9, rtol=0)
    assert moved.near == pytest.approx(0.3 * cameras.near)


def test_there_and_back_again():
    cameras = fibonacci_cameras(3, size=32)
    back = cameras_in_frame(cameras_in_frame(cameras, FRAME), FRAME.inverse())
    torch.testing.assert_close(back.T_cam_world, cameras.T_cam_world)
    torch.testing.assert_close(back.K, cameras.K)


def test_choosing_pictures(pictures):
    weights = torch.rand(pictures.images.shape[:3])
    chosen = replace(pictures, weights=weights)[[4, 1]]
    assert len(chosen) == 2
    assert torch.equal(chosen.images, pictures.images[[4, 1]])
    assert torch.equal(chosen.weights, weights[[4, 1]])
    assert torch.equal(chosen.cameras.T_cam_world, pictures.cameras.T_cam_world[[4, 1]])
    assert pictures[[0]].weights is None


def test_synthetic_pictures_are_premultiplied(pictures):
    colors, coverage = pictures.images[..., :3], pictures.images[..., 3]
    assert float(coverage.min()) == 0 and float(coverage.max()) == 1
    assert float(colors[coverage == 0].abs().max()) == 0
    assert 0.2 < float(coverage.mean()) < 0.8
    assert float(colors[coverage == 1].min()) > 0.02


def test_studio_light_clips_nothing_and_tells_directions_apart():
    normals = torch.nn.functional.normalize(
        torch.randn(5000, 3, generator=torch.Generator().manual_seed(0)), dim=1
    )
    colors = irradiance(normals, capture_light()) / math.pi
    assert 0.05 < float(colors.min()) and float(colors.max()) < 1
    # Opposite sides look different, and so do the colour channels.
    assert float((colors - irradiance(-normals, capture_light()) / math.pi).abs().amax(dim=1).mean()) > 0.2
    assert float((colors[:, 0] - colors[:, 2]).std()) > 0.03


def capture(masks, known):
    count = len(known)
    return Capture(
        names=tuple(f"{i}.png" for i in range(count)),
        cameras=fibonacci_cameras(count, size=8),
        images=torch.full((count, 8, 8, 3), 0.5),
        masks=masks,
        known=known,
    )


def test_targets_of_a_capture():
    masks, known = torch.zeros(2, 8, 8), torch.ones(2, 8, 8, dtype=torch.bool)
    masks[:, 2:6, 2:6] = 1
    targets = capture_targets(capture(masks, known))
    assert targets.weights is None
    assert torch.equal(targets.images[..., 3], masks)
    assert torch.equal(targets.images[..., :3], 0.5 * masks[..., None].expand(2, 8, 8, 3))
    known[1, :, 0] = False
    weights = capture_targets(capture(masks, known)).weights
    assert torch.equal(weights, known.float())


def test_targets_need_masks():
    with pytest.raises(InputError, match="masks"):
        capture_targets(capture(None, torch.ones(2, 8, 8, dtype=torch.bool)))
