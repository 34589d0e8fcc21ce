"""PCD (Point Cloud Library), NumPy files and LAS 1.2 (ASPRS), written from their specifications."""

import io
import struct
import zipfile

import numpy as np

from .inputs import CloudTruth, Input, kind, pick
from .solids import any_solid, linear, sphere_cloud

# PCD

Field = tuple[str, str, np.ndarray]  # name, NumPy type of a component, (n,) or (n, count)


def pcd(fields: list[Field], data: str, width: int | None = None, height: int = 1, **changes: str) -> bytes:
    """A PCD file of version 0.7; `changes` replace header lines."""
    n = len(fields[0][2])
    arrays = [np.atleast_2d(v.T).T.astype("<" + t) for _, t, v in fields]
    header = {
        "VERSION": "0.7",
        "FIELDS": " ".join(name for name, _, _ in fields),
        "SIZE": " ".join(str(np.dtype(t).itemsize) for _, t, _ in fields),
        "TYPE": " ".join({"f": "F", "u": "U", "i": "I"}[np.dtype(t).kind] for _, t, _ in fields),
        "COUNT": " ".join(str(a.shape[1]) for a in arrays),
        "WIDTH": str(n // height if width is None else width),
        "HEIGHT": str(height),
        "VIEWPOINT": "0 0 0 1 0 0 0",
        "POINTS": str(n),
        "DATA": data,
        **changes,
    }
    text = "# .PCD v0.7 - Point Cloud Data file format\n"
    text += "".join(f"{key} {value}\n" for key, value in header.items() if value)
    if data == "ascii":
        rows = zip(*(a.tolist() for a in arrays), strict=True)
        word = lambda x: str(x) if isinstance(x, int) else f"{x:.10g}"  # noqa: E731
        return (
            text + "".join(" ".join(word(x) for part in row for x in part) + "\n" for row in rows)
        ).encode()
    if data == "binary":
        packed = b"".join(a[i].tobytes() for i in range(n) for a in arrays)
        return text.encode() + packed
    packed = b"".join(a.tobytes() for a in arrays)  # fields one after the other
    squeezed = lzf(packed)
    return text.encode() + struct.pack("<II", len(squeezed), len(packed)) + squeezed


def lzf(data: bytes) -> bytes:
    """LZF: literal runs, and references of up to 264 bytes that are at most 8,192 back (liblzf's format)."""
    out, literal, seen, i = bytearray(), bytearray(), {}, 0

    def flush() -> None:
        for start in range(0, len(literal), 32):
            run = literal[start : start + 32]
            out.append(len(run) - 1)
            out.extend(run)
        literal.clear()

    while i < len(data):
        key = data[i : i + 3]
        back = i - seen.get(key, -(10**9))
        if len(key) == 3:
            seen[key] = i
        if back <= 8192:
            length = 3
            while length < 264 and i + length < len(data) and data[i + length] == data[i + length - back]:
                length += 1
            flush()
            short, offset = length - 2, back - 1
            if short < 7:
                out.append(short << 5 | offset >> 8)
            else:
                out.extend((7 << 5 | offset >> 8, short - 7))
            out.append(offset & 255)
            i += length
        else:
            literal.append(data[i])
            i += 1
    flush()
    return bytes(out)


def xyz(points: np.ndarray, number: str = "f4") -> list[Field]:
    """Fields of positions."""
    return [(name, number, points[:, i]) for i, name in enumerate("xyz")]


def packed_rgb(colors: np.ndarray) -> np.ndarray:
    """8 bits per channel in one integer, red highest."""
    r, g, b = colors.astype(np.uint32).T
    return r << 16 | g << 8 | b


def pcd_file(about: str, data: bytes, truth: CloudTruth | None, **more) -> Input:
    """An input of one PCD file."""
    return Input(about, "load_points", "a.pcd", {"a.pcd": data}, truth, **more)


ENCODINGS = ("ascii", "binary", "binary_compressed")


@kind("pcd", "positions in all encodings and types", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, _ = sphere_cloud(rng)
    number = ("f4", "f8")[index % 2]
    changes = pick(
        rng, [{}, {"VERSION": ".7"}, {"VIEWPOINT": ""}, {"VIEWPOINT": "1 2 3 0.5 0.5 0.5 0.5"}, {"COUNT": ""}]
    )
    data = pcd(xyz(points, number), ENCODINGS[index % 3], **changes)
    return pcd_file(f"{ENCODINGS[index % 3]}, {number}, {changes}", data, CloudTruth(points))


@kind("pcd", "normals, colours, further fields", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    points, normals, colors = sphere_cloud(rng)
    extra = [
        [(f"normal_{c}", "f4", normals[:, i]) for i, c in enumerate("xyz")]
        + [("curvature", "f4", normals[:, 0])]
    ]
    rgb = packed_rgb(colors)
    if ENCODINGS[index % 3] != "ascii" and rng.random() < 0.5:
        extra.append([("rgb", "f4", rgb.view(np.float32))])
    else:
        extra.append([pick(rng, [("rgb", "u4", rgb), ("rgba", "u4", rgb | np.uint32(255) << np.uint32(24))])])
    extra.append([("fpfh", "f4", rng.random((len(points), 5)))])
    extra.append(
        [
            ("intensity", "u1", rng.integers(0, 256, len(points))),
            ("ring", "u2", rng.integers(0, 64, len(points))),
        ]
    )
    chosen = [i for i in range(4) if rng.random() < 0.6]
    parts = [xyz(points), *(extra[i] for i in chosen)]
    fields = [f for i in rng.permutation(len(parts)) for f in parts[i]]
    truth = CloudTruth(
        points, normals if 0 in chosen else None, linear(colors / 255) if 1 in chosen else None
    )
    return pcd_file(
        f"{ENCODINGS[index % 3]}: {[f[0] for f in fields]}", pcd(fields, ENCODINGS[index % 3]), truth
    )


@kind("pcd", "organised clouds with holes")
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, _ = sphere_cloud(rng)
    holes = rng.random(len(points)) < 0.2
    stored = points.copy()
    stored[holes] = np.nan
    data = pcd(xyz(stored), ENCODINGS[index % 3], height=20)
    return pcd_file(
        "20 rows, a fifth is NaN", data, CloudTruth(points[~holes]), say="NaN|finite|hole|invalid"
    )


@kind("pcd", "headers that lie", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, _ = sphere_cloud(rng)
    changes = [
        {"POINTS": "401"},
        {"POINTS": "399", "WIDTH": "399"},
        {"WIDTH": str(10**12), "POINTS": str(10**12)},
        {"SIZE": "4 4"},
        {"TYPE": "F F X"},
        {"FIELDS": "x y"},
        {"FIELDS": "a b c"},
        {"DATA": "zip"},
        {"WIDTH": "-400", "POINTS": "-400"},
        {"SIZE": "4 4 3"},
        {"COUNT": "1 1 0"},
        {"COUNT": f"1 1 {10**9}"},
        {"WIDTH": "x"},
    ]
    change = changes[index % len(changes)]
    return pcd_file(f"{change}", pcd(xyz(points), ENCODINGS[index % 3], **change), None, say=".")


@kind("pcd", "compressed data that is damaged")
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, _ = sphere_cloud(rng)
    data = bytearray(pcd(xyz(points), "binary_compressed"))
    at = data.index(b"DATA binary_compressed\n") + 23
    style = index % 4
    if style == 0:
        data[at + 4 : at + 8] = struct.pack("<I", 4_000_000_000)
    if style == 1:
        data[at : at + 4] = struct.pack("<I", 4_000_000_000)
    if style == 2:
        del data[-100:]
    if style == 3:
        data[at + 8 : at + 11] = b"\xff\xff\xff"
    return pcd_file(
        ("size of 4 GB", "squeezed size of 4 GB", "cut", "a reference before the start")[style],
        bytes(data),
        None,
        say=".",
    )


# NumPy


def npy(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    """The bytes of an NPY file."""
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version, allow_pickle=True)
    return out.getvalue()


def npz(arrays: dict[str, np.ndarray], compressed: bool = False) -> bytes:
    """The bytes of an NPZ file."""
    out = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(out, **arrays)
    return out.getvalue()


@kind("numpy", "meshes and clouds in npz", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    compressed = bool(index % 2)
    if index % 3 == 0:
        solid = any_solid(rng, triangles=True)
        faces = np.array(solid.polygons, ("<i4", "<i8", "<u4", ">i4", "u2")[index % 5])
        vertices = solid.vertices.astype(("<f8", "<f4", ">f8")[index % 3])
        data = npz({"vertices": vertices, "faces": faces}, compressed)
        return Input(f"npz, faces {faces.dtype}", "load_mesh", "a.npz", {"a.npz": data}, solid.truth())
    points, normals, _ = sphere_cloud(rng)
    arrays = {"points": np.asfortranarray(points) if index % 2 else points, "normals": normals.astype("f4")}
    return Input(
        "npz, points and normals",
        "load_points",
        "a.npz",
        {"a.npz": npz(arrays, compressed)},
        CloudTruth(points, normals),
    )


@kind("numpy", "npz with other names, other content", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, _ = sphere_cloud(rng)
    arrays: list[dict[str, np.ndarray]] = [
        {"arr_0": points},
        {"xyz": points},
        {"vertices": points[:, :2], "faces": np.zeros((1, 3), int)},
        {"points": points.astype(object)},
        {"points": points.astype(complex)},
        {"points": points.astype(str)},
        {"points": points, "normals": points[:5]},
        {"points": points, "colors": np.full((400, 3), 200)},
        {"points": points[:0]},
        {"points": points[0]},
        {"points": points[None]},
        {"points": points * np.nan},
        {"vertices": points, "faces": np.full((2, 3), 0.5)},
        {"vertices": points, "faces": np.full((2, 4), 1)},
        {"points": points.T},
        {"points": points > 0},
    ]
    chosen = arrays[index % len(arrays)]
    read = "load_mesh" if "faces" in chosen else "load_points"
    about = {k: (v.dtype.str, v.shape) for k, v in chosen.items()}
    truth = (
        CloudTruth(points)
        if chosen["points" if "points" in chosen else min(chosen)].dtype.kind == "U"
        else None
    )
    return Input(f"npz of {about}", read, "a.npz", {"a.npz": npz(chosen)}, truth, say=".")


@kind("numpy", "containers that lie", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, _ = sphere_cloud(rng)
    style = index % 7
    good = npy(points)
    huge = _with_shape(good, "(100000000000, 3)")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        if style == 0:
            archive.writestr("points.npy", huge)
        elif style == 1:
            archive.writestr("points.npy", good + bytes(400_000_000))
        elif style == 2:
            archive.writestr("points.npy", good[: len(good) // 2])
        elif style == 3:
            archive.writestr(
                "points.npy",
                b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 3), }".ljust(
                    128
                ),
            )
        elif style == 4:
            archive.writestr("points.npy", good)
            archive.writestr("extra.npy", npy(points[:3]))
        elif style == 5:
            archive.writestr("points.txt", "1 2 3")
        else:
            archive.writestr("points.npy", good)
    data = out.getvalue()
    if style == 6:
        data = bytearray(data)
        at = len(data) // 2
        data[at : at + 40] = bytes(40)
        data = bytes(data)
    names = (
        "a shape of 2.4 TB",
        "400 MB of zeros behind the array",
        "half an array",
        "a negative shape",
        "two entries",
        "text",
        "damaged bytes",
    )
    say = None if style == 4 else "."
    truth = CloudTruth(points) if style in (1, 4) else None
    return Input(
        f"npz with {names[style]}", "load_points", "a.npz", {"a.npz": data}, truth, say=say, megabytes=200
    )


def _with_shape(data: bytes, shape: str) -> bytes:
    """An NPY file whose header says another shape, at the same length."""
    start, end = data.index(b"'shape': ") + 9, data.index(b", }")
    header = data[10:].split(b"\n")[0]
    new = data[10:start] + shape.encode() + b", }"
    return data[:10] + new.ljust(len(header)) + data[10 + len(header) :] if end else data


# LAS


def las(
    points: np.ndarray,
    colors: np.ndarray | None,
    scale: float,
    count: int | None = None,
    version: tuple[int, int] = (1, 2),
) -> bytes:
    """LAS 1.2 of point format 0, or 2 with colours of 16 bits."""
    offset = np.floor(points.min(0))
    stored = np.round((points - offset) / scale).astype("<i4")
    form, size = (0, 20) if colors is None else (2, 26)
    header = struct.pack(
        "<4sHHIHH8sBB32s32sHHHIIBHI",
        b"LASF",
        0,
        0,
        0,
        0,
        0,
        bytes(8),
        *version,
        b"OTHER",
        b"by hand",
        1,
        2026,
        227,
        227,
        0,
        form,
        size,
        len(points) if count is None else count,
    )
    header += struct.pack("<5I", len(points), 0, 0, 0, 0)
    header += struct.pack("<6d", scale, scale, scale, *offset)
    high, low = points.max(0), points.min(0)
    header += struct.pack("<6d", high[0], low[0], high[1], low[1], high[2], low[2])
    assert len(header) == 227
    rows = []
    for i, (x, y, z) in enumerate(stored.tolist()):
        row = struct.pack("<iiiHBBbBH", x, y, z, 100, 9, 2, 0, 0, 1)
        if colors is not None:
            row += struct.pack("<3H", *(int(c) * 257 for c in colors[i]))
        rows.append(row)
    return header + b"".join(rows)


@kind("las", "survey points", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, colors = sphere_cloud(rng)
    points = np.round((points + np.array([[0, 0, 0], [691000, 5335000, 520]][index % 2])) * 1000) / 1000
    with_colors = index % 4 < 2
    data = las(points, colors if with_colors else None, 0.001)
    truth = CloudTruth(points, None, linear(colors / 255) if with_colors else None, tolerance=2e-4)
    return Input("LAS 1.2", "load_points", "a.las", {"a.las": data}, truth)


@kind("las", "headers that lie")
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, colors = sphere_cloud(rng)
    style = index % 4
    data = las(
        points,
        colors,
        0.001,
        count=(10**9, 500, 400, 400)[style],
        version=((1, 2), (1, 2), (9, 9), (1, 2))[style],
    )
    data = data[:-500] if style == 3 else data
    return Input(
        ("10^9 points", "500 of 400 points", "version 9.9", "cut")[style],
        "load_points",
        "a.las",
        {"a.las": data},
        None,
        say=".",
    )
