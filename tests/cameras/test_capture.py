from dataclasses import replace

import pytest
import torch

from bozzetto import InputError
from bozzetto.images.resizing import area_resize


def test_subset_keeps_views_together(sphere_capture):
    capture = sphere_capture(6)
    some = capture.subset([4, 1])
    assert some.names == ("04.png", "01.png")
    assert torch.equal(some.images[0], capture.images[4])
    assert torch.equal(some.cameras.T_cam_world[1], capture.cameras.T_cam_world[1])
    assert capture.subset(range(6)) is capture  # pictures are large: nothing is copied
    assert capture.split([])[0] is capture


def test_split_takes_names_and_positions(sphere_capture):
    rest, held_out = sphere_capture(6).split(["02.png", 5])
    assert held_out.names == ("02.png", "05.png")
    assert rest.names == ("00.png", "01.png", "03.png", "04.png")


@pytest.mark.parametrize(("held_out", "message"), [([9], "no view 9"), (["x"], "'x'"), (range(6), "none")])
def test_impossible_splits_are_refused(sphere_capture, held_out, message):
    with pytest.raises(InputError, match=message):
        sphere_capture(6).split(list(held_out))


def test_resizing_averages_light_and_keeps_only_fully_known_pixels(sphere_capture):
    capture = sphere_capture(4, size=(60, 40))
    known = capture.known.clone()
    known[0, 0, 0] = False
    small = replace(capture, known=known).resized(0.5)
    assert small.images.shape == (4, 20, 30, 3)
    assert (small.cameras.width, small.cameras.height) == (30, 20)
    assert small.images[1, 3, 4].tolist() == pytest.approx(
        capture.images[1, 6:8, 8:10].mean(dim=(0, 1)).tolist()
    )
    assert small.masks[2, 5, 5] == pytest.approx(float(capture.masks[2, 10:12, 10:12].mean()))
    assert not bool(small.known[0, 0, 0]) and int((~small.known).sum()) == 1


@pytest.mark.parametrize(("width", "height"), [(7, 3), (20, 9), (11, 30)])
def test_area_averages_preserve_the_mean_at_any_ratio(width, height):
    image = torch.rand(2, 13, 17, 3, generator=torch.Generator().manual_seed(0))
    resized = area_resize(image, width, height)
    assert resized.shape == (2, height, width, 3)
    assert (resized.mean(dim=(1, 2)) - image.mean(dim=(1, 2))).abs().max() < 1e-5


def test_foreground_subtracts_the_background(sphere_capture):
    capture = sphere_capture(4, background=(0.2, 0.3, 0.9))
    capture = replace(capture, background=torch.tensor([[0.2, 0.3, 0.9]]).expand(4, -1))
    expected = capture.masks[..., None] * torch.tensor([0.7, 0.56, 0.42])
    assert (capture.foreground() - expected).abs().max() < 1e-6


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_masks_of_one_value_are_named(sphere_capture, value):
    capture = sphere_capture(4)
    masks = capture.masks.clone()
    masks[2] = value
    with pytest.raises(InputError, match="02.png is all"):
        replace(capture, masks=masks).check()


def test_nan_pixels_and_views_without_known_pixels_are_named(sphere_capture):
    capture = sphere_capture(4)
    images = capture.images.clone()
    images[1, 3, 3] = float("nan")
    with pytest.raises(InputError, match="01.png has NaN"):
        replace(capture, images=images).check()
    known = capture.known.clone()
    known[3] = False
    with pytest.raises(InputError, match="03.png .* no known"):
        replace(capture, known=known).check()


def test_parts_must_match(sphere_capture):
    capture = sphere_capture(4)
    with pytest.raises(InputError, match="3 images do not match 4 cameras"):
        replace(capture, names=capture.names[:3])
    with pytest.raises(InputError, match="images of the capture have shape"):
        replace(capture, cameras=capture.cameras.resized(10, 10))
