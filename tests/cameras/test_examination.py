"""Every way to get a capture wrong has its sentence, and a right one has none."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bozzetto import InputError
from bozzetto.cameras import Cameras, Capture, auto_masks, examine, fibonacci_cameras
from bozzetto.cameras.agreement import GL_TO_CV, agreement, outlier_views, outlines
from bozzetto.errors import collected_warnings


@pytest.fixture(scope="module")
def balls(ball_capture):
    return ball_capture()


def reordered(capture, order):
    return replace(capture, images=capture.images[order], masks=capture.masks[order])


def seen_by(capture, T_cam_world):
    return replace(capture, cameras=replace(capture.cameras, T_cam_world=T_cam_world))


def scaled_intrinsics(capture, factor):
    scale = torch.tensor([[factor], [factor], [1.0]], dtype=torch.float64)
    return replace(capture, cameras=replace(capture.cameras, K=capture.cameras.K * scale))


def shifted_principal_point(capture, pixels):
    K = capture.cameras.K.clone()
    K[:, 0, 2] += pixels
    return replace(capture, cameras=replace(capture.cameras, K=K))


def with_masks(capture, change):
    masks = capture.masks.clone()
    change(masks)
    return replace(capture, masks=masks)


@pytest.mark.parametrize("count", [4, 5, 8])
def test_round_things_that_look_alike_from_everywhere_are_silent(sphere_capture, count):
    assert examine(sphere_capture(count)).findings == ()


@pytest.mark.parametrize("count", [8, 9, 16])
def test_right_captures_are_silent(ball_capture, count):
    assert examine(ball_capture(count)).findings == ()


def test_masks_made_from_the_background_are_silent(balls):
    assert examine(auto_masks(replace(balls, masks=None))).findings == ()


MISTAKES = {
    "the next picture": (lambda c: reordered(c, [1, 2, 3, 4, 5, 6, 7, 8, 0]), "the camera 1 later"),
    "the picture before the last": (lambda c: reordered(c, [7, 8, 0, 1, 2, 3, 4, 5, 6]), "2 earlier"),
    "reverse order": (lambda c: reordered(c, list(range(9))[::-1]), "in reverse order"),
    "some other order": (
        lambda c: reordered(c, [4, 7, 1, 6, 0, 2, 8, 3, 5]),
        "another order than the cameras",
    ),
    "upside down": (
        lambda c: replace(c, masks=c.masks.flip(1, 2), images=c.images.flip(1, 2)),
        "upside down",
    ),
    "mirrored": (
        lambda c: replace(c, masks=c.masks.flip(2), images=c.images.flip(2)),
        "mirrored left to right",
    ),
    "world to camera": (lambda c: seen_by(c, torch.linalg.inv(c.cameras.T_cam_world)), "are they inverted"),
    "OpenCV axes": (lambda c: seen_by(c, GL_TO_CV @ c.cameras.T_cam_world), "camera axes are turned"),
    "half-size pictures": (
        lambda c: scaled_intrinsics(c, 2.0),
        "by 0.5: they belong to pictures 2 t",
    ),
    "double-size pictures": (lambda c: scaled_intrinsics(c, 0.5), "multiplied by 2:"),
    "pictures of two thirds": (lambda c: scaled_intrinsics(c, 1.5), "multiplied by 0.6667"),
    "principal point aside": (
        lambda c: shifted_principal_point(c, 16),
        "principal point is put into the mid",
    ),
    "inverted masks": (lambda c: replace(c, masks=1 - c.masks), "masks look inverted"),
    "one place": (lambda c: seen_by(c, c.cameras.T_cam_world[:1].repeat(9, 1, 1)), "same place"),
    "one view": (lambda c: c.subset([3]), "one view cannot be reconstructed"),
}


@pytest.mark.usefixtures("coarse_hulls")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_that_spoil_the_result_are_fatal(balls, mistake):
    change, sentence = MISTAKES[mistake]
    found = examine(change(balls))
    assert found.fatal is not None and sentence in found.fatal


@pytest.mark.usefixtures("coarse_hulls")
def test_pictures_in_alphabetical_order_are_recognised(ball_capture):
    capture = ball_capture(12)
    names = sorted(f"{i}.png" for i in range(12))
    order = [int(name.split(".")[0]) for name in names]
    found = examine(replace(reordered(capture, order), names=tuple(names)))
    assert found.fatal is not None and "in numerical order" in found.fatal


def test_a_contradiction_shows_although_masks_were_mended(ball_capture):
    capture = ball_capture()
    images = capture.images[[0, 5, 2, 3, 4, 1, 6, 7, 8]]
    with collected_warnings() as said:
        mended = auto_masks(replace(capture, images=images, masks=None))
    assert any("beside the object were removed" in sentence for sentence in said)
    found = examine(mended).findings[0]
    assert found.sentence.startswith("01.png, 05.png contradict the other views")


def cut(masks):
    masks[4, :, :32] = 0


def grow(masks):
    masks[4, 20:44, 36:60] = 1


def move(masks):
    masks[4] = masks[4].roll(14, dims=1)


@pytest.mark.parametrize("change", [cut, grow, move])
def test_one_wrong_view_is_named(balls, change):
    found = examine(with_masks(balls, change))
    assert found.fatal is None
    assert any(f.sentence.startswith("04.png") for f in found.findings)


def test_two_exchanged_views_are_named(balls):
    views = outlines(reordered(balls, [0, 5, 2, 3, 4, 1, 6, 7, 8]))
    found = outlier_views(views, agreement(views))
    assert found is not None and found[0] == [1, 5] and found[1] < 0.003


def test_one_inverted_mask_is_named(balls):
    def invert(masks):
        masks[4] = 1 - masks[4]

    sentences = [f.sentence for f in examine(with_masks(balls, invert)).findings]
    assert any("1 of 9 masks cover the border" in s and "04.png" in s for s in sentences)


def test_few_views_and_views_from_one_side_are_noted(ball_capture, sphere_capture):
    (few,) = examine(ball_capture(2)).findings
    assert "2 views are few" in few.sentence and not few.fatal
    capture = sphere_capture(40)
    above = [i for i, z in enumerate(capture.cameras.centers[:, 2].tolist()) if z > 4]
    (side,) = examine(capture.subset(above)).findings
    assert "from one side only" in side.sentence and not side.fatal
    table = [i for i, z in enumerate(capture.cameras.centers[:, 2].tolist()) if z > 0.5]
    assert examine(capture.subset(table)).findings == ()


def test_pictures_of_one_colour_and_pictures_twice_are_noted(balls):
    images = balls.images.clone()
    images[2] = 0
    images[7] = images[5]
    sentences = [f.sentence for f in examine(replace(balls, images=images)).findings]
    assert any("one colour" in s and "02.png" in s for s in sentences)
    assert any("twice: 05.png and 07.png" in s for s in sentences)


def test_far_from_the_origin_the_same_is_found(balls):
    T = balls.cameras.T_cam_world.clone()
    T[:, :3, 3] -= T[:, :3, :3] @ torch.tensor([5e5, -4e6, 100.0], dtype=torch.float64)
    moved = seen_by(balls, T)
    assert examine(moved).findings == ()
    assert "1 later" in (examine(reordered(moved, [1, 2, 3, 4, 5, 6, 7, 8, 0])).fatal or "")


def test_objects_that_leave_the_frame_are_silent(ball_capture):
    assert examine(scaled_center(ball_capture(12))).findings == ()


def scaled_center(capture):
    """The middle third of the pictures, as if cropped: the balls leave the frame."""
    rows, columns = slice(14, 34), slice(18, 46)
    K = capture.cameras.K.clone()
    K[:, 0, 2] -= 18
    K[:, 1, 2] -= 14
    cameras = Cameras(capture.cameras.T_cam_world, K, 28, 20)
    parts = {name: getattr(capture, name)[:, rows, columns] for name in ("images", "masks", "known")}
    return replace(capture, cameras=cameras, **parts)


def test_masks_are_needed(balls):
    with pytest.raises(InputError, match="no masks"):
        examine(replace(balls, masks=None))


def test_noise_of_a_pixel_is_no_contradiction(balls):
    """Cameras that are off by a pixel, as structure from motion leaves them."""
    generator = np.random.default_rng(0)
    K = balls.cameras.K.clone()
    K[:, :2, 2] += torch.from_numpy(generator.uniform(-0.7, 0.7, (9, 2)))
    found = examine(replace(balls, cameras=replace(balls.cameras, K=K)))
    assert found.fatal is None


def test_orthographic_cameras_are_examined(coverage):
    cameras = fibonacci_cameras(8, distance=6.0, extent=3.0, size=48)
    masks = coverage(cameras)
    names = tuple(str(i) for i in range(8))
    capture = Capture(names, cameras, masks[..., None].repeat(1, 1, 1, 3), masks, masks >= 0)
    assert examine(capture).findings == ()
