"""Photographs that say that they are turned: photo, mask and camera belong together in every combination."""

import numpy as np
import pytest
import torch
from PIL import Image

from bozzetto.cameras import load_capture, save_transforms
from bozzetto.cameras.agreement import agreement, outlines
from bozzetto.cameras.exif_orientation import SIDEWAYS, as_stored, proportional, upright
from bozzetto.errors import collected_warnings
from bozzetto.images import linear_to_srgb

EXIF = 274


def picture(values):
    return Image.fromarray((values.clamp(0, 1) * 255).round().byte().numpy())


def write(folder, capture, orientation, cameras, masks, alpha=False, suffix=".png"):
    """A capture on disk, whose files are turned: `cameras` and `masks` are `stored` or `upright`.

    The cameras of the capture see what stands in `capture`; the files hold that or, if the cameras mean the
    upright pictures, the same turned back.
    """
    exif = Image.Exif()
    exif[EXIF] = orientation
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    names = [f"images/{i}{suffix}" for i in range(len(capture))]
    for name, image, mask in zip(names, capture.images, capture.masks, strict=True):
        layers = linear_to_srgb(image)
        if alpha:
            layers = torch.cat([layers, mask[..., None]], dim=-1)
        stored = layers if cameras == "stored" else as_stored(layers, orientation)
        picture(stored).save(folder / name, exif=exif)
        if masks is None:
            continue
        shown = mask[..., None]
        if cameras == "upright" and masks == "stored":
            shown = as_stored(shown, orientation)
        if cameras == "stored" and masks == "upright":
            shown = upright(shown, orientation)
        picture(shown[..., 0]).save(folder / "masks" / f"{name[7:-4]}.png")
    if masks is None:
        (folder / "masks").rmdir()
    save_transforms(capture.cameras, folder / "transforms.json", names)
    return folder


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_is_what_pillow_does_and_is_undone(orientation):
    stored = torch.rand(5, 7, 3, generator=torch.Generator().manual_seed(0))
    image = Image.fromarray((stored * 255).byte().numpy())
    exif = Image.Exif()
    exif[EXIF] = orientation
    image.info["exif"] = exif.tobytes()
    from PIL import ImageOps

    expected = torch.from_numpy(np.asarray(ImageOps.exif_transpose(image)).copy())
    assert torch.equal(upright((stored * 255).byte().float(), orientation), expected.float())
    assert torch.equal(as_stored(upright(stored, orientation), orientation), stored)


WAYS = [(cameras, masks) for cameras in ("stored", "upright") for masks in ("stored", "upright", None)]
"""What the cameras and the masks mean; all of them for a half and a quarter turn, some for the others."""


@pytest.mark.parametrize(
    ("orientation", "cameras", "masks"),
    [(turn, *way) for turn in (3, 6) for way in WAYS]
    + [(turn, *WAYS[i]) for turn, i in ((2, 1), (2, 3), (5, 4), (5, 2), (7, 0), (7, 5), (8, 1), (8, 3))],
)
def test_photo_mask_and_camera_agree(tmp_path, ball_capture, orientation, cameras, masks):
    capture = ball_capture(6, size=(48, 36))
    with collected_warnings() as said:
        loaded = load_capture(write(tmp_path, capture, orientation, cameras, masks))
    assert loaded.images.shape == capture.images.shape
    assert (loaded.images - capture.images).abs().mean() < 0.003
    assert ((loaded.masks > 0.5) != (capture.masks > 0.5)).float().mean() < 0.01
    turned = [sentence for sentence in said if "EXIF" in sentence]
    assert len(turned) == (orientation not in SIDEWAYS)  # where the size tells, there is nothing to say
    assert all(("upright" if cameras == "upright" else "as they are stored") in s for s in turned)


@pytest.mark.parametrize("orientation", [3, 5, 6])
def test_square_pictures_are_told_by_how_the_views_fit(tmp_path, ball_capture, orientation):
    capture = ball_capture(6, size=(48, 48))
    with pytest.warns(match="EXIF orientation.*as they are stored"):
        loaded = load_capture(write(tmp_path, capture, orientation, "stored", "upright"))
    assert agreement(outlines(loaded)).misfit == 0
    assert (loaded.images - capture.images).abs().mean() < 0.003


def test_alpha_turns_with_its_picture(tmp_path, ball_capture):
    capture = ball_capture(6, size=(48, 36))
    with pytest.warns(match="the views fit each other upright"):
        loaded = load_capture(write(tmp_path, capture, 3, "upright", None, alpha=True))
    assert (loaded.masks - capture.masks).abs().max() < 0.01


def test_what_cannot_be_told_is_taken_as_stored_and_said(tmp_path, sphere_capture):
    capture = sphere_capture(6, size=(48, 40))
    with pytest.warns(match="is unknown, so they are taken as they are stored"):
        load_capture(write(tmp_path, capture, 3, "stored", "stored"))


@pytest.mark.parametrize(
    ("size", "other", "expected"),
    [
        ((640, 480), (640, 480), True),
        ((640, 480), (320, 240), True),
        ((1000, 667), (500, 333), True),
        ((1000, 667), (500, 334), True),
        ((500, 334), (1000, 667), True),
        ((640, 480), (480, 640), False),
        ((48, 40), (20, 20), False),
    ],
)
def test_proportional_sizes(size, other, expected):
    assert proportional(size, other) == expected
