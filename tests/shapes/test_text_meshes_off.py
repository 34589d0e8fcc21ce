"""OFF with every prefix of its header, as Geomview and the collections have it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto.errors import InputError, InputWarning
from bozzetto.shapes import load_mesh, load_points

POINTS = [(0, 0, 0), (2, 0, 0), (2, 1, 0), (0, 1, 0.5)]


def written(texture="", color="", normal="", four="", glue="\n", edges=" 5", ints=False, tail="") -> str:
    lines = []
    for x, y, z in POINTS:
        words = [2 * x, 2 * y, 2 * z, 2] if four else [x, y, z]
        words += [0, 0, 1] if normal else []
        words += ([255, 0, 51] if ints else [1.0, 0.0, 0.2]) if color else []
        words += [0.25, 0.75] if texture else []
        lines.append(" ".join(map(str, words)))
    head = f"{texture}{color}{normal}{four}OFF{glue}4 2{edges}\n"
    return head + "\n".join(lines) + f"\n# faces\n\n3 0 1 2{tail} # first\n3 0 2 3{tail}\n"


def loaded(folder, text: str, load=load_mesh):
    (folder / "a.off").write_text(text)
    return load(folder / "a.off")


@settings(deadline=None, max_examples=60)
@given(
    texture=st.sampled_from(["", "ST"]),
    color=st.sampled_from(["", "C"]),
    normal=st.sampled_from(["", "N"]),
    four=st.sampled_from(["", "4"]),
    glue=st.sampled_from(["\n", " ", "", "\r\n", "\n\n# note\n"]),
    edges=st.sampled_from(["", " 0", " 5"]),
    ints=st.booleans(),
)
def test_headers(tmp_path_factory, texture, color, normal, four, glue, edges, ints):
    folder = tmp_path_factory.mktemp("off")
    text = written(texture, color, normal, four, glue, edges, ints)
    mesh = loaded(folder, text)
    assert np.allclose(mesh.vertices.numpy(), POINTS)
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert (mesh.colors is None) == (not color)
    if color:
        assert mesh.colors[0].tolist() == pytest.approx([1, 0, 0.0331048], abs=1e-5)
    cloud = loaded(folder, text, load_points)
    assert (cloud.normals is None) == (not normal)
    if normal:
        assert cloud.normals[3].tolist() == [0, 0, 1]


@pytest.mark.parametrize("tail", [" 255 0 0", " 0.9 0.1 0.1", " 0.9 0.1 0.1 0.5", " 7"])
def test_colours_of_faces_are_left_out_with_a_word(tmp_path, tail):
    with pytest.warns(InputWarning, match="colours of its faces"):
        assert loaded(tmp_path, written(tail=tail)).faces.tolist() == [[0, 1, 2], [0, 2, 3]]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (
            written().replace("0 1 0.5", "0 1 0.5 9").replace("0 0\n", "0 0 9\n").replace("1 0\n", "1 0 9\n"),
            "1 numbers",
        ),
        (written() + "9 9 9\n", "1 lines behind its last face"),
        (written().replace("3 0 2 3", "2 0 2"), "fewer than three corners"),
    ],
)
def test_what_is_left_out_is_said(tmp_path, text, word):
    with pytest.warns(InputWarning, match=word):
        loaded(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "word", "damaged"),
    [
        (written().replace("OFF", "nOFF"), "nOFF", False),
        ("OFF BINARY\n\0\0", "binary OFF", False),
        (written(four="4").replace(" 2\n", " 0\n"), "infinity", False),
        ("solid\n", "first line is not OFF; check the ending", False),
        ("OFF\n", "numbers of vertices and faces are missing", True),
        ("OFF\n4\n", "missing", True),
        ("OFF\n-4 2 0\n", "missing", True),
        ("OFF\n1000000000000 2 0\n0 0 0\n", "announced, 1 lines", True),
        (written(color="C").replace("COFF", "CNOFF"), "header announces 9", True),
        (written().replace("3 0 2 3", "4 0 2 3"), "announces 4", True),
        (written().replace("3 0 2 3", "-1 0 2 3"), "announces -1", True),
        (written().replace("2 1 0", "2 1 x"), "x", True),
    ],
)
def test_what_is_refused(tmp_path, text, word, damaged):
    with pytest.raises(InputError, match=word) as caught:
        loaded(tmp_path, text)
    assert ("damaged" in str(caught.value)) == damaged
