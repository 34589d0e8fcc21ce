"""Photographs and textures: PNG written from its specification, others with Pillow, tifffile, OpenEXR."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np

from .inputs import Input, PictureTruth, RunTruth, kind, pick
from .solids import encoded

# PNG (third edition), written by hand

COLOR_TYPES = {"grey": (0, 1), "rgb": (2, 3), "palette": (3, 1), "grey alpha": (4, 2), "rgba": (6, 4)}
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    values: np.ndarray,
    bits: int,
    color: str,
    extra: list[tuple[bytes, bytes]] | None = None,
    interlaced: bool = False,
) -> bytes:
    """A PNG file of integers (H, W, C); `extra` chunks come before the pixels."""
    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, COLOR_TYPES[color][0], 0, 0, int(interlaced))
    passes = PASSES if interlaced else [(0, 0, 1, 1)]
    raw = b"".join(_rows(values[y::dy, x::dx], bits) for x, y, dx, dy in passes)
    body = b"".join(chunk(name, data) for name, data in extra or [])
    data = zlib.compress(raw)
    half = len(data) // 2  # pixels in two chunks
    pixels = chunk(b"IDAT", data[:half]) + chunk(b"IDAT", data[half:])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + pixels + chunk(b"IEND", b"")


def _rows(values: np.ndarray, bits: int) -> bytes:
    """Rows with the filter `up` on all but the first."""
    if 0 in values.shape:
        return b""
    flat = np.ascontiguousarray(values).reshape(len(values), -1)
    if bits == 16:
        packed = flat.astype(">u2").view(np.uint8)
    elif bits == 8:
        packed = flat.astype(np.uint8)
    else:
        each = (flat[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        packed = np.packbits(each.reshape(len(flat), -1).astype(np.uint8), axis=1)
    out = bytes([0]) + packed[0].tobytes()
    for above, row in zip(packed[:-1], packed[1:], strict=True):
        out += bytes([2]) + (row - above).astype(np.uint8).tobytes()
    return out


def smooth(rng: np.random.Generator, height: int, width: int, channels: int = 1) -> np.ndarray:
    """Smooth values that fill [0, 1] (H, W, C): a few waves."""
    y, x = np.mgrid[:height, :width]
    layers = []
    for _ in range(channels):
        total = sum(
            rng.normal()
            * np.cos(
                2 * np.pi * (rng.integers(1, 5) * x / width + rng.integers(1, 5) * y / height + rng.random())
            )
            for _ in range(4)
        )
        layers.append((total - total.min()) / np.ptp(total))
    return np.stack(layers, -1)


def size_of(rng: np.random.Generator) -> tuple[int, int]:
    """Height and width."""
    return int(rng.integers(9, 50)), int(rng.integers(9, 50))


def file(
    about: str,
    name: str,
    data: bytes,
    values: np.ndarray | None,
    tolerance: float = 0.6 / 255,
    read: str = "load_image",
    **more,
) -> Input:
    """An input of one picture."""
    truth = None if values is None else PictureTruth(values, tolerance)
    return Input(about, read, name, {name: data}, truth, **more)


def with_pillow(values: np.ndarray, form: str, mode: str | None = None, **options: object) -> bytes:
    """A file written by Pillow, of integers (H, W, C)."""
    from PIL import Image

    array = values.squeeze(-1) if values.shape[-1] == 1 else values
    out = io.BytesIO()
    picture = Image.fromarray(array)
    picture = picture if mode is None else picture.convert(mode)
    picture.save(out, form, **options)
    return out.getvalue()


def with_tifffile(values: np.ndarray, **options: object) -> bytes:
    """A TIFF file."""
    import tifffile

    out = io.BytesIO()
    tifffile.imwrite(out, values, **options)
    return out.getvalue()


def with_openexr(channels: dict[str, np.ndarray], path: Path, header: dict | None = None) -> None:
    """An EXR file."""
    import OpenEXR

    head = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **(header or {})}
    with OpenEXR.File(head, {name: np.ascontiguousarray(v) for name, v in channels.items()}) as out:
        out.write(str(path))


@kind("pictures", "PNG of all kinds and depths", 4)
def _(rng: np.random.Generator, index: int) -> Input:
    color = ("grey", "rgb", "grey alpha", "rgba")[index % 4]
    depths = (1, 2, 4, 8, 16) if color == "grey" else (8, 16)
    bits = depths[index // 4 % len(depths)]
    h, w = size_of(rng)
    top = 2**bits - 1
    stored = np.round(smooth(rng, h, w, COLOR_TYPES[color][1]) * top).astype(np.uint32)
    data = png(stored, bits, color, interlaced=index % 3 == 0)
    return file(
        f"{color}, {bits} bits{', interlaced' * (index % 3 == 0)}",
        "a.png",
        data,
        stored / top,
        0.51 / 255 if bits <= 8 else 1e-4,
    )


@kind("pictures", "PNG with palettes and transparency", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    bits = (1, 2, 4, 8)[index % 4]
    h, w = size_of(rng)
    count = 2**bits
    stored = rng.integers(0, count, (h, w, 1))
    palette = rng.integers(0, 256, (count, 3)).astype(np.uint8)
    extra = [(b"PLTE", palette.tobytes())]
    values = palette[stored[..., 0]] / 255
    if index % 2:
        alpha = rng.integers(0, 256, count).astype(np.uint8)
        extra.append((b"tRNS", alpha.tobytes()))
        values = np.concatenate([values, alpha[stored] / 255], -1)
    return file(
        f"palette of {bits} bits{' with alpha' * (index % 2)}",
        "a.png",
        png(stored, bits, "palette", extra),
        values,
    )


@kind("pictures", "PNG with one transparent colour")
def _(rng: np.random.Generator, index: int) -> Input:
    color, bits = (("grey", 8), ("rgb", 8), ("grey", 16), ("rgb", 16), ("grey", 4))[index % 5]
    h, w = size_of(rng)
    channels, top = COLOR_TYPES[color][1], 2**bits - 1
    stored = np.round(smooth(rng, h, w, channels) * top).astype(np.uint32)
    key = stored[h // 2, w // 2]
    extra = [(b"tRNS", struct.pack(f">{channels}H", *(int(k) for k in key)))]
    alpha = (stored != key).any(-1, keepdims=True)
    values = np.concatenate([stored / top, alpha], -1)
    return file(
        f"{color}, {bits} bits, tRNS", "a.png", png(stored, bits, color, extra), values, say="transparen"
    )


@kind("pictures", "PNG that says what its numbers mean", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    h, w = size_of(rng)
    stored = np.round(smooth(rng, h, w, 3) * 65535).astype(np.uint32)
    style = index % 5
    gamma = (45455, 100000, 55556, 45455, 0)[style]
    extra = [(b"gAMA", struct.pack(">I", gamma))]
    unit = stored / 65535
    values = {0: unit, 1: encoded(unit), 2: encoded(unit ** (1 / 0.55556)), 3: unit, 4: unit}[style]
    if style == 3:
        extra.append((b"sRGB", b"\0"))
    return file(
        f"gAMA {gamma}",
        "a.png",
        png(stored, 16, "rgb", extra),
        values,
        0.02,
        say="gAMA|gamma|linear" if style not in (0, 3) else None,
    )


@kind("pictures", "PNG with profiles", 1)
def _(rng: np.random.Generator, index: int) -> Input:
    from PIL import ImageCms

    h, w = size_of(rng)
    stored = np.round(smooth(rng, h, w, 3) * 255).astype(np.uint8)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if index % 2 == 0:
        return file(
            "an sRGB profile", "a.png", with_pillow(stored, "PNG", icc_profile=srgb), stored / 255, 0.02
        )
    damaged = srgb[: len(srgb) // 2]
    return file(
        "half a profile",
        "a.png",
        with_pillow(stored, "PNG", icc_profile=damaged),
        stored / 255,
        0.02,
        say="profile",
    )


@kind("pictures", "JPEG of all turns", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    from PIL import Image

    h, w = size_of(rng)
    stored = np.round(smooth(rng, 2 * h, 2 * w, 3) * 255).astype(np.uint8)
    turn = index % 9
    exif = Image.Exif()
    exif[0x112] = turn
    data = with_pillow(
        stored, "JPEG", quality=97, exif=exif.tobytes(), progressive=bool(index % 2), subsampling=0
    )
    # EXIF 2.3: what row 0 and column 0 of the file are of the scene
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: stored.transpose(1, 0, 2)[:, ::-1],
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: stored.transpose(1, 0, 2)[::-1],
    }.get(turn, stored)
    return file(f"orientation {turn}", ("a.jpg", "a.JPEG")[index % 2], data, upright / 255, 0.06)


@kind("pictures", "JPEG in grey and in four inks", 1)
def _(rng: np.random.Generator, index: int) -> Input:
    h, w = size_of(rng)
    stored = np.round(smooth(rng, 2 * h, 2 * w, 1) * 255).astype(np.uint8)
    if index % 2:
        return file("grey", "a.jpg", with_pillow(stored, "JPEG", quality=97), stored / 255, 0.05)
    grey = np.repeat(stored, 3, axis=2)
    data = with_pillow(grey, "JPEG", "CMYK", quality=97)
    return file("CMYK", "a.jpg", data, grey / 255, 0.1, say="CMYK|ink")


@kind("pictures", "TIFF of integers", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    dtype = np.dtype(("u1", "u2", "u4", "u2", "u1")[index % 5])
    channels = (1, 3, 4)[index // 5 % 3]
    h, w = size_of(rng)
    top = np.iinfo(dtype).max
    stored = np.round(smooth(rng, h, w, channels) * top).astype(dtype)
    options: dict = {
        "photometric": "rgb" if channels > 1 else pick(rng, ["minisblack", "minisblack", "miniswhite"])
    }
    options["byteorder"] = pick(rng, ["<", ">"])
    if channels == 4:
        options["extrasamples"] = ["unassalpha"]
    if rng.random() < 0.3:
        options["tile"] = (16, 16)
    if rng.random() < 0.3:
        options["compression"] = "zlib"
    layout = stored.squeeze(-1) if channels == 1 else stored
    if channels > 1 and rng.random() < 0.3:
        layout, options["planarconfig"] = np.moveaxis(stored, -1, 0), "separate"
    values = stored / top
    values = 1 - values if options["photometric"] == "miniswhite" else values
    return file(
        f"{dtype}, {channels} channels, {options}",
        ("a.tif", "a.TIFF")[index % 2],
        with_tifffile(layout, **options),
        values,
        0.51 / 255 if dtype == "u1" else 1e-4,
    )


@kind("pictures", "TIFF of floats in several ranges", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    top = (1.0, 255.0, 65535.0, 4.0, 1e6)[index % 5]
    dtype = ("f4", "f8", "f2")[index // 5 % 3] if top < 60000 else "f4"
    h, w = size_of(rng)
    unit = smooth(rng, h, w, 3) * 0.9 + 0.05
    data = with_tifffile((unit * top).astype(dtype), photometric="rgb")
    plain = top == 1.0
    return file(
        f"{dtype} from 0 to {top:g}",
        "a.tif",
        data,
        unit,
        0.01,
        say=None if plain else "range|from 0 to|bright|values|span|white",
    )


@kind("pictures", "floats that are none")
def _(rng: np.random.Generator, index: int) -> Input:
    h, w = size_of(rng)
    stored = smooth(rng, h, w, 3).astype("f4")
    stored[h // 2, w // 2, 1] = (np.nan, np.inf, -np.inf, -5.0, 1e30)[index % 5]
    name = ("a.tif", "a.exr")[index // 5 % 2]
    about = f"{name}: a value {stored[h // 2, w // 2, 1]}"
    if name == "a.tif":
        return file(about, name, with_tifffile(stored, photometric="rgb"), None, say=".")
    return Input(
        about,
        "load_image",
        name,
        {name: lambda path: with_openexr({"RGB": stored}, path)},
        None,
        say=None if stored[h // 2, w // 2, 1] in (np.inf, 1e30) else ".",
    )


@kind("pictures", "signed TIFF", 1)
def _(rng: np.random.Generator, index: int) -> Input:
    h, w = size_of(rng)
    dtype = np.dtype(("i1", "i2", "i4")[index % 3])
    unit = smooth(rng, h, w, 3)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    stored = np.round(unit * (float(high) - low) + low).clip(low, high).astype(dtype)
    return file(
        f"{dtype}",
        "a.tif",
        with_tifffile(stored, photometric="rgb"),
        unit,
        0.01,
        say="signed|negative|sign|range|values",
    )


@kind("pictures", "EXR of half and float, layers, premultiplied alpha", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    h, w = size_of(rng)
    linear = smooth(rng, h, w, 3)
    dtype = ("f2", "f4")[index % 2]
    alpha = smooth(rng, h, w, 1) * 0.8 + 0.2
    style = index // 2 % 5
    rgb = {c: linear[..., i].astype(dtype) for i, c in enumerate("RGB")}
    layers = [
        rgb,
        {c: (linear[..., i] * alpha[..., 0]).astype(dtype) for i, c in enumerate("RGB")}
        | {"A": alpha[..., 0].astype(dtype)},
        {"Y": linear[..., 0].astype(dtype)},
        {f"beauty.{c}": v for c, v in rgb.items()},
        rgb | {"depth.Z": np.full((h, w), 7, dtype), "N.X": np.zeros((h, w), dtype)},
    ][style]
    values = (
        encoded(linear),
        np.concatenate([encoded(linear), alpha], -1),
        encoded(linear[..., :1]),
        encoded(linear),
        encoded(linear),
    )[style]
    say = "layer|channel" if style == 3 else None
    truth = PictureTruth(values, 0.02)
    return Input(
        f"{dtype} {sorted(layers)}",
        "load_image",
        "a.exr",
        {"a.exr": lambda path: with_openexr(layers, path)},
        truth,
        say=say,
    )


@kind("pictures", "BMP, TGA, WebP, GIF, PPM, PGM of 16 bits, AVIF", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    h, w = size_of(rng)
    stored = np.round(smooth(rng, h, w, 3) * 255).astype(np.uint8)
    style = index % 8
    if style == 0:
        return file("BMP", "a.bmp", with_pillow(stored, "BMP"), stored / 255)
    if style == 1:
        return file("TGA, packed", "a.tga", with_pillow(stored, "TGA", compression="tga_rle"), stored / 255)
    if style == 2:
        return file("WebP, lossless", "a.webp", with_pillow(stored, "WEBP", lossless=True), stored / 255)
    if style == 3:
        stored = stored // 64 * 64
        return file("GIF", "a.gif", with_pillow(stored, "GIF"), stored / 255, 0.2)
    if style == 4:
        return file("PPM", "a.ppm", with_pillow(stored, "PPM"), stored / 255)
    if style == 5:
        grey = np.round(smooth(rng, h, w) * 65535).astype(">u2")
        return file(
            "PGM of 16 bits",
            "a.pgm",
            f"P5\n# c\n{w} {h}\n65535\n".encode() + grey.tobytes(),
            grey / 65535,
            1e-4,
        )
    if style == 6:
        return file(
            "AVIF",
            "a.avif",
            with_pillow(stored, "AVIF", quality=95, subsampling="4:4:4"),
            stored / 255,
            0.12,
            say="avif|installed|support",
        )
    grey = np.round(smooth(rng, h, w) * 1000).astype(">u2")
    return file(
        "PGM of maximum 1000", "a.pgm", f"P5 {w} {h} 1000\n".encode() + grey.tobytes(), grey / 1000, 1e-3
    )


@kind("pictures", "a picture with the ending of another kind")
def _(rng: np.random.Generator, index: int) -> Input:
    h, w = size_of(rng)
    stored = np.round(smooth(rng, h, w, 3) * 255).astype(np.uint8)
    name = ("a.jpg", "a.tif", "a.exr", "a.bmp", "a.PNG")[index % 5]
    return file(
        f"PNG called {name}",
        name,
        png(stored, 8, "rgb"),
        stored / 255,
        say="ending|called|EXR|kind" if name == "a.exr" else None,
    )


@kind("pictures", "headers that lie", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    def header(w: int, h: int, bits: int = 8, color: int = 2) -> bytes:
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, bits, color, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")

    style = index % 12
    read = ("load_image", "load_photo", "load_height")[index // 12 % 3]
    name, data = (
        ("a.png", header(60000, 60000)),
        ("a.png", header(2**31 - 1, 2**31 - 1)),
        ("a.png", header(0, 5)),
        ("a.png", header(5, 5, 3)),
        ("a.png", header(5, 5, 8, 5)),
        (
            "a.bmp",
            b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 2**30, 2**30, 1, 24, 0, 0, 0, 0, 0, 0),
        ),
        ("a.ppm", b"P6 99999999 99999999 255\n"),
        ("a.pgm", b"P5 5 5 0\n" + bytes(25)),
        ("a.tif", _tiff_header(10**6, 10**6)),
        ("a.gif", b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b";"),
        ("a.tga", struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 65535, 65535, 24, 0)),
        (
            "a.png",
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0))
            + chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(200_000_000)))
            + chunk(b"IDAT", zlib.compress(bytes(9 * 28)))
            + chunk(b"IEND", b""),
        ),
    )[style]
    say = None if style == 11 else "."
    return Input(f"{read}: {name}, style {style}", read, name, {name: data}, None, say=say, megabytes=400)


def _tiff_header(width: int, height: int) -> bytes:
    tags = [
        (256, width),
        (257, height),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, height),
        (279, 4000),
    ]
    return (
        b"II*\0"
        + struct.pack("<I", 8)
        + struct.pack("<H", len(tags))
        + b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in tags)
        + bytes(4)
    )


@kind("pictures", "cut, flipped, nothing, noise", 4)
def _(rng: np.random.Generator, index: int) -> Input:
    h, w = size_of(rng)
    stored = np.round(smooth(rng, h, w, 3) * 255).astype(np.uint8)
    form = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF")[index % 6]
    name = (
        "a." + {"PNG": "png", "JPEG": "jpg", "TIFF": "tif", "WEBP": "webp", "BMP": "bmp", "GIF": "gif"}[form]
    )
    data = with_pillow(stored, form)
    read = ("load_image", "load_photo")[index // 6 % 2]
    style = index // 12 % 4
    if style == 0:
        cut = int(rng.integers(0, int(len(data) * 0.9)))
        return Input(f"{form} cut at {cut} of {len(data)}", read, name, {name: data[:cut]}, None, say=".")
    if style == 1:
        changed = bytearray(data)
        for at in rng.integers(len(data), size=4):
            changed[at] ^= 1 << int(rng.integers(8))
        return Input(f"{form}, flipped bits", read, name, {name: bytes(changed)}, None)
    if style == 2:
        return Input(f"{form}: noise", read, name, {name: rng.bytes(3000)}, None, say=".")
    changed = bytearray(data)
    for at in rng.integers(min(64, len(data)), size=2):
        changed[at] = int(rng.integers(256))
    return Input(f"{form}, changed header", read, name, {name: bytes(changed)}, None)


@kind("pictures", "animations and pages")
def _(rng: np.random.Generator, index: int) -> Input:
    from PIL import Image

    h, w = size_of(rng)
    frames = [np.round(smooth(rng, h, w, 3) * 255).astype(np.uint8) for _ in range(3)]
    out = io.BytesIO()
    form, name = (("PNG", "a.png"), ("WEBP", "a.webp"), ("TIFF", "a.tif"))[index % 3]
    options = {"lossless": True} if form == "WEBP" else {}
    pictures = [Image.fromarray(f) for f in frames]
    pictures[0].save(out, form, save_all=True, append_images=pictures[1:], **options)
    say = "page|frame|picture|first"
    return file(f"{form} of three", name, out.getvalue(), frames[0] / 255, say=say, always=form == "TIFF")


# The verb `heightmap`


def heightmap(
    about: str, files: dict, truth: RunTruth | None, words: list[str] | None = None, **more
) -> Input:
    """A run of `heightmap`."""
    paths = words or [f"@/{name}" for name in files]
    line = ["heightmap", *paths, "--faces", "0", "--out", "@/out", "--json"]
    return Input(about, "cli", line, files, truth, seconds=30, **more)


def mapped(count: int, spread: float = 0.0) -> RunTruth:
    """So many photos became maps, none of them flat."""

    def check(report: dict, folder: Path) -> str:
        from bozzetto.shapes import load_height

        photos = report["figures"]["photos"]
        if len(photos) != count:
            return f"{len(photos)} photos, not {count}"
        heights = [np.asarray(load_height(p).height) for p in sorted((folder / "out").rglob("height.exr"))]
        flat = [i for i, values in enumerate(heights) if np.ptp(values) <= spread]
        return f"{len(flat)} of {len(heights)} maps are flat" if flat else ""

    return RunTruth(check)


@kind("heightmap", "photos of other kinds", 2, most=24)
def _(rng: np.random.Generator, index: int) -> Input:
    unit = smooth(rng, 64, 80, 1) * 0.6 + 0.2
    rgb = np.concatenate([unit, unit * 0.9, unit * 0.7], -1)
    style = index % 9
    if style == 0:
        return heightmap(
            "floats from 0 to 255",
            {"a.tif": with_tifffile((rgb * 255).astype("f4"), photometric="rgb")},
            mapped(1, 0.01),
        )
    if style == 1:
        stored = np.round(rgb * 300).astype(np.uint32)
        return heightmap(
            "16 bits, very dark",
            {"a.png": png(stored, 16, "rgb")},
            mapped(1, 0.01),
            say="dark|blank|level|bits",
        )
    if style == 2:
        stored = np.full((64, 64, 3), int(rng.integers(256)), np.uint32)
        return heightmap(
            "one colour", {"a.png": png(stored, 8, "rgb")}, None, say="one colour|flat|blank|single"
        )
    if style == 3:
        stored = np.round(rgb * 255).astype(np.uint32)
        return heightmap(
            "linear by gAMA",
            {"a.png": png(stored, 8, "rgb", [(b"gAMA", struct.pack(">I", 100000))])},
            mapped(1, 0.01),
        )
    if style == 4:
        alpha = np.concatenate([np.round(rgb * 255), np.zeros((64, 80, 1))], -1).astype(np.uint32)
        return heightmap(
            "fully transparent",
            {"a.png": png(alpha, 8, "rgba")},
            None,
            say="transparent|alpha|blank|one colour",
        )
    if style == 5:
        stored = np.round(rgb[:3, :3] * 255).astype(np.uint32)
        return heightmap("3 x 3 pixels", {"a.png": png(stored, 8, "rgb")}, None)
    if style == 6:
        stored = np.round(np.repeat(rgb[:2], 1, axis=0) * 255).astype(np.uint32)
        return heightmap("80 x 2 pixels", {"a.png": png(stored, 8, "rgb")}, None)
    if style == 7:
        return heightmap(
            "a cut JPEG",
            {"a.jpg": with_pillow(np.round(rgb * 255).astype(np.uint8), "JPEG")[:-200]},
            None,
            say=".",
        )
    return heightmap(
        "8 bits", {"a.png": png(np.round(rgb * 255).astype(np.uint32), 8, "rgb")}, mapped(1, 0.01)
    )


@kind("heightmap", "folders with maps among the photos", 2, most=16)
def _(rng: np.random.Generator, index: int) -> Input:
    rgb = np.round((smooth(rng, 64, 64, 1) * 0.6 + 0.2) * np.array([1, 0.9, 0.7]) * 255).astype(np.uint32)
    n = np.dstack([np.full((64, 64), 128), np.full((64, 64), 128), np.full((64, 64), 255)]).astype(np.uint32)
    sets = [
        (
            "wall_diff_1k.png",
            ["wall_nor_gl_1k.png", "wall_disp_1k.png", "wall_rough_1k.png", "wall_arm_1k.png"],
        ),
        (
            "Bricks_1K_Color.png",
            [
                "Bricks_1K_NormalGL.png",
                "Bricks_1K_NormalDX.png",
                "Bricks_1K_Displacement.png",
                "Bricks_1K_Roughness.png",
                "Bricks_1K_AmbientOcclusion.png",
            ],
        ),
        (
            "Wood_basecolor.png",
            ["Wood_normal.png", "Wood_height.png", "Wood_metallic.png", "Wood_Opacity.png"],
        ),
        (
            "stone_albedo.png",
            ["stone_Normal-ogl.png", "stone_ao.png", "stone_bump.png", "stone_specular.png"],
        ),
        ("my photo.png", ["my photo_height.png", "my photo_normal.png", "my photo_preview.png"]),
    ]
    photo, maps = sets[index % len(sets)]
    files = {f"in/{photo}": png(rgb, 8, "rgb")} | {f"in/{name}": png(n, 8, "rgb") for name in maps}
    return heightmap(f"{photo} beside {maps}", files, mapped(1), ["@/in"], say=None)


@kind("heightmap", "a normal map alone, other files in a folder", most=8)
def _(rng: np.random.Generator, index: int) -> Input:
    rgb = np.round((smooth(rng, 64, 64, 1) * 0.6 + 0.2) * np.array([1, 0.9, 0.7]) * 255).astype(np.uint8)
    slopes = (smooth(rng, 64, 64, 2) - 0.5) * 0.8
    normal = np.concatenate([slopes, np.ones((64, 64, 1))], -1)
    normal = np.round((normal / np.linalg.norm(normal, axis=-1, keepdims=True) / 2 + 0.5) * 255).astype(
        np.uint32
    )
    style = index % 4
    if style == 0:
        return heightmap("a normal map as a photo", {"a.png": png(normal, 8, "rgb")}, None, say="normal")
    if style == 1:
        files = {
            "in/a.png": png(rgb.astype(np.uint32), 8, "rgb"),
            "in/b.psd": b"8BPS" + bytes(100),
            "in/c.heic": bytes(50),
        }
        return heightmap(
            "PSD and HEIC beside",
            files,
            mapped(1),
            ["@/in"],
            say="psd|heic|skip|left out|not read",
            always=True,
        )
    if style == 2:
        files = {
            "in/a.png": png(rgb.astype(np.uint32), 8, "rgb"),
            "in/b.tga": with_pillow(rgb, "TGA"),
            "in/c.bmp": with_pillow(rgb, "BMP"),
            "in/d.webp": with_pillow(rgb, "WEBP"),
        }
        return heightmap("PNG, TGA, BMP, WebP", files, mapped(4), ["@/in"], say="tga|bmp|webp")
    return heightmap("an empty folder", {"in/readme.txt": b"x"}, None, ["@/in"], say="photo|picture|image")
