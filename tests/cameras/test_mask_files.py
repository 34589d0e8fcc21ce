"""Mask files of every kind mean the same coverage."""

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bozzetto import InputError
from bozzetto.cameras.mask_files import load_mask

ROWS, COLUMNS = np.mgrid[0:40, 0:56]
INSIDE = (ROWS - 19) ** 2 + (COLUMNS - 30) ** 2 < 120
SOFT = np.clip(11.5 - np.hypot(ROWS - 19, COLUMNS - 30), 0, 1)


def palette(indices, colors, **options):
    image = Image.frombytes("P", indices.shape[::-1], indices.astype(np.uint8).tobytes())
    image.putpalette(colors)
    return image


def colored(inside, outside):
    return Image.fromarray(np.where(INSIDE[..., None], inside, outside).astype(np.uint8))


def grey(values):
    return Image.fromarray(values.astype(np.uint8))


PARTS = np.where(COLUMNS < 30, 1, 2) * INSIDE
NOISE = np.random.default_rng(0).integers(0, 12, INSIDE.shape)
KINDS = {
    "white on black": (grey(255 * INSIDE), ".png"),
    "soft": (grey(255 * SOFT), ".png"),
    "0 and 1": (grey(INSIDE), ".png"),
    "label 7": (grey(7 * INSIDE), ".png"),
    "two labels": (grey(PARTS), ".png"),
    "labels 50, 150": (grey(50 * INSIDE + 100 * (PARTS == 2)), ".png"),
    "label with a void border": (grey(np.where(INSIDE & (SOFT < 1), 255, INSIDE)), ".png"),
    "16 bits": (Image.fromarray((65535 * SOFT).astype(np.uint16)), ".png"),
    "16 bits of 0 and 1": (Image.fromarray(INSIDE.astype(np.uint16)), ".png"),
    "16 bits up to 255": (Image.fromarray((255 * INSIDE).astype(np.uint16)), ".png"),
    "32-bit floats": (Image.fromarray(SOFT.astype(np.float32)), ".tif"),
    "floats up to 255": (Image.fromarray((255 * SOFT).astype(np.float32)), ".tif"),
    "1 bit": (Image.fromarray(INSIDE), ".png"),
    "three equal channels": (colored([255] * 3, [0] * 3), ".png"),
    "red on black": (colored([255, 0, 0], [0] * 3), ".png"),
    "dark green on black": (colored([0, 64, 0], [0] * 3), ".png"),
    "colours on blue": (colored([200, 30, 0], [0, 0, 200]), ".png"),
    "palette of VOC": (palette(INSIDE, [0, 0, 0, 128, 0, 0]), ".png"),
    "palette with white first": (palette(~INSIDE, [255, 255, 255, 0, 0, 0]), ".png"),
    "noise": (grey(np.where(INSIDE, 255 - NOISE, NOISE)), ".png"),
    "JPEG": (grey(255 * INSIDE), ".jpg"),
    "JPEG of colours": (colored([255, 0, 0], [0] * 3), ".jpg"),
    "alpha": (Image.fromarray(np.dstack([np.full((40, 56, 3), 90), 255 * INSIDE]).astype(np.uint8)), ".png"),
    "opaque alpha": (
        Image.fromarray(np.dstack([255 * INSIDE, 255 + 0 * ROWS]).astype(np.uint8)),
        ".png",
    ),
}


LABELS = {
    *("0 and 1", "label 7", "two labels", "labels 50, 150", "label with a void border", "16 bits of 0 and 1"),
    *("16 bits up to 255", "red on black", "dark green on black", "colours on blue", "palette of VOC"),
}


@pytest.mark.filterwarnings("ignore:.*floats:bozzetto.errors.InputWarning")
@pytest.mark.filterwarnings("ignore:.*holds numbers:bozzetto.errors.InputWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_understood(tmp_path, kind):
    image, suffix = KINDS[kind]
    image.save(tmp_path / f"mask{suffix}")
    mask = load_mask(tmp_path / f"mask{suffix}")
    assert mask.coverage.shape == (40, 56)
    assert float(mask.coverage.min()) >= 0 and float(mask.coverage.max()) <= 1
    wrong = (mask.coverage.numpy() > 0.5) != INSIDE
    assert wrong.mean() < (0.02 if suffix == ".jpg" else 0.012)
    assert bool(mask.labels) == (kind in LABELS)


@pytest.mark.parametrize("value", [0, 1, 255])
def test_blank_masks_stay_blank(tmp_path, value):
    Image.new("L", (20, 10), value).save(tmp_path / "mask.png")
    assert len(load_mask(tmp_path / "mask.png").coverage.unique()) == 1


def test_damaged_masks_are_refused(tmp_path):
    (tmp_path / "mask.png").write_bytes(b"hello")
    with pytest.raises(InputError, match="mask.png"):
        load_mask(tmp_path / "mask.png")


def test_a_gamma_tag_changes_no_mask(tmp_path):
    """Numbers of a mask are coverage, whatever the file says about light."""
    values = np.tile(np.linspace(0, 255, 16).astype(np.uint8), (8, 1))
    Image.fromarray(values).save(tmp_path / "plain.png")
    tag = PngInfo()
    tag.add(b"gAMA", (100_000).to_bytes(4, "big"))  # linear light
    Image.fromarray(values).save(tmp_path / "linear.png", pnginfo=tag)
    plain, linear = (load_mask(tmp_path / f"{name}.png").coverage for name in ("plain", "linear"))
    assert torch.equal(plain, linear)
