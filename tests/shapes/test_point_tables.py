"""Clouds in text: separators, headers and columns are told apart, said, or refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto.errors import InputError, InputWarning
from bozzetto.images import srgb_to_linear
from bozzetto.shapes import load_points

RNG = np.random.default_rng(0)
POINTS = RNG.integers(-800, 800, (40, 3)) / 64
NORMALS = RNG.normal(size=(40, 3))
NORMALS = np.round(NORMALS / np.linalg.norm(NORMALS, axis=1, keepdims=True), 4)
COLORS = RNG.integers(0, 256, (40, 3))
EXTRA = RNG.normal(size=(40, 1)) * 100


def text(*columns, separator: str = " ", comma: bool = False, head: str = "", end: str = "\n") -> str:
    rows = [separator.join(f"{v:g}" for part in columns for v in part[i]) for i in range(len(POINTS))]
    body = "\n".join(rows)
    return (head + (body.replace(".", ",") if comma else body) + "\n").replace("\n", end)


def loaded(folder, content: str | bytes, ending: str = "xyz"):
    path = folder / f"a.{ending}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_points(path)


def assert_is(cloud, normals: bool, colors: bool) -> None:
    assert np.allclose(cloud.points.numpy(), POINTS)
    assert (cloud.normals is not None, cloud.colors is not None) == (normals, colors)
    if normals:
        assert np.allclose(cloud.normals.numpy(), NORMALS, atol=1e-6)
    if colors:
        expected = srgb_to_linear(cloud.colors.new_tensor(COLORS / 255))
        assert np.allclose(cloud.colors.numpy(), expected.numpy(), atol=1e-6)


@settings(deadline=None, max_examples=80)
@given(
    separation=st.sampled_from([(" ", False), ("\t", False), (",", False), (", ", False), (";", False)])
    | st.sampled_from([(";", True), ("; ", True), (" ", True), ("\t", True)]),
    ending=st.sampled_from(["xyz", "txt", "csv", "asc", "pts"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    head=st.sampled_from(["", "# a cloud\n", "// a cloud\n", "40\n"]),
    with_normals=st.booleans(),
)
def test_separators_and_encodings(tmp_path_factory, separation, ending, end, encoding, head, with_normals):
    separator, comma = separation
    columns = [POINTS, NORMALS] if with_normals else [POINTS]
    content = text(*columns, separator=separator, comma=comma, head=head, end=end)
    assert_is(loaded(tmp_path_factory.mktemp("xyz"), content.encode(encoding), ending), with_normals, False)


@pytest.mark.parametrize("separator", [" ", ",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "# ", "//"])
def test_named_columns_in_any_order(tmp_path, separator, mark):
    """A header tells all: which columns are colours, and what of the rest is left aside."""
    names = ["Red", '"Green"', "b", "scalar[m]", "nx", "ny", "nz", "X", "Y(m)", "z"]
    head = mark + separator.join(names) + "\n"
    columns = [COLORS, EXTRA, NORMALS, POINTS]
    with pytest.warns(InputWarning, match="of its columns scalar was left out"):
        cloud = loaded(tmp_path, text(*columns, separator=separator, head=head))
    assert_is(cloud, True, True)


@pytest.mark.parametrize(
    ("columns", "normals", "colors", "word"),
    [
        ([POINTS, EXTRA], False, False, "its column 4 was left out"),
        ([POINTS, COLORS], False, True, "columns 4 to 6 .* colours from 0 to 255"),
        ([POINTS, COLORS / 255], False, True, "columns 4 to 6 .* colours from 0 to 1"),
        ([POINTS, COLORS, 0 * EXTRA + 255], False, True, "column 7"),
        ([POINTS, EXTRA, COLORS], False, True, "columns 5 to 7 .* colours"),
        ([POINTS, NORMALS, EXTRA], True, False, "column 7"),
        ([POINTS, COLORS, NORMALS], True, True, "columns 4 to 6 .* colours"),
        ([POINTS, EXTRA, NORMALS, COLORS], True, True, "column 4"),
    ],
)
def test_guesses_are_said(tmp_path, columns, normals, colors, word):
    with pytest.warns(InputWarning, match=word):
        cloud = loaded(tmp_path, text(*columns).replace("e-", "e-"))
    if colors and "0 to 1" in word:
        cloud = type(cloud)(cloud.points, None, srgb_to_linear(cloud.colors.new_tensor(COLORS / 255)))
    assert_is(cloud, normals, colors)


def test_points_with_intensity_and_colour_as_in_pts(tmp_path):
    with pytest.warns(InputWarning, match="column 4"):
        assert_is(loaded(tmp_path, text(POINTS, COLORS[:, :1], COLORS, head="40\n"), "pts"), False, True)


def test_normals_and_colours_together_need_no_word(tmp_path):
    assert_is(loaded(tmp_path, text(POINTS, NORMALS, COLORS)), True, True)


@pytest.mark.parametrize(
    ("content", "word", "damaged"),
    [
        (text(POINTS, EXTRA, EXTRA), "hold 5 numbers.*name the columns", False),
        (text(POINTS, COLORS, COLORS[:, :1]), "hold 7 numbers.*is unknown", False),
        (text(POINTS, POINTS * 1000), "hold 6 numbers.*is unknown", False),
        (text(POINTS, separator=",", comma=True), "commas|numbers", False),
        ("3\nwater\nO 0 0 0\nH 0 1 0\nH 1 0 0\n", "molecule", False),
        ("0,1,0,05,0,2\n0,2,0,15,0,3\n", "commas seem to separate", False),
        ("1 2 3\n4 5\n", "'4 5' holds 2", True),
        ("1 2 3\n4 5 six\n", "'4 5 six'", True),
        ("5\n1 2 3\n", "5 points announced, 1 found", True),
        ("1,5 2,5\n1,5 2,5\n", "numbers only", True),
        ("1.5,2.5 3.5\n1 2\n", "numbers|holds", True),
        ("", "it is empty", False),
        (b"\x00\x01\x02" * 50, "no text", False),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path, content, word, damaged):
    with pytest.raises(InputError, match=word) as caught:
        loaded(tmp_path, content)
    assert damaged or "damaged" not in str(caught.value)


def test_a_header_without_coordinates_is_said(tmp_path):
    with pytest.warns(InputWarning, match="names no x, y and z"):
        assert_is(loaded(tmp_path, text(POINTS, head="scanned by hand\n")), False, False)
