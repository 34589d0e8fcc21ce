"""Wavefront OBJ (the Advanced Visualizer's manual, appendix B1) as people and programs write it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .inputs import Input, MeshTruth, kind
from .solids import Solid, any_solid, box, concave, linear, placed

FORMATS = ("{:.9g}", "{:.9e}", "{:+.9f}", "{:.17g}", "{:12.8f}", "{!r}")


def lines_of(
    solid: Solid,
    number: str = "{:.9g}",
    corner: Callable[[int], str] | None = None,
    tail: Callable[[int], str] | None = None,
) -> list[str]:
    """`v` and `f` lines.

    Args:
        solid: What to write.
        number: Format of a coordinate.
        corner: From the index of a vertex (0 first) to a word behind `f`.
        tail: From the index of a vertex to what follows its coordinates.
    """
    corner = corner or (lambda i: str(i + 1))
    tail = tail or (lambda i: "")
    points = [" ".join(number.format(float(x)) for x in row) for row in solid.vertices]
    return [
        *(f"v {row}{tail(i)}" for i, row in enumerate(points)),
        *("f " + " ".join(corner(i) for i in polygon) for polygon in solid.polygons),
    ]


def file(about: str, lines: list[str] | bytes, truth: MeshTruth | None, end: str = "\n", **more) -> Input:
    """An input of one OBJ file."""
    data = lines if isinstance(lines, bytes) else (end.join(lines) + end).encode()
    return Input(about, "load_mesh", "a.obj", {"a.obj": data}, truth, **more)


@kind("obj", "plain, with numbers in all formats", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    solid, number = any_solid(rng), FORMATS[index % len(FORMATS)]
    return file(f"numbers as {number}", lines_of(solid, number), solid.truth())


@kind("obj", "texture and normal indices", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    style = ("{0}/{0}", "{0}//{1}", "{0}/{0}/{1}", "{0}/", "{0}//", "{0}/{0}/")[index % 6]
    lines = lines_of(solid, corner=lambda i: style.format(i + 1, 1))
    extra = [f"vt {a:.4f} {b:.4f}" for a, b in rng.random((len(solid.vertices), 2))] + ["vn 0 0 1"]
    at = int(rng.integers(len(solid.vertices) + 1))
    return file(f"corners as {style}", [*lines[:at], *extra, *lines[at:]], solid.truth())


@kind("obj", "negative indices")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    count = len(solid.vertices)
    if index % 2:  # every polygon behind its own vertices
        vertices = np.vstack([solid.vertices[p] for p in solid.polygons])
        lines, start = [], 0
        for p in solid.polygons:
            lines += [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in solid.vertices[p]]
            lines += ["f " + " ".join(str(i - len(p)) for i in range(len(p)))]
            start += len(p)
        return file("negative, vertices between faces", lines, solid.truth(vertices=vertices))
    return file("negative", lines_of(solid, corner=lambda i: str(i - count)), solid.truth())


@kind("obj", "comments, blank lines, indented lines, tabs", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    solid, lines = any_solid(rng), []
    for line in lines_of(solid):
        style = int(rng.integers(6))
        line = (line, line + " # c", line + "\t#1 2 3", "  " + line, line.replace(" ", "\t"), line + "  ")[
            style
        ]
        lines += [line] if rng.random() < 0.8 else ["", "# f 1 2 3", line]
    return file("comments and white space everywhere", lines, solid.truth())


@kind("obj", "line ends: CRLF, CR, none at the end")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    name, end = (("CRLF", "\r\n"), ("CR alone", "\r"), ("none at the end", "\n"))[index % 3]
    data = end.join(lines_of(solid)).encode() + (b"" if index % 3 == 2 else end.encode())
    return file(name, data, solid.truth())


@kind("obj", "byte order mark and UTF-16")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    text = "\n".join([*(["# made by hand"] if index % 2 else []), *lines_of(solid), ""])
    encoding = ("utf-8-sig", "utf-8-sig", "utf-16", "utf-16-be")[index % 4]
    data = text.encode(encoding)
    say = None if encoding == "utf-8-sig" else "UTF|encod|text|zero|NUL|byte"
    return file(encoding, data, solid.truth(), say=say)


@kind("obj", "lines that go on behind a backslash")
def _(rng: np.random.Generator, index: int) -> Input:
    solid, lines = any_solid(rng), []
    for line in lines_of(solid):
        words = line.split(" ")
        if len(words) > 3 and rng.random() < 0.5:
            at = int(rng.integers(2, len(words)))
            blank = " " * int(rng.integers(3))
            lines += [" ".join(words[:at]) + " \\" + blank, " ".join(words[at:])]
        else:
            lines.append(line)
    return file(
        "backslash, perhaps blanks behind it", lines, solid.truth(), end="\r\n" if index % 3 == 0 else "\n"
    )


@kind("obj", "colours in [0, 1]", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    colors = rng.random((len(solid.vertices), 3)).round(4)
    colors[0], colors[1] = 0, 1
    lines = lines_of(solid, tail=lambda i: " " + " ".join(f"{c:.4f}" for c in colors[i]))
    return file("sRGB behind the coordinates", lines, solid.truth(colors=linear(colors)))


@kind("obj", "colours in 0..255 or out of range")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    colors = rng.integers(0, 256, (len(solid.vertices), 3))
    colors[0] = 255, 128, 0
    if index % 2:
        lines = lines_of(solid, tail=lambda i: f" {colors[i, 0]} {colors[i, 1]} {colors[i, 2]}")
        return file("colours 0..255", lines, solid.truth(colors=linear(colors / 255)), say="colo")
    worse = ("nan", "-0.5", "1.7", "inf")[index // 2 % 4]
    lines = lines_of(solid, tail=lambda i: f" 0.5 0.5 {worse if i == 0 else 0.25}")
    return file(f"a colour of {worse}", lines, None, say="colo|NaN|finite|number")


@kind("obj", "colours on some vertices only")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    half = len(solid.vertices) // 2
    with_color = (lambda i: i < half) if index % 2 else (lambda i: i >= half)
    lines = lines_of(solid, tail=lambda i: " 1 0 0" if with_color(i) else "")
    white = np.array([[1.0, 0, 0] if with_color(i) else [1.0, 1, 1] for i in range(len(solid.vertices))])
    return file("half of the vertices have colours", lines, solid.truth(colors=white), say="colo")


@kind("obj", "a weight behind the coordinates")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    weight = ("1", "1.0", "0.5")[index % 3]
    lines = lines_of(solid, tail=lambda i: f" {weight}")
    say = "column|number|weight|w " if weight == "0.5" else None
    return file(f"x y z w with w = {weight}", lines, solid.truth(), say=say)


@kind("obj", "groups, materials, lines, points, normals", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    lines = lines_of(solid)
    count = len(solid.vertices)
    words = ["o a b", "g x y", "g", "usemtl Köln", "s off", "s 1", "vn 0 0 1", "vt 0 0", "mg 0", "lod 2"]
    words += ["shadow_obj a.obj", "c_interp on", "d_interp on", "bevel off"]
    for word in rng.permutation(words):
        lines.insert(int(rng.integers(len(lines) + 1)), str(word))
    if index % 2:
        lines += ["l 1 2 3", "l 1/1 2/1", "p 1 2"]
    return (
        file(
            f"{'polylines and points' if index % 2 else 'groups'}",
            ["mtllib no such.mtl", *lines],
            solid.truth(),
            say="line|point|element" if index % 2 else None,
        )
        if count
        else None
    )


@kind("obj", "faces before their vertices")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    lines = lines_of(solid)
    return file("all faces first", lines[len(solid.vertices) :] + lines[: len(solid.vertices)], solid.truth())


@kind("obj", "two objects that count on")
def _(rng: np.random.Generator, index: int) -> Input:
    a = any_solid(rng)
    b = replace(a, vertices=a.vertices + 3 * np.ptp(a.vertices, axis=0))
    n = len(a.vertices)
    both = Solid(np.vstack([a.vertices, b.vertices]), a.polygons + [[i + n for i in p] for p in b.polygons])
    lines = ["o one", *lines_of(a), "o two", *lines_of(b, corner=lambda i: str(i + 1 + n))]
    return file("vertices of the second behind faces of the first", lines, both.truth())


@kind("obj", "concave polygons", 4)
def _(rng: np.random.Generator, index: int) -> Input:
    solid = concave(rng)
    return file(f"prism over {len(solid.vertices) // 2} corners", lines_of(solid, "{:.12g}"), solid.truth())


@kind("obj", "unused vertices, also far ones")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    far = 10.0 ** rng.integers(0, 5)
    extra = replace(solid, vertices=np.vstack([solid.vertices, rng.normal(size=(3, 3)) * far]))
    return file(
        f"unused vertices {far:g} away", lines_of(extra, "{:.12g}"), extra.truth(), say="unused|no face"
    )


@kind("obj", "faces without area")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng, triangles=True)
    bad = ("f 1 2", "f 1", "f 1 1 2", "f 1 2 2 1", "f")[index % 5]
    lines = lines_of(solid)
    truth = solid.truth(triangles=None)
    return file(f"a face {bad!r}", [*lines, bad], truth, say="face|corner|area|line")


@kind("obj", "indices that do not exist")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    bad = (
        "f 1 2 0",
        "f 1 2 999999",
        "f 1 2 -999999",
        "f 1 2 99999999999999999999",
        "f 1 2 x",
        "f 1.5 2 3",
        "f 1 2 3.0x",
    )
    bad = bad[index % len(bad)]
    return file(f"a face {bad!r}", [*lines_of(solid), bad], None, say="face|index|vert|line|number")


@kind("obj", "numbers that are none")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    words = (
        "nan",
        "inf",
        "-inf",
        "1e400",
        "-1e999",
        "1e39",
        "0x10",
        "1,5",
        "1.0D+00",
        "--1",
        "1.#QNAN",
        "#",
        "",
        "∞",
    )
    bad = words[index % len(words)]
    lines = lines_of(solid)
    at = int(rng.integers(len(solid.vertices)))
    words = lines[at].split(" ")
    words[int(rng.integers(1, 4))] = bad
    lines[at] = " ".join(words)
    return file(
        f"a coordinate {bad!r}",
        lines,
        None,
        say="NaN|infinit|number|line|float|coordinate|finite|column|large",
    )


@kind("obj", "statements that make surface")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    if index % 2:  # the older word for a face
        lines = [line.replace("f ", "fo ", 1) if line.startswith("f ") else line for line in lines_of(solid)]
        return file("`fo` instead of `f`", lines, solid.truth(), say="fo|statement|word|face")
    patch = ["cstype bezier", "deg 1 1", "surf 0 1 0 1 1 2 3 4", "parm u 0 1", "parm v 0 1", "end"]
    return file(
        "a Bezier patch beside faces",
        [*lines_of(solid), *patch],
        None,
        say="surf|free|patch|curve|statement|cstype|word",
    )


@kind("obj", "words nobody knows")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    word = ("call other.obj", "vertex 1 2 3", "V 1 2 3", "face 1 2 3", "�", "\x00v 1 2 3", "v1 2 3 4")[
        index % 7
    ]
    lines = lines_of(solid)
    lines.insert(int(rng.integers(len(lines))), word)
    return file(f"a line {word!r}", lines, None, say=".")


@kind("obj", "latin-1 in names")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    data = b"# made by M\xfcller\no K\xf6rper\nusemtl \xe9\n" + "\n".join(lines_of(solid)).encode() + b"\n"
    return file("latin-1", data, solid.truth())


@kind("obj", "read as points")
def _(rng: np.random.Generator, index: int) -> Input:
    from .inputs import CloudTruth

    points = rng.normal(size=(50, 3))
    colors = rng.random((50, 3)).round(4)
    lines = [
        f"v {x!r} {y!r} {z!r} " + " ".join(map(str, c))
        for (x, y, z), c in zip(points.tolist(), colors, strict=True)
    ]
    lines += ["p " + " ".join(str(i + 1) for i in range(50))] if index % 2 else []
    truth = CloudTruth(points, colors=linear(colors))
    return Input(
        "vertices only, with colours", "load_points", "a.obj", {"a.obj": "\n".join(lines).encode()}, truth
    )


@kind("obj", "large, still read in time", most=3)
def _(rng: np.random.Generator, index: int) -> Input:
    from .solids import ball

    solid = placed(ball(level=6), rng)
    return file("32,768 triangles", lines_of(solid), solid.truth())


@kind("obj", "a box in reach of the eye")
def _(rng: np.random.Generator, index: int) -> Input:
    return file("the box of 2 x 1 x 3", lines_of(box()), box().truth())
