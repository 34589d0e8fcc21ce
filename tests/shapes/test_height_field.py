import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from bozzetto import InputError
from bozzetto.errors import InputWarning
from bozzetto.shapes import HeightField, load_height, save_height


def field(height=23, width=37, **sizes):
    generator = torch.Generator().manual_seed(0)
    return HeightField(torch.rand(height, width, generator=generator), **sizes)


def test_sizes():
    relief = HeightField(torch.tensor([[0.0, 0.5, 1.0, 0.0]] * 2), width_mm=8.0, depth_mm=3.0)
    assert relief.pixel_mm == 2 and relief.size_mm == (8.0, 4.0) and relief.boundary == "free"
    assert relief.in_mm()[0].tolist() == [0, 1.5, 3, 0]
    assert relief.in_pixels()[0].tolist() == [0, 0.75, 1.5, 0]
    assert relief.inverted().height[0].tolist() == [1, 0.5, 0, 1]
    assert relief.exaggerated(2.0).depth_mm == 6


def test_stretching_keeps_the_surface():
    relief = HeightField(torch.tensor([[0.2, 0.3], [0.6, 0.4]]), depth_mm=5.0)
    stretched = relief.stretched()
    assert stretched.height.min() == 0 and stretched.height.max() == 1
    torch.testing.assert_close(stretched.in_mm(), relief.in_mm() - 1.0)
    measured = HeightField.from_mm(relief.in_mm(), pixel_mm=0.1, tiles=True)
    torch.testing.assert_close(measured.in_mm(), relief.in_mm() - 1.0)
    assert measured.tiles and measured.width_mm == pytest.approx(0.2)
    flat = HeightField(torch.full((2, 2), 0.3)).stretched()
    assert (flat.height == 0).all() and flat.depth_mm > 0


@pytest.mark.parametrize("ending", [".exr", ".tif"])
def test_floats_come_back_as_they_were(tmp_path, ending):
    relief = field(width_mm=12.5, depth_mm=0.25, tiles=True)
    relief = HeightField(relief.height * 7 - 3, relief.width_mm, relief.depth_mm, relief.tiles)
    path = tmp_path / f"höhe{ending}"
    save_height(relief, path)
    back = load_height(path)
    assert torch.equal(back.height, relief.height)
    if ending == ".exr":
        assert (back.width_mm, back.depth_mm, back.tiles) == (12.5, 0.25, True)


def test_sixteen_bits_come_back_as_they_were(tmp_path):
    levels = torch.arange(65536, dtype=torch.float64).reshape(256, 256)
    relief = HeightField((levels / 65535).float(), width_mm=77.7, depth_mm=1.1, tiles=True)
    save_height(relief, tmp_path / "height.png")
    with Image.open(tmp_path / "height.png") as image:
        stored = np.asarray(image)
    assert stored.dtype == np.uint16 and np.array_equal(stored, levels.numpy().astype(np.uint16))
    back = load_height(tmp_path / "height.png")
    assert torch.equal(back.height, relief.height)
    assert (back.width_mm, back.depth_mm, back.tiles) == (77.7, 1.1, True)
    again = load_height(tmp_path / "height.png", width_mm=1.0, depth_mm=2.0, tiles=False)
    assert (again.width_mm, again.depth_mm, again.tiles) == (1.0, 2.0, False)


def test_grey_pictures_of_other_kinds_are_heights(tmp_path):
    grey = np.array([[0, 51], [102, 255]], np.uint8)
    for name, image in {
        "grey.png": Image.fromarray(grey),
        "rgb.png": Image.fromarray(np.stack([grey] * 3, -1)),
        "deep.tif": Image.fromarray(grey.astype(np.uint16) * 257),
        "alpha.png": Image.fromarray(np.stack([grey, np.full_like(grey, 255)], -1)),
    }.items():
        image.save(tmp_path / name)
        expected = torch.tensor([[0.0, 0.2], [0.4, 1.0]])
        torch.testing.assert_close(load_height(tmp_path / name).height, expected)


def test_bad_input_is_named(tmp_path):
    with pytest.raises(InputError, match="shape"):
        HeightField(torch.zeros(0, 3))
    with pytest.raises(InputError, match="depth"):
        HeightField(torch.zeros(2, 3), depth_mm=0.0)
    with pytest.raises(InputError, match="1 heights that are NaN"):
        save_height(HeightField(torch.tensor([[0.0, torch.nan]])), tmp_path / "a.exr")
    with pytest.raises(InputError, match="span 0 to 2"):
        save_height(HeightField(torch.tensor([[0.0, 2.0]])), tmp_path / "a.png")
    with pytest.raises(InputError, match="known endings"):
        save_height(field(), tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="there is no height map"):
        load_height(tmp_path / "none.png")
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(2, 2, 3)).save(tmp_path / "color.png")
    with pytest.raises(InputError, match="colour picture"):
        load_height(tmp_path / "color.png")
    save_height(field(), tmp_path / "whole.exr")
    save_height(field(), tmp_path / "whole.png")
    for ending in ("exr", "png"):
        data = (tmp_path / f"whole.{ending}").read_bytes()
        (tmp_path / f"cut.{ending}").write_bytes(data[: len(data) // 2])
        with pytest.raises(InputError, match="export it again"):
            load_height(tmp_path / f"cut.{ending}")


def exr(path, channels, **header):
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}
    with OpenEXR.File(header, channels) as file:
        file.write(str(path))


RAMP = np.linspace(-2, 5, 32 * 48).reshape(32, 48).astype(np.float32)
OTHER = np.random.default_rng(0).random((32, 48)).astype(np.float32)


@pytest.mark.parametrize(
    "channels",
    [
        {"A": OTHER, "Displacement.V": RAMP},
        {"height": RAMP, "mask": OTHER},
        {"R": RAMP, "G": RAMP, "B": RAMP, "A": OTHER},
        {"R": OTHER, "G": RAMP, "B": OTHER, "layer.Height": RAMP},
        {"Z": RAMP},
        {"depth": RAMP, "A": OTHER},
        {"layer.R": RAMP, "layer.G": RAMP, "layer.B": RAMP},
    ],
)
def test_the_channel_of_heights_is_found_by_name(tmp_path, channels):
    exr(tmp_path / "a.exr", channels)
    assert np.array_equal(load_height(tmp_path / "a.exr").height, RAMP)


@pytest.mark.parametrize(
    "channels, word",
    [
        ({"Y": RAMP, "Z": OTHER}, "Y, Z"),
        ({"A": RAMP}, "no channel but alpha"),
        ({"R": RAMP, "G": OTHER, "B": RAMP}, "colour picture"),
        ({"one.height": RAMP, "two.height": OTHER}, "one.height, two.height"),
        ({"a.X": RAMP, "b.X": OTHER}, "could be heights"),
    ],
)
def test_channels_that_may_mean_anything_are_refused(tmp_path, channels, word):
    exr(tmp_path / "a.exr", channels)
    with pytest.raises(InputError, match=word):
        load_height(tmp_path / "a.exr")


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.uint32])
def test_types_of_exr(tmp_path, kind):
    values = np.arange(32 * 48).reshape(32, 48).astype(kind)
    exr(tmp_path / "a.exr", {"Y": values})
    assert np.array_equal(load_height(tmp_path / "a.exr").height, values.astype(np.float32))


def test_parts_and_windows_of_exr(tmp_path):
    import OpenEXR

    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}
    parts = [OpenEXR.Part({**header, "name": n}, {"Y": p}) for n, p in (("color", OTHER), ("height", RAMP))]
    with OpenEXR.File(parts) as file:
        file.write(str(tmp_path / "parts.exr"))
    assert np.array_equal(load_height(tmp_path / "parts.exr").height, RAMP)
    corner = np.array([8, 4], np.int32)
    shown = (corner, corner + np.array([23, 11], np.int32))
    exr(tmp_path / "over.exr", {"Y": RAMP}, displayWindow=shown)
    assert np.array_equal(load_height(tmp_path / "over.exr").height, RAMP[4:16, 8:32])
    exr(tmp_path / "crop.exr", {"Y": RAMP}, displayWindow=(corner * 0, corner * np.int32(100)))
    with pytest.raises(InputError, match="data window is smaller"):
        load_height(tmp_path / "crop.exr")


@pytest.mark.parametrize(
    "values, expected",
    [
        (np.array([[0, 2**31, 2**32 - 1]], np.uint32), [0, 0.5, 1]),
        (np.array([[-32767, 0, 32767]], np.int16), [-1, 0, 1]),
        (np.array([[-0.25, 3e3, 8.5]], np.float64), [-0.25, 3e3, 8.5]),
        (np.array([[0.5, -2]], np.float16), [0.5, -2]),
    ],
)
def test_heights_of_every_type(tmp_path, values, expected):
    tifffile.imwrite(tmp_path / "a.tif", values)
    assert load_height(tmp_path / "a.tif").height[0].tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("mark", [-9999, -32768])
@pytest.mark.parametrize("tagged", [True, False])
def test_missing_heights_are_counted(tmp_path, kind, mark, tagged):
    values = np.random.default_rng(0).integers(100, 900, (12, 9)).astype(kind)
    tags = [(42113, "s", 0, f"{mark}", True)] if tagged else []
    tifffile.imwrite(tmp_path / "whole.tif", values, extratags=tags)
    load_height(tmp_path / "whole.tif")
    values[2:4, 3] = mark
    tifffile.imwrite(tmp_path / "holes.tif", values, extratags=tags)
    with pytest.raises(InputError, match=f"2 pixels with no height, .*{mark}"):
        load_height(tmp_path / "holes.tif")


def test_transparent_heights_are_told(tmp_path):
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(np.stack([grey, grey * 0], -1)).save(tmp_path / "a.png")
    with pytest.warns(InputWarning, match="12 transparent pixels"):
        load_height(tmp_path / "a.png")
