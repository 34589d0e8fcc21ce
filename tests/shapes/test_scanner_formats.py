"""PCD in its three forms, with fields of any type, colours packed in floats, and points without measurement."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto.errors import InputError, InputWarning
from bozzetto.shapes import load_points

RNG = np.random.default_rng(0)
POINTS = RNG.integers(-900, 900, (30, 3)) / 64
NORMALS = RNG.normal(size=(30, 3)).astype("f4")
COLORS = RNG.integers(0, 256, (30, 3))


def lzf(data: bytes) -> bytes:
    """LZF that refers back where four bytes come again within reach, and else copies."""
    out, literals, at = bytearray(), bytearray(), 0

    def flush() -> None:
        while literals:
            part = literals[:32]
            out.extend([len(part) - 1, *part])
            del literals[:32]

    while at < len(data):
        back = data.rfind(data[at : at + 4], max(0, at - 8192), at) if at + 4 <= len(data) else -1
        if back < 0:
            literals.append(data[at])
            at += 1
            continue
        flush()
        length = 4
        while at + length < len(data) and length < 264 and data[back + length] == data[at + length]:
            length += 1
        offset, code = at - back - 1, length - 2
        out.extend([min(code, 7) << 5 | offset >> 8, *([code - 7] if code >= 7 else []), offset & 255])
        at += length
    flush()
    return bytes(out)


def written(form: str, fields: list[tuple[str, str, np.ndarray]], end: str = "\n", **header) -> bytes:
    count = len(fields[0][2])
    names = [name for name, _, _ in fields]
    head = {
        "VERSION": "0.7",
        "FIELDS": " ".join(names),
        "SIZE": " ".join(kind[1] for _, kind, _ in fields),
        "TYPE": " ".join({"f": "F", "i": "I", "u": "U"}[kind[0]] for _, kind, _ in fields),
        "COUNT": " ".join("1" for _ in fields),
        "WIDTH": count,
        "HEIGHT": 1,
        "VIEWPOINT": "0 0 0 1 0 0 0",
        "POINTS": count,
        **header,
        "DATA": form,
    }
    lines = ["# .PCD v0.7 - Point Cloud Data", *(f"{k} {v}" for k, v in head.items() if v is not None)]
    text = end.join([*lines, ""]).encode()
    columns = [np.asarray(values).astype("<" + kind) for _, kind, values in fields]
    if form == "ascii":
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return text + end.join(" ".join(map(str, row)) for row in rows).encode() + end.encode()
    if form == "binary":
        return text + b"".join(b"".join(c[i : i + 1].tobytes() for c in columns) for i in range(count))
    data = b"".join(column.tobytes() for column in columns)
    packed = lzf(data)
    return text + len(packed).to_bytes(4, "little") + len(data).to_bytes(4, "little") + packed


def fields(kind: str = "f4") -> list[tuple[str, str, np.ndarray]]:
    return [(name, kind, POINTS[:, axis]) for axis, name in enumerate("xyz")]


def loaded(folder, data: bytes):
    (folder / "a.pcd").write_bytes(data)
    return load_points(folder / "a.pcd")


@settings(deadline=None, max_examples=60)
@given(
    form=st.sampled_from(["ascii", "binary", "binary_compressed"]),
    kind=st.sampled_from(["f4", "f8"]),
    packed=st.sampled_from(["f4", "u4", "none"]),
    order=st.permutations(range(8)),
    count=st.booleans(),
)
def test_forms_types_and_orders_of_fields(tmp_path_factory, form, kind, packed, order, count):
    made = fields(kind)
    made += [(f"normal_{axis}", "f4", NORMALS[:, i]) for i, axis in enumerate("xyz")]
    bits = (COLORS[:, 0] << 16 | COLORS[:, 1] << 8 | COLORS[:, 2]).astype("<u4")
    if packed != "none":
        made.append(("rgb", packed, bits.view("<f4") if packed == "f4" else bits))
    made.append(("ring", "u2", np.arange(30)))
    made = [made[i] for i in order if i < len(made)]
    data = written(form, made, COUNT=None) if not count else written(form, made)
    with warnings.catch_warnings(record=True) as issued:
        warnings.simplefilter("always", InputWarning)
        cloud = loaded(tmp_path_factory.mktemp("pcd"), data)
    has_ring = any(name == "ring" for name, _, _ in made)
    assert [str(one.message).split(": ")[1] for one in issued] == [
        "of its fields ring was left out"
    ] * has_ring
    assert np.array_equal(cloud.points.numpy(), POINTS)
    assert np.array_equal(cloud.normals.numpy(), NORMALS)
    assert (cloud.colors is None) == (packed == "none")
    if cloud.colors is not None:
        linear = np.where(COLORS <= 10, COLORS / 255 / 12.92, ((COLORS / 255 + 0.055) / 1.055) ** 2.4)
        assert np.allclose(cloud.colors.numpy(), linear, atol=1e-6)


@pytest.mark.parametrize("form", ["ascii", "binary", "binary_compressed"])
def test_points_without_measurement_are_left_out_with_a_word(tmp_path, form):
    holes = fields()
    for _, _, values in holes:
        values[::3] = np.nan
    with pytest.warns(InputWarning, match="10 of its 30 points have no measurement"):
        cloud = loaded(tmp_path, written(form, [(n, k, v) for n, k, v in holes]))
    assert np.array_equal(cloud.points.numpy(), np.delete(POINTS, range(0, 30, 3), axis=0))


@pytest.fixture(autouse=True)
def untouched():
    before = POINTS.copy()
    yield
    POINTS[:] = before


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (written("ascii", fields(), VIEWPOINT="1 0 0 1 0 0 0"), "viewpoint was left out"),
        (written("binary", fields()) + b"12345", "5 bytes behind its last point"),
    ],
)
def test_what_is_left_out_is_said(tmp_path, data, word):
    with pytest.warns(InputWarning, match=word):
        assert len(loaded(tmp_path, data)) == 30


@pytest.mark.parametrize(
    ("data", "word", "damaged"),
    [
        (written("ascii", [("u", "f4", POINTS[:, 0])]), "no fields x, y and z, only u", False),
        (written("binary", fields(), POINTS=10**12), "1000000000000 points announced", True),
        (written("ascii", fields(), POINTS=31), "31 points of 3 numbers announced, 90", True),
        (written("binary_compressed", fields(), POINTS=31), "31 points are 372 bytes, 360 announced", True),
        (written("binary_compressed", fields())[:-9], "packed bytes announced", True),
        (written("binary", fields())[:-1], "30 points announced, 29 found", True),
        (written("ascii", fields(), SIZE="4 4 3"), "size 3", True),
        (written("ascii", fields(), TYPE="F F"), "differ in number", True),
        (written("ascii", fields()).replace(b"DATA ascii", b"DATA braille"), "DATA is braille", True),
        (b"# .PCD v0.7\nVERSION 0.7\n", "header does not end", True),
        (written("ascii", fields(), POINTS="many"), "POINTS is many", True),
    ],
)
def test_what_is_refused(tmp_path, data, word, damaged):
    with pytest.raises(InputError, match=word) as caught:
        loaded(tmp_path, data)
    assert ("damaged" in str(caught.value)) == damaged
