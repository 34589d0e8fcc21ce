"""Files inside gzip and zip."""

import gzip
import io
import zipfile

import numpy as np

from .inputs import CloudTruth, Input, kind
from .obj import lines_of
from .off_stl import stl, stl_truth
from .ply import faces_of, ply, vertices_of
from .solids import Solid, any_solid, sphere_cloud
from .text_clouds import rows_of


def a_mesh(rng: np.random.Generator, index: int) -> tuple[str, bytes, object]:
    """Name, bytes and truth of a mesh."""
    solid: Solid = any_solid(rng)
    if index % 3 == 0:
        return "a.obj", "\n".join(lines_of(solid)).encode(), solid.truth()
    if index % 3 == 1:
        return "a.ply", ply([vertices_of(solid), faces_of(solid)], "binary_little_endian"), solid.truth()
    return "a.stl", stl(solid), stl_truth(solid)


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


@kind("packed", "gzip", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    name, data, truth = a_mesh(rng, index)
    packed = gzip.compress(data)
    if index % 4 == 3:  # two members, one after the other, are one file
        packed = gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :])
    ending = name + (".gz", ".GZ")[index % 2]
    return Input(f"{ending}", "load_mesh", ending, {ending: packed}, truth)


@kind("packed", "gzip of clouds")
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, _ = sphere_cloud(rng)
    data = "\n".join(rows_of([points.tolist()], ["{:.9f}"])).encode()
    return Input("a.xyz.gz", "load_points", "a.xyz.gz", {"a.xyz.gz": gzip.compress(data)}, CloudTruth(points))


@kind("packed", "zip with one mesh", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    name, data, truth = a_mesh(rng, index)
    others = [{}, {"readme.txt": b"hello"}, {"__MACOSX/._a.obj": b"\0\5"}, {"textures/a.png": b"x"}][
        index % 4
    ]
    inside = ("", "folder/", "tief/Ä/")[index % 3] + name
    method = (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)[index % 4]
    return Input(
        f"{inside} beside {list(others)}",
        "load_mesh",
        "a.zip",
        {"a.zip": zipped({inside: data, **others}, method)},
        truth,
    )


@kind("packed", "zip with several meshes, none, secrets")
def _(rng: np.random.Generator, index: int) -> Input:
    name, data, _ = a_mesh(rng, index)
    style = index % 5
    if style == 0:
        packed = zipped({name: data, "b-" + name: data})
    elif style == 1:
        packed = zipped({"readme.txt": b"hello"})
    elif style == 2:
        packed = bytearray(zipped({name: data}))
        packed[6] |= 1
        packed[packed.index(b"PK\x01\x02") + 8] |= 1
        packed = bytes(packed)
    elif style == 3:
        packed = zipped({"inner.zip": zipped({name: data})})
    else:
        packed = zipped({})
    about = ("two meshes", "only text", "encrypted", "a zip in a zip", "nothing")[style]
    return Input(f"zip: {about}", "load_mesh", "a.zip", {"a.zip": packed}, None, say=".")


@kind("packed", "bombs and damage", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    name, data, truth = a_mesh(rng, index)
    style = index % 6
    if style == 0:
        ending, packed = (
            name + ".gz",
            gzip.compress(b"v 0 0 0\n" * 30_000_000, 9) if index < 6 else gzip.compress(data)[:-9],
        )
    elif style == 1:
        ending, packed = name + ".gz", gzip.compress(data)[: len(data) // 4]
    elif style == 2:
        ending, packed = name + ".gz", data
    elif style == 3:
        ending, packed = "a.zip", zipped({name: data})[:-30]
    elif style == 4:
        ending, packed = "a.zip", zipped({name: bytes(500_000_000)})
    else:
        good = bytearray(gzip.compress(data))
        good[len(good) // 2] ^= 255
        ending, packed = name + ".gz", bytes(good)
    about = ("gzip of much or cut", "cut gzip", "no gzip", "cut zip", "500 MB of zeros", "flipped byte")[
        style
    ]
    return Input(about, "load_mesh", ending, {ending: packed}, truth, say=".", megabytes=1500)
