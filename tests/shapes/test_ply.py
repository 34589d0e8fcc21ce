"""PLY files as scanners and modelling programs write them."""

import struct

import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.shapes import load_mesh, load_points

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
