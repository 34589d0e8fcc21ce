"""PLY (Turk 1994, and what Blender, MeshLab, CloudCompare, COLMAP and scanners write)."""

import struct
from dataclasses import replace

import numpy as np

from .inputs import CloudTruth, Input, MeshTruth, kind, pick
from .solids import Solid, any_solid, concave, linear, sphere_cloud

TYPES = {
    "char": "b",
    "uchar": "B",
    "short": "h",
    "ushort": "H",
    "int": "i",
    "uint": "I",
    "float": "f",
    "double": "d",
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "float32": "f",
    "float64": "d",
}
FORMATS = ("ascii", "binary_little_endian", "binary_big_endian")
Element = tuple[
    str, list[tuple], list[list]
]  # name, properties (type, name) or (count type, type, name), rows


def ply(
    elements: list[Element],
    form: str,
    header: tuple[str, ...] = (),
    end: str = "\n",
    counts: dict[str, int] | None = None,
) -> bytes:
    """The bytes of a PLY file.

    Args:
        elements: In the order of the file; a row holds a number per scalar and a list per list property.
        form: One of FORMATS.
        header: Comment lines.
        end: Line end of the header, and of the body of ascii files.
        counts: Numbers of rows to claim, instead of the true ones.
    """
    lines = ["ply", f"format {form} 1.0", *header]
    for name, properties, rows in elements:
        lines.append(f"element {name} {(counts or {}).get(name, len(rows))}")
        lines += [
            f"property {p[0]} {p[1]}" if len(p) == 2 else f"property list {p[0]} {p[1]} {p[2]}"
            for p in properties
        ]
    head = end.join([*lines, "end_header"]) + end
    if form == "ascii":
        body = end.join(_text(p, row) for _, p, rows in elements for row in rows)
        return (head + body + (end if body else "")).encode()
    order = "<" if "little" in form else ">"
    return head.encode() + b"".join(_bytes(p, row, order) for _, p, rows in elements for row in rows)


def _text(properties: list[tuple], row: list) -> str:
    words = []
    for p, value in zip(properties, row, strict=True):
        values, name = (value, p[1]) if len(p) == 3 else ([value], p[0])
        words += [str(len(value))] if len(p) == 3 else []
        words += [
            f"{v:.9g}" if TYPES[name] == "f" else f"{v:.17g}" if TYPES[name] == "d" else str(int(v))
            for v in values
        ]
    return " ".join(words)


def _bytes(properties: list[tuple], row: list, order: str) -> bytes:
    out = b""
    for p, value in zip(properties, row, strict=True):
        if len(p) == 3:
            out += struct.pack(order + TYPES[p[0]], len(value))
            out += struct.pack(f"{order}{len(value)}{TYPES[p[1]]}", *value)
        else:
            out += struct.pack(order + TYPES[p[0]], value if TYPES[p[0]] in "fd" else int(value))
    return out


def vertices_of(solid: Solid, number: str = "float") -> Element:
    """The element `vertex` of a solid."""
    return "vertex", [(number, c) for c in "xyz"], solid.vertices.tolist()


def faces_of(solid: Solid, count: str = "uchar", index: str = "int", name: str = "vertex_indices") -> Element:
    """The element `face` of a solid."""
    return "face", [(count, index, name)], [[p] for p in solid.polygons]


def with_columns(
    element: Element, properties: list[tuple], columns: list[list], at: int | None = None
) -> Element:
    """An element with further properties, from position `at` on."""
    name, old, rows = element
    at = len(old) if at is None else at
    more = list(zip(*columns, strict=True))
    return (
        name,
        [*old[:at], *properties, *old[at:]],
        [[*r[:at], *m, *r[at:]] for r, m in zip(rows, more, strict=True)],
    )


def file(about: str, data: bytes, truth: MeshTruth | CloudTruth | None, **more) -> Input:
    """An input of one PLY file."""
    read = more.pop("read", "load_points" if isinstance(truth, CloudTruth) else "load_mesh")
    return Input(about, read, "a.ply", {"a.ply": data}, truth, **more)


@kind("ply", "plain, in all number types", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    solid, form = any_solid(rng), FORMATS[index % 3]
    number = pick(rng, ["float", "float32", "double", "float64"])
    count = pick(rng, ["uchar", "uint8", "char", "short", "ushort", "int", "uint", "int32"])
    index_type = pick(rng, ["int", "uint", "short", "ushort", "int32", "uint32"])
    name = pick(rng, ["vertex_indices", "vertex_index"])
    data = ply([vertices_of(solid, number), faces_of(solid, count, index_type, name)], form)
    return file(f"{form}, {number}, list {count} {index_type} {name}", data, solid.truth())


@kind("ply", "coordinates as integers")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    unit = np.abs(solid.vertices).max() / 30000
    solid = replace(solid.triangulated(), vertices=np.round(solid.vertices / unit))
    number = ("short", "int")[index % 2]
    data = ply([vertices_of(solid, number), faces_of(solid)], FORMATS[index % 3])
    return file(f"x y z as {number}", data, solid.truth())


@kind("ply", "further properties and their order", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    solid, form = any_solid(rng), FORMATS[index % 3]
    n = len(solid.vertices)
    vertex = vertices_of(solid)
    extra = [
        ("float", "quality"),
        ("uchar", "flags"),
        ("double", "radius"),
        ("int", "material_index"),
        ("float", "s"),
    ]
    for i in rng.permutation(len(extra))[: rng.integers(1, 5)]:
        vertex = with_columns(
            vertex, [extra[i]], [rng.integers(0, 100, n).tolist()], int(rng.integers(len(vertex[1]) + 1))
        )
    order = rng.permutation(len(vertex[1]))
    vertex = vertex[0], [vertex[1][i] for i in order], [[row[i] for i in order] for row in vertex[2]]
    data = ply([vertex, faces_of(solid)], form)
    return file(f"{form}, properties {[p[-1] for p in vertex[1]]}", data, solid.truth())


@kind("ply", "lists at vertices and further lists at faces", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    solid, form = any_solid(rng), FORMATS[index % 3]
    lists = [rng.integers(0, 9, rng.integers(0, 4)).tolist() for _ in solid.vertices]
    vertex = with_columns(vertices_of(solid), [("uchar", "int", "neighbours")], [lists], int(rng.integers(4)))
    uv = [rng.random(2 * len(p)).round(3).tolist() for p in solid.polygons]
    at = int(rng.integers(2))
    face = with_columns(
        faces_of(solid), [("uchar", "float", "texcoord"), ("int", "texnumber")], [uv, [0] * len(uv)], at
    )
    return file(f"{form}, texcoord lists at position {at}", ply([vertex, face], form), solid.truth())


@kind("ply", "elements in other order and further elements", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    solid, form = any_solid(rng), FORMATS[index % 3]
    camera = ("camera", [("float", "view_px"), ("int", "viewportx")], [[0.5, 640]])
    edge = ("edge", [("int", "vertex1"), ("int", "vertex2"), ("uchar", "red")], [[0, 1, 9], [1, 2, 9]])
    odd = ("user_data", [("uchar", "short", "a"), ("double", "b")], [[[1, 2], 3.0], [[], 4.0], [[5], 6.0]])
    material = ("material", [("uchar", "ambient_red"), ("float", "opacity")], [[3, 1.0]])
    several = [vertices_of(solid), faces_of(solid), camera, edge, odd, material]
    elements = [several[i] for i in rng.permutation(6) if i < 2 or rng.random() < 0.7]
    data = ply(elements, form, ("comment a comment", "obj_info num_cols 3"))
    return file(f"{form}, elements {[e[0] for e in elements]}", data, solid.truth())


@kind("ply", "triangle strips")
def _(rng: np.random.Generator, index: int) -> Input:
    """Strips as Cyberware wrote them; every second triangle is turned round."""
    points, strip = [], []
    m = int(rng.integers(3, 9))
    for i in range(m):
        points += [[i, 0, 0], [i, 1, 0]]
        strip += [2 * i, 2 * i + 1]
    points = np.array(points, float)
    strips = strip if index % 2 else [*strip[: 2 * (m // 2 + 1)], -1, *strip[2 * (m // 2) :]]
    bounds = np.stack([points.min(0), points.max(0)])
    truth = MeshTruth(m - 1.0, None, bounds, points, 2 * (m - 1))
    element = ("tristrips", [("int", "int", "vertex_indices")], [[strips]])
    data = ply([("vertex", [("float", c) for c in "xyz"], points.tolist()), element], FORMATS[index % 3])
    return file(f"tristrips {strips}", data, truth, say="strip")


@kind("ply", "surface in elements nobody reads")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    name, column = (("multi_patch", "vertex_indices"), ("polygon", "corners"), ("face", "corners"))[index % 3]
    element = (name, [("uchar", "int", column)], [[p] for p in solid.polygons])
    data = ply([vertices_of(solid), element], FORMATS[index % 3])
    read = ("load_shape", "load_mesh")[index % 2]
    return file(
        f"{read} of faces called {name}.{column}",
        data,
        solid.truth(),
        say=f"{name}|{column}|face|element",
        read=read,
    )


@kind("ply", "headers as programs write them", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    solid, form = any_solid(rng), FORMATS[index % 3]
    style = index % 7
    comments = (
        ("comment " + "x" * 3000,),
        ("comment", "obj_info", "comment  "),
        ("comment Köln",),
        ("comment element face 3",),
    )
    data = ply(
        [vertices_of(solid), faces_of(solid)], form, comments[index % 4], "\r\n" if style == 1 else "\n"
    )
    if style == 2:
        data = data.replace(b"property float x", b"property   float\tx ", 1)
    if style == 3:
        data = data.replace(b"end_header\n", b"end_header  \n", 1) if form == "ascii" else data
    if style == 4:
        data = data.replace("Köln".encode(), b"K\xf6ln")
    if style == 5 and form == "ascii":
        data = data.rstrip(b"\n")
    if style == 6 and form == "ascii":
        data = data.replace(b"\n", b"\r")
    return file(f"{form}, style {style}", data, solid.truth())


@kind("ply", "colours of bytes", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    colors = rng.integers(0, 256, (len(solid.vertices), 3))
    names = pick(
        rng, [("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue")]
    )
    number = pick(rng, ["uchar", "uint8"])
    columns, properties = [c.tolist() for c in colors.T], [(number, n) for n in names]
    if rng.random() < 0.5:
        columns, properties = [*columns, [255] * len(colors)], [*properties, (number, "alpha")]
    vertex = with_columns(vertices_of(solid), properties, columns, pick(rng, [None, 0]))
    data = ply([vertex, faces_of(solid)], FORMATS[index % 3])
    return file(f"colours {names}", data, solid.truth(colors=linear(colors / 255)))


@kind("ply", "colours of other types and ranges", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    number, high = pick(
        rng, [("float", 1), ("double", 1), ("float", 255), ("ushort", 65535), ("int", 255), ("uint", 255)]
    )
    colors = rng.integers(0, 256, (len(solid.vertices), 3)) / 255
    colors[0] = 1, 0.5, 0
    values = colors * high if number in ("float", "double") else np.round(colors * high)
    vertex = with_columns(
        vertices_of(solid), [(number, n) for n in ("red", "green", "blue")], values.T.tolist()
    )
    data = ply([vertex, faces_of(solid)], FORMATS[index % 3])
    plain = high == 1 or number == "ushort"
    return file(
        f"colours {number} 0..{high}",
        data,
        solid.truth(colors=linear(values / high)),
        say=None if plain else "colo",
    )


@kind("ply", "colours that are none")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    bad = (np.nan, -1.0, 3.7, np.inf, 1e30)[index % 5]
    values = rng.random((len(solid.vertices), 3))
    values[int(rng.integers(len(values))), 1] = bad
    vertex = with_columns(
        vertices_of(solid), [("float", n) for n in ("red", "green", "blue")], values.T.tolist()
    )
    return file(
        f"a colour of {bad}", ply([vertex, faces_of(solid)], FORMATS[index % 3]), None, say="colo|NaN|finite"
    )


@kind("ply", "colours of faces")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    columns = rng.integers(0, 256, (3, len(solid.polygons))).tolist()
    face = with_columns(faces_of(solid), [("uchar", n) for n in ("red", "green", "blue")], columns)
    data = ply([vertices_of(solid), face], FORMATS[index % 3])
    return file("colours of faces", data, solid.truth(), say="colo", always=True)


@kind("ply", "concave polygons", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    solid = concave(rng)
    data = ply([vertices_of(solid, "double"), faces_of(solid)], FORMATS[index % 3])
    return file(f"prism over {len(solid.vertices) // 2} corners", data, solid.truth())


@kind("ply", "faces without area")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng, triangles=True)
    bad = [[0, 1], [0], [], [0, 0, 1], [0, 1, 1, 0]][index % 5]
    name, properties, rows = faces_of(solid)
    data = ply([vertices_of(solid), (name, properties, [*rows, [bad]])], FORMATS[index % 3])
    return file(f"a face {bad}", data, solid.truth(triangles=None), say="face|corner|area")


@kind("ply", "indices that do not exist")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    bad = [[0, 1, -1], [0, 1, 2**31 - 1], [0, 1, len(solid.vertices)]][index % 3]
    name, properties, rows = faces_of(solid)
    data = ply([vertices_of(solid), (name, properties, [*rows, [bad]])], FORMATS[index % 3])
    return file(f"a face {bad}", data, None, say="face|index|vert")


@kind("ply", "coordinates that are none")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    bad = (np.nan, np.inf, -np.inf, 1e300)[index % 4]
    vertices = solid.vertices.copy()
    vertices[int(rng.integers(len(vertices))), int(rng.integers(3))] = bad
    data = ply(
        [vertices_of(replace(solid, vertices=vertices), "double"), faces_of(solid)], FORMATS[index % 3]
    )
    return file(
        f"a coordinate {bad}", data, None, say="NaN|infinit|finite|coordinate|large|far|origin|out of range"
    )


@kind("ply", "counts that lie", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    solid, form = any_solid(rng), FORMATS[index % 3]
    which = ("vertex", "face")[index // 3 % 2]
    true = len(solid.vertices) if which == "vertex" else len(solid.polygons)
    claimed = pick(rng, [true + 1, true - 1, 10**9, 2**31, 10**18, 10**40, -1, true * 2])
    data = ply([vertices_of(solid), faces_of(solid)], form, counts={which: claimed})
    return file(f"{form}, {which} {claimed} instead of {true}", data, None, say=".")


@kind("ply", "bytes behind the end")
def _(rng: np.random.Generator, index: int) -> Input:
    solid, form = any_solid(rng), FORMATS[index % 3]
    data = ply([vertices_of(solid), faces_of(solid)], form)
    extra = (
        b"3 0 1 2\n"
        if form == "ascii"
        else bytes(rng.integers(1, 255, int(rng.integers(1, 30)), np.uint8).tolist())
    )
    return file(
        f"{form}, {len(extra)} bytes more",
        data + extra,
        solid.truth(),
        say="behind|more|end|surplus|left|trailing|byte|rest|after",
        always=True,
    )


@kind("ply", "headers that are none")
def _(rng: np.random.Generator, index: int) -> Input:
    solid = any_solid(rng)
    data = ply([vertices_of(solid), faces_of(solid)], "ascii")
    changes = [
        (b"format ascii 1.0\n", b""),
        (b"end_header\n", b""),
        (b"ply\n", b"\n"),
        (b"format ascii", b"format text"),
        (b"property float x", b"property quad x"),
        (b"element vertex", b"element"),
        (b"property float y\n", b""),
        (b"1.0", b"2.0"),
        (b"property list uchar int", b"property list float int"),
        (b"element vertex", b"property float q\nelement vertex"),
        (b"property float z", b"property float x"),
        (b"element face", b"element vertex"),
    ]
    old, new = changes[index % len(changes)]
    return file(f"{old!r} became {new!r}", data.replace(old, new, 1), None, say=".")


@kind("ply", "clouds with normals and colours", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    points, normals, colors = sphere_cloud(rng)
    columns = [("float", n) for n in ("nx", "ny", "nz")], [("uchar", n) for n in ("red", "green", "blue")]
    element: Element = ("vertex", [("double", c) for c in "xyz"], points.tolist())
    with_normals, with_colors = index % 2 == 0, rng.random() < 0.6
    if with_normals:
        element = with_columns(element, columns[0], normals.T.tolist())
    if with_colors:
        element = with_columns(element, columns[1], colors.T.tolist())
    if rng.random() < 0.4:
        element = with_columns(element, [("float", "scalar_Intensity")], [rng.random(len(points)).tolist()])
    elements = (
        [element] if rng.random() < 0.6 else [element, ("face", [("uchar", "int", "vertex_indices")], [])]
    )
    truth = CloudTruth(
        points, normals if with_normals else None, linear(colors / 255) if with_colors else None
    )
    return file(f"cloud {[p[1] for p in element[1]]}", ply(elements, FORMATS[index % 3]), truth)


@kind("ply", "gaussian splats as points")
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, _ = sphere_cloud(rng, 60)
    names = [
        "nx",
        "ny",
        "nz",
        "f_dc_0",
        "f_dc_1",
        "f_dc_2",
        "opacity",
        "scale_0",
        "scale_1",
        "rot_0",
        "rot_1",
    ]
    values = rng.normal(size=(len(names), 60))
    values[:3] = 0
    element = with_columns(
        ("vertex", [("float", c) for c in "xyz"], points.tolist()),
        [("float", n) for n in names],
        values.tolist(),
    )
    data = ply([element], "binary_little_endian")
    return file("3D Gaussians, normals all zero", data, CloudTruth(points, no_normals=True), say="normal")


@kind("ply", "range grids of scanners")
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, _ = sphere_cloud(rng, 50)
    cells = [[[i]] if i < 50 and rng.random() < 0.9 else [[]] for i in range(80)]
    grid = ("range_grid", [("uchar", "int", "vertex_indices")], cells)
    header = ("obj_info num_cols 10", "obj_info num_rows 8")
    data = ply([("vertex", [("float", c) for c in "xyz"], points.tolist()), grid], FORMATS[index % 3], header)
    return file("vertices and a range_grid", data, CloudTruth(points))


@kind("ply", "clouds with points that are none")
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, _ = sphere_cloud(rng, 80)
    points[rng.integers(80, size=5)] = np.nan
    data = ply([("vertex", [("float", c) for c in "xyz"], points.tolist())], FORMATS[index % 3])
    return file("5 points are NaN", data, None, say="NaN|finite", read="load_points")
