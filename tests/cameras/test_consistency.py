from dataclasses import replace

import pytest
import torch

from bozzetto import InputError
from bozzetto.cameras import mask_consistency
from bozzetto.cameras.consistency import blamed_pixels, compare_masks


def test_right_masks_are_good(sphere_capture):
    result = mask_consistency(sphere_capture(16))
    assert result.bad == ()
    assert result.iou.min() > 0.9 and result.missing.max() < 0.03
    assert result.stray.max() == 0 and result.blamed.max() == 0


def test_fewer_views_leave_more_excess(sphere_capture):
    few, many = (mask_consistency(sphere_capture(n)).excess.mean() for n in (5, 24))
    assert few > 2 * many


def test_a_view_that_lost_part_of_the_object_is_blamed(sphere_capture):
    capture = sphere_capture(16)
    masks = capture.masks.clone()
    masks[3, :, :30] = 0
    result = mask_consistency(replace(capture, masks=masks))
    assert result.bad == ("03.png",)
    assert "has background where the other views see the object" in result.verdicts


def test_a_view_with_something_beside_the_object_is_named(sphere_capture):
    capture = sphere_capture(16)
    masks = capture.masks.clone()
    masks[3, 4:16, 4:20] = 1
    result = mask_consistency(replace(capture, masks=masks))
    assert result.bad == ("03.png",)
    assert result.verdicts[3] == "has object where several other views see background"


def test_blamed_pixels_are_those_that_were_lost(sphere_capture):
    capture = sphere_capture(16)
    masks = capture.masks.clone()
    masks[3, :, :30] = 0
    wrong = replace(capture, masks=masks)
    result = compare_masks(wrong)
    blamed = blamed_pixels(wrong, result, result.against == 1)
    lost = (capture.masks[3] > 0.5) & (masks[3] < 0.5)
    assert (blamed[3] & lost).sum() > 0.5 * lost.sum()
    assert (blamed[3] & (capture.masks[3] == 0)).sum() < 0.1 * lost.sum()
    assert blamed.sum() - blamed[3].sum() < 0.1 * lost.sum()


def test_the_hull_of_the_others_fills_what_one_view_lost(sphere_capture):
    capture = sphere_capture(16)
    masks = capture.masks.clone()
    masks[3, 20:40, 20:40] = 0
    result = compare_masks(replace(capture, masks=masks))
    assert bool(result.hull_of_others[3, 22:38, 22:38].all())


def test_masks_are_needed(sphere_capture, without_masks):
    with pytest.raises(InputError, match="no masks"):
        mask_consistency(without_masks(sphere_capture(4)))


def test_large_pictures_are_compared_in_small_ones(sphere_capture):
    capture = sphere_capture(6, size=(700, 500))
    result = compare_masks(capture)
    assert result.hull_of_others.shape == (6, 500, 700)
    mask = capture.masks > 0.5
    assert (mask & ~result.hull_of_others).sum() < 0.02 * mask.sum()
    assert torch.equal(result.against > 0, torch.zeros_like(mask))
