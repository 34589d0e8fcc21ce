from dataclasses import replace

import torch

from bozzetto.cameras import capture_sheet, object_bounds
from bozzetto.cameras.sheets import BOX, HULL, MASK, UNKNOWN


def has(sheet, color):
    return bool(((sheet * 255 - torch.tensor(color)).abs().amax(dim=-1) < 1).any())


def test_sheet_shows_outlines_box_and_unknown_pixels(sphere_capture):
    capture = sphere_capture(5)
    known = capture.known.clone()
    known[0, :10, :20] = False
    capture = replace(capture, known=known)
    bounds = object_bounds(capture.cameras, capture.masks, capture.known)
    hull = capture.masks.roll(3, dims=2) > 0.5
    sheet = capture_sheet(capture, bounds, hull, columns=3, width=144)
    assert sheet.shape == (256, 432, 3)
    assert has(sheet, MASK) and has(sheet, HULL) and has(sheet, BOX)
    tint = sheet[18, 35] * 255  # black background half covered by the colour of unknown pixels
    assert (tint - torch.tensor(UNKNOWN) / 2).abs().max() < 2


def test_sheet_without_masks_shows_the_photographs(sphere_capture, without_masks):
    sheet = capture_sheet(without_masks(sphere_capture(4)), columns=2, width=72)
    assert sheet.shape == (128, 144, 3)
    assert not has(sheet, MASK)
    assert sheet[32, 36, 0] > 0.8


def test_the_box_lies_around_the_object(sphere_capture):
    capture = sphere_capture(1)
    bounds = torch.tensor([[-1.0] * 3, [1.0] * 3], dtype=torch.float64)
    sheet = capture_sheet(replace(capture, masks=None), bounds, columns=1, width=72, labels=[""])
    blue = ((sheet * 255 - torch.tensor(BOX)).abs().amax(dim=-1) < 1).nonzero()
    corners = capture.cameras.project(
        torch.tensor([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)])
    )
    assert (blue.amin(dim=0).flip(0) - corners[0, :, :2].amin(dim=0)).abs().max() < 2
    assert (blue.amax(dim=0).flip(0) - corners[0, :, :2].amax(dim=0)).abs().max() < 2
