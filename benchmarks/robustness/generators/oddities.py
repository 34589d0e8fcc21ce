"""What file systems hold besides good files: pipes, devices, links, folders, long and strange names."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .inputs import Input, kind
from .options import good_files

READERS = {
    "load_mesh": (".ply", ".obj", ".stl", ".off", ".glb", ".gltf", ".npz", ".obj.gz", ".zip"),
    "load_points": (".xyz", ".ply", ".pcd", ".las", ".npz", ".csv"),
    "load_shape": (".ply",),
    "load_image": (".png", ".jpg", ".tif", ".exr", ".webp"),
    "load_photo": (".png", ".jpg"),
    "load_height": (".png", ".exr", ".tif"),
    "load_capture": (".json", "_par.txt"),
}
EVERY = [(read, ending) for read, endings in READERS.items() for ending in endings]


def pipe(path: Path) -> None:
    """A named pipe that nobody writes to."""
    os.mkfifo(path)


def link_to(target: str) -> Callable[[Path], None]:
    """A symbolic link."""
    return lambda path: path.symlink_to(target)


def sparse(size: int, start: bytes = b"") -> Callable[[Path], None]:
    """A file of that size that takes no room on the disk."""

    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.write(start)
            file.truncate(size)

    return make


HEADS = {
    ".ply": b"ply\nformat binary_little_endian 1.0\nelement vertex 3\nproperty float x\nproperty float y\n"
    b"property float z\nelement face 1\nproperty list uchar int vertex_indices\nend_header\n",
    ".stl": bytes(80) + struct.pack("<I", 100_000_000),
    ".glb": struct.pack("<4sII", b"glTF", 2, 2**32 - 1) + struct.pack("<I4s", 2**32 - 20, b"JSON"),
    ".png": b"\x89PNG\r\n\x1a\n",
    ".obj": b"v 0 0 0\n",
    ".json": b"{",
    ".npz": b"PK\x03\x04",
    ".jpg": b"\xff\xd8\xff\xe0",
}


@kind("files", "pipes, devices, links, folders", 4)
def _(rng: np.random.Generator, index: int) -> Input:
    makers: list[tuple[str, Callable[[Path], None]]] = [
        ("a pipe", pipe),
        ("a link to /dev/zero", link_to("/dev/zero")),
        ("a link to /dev/urandom", link_to("/dev/urandom")),
        ("a folder", lambda path: path.mkdir()),
        ("a link to nothing", link_to("nothing")),
        ("a link to itself", lambda path: path.symlink_to(path)),
        ("nothing", lambda path: None),
    ]
    read, ending = EVERY[index % len(EVERY)]
    about, make = makers[index % len(makers)]
    name = f"a{ending}"
    return Input(f"{about} called {name}, {read}", read, name, {name: make}, None, say=".", megabytes=300)


@kind("files", "of 3 GB without content, read once at most", 2, most=30)
def _(rng: np.random.Generator, index: int) -> Input:
    read, ending = EVERY[index % len(EVERY)]
    name = f"a{ending}"
    content = sparse(3 * 10**9, HEADS.get(ending, b""))
    return Input(
        f"3 GB of zeros called {name}, {read}", read, name, {name: content}, None, say=".", megabytes=3500
    )


@kind("files", "names that are long, foreign, no text", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    good = good_files()
    names = [
        "花.{}",
        "a b  c.{}",
        "é́.{}",
        "-x.{}",
        "a'b\".{}",
        "a\n b.{}",
        b"caf\xe9.{}".decode("utf-8", "surrogateescape"),
        "." + "x.{}",
        "n" * 240 + ".{}",
        "a;rm -rf.{}",
        "%s%d.{}",
        "{}.{}",
    ]
    which = (
        ("surface", "xyz", ["--resolution", "16"]),
        ("denoise", "xyz", []),
        ("heightmap", "png", ["--faces", "0"]),
        ("evaluate points", "xyz", ["--points", "64"]),
        ("evaluate heightmap", "png", []),
    )[index % 5]
    verb, ending, options = which
    name = names[index // 5 % len(names)].replace("{}.{}", "[x].{}").format(ending)
    data = good["a.xyz"] if ending == "xyz" else good["a.png"] if verb == "heightmap" else good["h.png"]
    path = f"@/in/{name}"
    words = [*verb.split(" "), path, *([path] if "evaluate" in verb else []), *options, "--out", "@/out"]
    return Input(f"{verb} of {name!r}", "cli", words, {f"in/{name}": data}, None, seconds=30, megabytes=1500)


@kind("files", "paths that cannot be", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    read, ending = EVERY[index % len(EVERY)]
    path = (
        "n" * 300 + ending,
        "a\0b" + ending,
        "a/" * 3000 + "x" + ending,
        "a" + ending + "/",
        "nothing/a" + ending,
    )[index % 5]
    return Input(f"{read} of {path[:30]!r}", read, path, {"b": b""}, None, say=".")


@kind("files", "results that cannot be written", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    good = good_files()
    outs: list[tuple[str, str, dict]] = [
        ("a file", "@/out", {"out": b"mine"}),
        ("a folder of others' files", "@/out", {"out/report.json/x": b"mine", "out/y": b"z"}),
        ("below a file", "@/f/out", {"f": b"x"}),
        ("of 300 letters", "@/" + "n" * 300, {}),
        ("a pipe", "@/out", {"out": pipe}),
        ("a link to nothing", "@/out", {"out": link_to("nothing/below")}),
        ("its list of files is a folder", "@/out", {"out/.files/x": b"1"}),
        ("its list of files is noise", "@/out", {"out/.files": rng.bytes(100)}),
        ("a name that is no text", b"@/caf\xe9".decode("utf-8", "surrogateescape"), {}),
        ("its config is a folder", "@/out", {"out/config.json/x": b"1"}),
        ("its config is noise", "@/out", {"out/config.json": rng.bytes(50)}),
        ("the input itself", "@/in", {}),
    ]
    about, out, more = outs[index % len(outs)]
    verb = (
        ["denoise", "@/in/a.xyz"],
        ["evaluate", "points", "@/in/a.xyz", "@/in/a.xyz", "--points", "64"],
        ["heightmap", "@/in/a.png", "--faces", "0"],
    )[index % 3]
    words = [*verb, "--out", out, *(["--overwrite"] if index // 12 % 2 else [])]
    files = {"in/a.xyz": good["a.xyz"], "in/a.png": good["a.png"], **more}
    return Input(
        f"{verb[0]} into {about}{', --overwrite' * (index // 12 % 2)}",
        "cli",
        words,
        files,
        None,
        seconds=30,
        megabytes=1500,
    )
