from dataclasses import replace

import numpy as np
import pytest
import torch

from bozzetto import InputError
from bozzetto.cameras import auto_masks
from bozzetto.cameras.masks import _segment, matte
from bozzetto.errors import InputWarning


def photographs(capture, noise=0.01):
    """The capture as a camera would record it: with noise and without masks."""
    generator = torch.Generator().manual_seed(0)
    grain = noise * torch.randn(capture.images.shape, generator=generator)
    return replace(capture, images=(capture.images + grain).clamp(0, 1), masks=None)


def wrong_pixels(found, expected):
    return ((found.masks > 0.5) != (expected.masks > 0.5))[found.known].float().mean()


@pytest.mark.parametrize(
    "background", [(0.0, 0.0, 0.0), (0.95, 0.95, 0.95), (0.05, 0.1, 0.8), (0.05, 0.6, 0.1)]
)
def test_plain_backgrounds_of_any_colour(sphere_capture, background):
    capture = sphere_capture(8, background=background)
    found = auto_masks(photographs(capture))
    assert wrong_pixels(found, capture) < 0.004
    assert (found.masks - capture.masks).abs().mean() < 0.006  # soft edges are about right
    assert found.background[0].tolist() == pytest.approx(background, abs=0.03)
    assert found.known.float().mean() > 0.98


def test_grey_shadows_on_the_object_are_filled(sphere_capture):
    capture = sphere_capture(16)
    images = capture.images.clone()
    images[3, 25:38, 30:44] = 0.015  # 0.13 in sRGB: as dark as dim cloth, not as the black background
    found = auto_masks(photographs(replace(capture, images=images), noise=0.001))
    assert float(found.masks[3, 25:38, 30:44].min()) > 0.9


def test_black_shadows_at_the_edge_become_unknown(sphere_capture):
    capture = sphere_capture(16)
    images = capture.images.clone()
    lost = torch.zeros_like(capture.known[3])
    lost[:, :30] = True
    images[3][lost] = 0
    with pytest.warns(InputWarning, match="background may be shadow.*in 03.png"):
        found = auto_masks(photographs(replace(capture, images=images), noise=0.001))
    shadow = lost & (capture.masks[3] > 0.9)
    assert (~found.known[3] & shadow).sum() > 0.5 * shadow.sum()
    assert found.known[3][capture.masks[3] == 0].float().mean() > 0.95
    assert not bool((found.uncorrected.masks[3] > 0.5)[lost].any())  # what the picture alone said is kept


def test_dim_things_beside_the_object_are_removed(sphere_capture):
    capture = sphere_capture(16)
    images = capture.images.clone()
    images[5, 28:34, 50:70] = torch.maximum(images[5, 28:34, 50:70], torch.tensor(0.07))
    with pytest.warns(InputWarning, match="beside the object were removed.*in 05.png"):
        found = auto_masks(photographs(replace(capture, images=images), noise=0.001))
    assert wrong_pixels(found, capture) < 0.004


def test_holes_as_dark_as_the_background_stay_open_and_grey_ones_are_uncertain():
    difference = np.zeros((80, 80), dtype=np.float32)
    difference[10:70, 10:70] = 0.7
    difference[20:30, 20:60] = 0.01
    difference[40:50, 20:60] = 0.12
    difference[60:61, 60:61] = 0.0
    found = _segment(difference, np.ones((80, 80), dtype=bool), 0.2, "a.png")
    assert not found.inside[22:28, 22:58].any() and not found.uncertain[22:28, 22:58].any()
    assert found.uncertain[42:48, 22:58].all()
    assert found.inside[60, 60]


def test_grey_bays_of_the_outline_are_uncertain_and_grey_things_beside_it_are_not():
    picture = np.zeros((80, 80))
    picture[20:60, 20:60] = 0.5
    picture[20:40, 34:46] = 0.13  # shadow that reaches the outline
    picture[30:50, 60:72] = 0.13  # dim cloth
    parts = _segment(picture, np.ones((80, 80), dtype=bool), 0.2, "photo")
    assert not parts.inside[30, 40] and parts.uncertain[24:38, 36:44].all()
    assert not parts.uncertain[35:45, 63:72].any()


def test_the_brightest_piece_is_the_object():
    difference = np.zeros((60, 60), dtype=np.float32)
    difference[5:25, 5:55] = 0.25  # a large dim thing
    difference[35:50, 20:40] = 0.9
    found = _segment(difference, np.ones((60, 60), dtype=bool), 0.2, "a.png")
    assert found.inside[40, 30] and not found.inside[10, 10]


def test_matte_finds_edges_between_pixels():
    x = np.arange(40) + 0.5
    exact = np.clip(20.3 - x + 0.5, 0, 1) * np.ones((20, 1))
    image = exact[..., None] * np.array([0.6, 0.5, 0.4]) + (1 - exact[..., None]) * np.array([0.1, 0.1, 0.3])
    soft, _ = matte(image.astype(np.float32), exact > 0.3, np.array([0.1, 0.1, 0.3], dtype=np.float32))
    assert np.abs(soft - exact).max() < 1e-4


@pytest.mark.parametrize(("texture", "error"), [(0.0, 0.01), (0.15, 0.05)])
def test_matte_before_a_room_trusts_colours_as_far_as_they_are_even(texture, error):
    x = np.arange(60) + 0.5
    exact = np.clip(30.3 - x + 0.5, 0, 1) * np.ones((60, 1))
    parts = np.random.default_rng(0).normal(0, texture, (2, 60, 60, 1))
    colors = [np.array(c) + part for c, part in zip(((0.6, 0.5, 0.4), (0.1, 0.1, 0.3)), parts, strict=True)]
    image = exact[..., None] * colors[0] + (1 - exact[..., None]) * colors[1]
    soft, _ = matte(image.astype(np.float32), exact > 0.5)
    assert np.abs(soft - exact)[:, 27:33].mean() < error
    assert (soft[:, :27] == 1).all() and (soft[:, 33:] == 0).all()


def test_matte_leaves_edges_without_contrast_alone():
    inside = np.zeros((20, 20), dtype=bool)
    inside[5:15, 5:15] = True
    soft, _ = matte(np.full((20, 20, 3), 0.3, dtype=np.float32), inside, np.zeros(3, dtype=np.float32))
    assert (soft == inside).all()


def test_views_without_object_are_named(sphere_capture):
    capture = photographs(sphere_capture(5), noise=0.0)
    images = capture.images.clone()
    images[2] = 0
    with pytest.raises(InputError, match="02.png"):
        auto_masks(replace(capture, images=images))
    with pytest.raises(InputError, match="one colour"):
        auto_masks(replace(capture, images=torch.zeros_like(images)))


def test_two_views_cannot_check_each_other(sphere_capture):
    capture = sphere_capture(2)
    found = auto_masks(photographs(capture))
    assert wrong_pixels(found, capture) < 0.005


def test_contradicting_masks_are_not_mended(sphere_capture):
    capture = photographs(sphere_capture(8, center=(0.5, 0.3, 0.2)))
    shuffled = replace(capture, images=capture.images[[3, 0, 6, 1, 7, 2, 5, 4]])
    found = auto_masks(shuffled)
    assert ((found.masks > 0.5) == (found.uncorrected.masks > 0.5)).float().mean() > 0.98
