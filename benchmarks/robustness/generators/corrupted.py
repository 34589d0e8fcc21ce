"""Good files of all formats, cut, flipped, mixed up, emptied."""

from dataclasses import dataclass

import numpy as np

from .binary_clouds import ENCODINGS, npz, pcd, xyz
from .gltf import Scene, truth_of
from .inputs import CloudTruth, Input, MeshTruth, kind, pick
from .obj import lines_of
from .off_stl import off, stl, stl_lines, stl_truth
from .ply import FORMATS, faces_of, ply, vertices_of
from .solids import any_solid, sphere_cloud
from .text_clouds import rows_of


@dataclass(frozen=True)
class Good:
    """A good file.

    Attributes:
        ending: Its format.
        data: Its bytes.
        truth: What it holds.
        counted: Whether its header says how much follows, so that every cut can be noticed.
        text: Whether it is text.
    """

    ending: str
    data: bytes
    truth: MeshTruth | CloudTruth
    counted: bool
    text: bool

    @property
    def read(self) -> str:
        """The reader for it."""
        return "load_mesh" if isinstance(self.truth, MeshTruth) else "load_points"


def good(rng: np.random.Generator, index: int) -> Good:
    """A good file; the formats take turns."""
    solid = any_solid(rng)
    points, _, _ = sphere_cloud(rng)
    which = index % 9
    if which == 0:
        return Good(".obj", ("\n".join(lines_of(solid)) + "\n").encode(), solid.truth(), False, True)
    if which in (1, 2):
        form = FORMATS[which - 1]
        data = ply([vertices_of(solid), faces_of(solid)], form)
        return Good(".ply", data, solid.truth(), True, form == "ascii")
    if which == 3:
        return Good(".off", ("\n".join(off(solid)) + "\n").encode(), solid.truth(), True, True)
    if which == 4:
        return Good(".stl", stl(solid), stl_truth(solid), True, False)
    if which == 5:
        return Good(".stl", ("\n".join(stl_lines(solid)) + "\n").encode(), stl_truth(solid), True, True)
    if which == 6:
        scene = Scene()
        scene.show({"mesh": scene.mesh(solid)})
        return Good(".glb", scene.glb(), truth_of(solid), True, False)
    if which == 7:
        text = "\n".join(rows_of([points.tolist()], ["{:.9f}"])) + "\n"
        return Good(".xyz", text.encode(), CloudTruth(points), False, True)
    if index // 9 % 2:
        return Good(".npz", npz({"points": points}, bool(index // 18 % 2)), CloudTruth(points), True, False)
    encoding = ENCODINGS[index // 18 % 3]
    return Good(".pcd", pcd(xyz(points), encoding), CloudTruth(points), True, encoding == "ascii")


def damaged(about: str, file: Good, data: bytes, say: str | None, truth: object = None) -> Input:
    """An input of a changed file."""
    name = "a" + file.ending
    return Input(f"{file.ending}: {about}", file.read, name, {name: data}, truth, say=say)


@kind("corrupted", "cut", 5)
def _(rng: np.random.Generator, index: int) -> Input:
    file = good(rng, index)
    end = len(file.data.rstrip())
    if file.text:  # whole lines are missing, for half a number is a number
        lines = file.data[:end].splitlines(keepends=True)
        cut = sum(map(len, lines[: int(rng.integers(0, len(lines) - (2 if file.ending == ".stl" else 1)))]))
    else:
        cut = int(rng.integers(0, len(file.data)))
    return damaged(f"cut at {cut} of {len(file.data)}", file, file.data[:cut], "." if file.counted else None)


@kind("corrupted", "bytes flipped anywhere", 5)
def _(rng: np.random.Generator, index: int) -> Input:
    file = good(rng, index)
    data = bytearray(file.data)
    for at in rng.integers(len(data), size=int(rng.integers(1, 6))):
        data[at] ^= 1 << int(rng.integers(8))
    return damaged("flipped bits", file, bytes(data), None)


@kind("corrupted", "bytes replaced in the header", 4)
def _(rng: np.random.Generator, index: int) -> Input:
    file = good(rng, index)
    data = bytearray(file.data)
    for at in rng.integers(min(len(data), 200), size=int(rng.integers(1, 4))):
        data[at] = int(pick(rng, [0, 255, 10, 32, 45, 57, 44, 123, int(rng.integers(256))]))
    return damaged("changed header", file, bytes(data), None)


@kind("corrupted", "zeros from the middle on, as after a crash", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    file = good(rng, index)
    half = len(file.data) // 2
    say = "." if file.text or file.ending in (".npz", ".pcd") else None
    return damaged("second half is zero", file, file.data[:half] + bytes(len(file.data) - half), say)


@kind("corrupted", "twice in one file", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    file = good(rng, index)
    say = None if file.ending in (".xyz", ".obj", ".npz") or (file.ending == ".stl" and file.text) else "."
    return damaged("the file twice", file, file.data * 2, say)


@kind("corrupted", "byte order mark and other line ends", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    file = good(rng, index)
    if not file.text:
        return damaged("byte order mark before binary", file, b"\xef\xbb\xbf" + file.data, ".", file.truth)
    if index % 2:
        return damaged("byte order mark", file, b"\xef\xbb\xbf" + file.data, None, file.truth)
    return damaged("CRLF", file, file.data.replace(b"\n", b"\r\n"), None, file.truth)


@kind("corrupted", "the ending of another format", 4)
def _(rng: np.random.Generator, index: int) -> Input:
    file = good(rng, index)
    endings = [".obj", ".ply", ".off", ".stl", ".glb", ".xyz", ".npz", ".pcd"]
    ending = str(pick(rng, [e for e in endings if e != file.ending]))
    read = "load_points" if ending in (".xyz", ".pcd") else file.read
    if isinstance(file.truth, CloudTruth) and ending in (".obj", ".off", ".stl", ".glb"):
        read = "load_mesh"
    name = "a" + ending
    truth = file.truth if read == file.read else None
    return Input(f"{file.ending} called {ending}", read, name, {name: file.data}, truth, say=".")


@kind("corrupted", "noise, nothing, text of other kinds", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    ending = (".obj", ".ply", ".off", ".stl", ".glb", ".xyz", ".npz", ".pcd")[index % 8]
    style = int(rng.integers(5))
    data = (
        b"",
        rng.bytes(5000),
        b"<html><body>404 not found</body></html>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        b"\0" * 10000,
    )[style]
    read = "load_points" if ending in (".xyz", ".pcd") else "load_mesh"
    name = "a" + ending
    about = ("nothing", "noise", "a web page", "a pointer of git-lfs", "zeros")[style]
    return Input(f"{ending}: {about}", read, name, {name: data}, None, say=".")
