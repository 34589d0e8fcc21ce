"""Pictures in other colours than sRGB, against Little CMS as an independent judge."""

import struct
import warnings
from io import BytesIO

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from bozzetto.cameras import picture_files as linear_pictures
from bozzetto.cameras.picture_files import load_linear
from bozzetto.errors import InputWarning
from bozzetto.images import linear_to_srgb, load_image, srgb_to_linear
from bozzetto.images.color import clipped_colors
from bozzetto.images.resizing import area_resize


def test_round_trip_and_fixed_points():
    values = torch.linspace(0, 1, 1001, dtype=torch.float64)
    assert torch.allclose(linear_to_srgb(srgb_to_linear(values)), values, atol=1e-7)
    assert srgb_to_linear(torch.tensor([0.0, 1.0])).tolist() == [0.0, 1.0]


def test_known_value():
    """Half of full scale in sRGB is 21.4 % of the light (IEC 61966-2-1)."""
    assert abs(float(srgb_to_linear(torch.tensor(0.5))) - 0.2140411) < 1e-6


def test_gradient_at_black_is_finite():
    x = torch.zeros(3, requires_grad=True)
    linear_to_srgb(x).sum().backward()
    assert torch.allclose(x.grad, torch.full((3,), 12.92))


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_colors_in_the_unit_range_stay(values):
    assert clipped_colors(np.array([values]), "colours").tolist() == [values]


@pytest.mark.parametrize("wrong", [-0.5, 1.4, 1e6])
def test_other_colors_are_told_and_clipped(wrong):
    with pytest.warns(InputWarning, match="the colours of a.obj run from .* 1 of 2 are clipped"):
        found = clipped_colors(np.array([[0.0, 0.5, wrong], [0.0, 0.5, 1.0]]), "the colours of a.obj")
    assert found[0].tolist() == [0.0, 0.5, min(max(wrong, 0.0), 1.0)]


def test_unknown_colors_become_white():
    with pytest.warns(InputWarning, match="NaN or infinite at 2 of 3 places"):
        found = clipped_colors(np.array([[np.nan, 0, 0], [1, 0, np.inf], [0, 1, 0]]), "colours")
    assert found.tolist() == [[1, 1, 1], [1, 1, 1], [0, 1, 0]]


D50 = (0.9642, 1.0, 0.8249)
SRGB = np.array([[0.4360, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
P3 = np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]])
ADOBE = np.array([[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]])


def s15(*numbers):
    return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))


def gamma(value):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256)) + b"\0\0"


def table(values):
    return b"curv\0\0\0\0" + struct.pack(f">I{len(values)}H", len(values), *values)


def parametric(kind, *numbers):
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + s15(*numbers)


CURVES = {
    "linear": b"curv\0\0\0\0\0\0\0\0",
    "1.8": gamma(1.8),
    "2.2": gamma(2.2),
    "table": table([round(65535 * (k / 255) ** 2.4) for k in range(256)]),
    "power": parametric(0, 2.0),
    "srgb": parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
    "offset": parametric(4, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045, 0.0, 0.0),
}


def profile(curve, matrix=None):
    """A small ICC profile of version 4, for RGB or, without a matrix, for grey."""
    tags = {b"wtpt": b"XYZ \0\0\0\0" + s15(*D50)}
    tags[b"desc"] = (
        b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", 8, 28) + "made".encode("utf-16-be")
    )
    tags[b"cprt"] = tags[b"desc"]
    if matrix is None:
        tags[b"kTRC"] = curve
    else:
        for k, name in enumerate((b"r", b"g", b"b")):
            tags[name + b"TRC"] = curve
            tags[name + b"XYZ"] = b"XYZ \0\0\0\0" + s15(*matrix[:, k])
    start, entries, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        entries += struct.pack(">4sII", name, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(
        ">I4sI4s4s4s", 0, b"none", 0x04200000, b"mntr", b"GRAY" if matrix is None else b"RGB ", b"XYZ "
    )
    header = header.ljust(36, b"\0") + b"acsp" + bytes(28) + s15(*D50)
    whole = header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + entries + body
    return struct.pack(">I", len(whole)) + whole[4:]


def judged(pixels, icc):
    """What Little CMS makes of it."""
    mode = "L" if pixels.ndim == 2 else "RGB"
    source = ImageCms.ImageCmsProfile(BytesIO(icc))
    converted = ImageCms.profileToProfile(
        Image.fromarray(pixels), source, ImageCms.createProfile("sRGB"), renderingIntent=1, outputMode="RGB"
    )
    return np.asarray(converted)[..., : 1 if mode == "L" else 3] / 255


@pytest.mark.parametrize("matrix", [SRGB, P3, ADOBE, None], ids=["srgb", "p3", "adobe", "grey"])
@pytest.mark.parametrize("curve", CURVES)
def test_colours_agree_with_little_cms(tmp_path, curve, matrix):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (24, 24) if matrix is None else (24, 24, 3), np.uint8)
    icc = profile(CURVES[curve], matrix)
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=icc)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = load_image(tmp_path / "a.png").numpy()
    expected = judged(pixels, icc)
    bright = pixels.reshape(found.shape) > (8 if curve == "linear" else -1)  # it rounds dark tones
    assert np.abs(found - expected)[bright].max() < (4.5 if curve == "linear" else 2.6) / 255
    same = curve in ("srgb", "offset") and (matrix is SRGB or matrix is None)
    assert len(said) == (0 if same else 1)
    if not same:
        assert "made" in str(said[0].message)
    if same:
        assert np.array_equal(found, (pixels.reshape(found.shape) / np.float32(255)).astype(np.float32))


def test_dark_linear_light_keeps_its_16_bits(tmp_path):
    """At 8 bits the first two hundred of these levels would become two."""
    levels = np.arange(400, dtype=np.uint16).reshape(20, 20)
    icc = profile(CURVES["linear"])
    Image.fromarray(levels).save(tmp_path / "a.png", icc_profile=icc)
    with pytest.warns(InputWarning, match="converted to sRGB"):
        found = load_image(tmp_path / "a.png")
    assert len(found.unique()) > 300


@pytest.mark.parametrize("place", [0, 8, 100, 200, 300])
def test_damaged_profiles_are_said(tmp_path, place):
    icc = bytearray(profile(CURVES["table"], P3))
    damaged = bytes(icc[:place])
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", icc_profile=damaged, quality=100)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        load_image(tmp_path / "a.jpg")
    assert (len(said) == 0 and place == 0) or "cannot be used" in str(said[0].message)


def test_shrunk_light_has_the_colours_of_the_whole_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(linear_pictures, "ROWS", 7)
    # Moderate colours, which lie within sRGB, so that nothing is clipped.
    pixels = np.random.default_rng(4).integers(90, 170, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=profile(CURVES["srgb"], P3))
    with pytest.warns(InputWarning, match="converted to sRGB"):
        found = load_linear(tmp_path / "a.png", 20).light[..., :3]
    with pytest.warns(InputWarning, match="converted to sRGB"):
        expected = area_resize(srgb_to_linear(load_image(tmp_path / "a.png"))[None], 15, 20)[0]
    assert torch.allclose(found, expected, atol=1e-4)
    unconverted = area_resize(srgb_to_linear(torch.from_numpy(pixels / np.float32(255)))[None], 15, 20)[0]
    assert (unconverted - found).abs().max() > 0.005
