"""STL, binary and ASCII, as exporters get it right and wrong."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto.errors import InputError, InputWarning
from bozzetto.shapes import box, load_mesh

CORNERS = box((2, 1, 3)).corners().numpy()


def binary(
    head: bytes = b"made by hand", count: int = 12, attribute: int = 0, normal=(0.0, 0.0, 0.0)
) -> bytes:
    rows = [struct.pack("<12fH", *normal, *facet.ravel(), attribute) for facet in CORNERS]
    return head.ljust(80, b" ") + struct.pack("<I", count) + b"".join(rows)


def text(normal: str = "0 0 0", end: str = "endsolid", solids: int = 1) -> str:
    lines = []
    for part in np.array_split(CORNERS, solids):
        lines.append("solid part of a vertex")
        for facet in part:
            lines += [f"  facet normal {normal}", "    outer loop"]
            lines += ["      vertex " + " ".join(f"{v:e}" for v in corner) for corner in facet]
            lines += ["    endloop", "  endfacet"]
        lines += [end] if end else []
    return "\n".join(lines) + "\n"


def loaded(folder, data: str | bytes):
    (folder / "a.stl").write_bytes(data if isinstance(data, bytes) else data.encode())
    mesh = load_mesh(folder / "a.stl")
    assert np.array_equal(mesh.corners().numpy(), CORNERS)
    return mesh


@settings(deadline=None, max_examples=40)
@given(
    normal=st.sampled_from(["0 0 0", "nan nan nan", "-nan(ind) 0 0"]),
    end=st.sampled_from(["endsolid", "endsolid name", "ENDSOLID part"]),
    solids=st.integers(1, 3),
    upper=st.booleans(),
    breaks=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    indent=st.booleans(),
)
def test_text(tmp_path_factory, normal, end, solids, upper, breaks, encoding, indent):
    content = text(normal, end, solids)
    content = content.upper() if upper else content
    content = content if indent else "\n".join(map(str.strip, content.split("\n")))
    loaded(tmp_path_factory.mktemp("stl"), content.replace("\n", breaks).encode(encoding))


@settings(deadline=None, max_examples=20)
@given(st.sampled_from([b"", b"solid", b"solid facet normal", b"SOLID \0\0", bytes(80), b"COLOR=\1\2\3\4"]))
def test_binary_whatever_its_header_says(tmp_path_factory, head):
    loaded(tmp_path_factory.mktemp("stl"), binary(head))


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (binary(count=0), "announces 0 facets; the 12"),
        (binary(count=2**32 - 1), "the 12 that are there"),
        (binary() + bytes(7), "7 bytes behind"),
        (binary(b"solid x") + bytes(60), "60 bytes behind"),
        (binary(attribute=0x8123), "attributes"),
        (text(end=""), "does not end with endsolid"),
        (text().replace("endloop", "endloop\ncolor 1 0 0", 1), "'color 1 0 0' are not STL"),
    ],
)
def test_what_is_odd_is_said(tmp_path, data, word):
    with pytest.warns(InputWarning, match=word):
        loaded(tmp_path, data)


def test_normals_against_the_order_of_corners(tmp_path):
    flipped = CORNERS[:, [0, 2, 1]]
    normals = np.cross(CORNERS[:, 1] - CORNERS[:, 0], CORNERS[:, 2] - CORNERS[:, 0])
    rows = [struct.pack("<12fH", *n, *f.ravel(), 0) for n, f in zip(normals, flipped, strict=True)]
    (tmp_path / "a.stl").write_bytes(bytes(80) + struct.pack("<I", 12) + b"".join(rows))
    with pytest.warns(InputWarning, match="normals of its facets point against"):
        mesh = load_mesh(tmp_path / "a.stl")
    assert np.array_equal(mesh.corners().numpy(), flipped)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (binary()[:-1], "12 facets announced, 11 found"),
        (binary(count=13), "13 facets announced"),
        (binary(count=2**31), "announced, 12 found"),
        (b"abc", "too few"),
        (text()[:-60].encode(), "make a facet"),
        (text().replace("vertex -1", "vertex x", 1).encode(), "no number"),
        (text().replace("    endloop\n", "", 1).encode(), "11 end"),
        (text().replace("e+00\n", "e+00 7\n", 1).encode(), "35 vertices in 12 loops"),
    ],
)
def test_what_is_broken_is_refused(tmp_path, data, word):
    with pytest.raises(InputError, match=word):
        loaded(tmp_path, data)
