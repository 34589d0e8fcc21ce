import struct
import warnings
import zlib

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bozzetto import InputError
from bozzetto.errors import InputWarning
from bozzetto.images import linear_to_srgb, load_image, save_image, srgb_to_linear
from bozzetto.images.io import load_data_image


def noise(channels, height=5, width=7):
    return torch.rand(height, width, channels, generator=torch.Generator().manual_seed(channels))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_round_trip(tmp_path, bits, channels):
    image = noise(channels)
    save_image(tmp_path / "a.png", image, bits=bits)
    loaded = load_image(tmp_path / "a.png")
    assert loaded.dtype == torch.float32
    assert (loaded - image).abs().max() <= 0.5001 / (2**bits - 1)


def test_values_outside_are_clipped_and_two_dimensions_are_grey(tmp_path):
    save_image(tmp_path / "a.png", torch.tensor([[-1.0, 2.0, 0.5]]))
    assert load_image(tmp_path / "a.png")[..., 0].tolist() == [[0.0, 1.0, pytest.approx(128 / 255)]]


def test_palette_with_transparency_becomes_rgba(tmp_path):
    picture = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), mode=None).convert("P")
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "a.png", transparency=0)
    assert load_image(tmp_path / "a.png").tolist() == [[[1, 0, 0, 0], [0, 1, 0, 1]]]


def test_one_bit_and_cmyk(tmp_path):
    Image.new("1", (2, 1), 1).save(tmp_path / "a.png")
    Image.new("CMYK", (2, 1), (0, 255, 255, 0)).save(tmp_path / "b.jpg")
    assert load_image(tmp_path / "a.png").tolist() == [[[1.0], [1.0]]]
    assert load_image(tmp_path / "b.jpg")[0, 0].tolist() == pytest.approx([1, 0, 0], abs=0.02)


def test_exif_orientation_is_applied_unless_refused(tmp_path):
    picture = Image.new("RGB", (4, 2))
    exif = Image.Exif()
    exif[274] = 6  # rotated by 90 degrees
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert load_image(tmp_path / "a.jpg").shape == (4, 2, 3)
    assert load_image(tmp_path / "a.jpg", orient=False).shape == (2, 4, 3)


SHADES = np.linspace(0, 1, 16 * 24 * 3).reshape(16, 24, 3)
ENCODINGS = {  # the same photo: how it is written, and whether something is said
    "png": ("u1", {}, None),
    "bmp": ("u1", {}, None),
    "tga": ("u1", {}, None),
    "webp": ("u1", {"lossless": True}, None),
    "ppm": ("u1", {}, None),
    "8.tif": ("u1", {}, None),
    "16.tif": ("u2", {}, None),
    "32.tif": ("u4", {}, None),
    "half.tif": ("f2", {}, "does not say how they are encoded"),
    "float.tif": ("f4", {}, "does not say how they are encoded"),
    "double.tif": ("f8", {}, "does not say how they are encoded"),
    "255.tif": ("f4", {"white": 255}, "taken for 0 to 255"),
    "65535.tif": ("f8", {"white": 65535}, "taken for 0 to 65535"),
    "signed.tif": ("i2", {}, "does not say how they are encoded"),
    "planar.tif": ("u2", {"planarconfig": "separate"}, None),
    "big.tif": ("f4", {"bigtiff": True, "byteorder": ">"}, "does not say how they are encoded"),
    "exr": ("f4", {}, None),
    "half.exr": ("f2", {}, None),
}


def write_photo(path, kind, options):
    """A photo of sRGB shades in a file of this kind."""
    white = options.pop("white", 1 if np.dtype(kind).kind == "f" else np.iinfo(kind).max)
    stored = SHADES * white
    stored = (stored if np.dtype(kind).kind == "f" else stored.round()).astype(kind)
    if path.suffix == ".exr":
        linear = srgb_to_linear(torch.from_numpy(SHADES)).numpy().astype(kind)
        write_exr(path, {name: linear[..., k] for k, name in enumerate("RGB")})
    elif path.suffix == ".tif":
        separate = options.get("planarconfig") == "separate"
        tifffile.imwrite(
            path, np.moveaxis(stored, -1, 0) if separate else stored, photometric="rgb", **options
        )
    else:
        Image.fromarray(stored).save(path, **options)


def write_exr(path, channels):
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    channels = {name: np.ascontiguousarray(pixels) for name, pixels in channels.items()}
    with OpenEXR.File(header, channels) as file:
        file.write(str(path))


@pytest.mark.parametrize("ending", ENCODINGS)
def test_one_photo_is_the_same_in_all_encodings(tmp_path, ending):
    kind, options, word = ENCODINGS[ending]
    write_photo(tmp_path / f"a.{ending}", kind, dict(options))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = load_image(tmp_path / f"a.{ending}").numpy()
    assert np.abs(found - SHADES).max() < {"u1": 0.5001 / 255, "f2": 1e-3}.get(kind, 1e-4)
    assert [word] == [word for one in said if word in str(one.message)] if word else said == []


def png_with(path, pixels, *chunks):
    """A PNG file with these chunks before its pixels."""
    Image.fromarray(pixels).save(path)
    data = path.read_bytes()
    more = b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
    path.write_bytes(data[:33] + more + data[33:])


@pytest.mark.parametrize("exponent", [1.0, 1.8, 2.6])
def test_gamma_of_png_is_undone(tmp_path, exponent):
    linear = srgb_to_linear(torch.from_numpy(SHADES[..., 0])).numpy()
    levels = (linear ** (1 / exponent) * 65535).round().astype(np.uint16)
    png_with(tmp_path / "a.png", levels, (b"gAMA", struct.pack(">I", round(100_000 / exponent))))
    assert np.abs(load_image(tmp_path / "a.png")[..., 0].numpy() - SHADES[..., 0]).max() < 1e-3
    png_with(tmp_path / "a.png", levels, (b"gAMA", struct.pack(">I", 100_000)), (b"sRGB", b"\0"))
    assert np.abs(load_image(tmp_path / "a.png")[..., 0].numpy() - levels / 65535).max() < 1e-6


def test_other_encodings_of_png_are_said(tmp_path):
    png_with(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8), (b"cICP", bytes([9, 16, 0, 1])))
    with pytest.warns(InputWarning, match="cICP 9/16"):
        load_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    "values, word",
    [
        (SHADES * 40, "most of them above white"),
        (SHADES - 0.4, "negative"),
        (np.where(SHADES > 0.5, np.nan, SHADES), "NaN"),
        (np.where(SHADES > 0.5, np.inf, SHADES), "infinite"),
        (SHADES * 1e6, "above white"),
    ],
)
def test_floats_of_unknown_range_are_refused(tmp_path, values, word):
    tifffile.imwrite(tmp_path / "a.tif", values.astype(np.float32), photometric="rgb")
    with pytest.raises(InputError, match=word):
        load_image(tmp_path / "a.tif")


def test_premultiplied_colours_become_straight(tmp_path):
    alpha = np.linspace(0.1, 1, 16 * 24).reshape(16, 24, 1)
    linear = srgb_to_linear(torch.from_numpy(SHADES)).numpy()
    both = np.concatenate([linear * alpha, alpha], -1).astype(np.float32)
    write_exr(tmp_path / "a.exr", {name: both[..., k] for k, name in enumerate("RGBA")})
    stored = (np.concatenate([SHADES * alpha, alpha], -1) * 65535).round().astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    for ending in ("exr", "tif"):
        found = load_image(tmp_path / f"a.{ending}").numpy()
        assert np.abs(found - np.concatenate([SHADES, alpha], -1)).max() < 2e-4


def test_layers_of_exr_that_may_be_the_photo_are_refused(tmp_path):
    grey = np.full((4, 4), 0.5, np.float32)
    write_exr(tmp_path / "a.exr", {f"{layer}.{name}": grey for layer in "ab" for name in "RGB"})
    with pytest.raises(InputError, match=r"several could be the photo"):
        load_image(tmp_path / "a.exr")
    write_exr(tmp_path / "b.exr", {f"a.{name}": grey for name in "RGBA"})
    assert load_image(tmp_path / "b.exr").shape == (4, 4, 4)


def test_numbers_that_are_no_colours_stay_as_they_are(tmp_path):
    vectors = np.random.default_rng(0).uniform(-1, 1, (4, 4, 3)).astype(np.float32)
    write_exr(tmp_path / "a.exr", {name: vectors[..., k] for k, name in enumerate("RGB")})
    assert np.array_equal(load_data_image(tmp_path / "a.exr"), vectors)
    png_with(tmp_path / "a.png", np.full((4, 4), 51, np.uint8), (b"gAMA", struct.pack(">I", 100_000)))
    assert load_data_image(tmp_path / "a.png").unique().tolist() == [pytest.approx(0.2)]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "deep.png", "webp", "tif"])
def test_photos_are_upright_with_their_proportions(tmp_path, orientation, ending):
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"a.{ending}"
    if ending == "deep.png":
        save_image(path, torch.zeros(16, 32, 3), bits=16)
        data, content = path.read_bytes(), exif.tobytes().removeprefix(b"Exif\0\0")
        chunk = struct.pack(">I", len(content)) + b"eXIf" + content
        path.write_bytes(data[:33] + chunk + struct.pack(">I", zlib.crc32(chunk[4:])) + data[33:])
    else:
        Image.new("RGB", (32, 16)).save(path, exif=exif)
    expected = (32, 16) if orientation > 4 else (16, 32)
    assert load_image(path).shape[:2] == expected


def test_tiff_with_16_bit_colour(tmp_path):
    values = (noise(3) * 65535).round().numpy().astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values)
    assert (load_image(tmp_path / "a.tif") * 65535).numpy() == pytest.approx(values, abs=0.01)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_truncated_files_are_refused(tmp_path, suffix):
    whole, half = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    save_image(whole, noise(3, 64, 64))
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(InputError, match=r"cannot read the image .*b\."):
        load_image(half)


def test_files_that_are_no_pictures_are_refused(tmp_path):
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(InputError, match="a.png"):
        load_image(tmp_path / "a.png")
    with pytest.raises(InputError, match="no image"):
        load_image(tmp_path / "b.png")


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(InputError, match="16 bits"):
        save_image(tmp_path / "a.jpg", noise(3), bits=16)
    with pytest.raises(InputError, match="5 channels"):
        save_image(tmp_path / "a.png", noise(5))
    with pytest.raises(InputError, match="cannot write"):
        save_image(tmp_path / "a.jpg", noise(4))
    assert list(tmp_path.iterdir()) == []


@given(st.floats(0, 1, width=32))
def test_srgb_curves_undo_each_other(value):
    linear = srgb_to_linear(torch.tensor([value], dtype=torch.float64))
    assert linear_to_srgb(linear).item() == pytest.approx(value, abs=1e-6)
