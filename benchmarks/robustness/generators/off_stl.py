"""OFF (Geomview's manual, ModelNet's habits) and STL (3D Systems 1989, and what programs make of it)."""

import struct
from dataclasses import replace

import numpy as np

from .inputs import Input, kind, pick
from .solids import Solid, any_solid, concave, linear


def off(
    solid: Solid, header: str = "OFF", tail: list[str] | None = None, behind: list[str] | None = None
) -> list[str]:
    """Lines; `tail` follows the coordinates of each vertex, `behind` the corners of each face."""
    tail = tail or [""] * len(solid.vertices)
    behind = behind or [""] * len(solid.polygons)
    vertices = [" ".join(f"{x:.10g}" for x in v) + t for v, t in zip(solid.vertices, tail, strict=True)]
    faces = [f"{len(p)} " + " ".join(map(str, p)) + b for p, b in zip(solid.polygons, behind, strict=True)]
    return [header, f"{len(solid.vertices)} {len(solid.polygons)} 0", *vertices, *faces]


def off_file(about: str, lines: list[str], truth: object, end: str = "\n", **more) -> Input:
    """An input of one OFF file."""
    return Input(about, "load_mesh", "a.off", {"a.off": (end.join(lines) + end).encode()}, truth, **more)


@kind("off", "plain, with comments and blank lines", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    lines = off(solid)
    if index % 2:
        for _ in range(5):
            lines.insert(int(rng.integers(1, len(lines))), str(pick(rng, ["", "# comment 1 2", "   ", "#"])))
        lines = [line + ("  # c" if rng.random() < 0.2 else "") for line in lines]
    return off_file(
        "comments" if index % 2 else "plain", lines, solid.truth(), "\r\n" if index % 3 == 2 else "\n"
    )


@kind("off", "headers as they occur", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    header, counts, *rest = off(solid)
    styles = [
        [f"{header} {counts}"],
        [header + counts],
        [header, counts.rsplit(" ", 1)[0]],
        ["# first", header, counts],
        ["", header, counts],
        [" OFF ", counts],
        [header + " # made by x", counts],
        [header, *counts.split(" ")],
        [header, counts + "  "],
        ["off", counts],
        [counts],
        ["﻿" + header, counts],
    ]
    head = styles[index % len(styles)]
    # Geomview's manual allows free line ends and no keyword at all; hardly anyone writes that.
    strange = index % len(styles) in (7, 9, 10)
    return off_file(
        f"begins {head}", [*head, *rest], solid.truth(), say="OFF|first|number" if strange else None
    )


@kind("off", "prefixes: C, N, ST, 4, n", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    n = len(solid.vertices)
    colors = rng.integers(0, 256, (n, 4))
    rgba = [" " + " ".join(map(str, c)) for c in colors]
    floats = [" " + " ".join(f"{x / 255:.5f}" for x in c) for c in colors]
    normal, uv = [" 0 0 1"] * n, [" 0.5 0.25"] * n
    join = lambda *parts: ["".join(p) for p in zip(*parts, strict=True)]  # noqa: E731
    truth, style = solid.truth(), index % 8
    colored = solid.truth(colors=linear(colors[:, :3] / 255))
    if style == 0:
        return off_file("COFF, integers", off(solid, "COFF", rgba), colored, say="colo")
    if style == 1:
        return off_file("COFF, floats", off(solid, "COFF", floats), colored, say="colo")
    if style == 2:
        return off_file("NOFF", off(solid, "NOFF", normal), truth)
    if style == 3:
        return off_file("CNOFF", off(solid, "CNOFF", join(normal, floats)), colored, say="colo")
    if style == 4:
        return off_file("STOFF", off(solid, "STOFF", uv), truth)
    if style == 5:
        weights = rng.uniform(0.5, 3, n)
        rows = np.column_stack([solid.vertices * weights[:, None], weights])
        lines = [" ".join(f"{x:.12g}" for x in r) for r in rows]
        head = off(solid, "4OFF")
        return off_file("4OFF", [*head[:2], *lines, *head[2 + n :]], truth, say="4OFF|homogen")
    if style == 6:
        head = off(solid, "nOFF")
        return off_file("nOFF of 3 dimensions", ["nOFF", "3", *head[1:]], truth, say="nOFF")
    return off_file("OFF BINARY without binary", off(solid, "OFF BINARY"), None, say="binary")


@kind("off", "colours behind faces", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    words = [" 255 0 0", " 0.9 0.1 0.1", " 0.9 0.1 0.1 1", " 3", " 255 0 0 128", "  # red"]
    behind = [words[index % 6] if rng.random() < 0.8 else "" for _ in solid.polygons]
    return off_file(f"faces end in {words[index % 6]!r}", off(solid, behind=behind), solid.truth())


@kind("off", "free lines: several vertices on one, one over several")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    lines = off(solid)
    n = len(solid.vertices)
    words = " ".join(lines[2 : 2 + n]).split(" ")
    width = int(rng.integers(1, 9))
    body = [" ".join(words[i : i + width]) for i in range(0, len(words), width)]
    return off_file(
        f"{width} numbers per line",
        [*lines[:2], *body, *lines[2 + n :]],
        solid.truth(),
        say="line|number|vert",
    )


@kind("off", "concave polygons", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    solid = concave(rng)
    return off_file(f"prism over {len(solid.vertices) // 2} corners", off(solid), solid.truth())


@kind("off", "faces of one or two corners, as Geomview allows")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng, triangles=True)
    lines = off(replace(solid, polygons=[*solid.polygons, [[0, 1], [0]][index % 2]]))
    return off_file("a face of one or two corners", lines, solid.truth(triangles=None), say="face|corner")


@kind("off", "counts and indices that lie", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    lines = off(solid)
    v, f = len(solid.vertices), len(solid.polygons)
    lies = [
        f"{v + 1} {f} 0",
        f"{v - 1} {f} 0",
        f"{v} {f + 1} 0",
        f"{v} {f - 1} 0",
        f"{10**18} {f} 0",
        f"{v} {10**18} 0",
        f"-{v} {f} 0",
        f"{v}.5 {f} 0",
        "x y z",
        f"{v}",
    ]
    if index % 3 == 2:
        bad = ("3 0 1 999", "3 0 1 -1", "99999999999 0 1 2", "3 0 1", "-3 0 1 2", "3 0 1 nan")[index // 3 % 6]
        return off_file(f"a face {bad!r}", [*lines[:-1], bad], None, say=".")
    lines[1] = (
        lies[index // 3 * 2 % len(lies) + index % 3]
        if index // 3 * 2 % len(lies) + index % 3 < len(lies)
        else lies[0]
    )
    return off_file(f"counts {lines[1]!r}, truly {v} {f}", lines, None, say=".")


# STL


def stl(
    solid: Solid,
    header: bytes = b"made by hand",
    count: int | None = None,
    attribute: bytes = b"\0\0",
    normal: float | None = None,
) -> bytes:
    """Binary STL of a solid's triangles."""
    triangles = solid.triangulated().polygons
    out = [header.ljust(80, b"\0")[:80], struct.pack("<I", len(triangles) if count is None else count)]
    for t in triangles:
        corners = solid.vertices[t]
        n = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        n = n / np.linalg.norm(n) if normal is None else np.full(3, normal)
        out.append(struct.pack("<12f", *n, *corners.ravel()) + attribute)
    return b"".join(out)


def stl_lines(solid: Solid, name: str = "a", number: str = "{:.9e}") -> list[str]:
    """ASCII STL of a solid's triangles."""
    lines = [f"solid {name}"]
    for t in solid.triangulated().polygons:
        lines += ["facet normal 0 0 0", "outer loop"]
        lines += ["vertex " + " ".join(number.format(x) for x in solid.vertices[i]) for i in t]
        lines += ["endloop", "endfacet"]
    return [*lines, f"endsolid {name}"]


def stl_truth(solid: Solid) -> object:
    """Every triangle has three vertices of its own."""
    solid = solid.triangulated()
    return solid.truth(vertices=solid.vertices[np.concatenate(solid.polygons)])


def stl_file(about: str, data: bytes | list[str], truth: object, end: str = "\n", **more) -> Input:
    """An input of one STL file."""
    data = data if isinstance(data, bytes) else (end.join(data) + end).encode()
    return Input(about, "load_mesh", "a.stl", {"a.stl": data}, truth, **more)


@kind("stl", "binary", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    header = (
        b"made by hand",
        b"solid a",
        b"solid",
        b"",
        b"\xff" * 80,
        b"solid x\nfacet normal 0 0 1\n",
        b"STLB ATF 7.2",
    )[index % 7]
    normal = (None, 0.0, float("nan"))[index % 3]
    return stl_file(
        f"header {header[:30]!r}, normals {normal}", stl(solid, header, normal=normal), stl_truth(solid)
    )


@kind("stl", "binary with attributes that are colours")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    header = (b"COLOR=\xff\x00\x00\xff,MATERIAL=", b"VisCAM")[index % 2]
    return stl_file(
        "colours in the attribute bytes",
        stl(solid, header, attribute=b"\x1f\x80"),
        stl_truth(solid),
        say="colo|attribute",
        always=True,
    )


@kind("stl", "binary whose size does not fit its count", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    triangles = len(solid.triangulated().polygons)
    style = index % 6
    if style == 0:
        return stl_file(
            "bytes behind the end", stl(solid) + bytes(int(rng.integers(1, 49))), stl_truth(solid)
        )
    if style == 1:
        return stl_file("count 0", stl(solid, count=0), stl_truth(solid))
    if style == 2:
        return stl_file(
            "count -1 of a stream",
            stl(solid, count=2**32 - 1),
            stl_truth(solid),
            say="count|triangle|byte|size",
        )
    if style == 3:
        return stl_file(
            "one triangle more than counted",
            stl(solid, count=triangles - 1),
            stl_truth(solid),
            say="count|triangle|byte|size",
        )
    if style == 4:
        return stl_file(
            "one triangle less than counted",
            stl(solid, count=triangles + 1),
            None,
            say="count|triangle|byte|size|trunc|damag|short",
        )
    cut = int(rng.integers(1, 50))
    return stl_file(f"last {cut} bytes missing", stl(solid)[:-cut], None, say=".")


@kind("stl", "ASCII as programs write it", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    number = ("{:.9e}", "{:.9g}", "{:.9E}", "{:+.9f}")[index % 4]
    style = index % 10
    name = ("", "a b c", "Köln", "solid solid", "facet normal")[index % 5]
    lines = stl_lines(solid, name, number)
    if style == 1:
        lines = [line.upper() for line in lines]
    if style == 2:
        lines = ["   " * (1 + (line.startswith("vertex"))) + line for line in lines]
    if style == 3:
        lines = lines[:-1]
    if style == 4:
        lines = [line.replace("facet normal 0 0 0", "facet normal nan nan nan") for line in lines]
    if style == 5:
        lines = [*lines, "", ""]
    if style == 6:
        lines = [line.replace(" ", "\t") if line.startswith(("vertex", "facet")) else line for line in lines]
    if style == 7:
        lines = [line.replace("endsolid " + name, "endsolid") for line in lines]
    end = "\r\n" if style == 8 else "\r" if style == 9 else "\n"
    return stl_file(f"style {style}, name {name!r}", lines, stl_truth(solid), end)


@kind("stl", "ASCII with several solids")
def _(rng: np.random.Generator, index: int) -> Input:
    a, b = any_solid(rng, triangles=True), any_solid(rng, triangles=True)
    n = len(a.vertices)
    both = Solid(np.vstack([a.vertices, b.vertices]), a.polygons + [[i + n for i in p] for p in b.polygons])
    middle = both.vertices.mean(0)
    return (
        stl_file("two solids", stl_lines(a, "a") + stl_lines(b, "b"), stl_truth(both), say=None)
        if middle.size
        else None
    )


@kind("stl", "ASCII that is damaged", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    lines = stl_lines(solid)
    at = [i for i, line in enumerate(lines) if line.startswith("vertex")]
    i = int(pick(rng, at))
    bad = (
        "vertex 1 2",
        "vertex 1 2 x",
        "vertex nan 0 0",
        "vertex 1e400 0 0",
        "vertex 0,5 1 2",
        "",
        "vertex 1 2 3 4",
    )[index % 7]
    lines[i] = bad
    return stl_file(f"a line became {bad!r}", lines, None, say=".")


@kind("stl", "ASCII facets of four corners")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    lines = ["solid q"]
    for p in solid.polygons:
        lines += [
            "facet normal 0 0 0",
            "outer loop",
            *("vertex " + " ".join(f"{x:.9g}" for x in solid.vertices[i]) for i in p),
            "endloop",
            "endfacet",
        ]
    truth = solid.truth(vertices=None, triangles=None)
    triangles_only = all(len(p) == 3 for p in solid.polygons)
    return stl_file(
        "polygons",
        [*lines, "endsolid q"],
        truth,
        say=None if triangles_only else "corner|vert|facet|triangle",
    )
