"""PLY files as scanners and modelling programs write them."""

import struct
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto.errors import InputError, InputWarning
from bozzetto.shapes import load_mesh, load_points, load_shape

BINARY = b"ply\nformat binary_little_endian 1.0\n"
SQUARE = [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 1.0, 0.0), (0.0, 1.0, 0.0)]


def header(form: str, *elements: str) -> bytes:
    return "\n".join(["ply", f"format {form} 1.0", "comment test", *elements, "end_header", ""]).encode()


def vertices(order: str, kind: str = "f") -> bytes:
    return b"".join(struct.pack(order + 3 * kind, *p) for p in SQUARE)


@pytest.mark.parametrize(("form", "order"), [("binary_little_endian", "<"), ("binary_big_endian", ">")])
def test_triangles_and_quads_mixed(tmp_path, form, order):
    data = header(
        form,
        *("element vertex 4", "property double x", "property double y", "property double z"),
        *("element face 3", "property uchar flag", "property list uchar uint vertex_index"),
    )
    data += vertices(order, "d")
    for corners in ((0, 1, 2), (0, 1, 2, 3), (1, 2, 3)):
        data += struct.pack(f"{order}BB{len(corners)}I", 7, len(corners), *corners)
    (tmp_path / "a.ply").write_bytes(data)
    mesh = load_mesh(tmp_path / "a.ply")
    assert mesh.vertices.tolist() == [list(p) for p in SQUARE]
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 1, 2], [0, 2, 3], [1, 2, 3]]
    (tmp_path / "b.ply").write_bytes(data[:-2])
    with pytest.raises(InputError, match="ends too early"):
        load_mesh(tmp_path / "b.ply")


def test_range_scan_with_a_grid_of_empty_and_single_lists(tmp_path):
    data = header(
        "binary_big_endian",
        "obj_info num_cols 3",
        *("element vertex 4", "property float x", "property float y", "property float z"),
        *("element range_grid 3", "property list uchar int vertex_indices"),
    )
    data += vertices(">") + b"\0" + struct.pack(">Bi", 1, 2) + b"\0"
    (tmp_path / "a.ply").write_bytes(data)
    assert load_points(tmp_path / "a.ply").points.tolist() == [list(p) for p in SQUARE]
    with pytest.raises(InputError, match="4 vertices and no faces"):
        load_mesh(tmp_path / "a.ply")


def test_an_element_before_the_vertices_is_skipped(tmp_path):
    data = header(
        "binary_little_endian",
        *("element camera 2", "property list uchar float view"),
        *("element vertex 4", "property float x", "property float y", "property float z"),
        *("property uchar red", "property uchar green", "property uchar blue"),
    )
    data += struct.pack("<BffB", 2, 1.0, 2.0, 0)
    data += b"".join(struct.pack("<fffBBB", *p, 255, 0, 255) for p in SQUARE)
    (tmp_path / "a.ply").write_bytes(data)
    cloud = load_points(tmp_path / "a.ply")
    assert torch.equal(cloud.colors, torch.tensor([[1.0, 0.0, 1.0]]).expand(4, 3))


@pytest.mark.parametrize(
    "data",
    [
        b"ply\nformat ascii 1.0\nelement vertex 1\n",
        b"ply\nelement vertex 1\nproperty float x\nend_header\n0\n",
        b"ply\nformat ascii 1.0\nelement vertex 1\nproperty quad x\nend_header\n0\n",
        b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n0\n",
        BINARY + b"element vertex 99999999999\nproperty float x\nend_header\n0\n",
        BINARY + b"element face 9\nproperty list int int x\nend_header\n\xff\xff\xff\xff",
    ],
    ids=["open header", "no format", "unknown type", "no y", "absurd count", "negative length"],
)
def test_nonsense_is_refused(tmp_path, data):
    (tmp_path / "a.ply").write_bytes(data)
    with pytest.raises(InputError, match="cannot be read as PLY"):
        load_mesh(tmp_path / "a.ply")


NAMES = {
    "f4": "float float32",
    "f8": "double float64",
    "u1": "uchar uint8",
    "i4": "int int32",
    "u2": "ushort uint16",
}
COLORS = ["red green blue", "diffuse_red diffuse_green diffuse_blue", "r g b", "Red Green Blue"]


@settings(deadline=None, max_examples=80)
@given(st.data())
def test_every_way_of_writing_a_mesh_reads_the_same(tmp_path_factory, data):
    """All forms, line ends, types, names and orders of properties and elements, with other columns."""
    draw, pick = data.draw, lambda *choices: data.draw(st.sampled_from(choices))
    form = pick("ascii", "binary_little_endian", "binary_big_endian")
    end = pick("\n", "\r\n", "\r")
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    turn = np.arange(6) + rng.random()
    points = np.stack([np.cos(turn), np.sin(turn), np.full(6, rng.random())], axis=1).astype("f4")
    normals = rng.normal(size=(6, 3)).astype("f4")
    colors = rng.integers(0, 256, (6, 3))
    polygons = [np.sort(rng.permutation(6)[: rng.integers(3, 6)]).tolist() for _ in range(5)]
    color_type = pick("u1", "f4", "u2")
    scale = {"u1": 1, "f4": 1 / 255, "u2": 257}[color_type]
    columns = [("x y z", pick("f4", "f8"), points), ("nx ny nz", pick("f4", "f8"), normals)]
    columns += [(pick(*COLORS), color_type, colors * scale), ("quality", "f4", rng.random((6, 1)))]
    columns = [columns[i] for i in rng.permutation(4)]
    order = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}[form]

    def row(cells):
        cells = list(cells)
        if form == "ascii":
            return " ".join(f"{np.array(v, kind)!s}" for kind, v in cells).encode() + end.encode()
        return b"".join(np.array(v).astype(order + kind).tobytes() for kind, v in cells)

    def name(kind):
        return pick(*NAMES[kind].split())

    vertex = [f"element vertex {len(points)}"]
    vertex += [f"property {name(kind)} {word}" for names, kind, _ in columns for word in names.split()]
    vertex_rows = [row((kind, v) for _, kind, table in columns for v in table[i]) for i in range(6)]
    face = ["element face 5", f"property list uchar {name('i4')} {pick('vertex_indices', 'vertex_index')}"]
    face += ["property list uchar float texcoord"]
    face_rows = [
        row([("u1", len(p)), *(("i4", c) for c in p), ("u1", k), *(("f4", 0.5) for _ in range(k))])
        for k, p in enumerate(polygons)
    ]
    camera, camera_rows = ["element camera 1", "property float view_px"], [row([("f4", 1.0)])]
    parts = [(vertex, vertex_rows), (face, face_rows), (camera, camera_rows)]
    parts = [parts[i] for i in rng.permutation(3)]
    lines = [
        "ply",
        f"format {form} 1.0",
        "comment by hand",
        "obj_info num_cols 5",
        *chain(*(h for h, _ in parts)),
    ]
    head = end.join([*lines, "end_header", ""]).encode()
    path = tmp_path_factory.mktemp("ply") / "a.ply"
    path.write_bytes(pick(b"", b"\n", b"\xef\xbb\xbf") + head + b"".join(chain(*(r for _, r in parts))))
    with pytest.warns(InputWarning, match="of its vertex properties quality was left out"):
        mesh, cloud = load_mesh(path), load_points(path)
    assert np.array_equal(mesh.vertices.numpy(), points)
    assert np.array_equal(cloud.normals.numpy(), normals)
    linear = np.where(colors <= 10, colors / 255 / 12.92, ((colors / 255 + 0.055) / 1.055) ** 2.4)
    assert np.allclose(mesh.colors.numpy(), linear, atol=1e-5)
    assert mesh.faces.tolist() == [[p[0], p[k], p[k + 1]] for p in polygons for k in range(1, len(p) - 1)]


def ascii_ply(elements: list[str], *rows: str) -> bytes:
    head = header(
        "ascii", *("element vertex 4", "property float x", "property float y", "property float z"), *elements
    )
    points = "".join(" ".join(map(str, p)) + "\n" for p in SQUARE)
    return head + points.encode() + "\n".join([*rows, ""]).encode()


def shape_of(folder, data: bytes):
    (folder / "a.ply").write_bytes(data)
    return load_shape(folder / "a.ply")


FACES = ["element face 1", "property list uchar int vertex_indices"]


@pytest.mark.parametrize(
    ("elements", "row", "faces"),
    [
        (
            ["element tristrips 1", "property list int int vertex_indices"],
            "4 0 1 3 2",
            [[0, 1, 3], [3, 1, 2]],
        ),
        (
            ["element tristrips 1", "property list int int vertex_indices"],
            "8 0 1 2 -1 3 0 1 2",
            [[0, 1, 2], [3, 0, 1], [1, 0, 2]],
        ),
        (
            ["element tristrips 2", "property list int int vertex_indices"],
            "3 0 1 2\n3 1 2 3",
            [[0, 1, 2], [1, 2, 3]],
        ),
        (["element tristrips 1", "property list int int vertex_indices"], "6 0 1 1 2 2 3", []),
        (["element polygon 1", "property list uchar int vertex_indices"], "3 0 1 2", [[0, 1, 2]]),
        (["element face 1", "property list uchar int corners"], "3 0 1 2", [[0, 1, 2]]),
        (FACES, "3\n0 1\n2", [[0, 1, 2]]),
    ],
)
def test_faces_in_other_words(tmp_path, elements, row, faces):
    shape = shape_of(tmp_path, ascii_ply(elements, row))
    assert (shape.faces.tolist() if faces else []) == faces


@pytest.mark.parametrize(
    ("elements", "row", "word"),
    [
        (
            ["element edge 1", "property int vertex1", "property int vertex2"],
            "0 1",
            r"element edge \(1 rows\)",
        ),
        (FACES, "3 0 1 2\n9 9", "1 lines behind"),
        (["made by hand", *FACES], "3 0 1 2", "'made by hand', which is not PLY"),
        (FACES, "2 0 1", "fewer than three corners"),
        (
            [*FACES, "property uchar red", "property uchar green", "property uchar blue"],
            "3 0 1 2 255 0 0",
            "colours of its faces",
        ),
    ],
)
def test_what_is_left_out_is_said(tmp_path, elements, row, word):
    with pytest.warns(InputWarning, match=word):
        shape_of(tmp_path, ascii_ply(elements, row))


@pytest.mark.parametrize(
    ("data", "word", "damaged"),
    [
        (
            ascii_ply(["element face 1", "property int a", "property int b"], "0 1"),
            "no list vertex_indices",
            False,
        ),
        (
            ascii_ply(["element face 1", "property list uchar float vertex_indices"], "3 0 1 2"),
            "integers",
            False,
        ),
        (header("ascii", "element face 1", "property int a") + b"1\n", "no vertices, only face", False),
        (header("ascii", "element vertex 1", "property float u") + b"1\n", "no x, y and z, only u", False),
        (ascii_ply(FACES + FACES, "3 0 1 2\n3 0 1 2"), "same name", False),
        (b"solid\n", "first line is not ply; check the ending", False),
        (ascii_ply(FACES, "3 0 1"), "row 0 of face has too few numbers, 3", True),
        (ascii_ply(FACES, "3 0 1 2 9"), "row 0 of face has 5 numbers, expected 4", True),
        (ascii_ply(FACES, "3 0 1 1.5"), "int32 but holds 1.5", True),
        (ascii_ply(FACES, "300 0 1 2"), "uint8 but holds 300", True),
        (ascii_ply(["element face 1000000000000", FACES[1]], "3 0 1 2"), "1000000000000 rows of face", True),
        (header("binary_little_endian", "element vertex 1", "mystery 7"), "a line 'mystery 7'", True),
        (ascii_ply(["property float"]), "a line 'property float'", True),
        (ascii_ply(["element face -1"]), "-1 rows", True),
    ],
)
def test_what_is_refused(tmp_path, data, word, damaged):
    with pytest.raises(InputError, match=word) as caught:
        shape_of(tmp_path, data)
    assert ("damaged" in str(caught.value)) == damaged


def test_bytes_behind_the_end(tmp_path):
    data = header("binary_little_endian", "element vertex 4", *(f"property float {axis}" for axis in "xyz"))
    with pytest.warns(InputWarning, match="5 bytes behind its last element"):
        assert len(shape_of(tmp_path, data + vertices("<") + bytes(5))) == 4


def test_integer_colours_of_other_types_follow_their_values(tmp_path):
    data = header("ascii", "element vertex 1", *(f"property float {axis}" for axis in "xyz"))
    for kind in ("int", "ushort", "double"):
        words = "".join(f"property {kind} {name}\n" for name in ("red", "green", "blue")).encode()
        with pytest.warns(InputWarning, match="0 to 255"):
            cloud = shape_of(
                tmp_path, data.replace(b"end_header", words + b"end_header") + b"1 2 3 255 255 0\n"
            )
        assert cloud.colors.tolist() == [[1, 1, 0]]
