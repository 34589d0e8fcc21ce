"""Pictures of all kinds hold the numbers that an independent writer put into them, or are refused by name."""

import os
import struct
import zlib

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bozzetto import InputError
from bozzetto.images.readers import read_picture
from bozzetto.images.stored_picture import MAX_PIXELS, turned_upright

HEIGHT, WIDTH = 13, 21
TYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "f2", "f4", "f8"]


def numbers(kind, channels=1, seed=0):
    """Random values over the whole range of a type, its ends among them."""
    rng = np.random.default_rng(seed)
    shape = (HEIGHT, WIDTH, channels)
    if np.dtype(kind).kind == "f":
        return (rng.standard_normal(shape) * 100).astype(kind)
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    values = rng.integers(low, high, shape, dtype=kind, endpoint=True)
    values[0, 0], values[0, 1] = low, high
    return values


def png(values, depth, kind, *extra):
    """A PNG file of rows that are packed already."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in values.reshape(height, -1))

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    middle = b"".join(chunk(name, data) for name, data in extra)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + middle + chunk(b"IDAT", zlib.compress(rows))
    ) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_tiff_of_every_type_and_layout(tmp_path, kind, channels):
    values = numbers(kind, channels)
    photometric = "rgb" if channels == 3 else "minisblack"
    layouts = [{}, {"tile": (16, 16)}, {"rowsperstrip": 4}, {"compression": "zlib"}, {"bigtiff": True}]
    layouts += [{"byteorder": ">"}, {"byteorder": ">", "tile": (16, 16), "compression": "zlib"}]
    if channels == 3:
        layouts += [{"planarconfig": "separate"}]
    if np.dtype(kind).kind != "f" and kind != "u8":
        layouts += [{"compression": "zlib", "predictor": True}]
    for number, layout in enumerate(layouts):
        path = tmp_path / f"{number}.tif"
        array = np.moveaxis(values, -1, 0) if layout.get("planarconfig") == "separate" else values
        array = array[..., 0] if channels == 1 else array
        tifffile.imwrite(path, array, photometric=photometric, **layout)
        found = read_picture(path)
        assert np.array_equal(found.values, values), layout
        expected = None if np.dtype(kind).kind == "f" else float(np.iinfo(kind).max)
        assert found.full == expected


@pytest.mark.parametrize("kind", ["u1", "u2", "u4"])
def test_white_may_be_zero(tmp_path, kind):
    values = numbers(kind)[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
    found = read_picture(tmp_path / "a.tif")
    assert np.array_equal(found.values[..., 0], np.iinfo(kind).max - values)


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize("colors", [1, 3])
@pytest.mark.parametrize("extra, kept", [("unassalpha", True), ("unspecified", False)])
def test_further_channels_of_tiff_are_alpha_or_nothing(tmp_path, kind, colors, extra, kept):
    values = numbers(kind, colors + 1)
    photometric = "rgb" if colors == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", values, photometric=photometric, extrasamples=[extra])
    assert np.array_equal(read_picture(tmp_path / "a.tif").values, values if kept else values[..., :colors])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_that_only_libtiff_unpacks(tmp_path, channels):
    """LZW, written as literals with a fresh table every 200 of them."""
    values = numbers("u2", channels)
    for order in "<>":
        data = lzw(values.astype(order + "u2").tobytes())
        plain = tmp_path / "plain.tif"
        tifffile.imwrite(
            plain,
            values if channels > 1 else values[..., 0],
            byteorder=order,
            photometric="rgb" if channels > 1 else "minisblack",
            extrasamples=["unassalpha"] if channels == 4 else [],
            metadata=None,
        )
        with tifffile.TiffFile(plain, mode="r+b") as file:
            tags = file.pages[0].tags
            tags["Compression"].overwrite(5)
            tags["StripByteCounts"].overwrite(len(data))
            start = file.pages[0].dataoffsets[0]
        with plain.open("r+b") as file:
            file.seek(start)
            file.write(data)
        assert np.array_equal(read_picture(plain).values, values)


def lzw(data):
    codes = []
    for start in range(0, len(data), 200):
        codes += [256, *data[start : start + 200]]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


@pytest.mark.parametrize("kind, channels", [(0, 1), (2, 3), (4, 2), (6, 4)])
@pytest.mark.parametrize("depth", [8, 16])
def test_png_of_every_layout(tmp_path, kind, channels, depth):
    values = numbers(f"u{depth // 8}", channels)
    (tmp_path / "a.png").write_bytes(png(values.astype(f">u{depth // 8}"), depth, kind))
    found = read_picture(tmp_path / "a.png")
    assert np.array_equal(found.values, values) and found.full == 2**depth - 1


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_png_of_few_bits_with_a_transparent_level(tmp_path, depth):
    levels = np.random.default_rng(0).integers(0, 2**depth, (8, 16))
    bits = np.unpackbits(levels.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
    packed = np.packbits(bits.reshape(8, -1), axis=1)
    data = png(packed, depth, 0, (b"tRNS", b"\0\1"))
    data = data[:16] + struct.pack(">II", 16, 8) + data[24:]
    data = data[:29] + struct.pack(">I", zlib.crc32(data[12:29])) + data[33:]
    (tmp_path / "a.png").write_bytes(data)
    found = read_picture(tmp_path / "a.png")
    assert np.allclose(found.values[..., 0] / found.full, levels / (2**depth - 1), atol=1e-6)
    assert np.array_equal(found.values[..., 1] == 0, levels == 1)


@pytest.mark.parametrize("depth", [8, 16])
def test_png_with_a_transparent_colour(tmp_path, depth):
    values = numbers(f"u{depth // 8}", 3)
    key = values[3, 5].astype(">u2").tobytes()
    (tmp_path / "a.png").write_bytes(png(values.astype(f">u{depth // 8}"), depth, 2, (b"tRNS", key)))
    found = read_picture(tmp_path / "a.png").values
    assert np.array_equal(found[..., :3], values)
    assert np.array_equal(found[..., 3] == 0, (values == values[3, 5]).all(axis=-1))


@pytest.mark.parametrize(
    "chunk, encoding",
    [
        ((b"gAMA", struct.pack(">I", 100000)), "linear"),
        ((b"gAMA", struct.pack(">I", 45455)), "srgb"),
        ((b"gAMA", struct.pack(">I", 55556)), pytest.approx(1.8, rel=1e-4)),
        ((b"cICP", bytes([1, 8, 0, 1])), "linear"),
        ((b"cICP", bytes([9, 16, 0, 1])), "cICP 9/16"),
        ((b"sRGB", b"\0"), "srgb"),
    ],
)
def test_png_says_what_its_numbers_are(tmp_path, chunk, encoding):
    (tmp_path / "a.png").write_bytes(png(numbers("u1", 3), 8, 2, chunk))
    assert read_picture(tmp_path / "a.png").encoding == encoding


@pytest.mark.parametrize("largest", [1, 7, 255, 256, 1023, 65535])
@pytest.mark.parametrize("kind", [2, 3, 5, 6])
def test_pnm_with_any_largest_value(tmp_path, largest, kind):
    channels = 3 if kind in (3, 6) else 1
    values = np.random.default_rng(0).integers(0, largest + 1, (5, 4, channels))
    data = values.astype(">u2" if largest > 255 else np.uint8).tobytes()
    if kind < 4:
        data = " ".join(map(str, values.ravel())).encode() + b"\n"
    (tmp_path / "a.pnm").write_bytes(b"P%d\n# made by hand\n4 5\n%d\n" % (kind, largest) + data)
    found = read_picture(tmp_path / "a.pnm")
    assert np.array_equal(found.values, values) and found.full == largest


@pytest.mark.parametrize("ending", ["png", "bmp", "tga", "webp", "tif", "ppm", "gif", "jp2", "avif"])
def test_eight_bits_agree_with_imageio(tmp_path, ending):
    rows = np.linspace(0, 255, 32)[:, None, None]
    pixels = np.broadcast_to(rows, (32, 48, 3)).astype(np.uint8)
    options = {"lossless": True} if ending == "webp" else {}
    Image.fromarray(pixels).save(tmp_path / f"a.{ending}", **options)
    expected = np.asarray(imageio.imread(tmp_path / f"a.{ending}", plugin="pillow"))
    found = read_picture(tmp_path / f"a.{ending}").values
    assert np.array_equal(found, expected[..., :3].reshape(found.shape))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
def test_pictures_are_turned_as_pillow_turns_them(tmp_path, orientation, ending):
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:16, :16], pixels[16:, :16] = (250, 10, 10), (10, 250, 10)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(pixels).save(tmp_path / f"a.{ending}", exif=exif, quality=95)
    picture = read_picture(tmp_path / f"a.{ending}")
    steps = {
        **{2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180},
        **{4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE},
        **{6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90},
    }
    upright = Image.fromarray(pixels)
    upright = upright.transpose(steps[orientation]) if orientation > 1 else upright
    assert np.abs(picture.upright.astype(int) - np.asarray(upright)).mean() < 5
    assert turned_upright(pixels, orientation).shape == np.asarray(upright).shape


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tif"])
def test_further_frames_are_counted(tmp_path, ending):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue", "green")]
    frames[0].save(tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:])
    picture = read_picture(tmp_path / f"a.{ending}")
    assert picture.frames == 3 and picture.values[0, 0].argmax() == 0


def test_thumbnails_and_masks_in_tiff_are_not_the_picture(tmp_path):
    values = numbers("u2")[..., 0]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(values[::4, ::4], subfiletype=1)
        file.write(values)
        file.write(values[::2, ::2], subfiletype=1)
    picture = read_picture(tmp_path / "a.tif")
    assert picture.frames == 1 and np.array_equal(picture.values[..., 0], values)


@pytest.mark.parametrize(
    "start, word",
    [
        (b"%PDF-1.7\n", "PDF"),
        (b"#?RADIANCE\n", "Radiance"),
        (b"\xff\x0a\0\0", "JPEG XL"),
        (b"\0\0\0\x18ftypcrx \0\0\0\0", "raw photo"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html>", "web page"),
        (b"PK\x03\x04", "zip"),
        (b"\xff\xd8\xff\xc3\0\x0b\x10\0\x10\0\x10\1", "lossless JPEG of 16 bits"),
        (b"", "empty"),
        (b"nothing known", "not a picture"),
    ],
)
def test_what_is_not_read_is_called_by_its_name(tmp_path, start, word):
    (tmp_path / "a.png").write_bytes(start + (b" " * 80 if start else b""))
    with pytest.raises(InputError, match=word):
        read_picture(tmp_path / "a.png")


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "folder.png").mkdir()
    for path, word in (
        (tmp_path / "folder.png", "folder"),
        (tmp_path / "none.png", "no image"),
        (tmp_path / ("n" * 300 + ".png"), "too long"),
        (tmp_path / "folder.png" / "a.png" / "b", "no image"),
    ):
        with pytest.raises(InputError, match=word):
            read_picture(path)


def test_headers_that_lie_cost_nothing(tmp_path):
    values = numbers("u1")
    whole = png(values, 8, 0)
    for width, height in ((60_000, 60_000), (2**31 - 1, 1), (13_000, 13_000), (0, 5)):
        head = whole[:16] + struct.pack(">II", width, height) + whole[24:29]
        (tmp_path / "a.png").write_bytes(head + struct.pack(">I", zlib.crc32(head[12:29])) + whole[33:])
        with pytest.raises(InputError, match="header says|pixels, which needs"):
            read_picture(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", values[..., 0])
    for tag in ("ImageWidth", "ImageLength"):
        with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
            file.pages[0].tags[tag].overwrite(12_000)
    with pytest.raises(InputError, match="header says"):
        read_picture(tmp_path / "a.tif")
    (tmp_path / "a.ppm").write_bytes(b"P6 12000 12000 255\n" + bytes(100))
    with pytest.raises(InputError, match="header says"):
        read_picture(tmp_path / "a.ppm")
    assert MAX_PIXELS > 13_000**2


def test_tiff_files_with_circles_and_bombs_cost_nothing(tmp_path):
    def tiff(*changed, following=0):
        tags = {256: (3, 1, 10), 257: (3, 1, 10), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1)}
        tags |= {273: (4, 1, 200), 277: (3, 1, 1), 278: (3, 1, 10), 279: (4, 1, 100), **dict(changed)}
        entries = b"".join(struct.pack("<HHII", tag, *rest) for tag, rest in sorted(tags.items()))
        head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", following)
        return head.ljust(200, b"\0") + bytes(range(100))

    for content in (
        tiff(following=8),
        tiff((270, (2, 2**32 - 1, 8))),
        tiff((34675, (7, 2**32 - 1, 8))),
        tiff((42113, (2, 2**32 - 1, 8))),
    ):
        (tmp_path / "a.tif").write_bytes(content)
        assert read_picture(tmp_path / "a.tif").values.ravel().tolist() == list(range(100))
    bomb = zlib.compress(bytes(1 << 27), 9)
    bomb = tiff((259, (3, 1, 8)), (258, (3, 1, 16)), (279, (4, 1, len(bomb))))[:200] + bomb
    for content in (bomb, tiff((273, (4, 2**32 - 1, 200))), tiff((256, (4, 1, 2**31)), (257, (4, 1, 2**31)))):
        (tmp_path / "a.tif").write_bytes(content)
        with pytest.raises(InputError):
            read_picture(tmp_path / "a.tif")


def test_long_texts_of_png_are_refused(tmp_path):
    text = (b"zTXt", b"a\0\0" + zlib.compress(bytes(5_000_000)))
    (tmp_path / "a.png").write_bytes(png(numbers("u1"), 8, 0, text))
    with pytest.raises(InputError, match="more than a megabyte"):
        read_picture(tmp_path / "a.png")


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither")
def test_pipes_and_devices_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="leads nowhere"):
        read_picture(tmp_path / "link.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "zero.png"):
        with pytest.raises(InputError, match="device or a pipe"):
            read_picture(tmp_path / name)


WHOLE = {
    "png": lambda path: Image.fromarray(numbers("u1", 3)).save(path),
    "deep.png": lambda path: path.write_bytes(png(numbers("u2", 2).astype(">u2"), 16, 4)),
    "jpg": lambda path: Image.fromarray(numbers("u1", 3)).save(path),
    "tif": lambda path: tifffile.imwrite(path, numbers("f4", 3), photometric="rgb"),
    "zip.tif": lambda path: tifffile.imwrite(path, numbers("u2", 1)[..., 0], compression="zlib"),
    "bmp": lambda path: Image.fromarray(numbers("u1", 3)).save(path),
    "gif": lambda path: Image.fromarray(numbers("u1")[..., 0]).save(path),
    "webp": lambda path: Image.fromarray(numbers("u1", 3)).save(path),
    "tga": lambda path: Image.fromarray(numbers("u1", 3)).save(path),
    "ppm": lambda path: Image.fromarray(numbers("u1", 3)).save(path),
}


@pytest.mark.parametrize("ending", WHOLE)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_damage_gives_a_picture_or_a_sentence(tmp_path_factory, ending, data):
    folder = tmp_path_factory.getbasetemp()
    path = folder / f"damaged.{ending}"
    WHOLE[ending](path)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for place in data.draw(st.lists(st.integers(0, min(len(content), 400) - 1), max_size=4)):
            content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(content))
    try:
        picture = read_picture(path)
    except InputError:
        return
    assert picture.values.ndim == 3 and 1 <= picture.values.shape[2] <= 4
