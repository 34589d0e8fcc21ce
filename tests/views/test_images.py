import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bozzetto import InputError
from bozzetto.views import linear_to_srgb, load_image, save_image, srgb_to_linear


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
