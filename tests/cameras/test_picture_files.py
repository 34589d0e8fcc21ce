"""Photographs as linear light against reading them whole and shrinking them afterwards."""

import numpy as np
import pytest
import torch
from PIL import Image

from bozzetto.cameras import picture_files as linear_pictures
from bozzetto.cameras.picture_files import load_linear
from bozzetto.images import load_image, srgb_to_linear
from bozzetto.images.resizing import area_resize, area_resize_rows


def dense_shares(old, new):
    """The share of every old cell in every new one, as a matrix."""
    edges = torch.arange(new + 1, dtype=torch.float64) * (old / new)
    cells = torch.arange(old, dtype=torch.float64)
    covered = torch.minimum(edges[1:, None], cells + 1) - torch.maximum(edges[:-1, None], cells)
    return covered.clamp(min=0) * (new / old)


@pytest.mark.parametrize(
    ("old", "new"), [(100, 37), (37, 100), (60, 20), (60, 60), (7, 3), (3024, 900), (1, 5)]
)
def test_area_averages_are_products_with_the_shares(old, new):
    images = torch.rand(2, old, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(old))
    expected = torch.einsum("hH,nHWc->nhWc", dense_shares(old, new), images)
    assert torch.allclose(area_resize(images, 5, new), expected, atol=1e-12)
    sideways = area_resize(images.transpose(1, 2), new, 5)
    assert torch.allclose(sideways, expected.transpose(1, 2), atol=1e-12)
    middle = new // 2
    rows = area_resize_rows(images, old / new, 0, middle, new)
    assert torch.allclose(rows, expected[:, middle:], atol=1e-12)


def linear_layers(path):
    image = load_image(path, orient=False)
    alpha = image[..., -1:] if image.shape[-1] in (2, 4) else torch.ones_like(image[..., :1])
    color = image[..., :-1] if image.shape[-1] in (2, 4) else image
    return torch.cat([srgb_to_linear(color).expand(-1, -1, 3) * alpha, alpha], dim=-1)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "I;16"])
@pytest.mark.parametrize("size", [None, 23, 90])
def test_shrinking_while_reading_is_shrinking_afterwards(tmp_path, monkeypatch, mode, size):
    monkeypatch.setattr(linear_pictures, "ROWS", 7)
    random = np.random.default_rng(3)
    path = tmp_path / "photo.png"
    if mode == "I;16":
        Image.fromarray(random.integers(0, 65535, (61, 90), dtype=np.uint16)).save(path)
    else:
        channels = len(mode)
        values = random.integers(0, 256, (61, 90, channels), dtype=np.uint8)
        Image.fromarray(values.squeeze()).save(path)
    read = load_linear(path, size)
    assert read.size == (90, 61)
    width = size or 90
    whole = linear_layers(path)[None]
    expected = area_resize(whole, width, round(61 * width / 90))[0]
    assert read.light.shape == expected.shape
    assert torch.allclose(read.light, expected, atol=1e-6)
