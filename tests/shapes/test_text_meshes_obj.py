"""Wavefront OBJ as programs write it, and what else the format allows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto.errors import InputError, InputWarning
from bozzetto.images import srgb_to_linear
from bozzetto.shapes import box, load_mesh, load_points, load_shape

CUBE = "".join(f"v {x} {y} {z}\n" for x in (0, 2) for y in (0, 1) for z in (0, 3))
QUADS = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]
SIDES = "".join("f " + " ".join(map(str, quad)) + "\n" for quad in QUADS)


def volume(mesh) -> float:
    return float(np.linalg.det(mesh.corners().double().numpy()).sum() / 6)


def loaded(folder, text: str | bytes, load=load_mesh):
    path = folder / "a.obj"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(path)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_every_way_of_writing_a_box_reads_the_same(tmp_path_factory, data):
    """Line ends, encodings, comments, continuations, blanks, indices from either end, textures and normals."""
    draw = data.draw
    blank = st.sampled_from([" ", "  ", "\t", " \t "])
    form = draw(st.sampled_from(["{0}", "{0}/1", "{0}//1", "{0}/1/1"]))
    lines = ["# made by hand", "mtllib a#b.mtl", "vt 0 0", "vn 0 0 1", "o box # one", "g", "s off"]
    for line in CUBE.splitlines():
        lines.append(draw(blank).join(line.split()) + draw(st.sampled_from(["", " ", " # corner", " 1.0"])))
    for quad in QUADS:
        back = draw(st.booleans())
        joint = draw(st.sampled_from([" ", " \\\n", "\\\n ", " \\ \n "]))
        corners = [form.format(i - 9 if back else i) for i in quad]
        lines.append("f " + corners[0] + draw(blank) + corners[1] + joint + " ".join(corners[2:]))
        lines.append(draw(st.sampled_from(["", "usemtl x", "# C:\\paths\\", "l 1 2"][:3])))
    text = "\n".join(lines) + draw(st.sampled_from(["", "\n"]))
    text = text.replace("\n", draw(st.sampled_from(["\n", "\r\n", "\r"])))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"]))
    mesh = loaded(tmp_path_factory.mktemp("obj"), text.encode(encoding))
    assert mesh.faces.tolist() == [[q[i] - 1 for i in t] for q in QUADS for t in ((0, 1, 2), (0, 2, 3))]
    assert volume(mesh) == pytest.approx(6)
    assert len(mesh.vertices) == 8


@pytest.mark.parametrize("form", ["{:.3f}", "{:.0f} 1", "{} 0.5"], ids=["floats", "alpha", "half"])
def test_colours_of_any_range(tmp_path, form):
    if form == "{:.3f}":
        mesh = loaded(tmp_path, CUBE.replace("\n", " 1.0 0.5 0.0\n") + SIDES)
    else:
        with pytest.warns(InputWarning, match="0 to 255"):
            mesh = loaded(tmp_path, CUBE.replace("\n", " 255 127.5 0" + " 1" * ("1" in form) + "\n") + SIDES)
    expected = srgb_to_linear(mesh.colors.new_tensor([1, 0.5, 0]))
    assert mesh.colors[0].tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_colours_of_some_vertices_only(tmp_path):
    with pytest.warns(InputWarning, match="7 of its 8 vertices have no colour"):
        mesh = loaded(tmp_path, CUBE.replace("\n", " 1 0 0\n", 1) + SIDES)
    assert mesh.colors[:2].tolist() == [[1, 0, 0], [1, 1, 1]]


def test_normals_that_belong_to_one_vertex_each(tmp_path):
    normals = "vn 1 0 0\nvn 0 1 0\n"
    cloud = loaded(tmp_path, "v 0 0 0\nv 1 1 1\n" + normals, load_points)
    assert cloud.normals.tolist() == [[1, 0, 0], [0, 1, 0]]
    corners = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvn 1 0 0\nvn 0 1 0\nvn 0 0 1\n"
    assert (
        loaded(tmp_path, corners + "f 1//1 2//2 3//3\n", load_points).normals.tolist() == np.eye(3).tolist()
    )
    assert loaded(tmp_path, corners + "f 1//2 2//1 3//3\n", load_points).normals is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("f 1\n", "1 face with fewer than three corners was"),
        ("f 1 2\nf 2 3\n", "2 faces"),
        ("l 1 2 3\n", r"lines \(1 elements\)"),
        ("p 1\n", "points"),
        ("call other.obj\n", "calls of other files"),
        ("polygon of mine\n", "1 lines that begin with polygon"),
        ("f 1 4 2 3\n", "crosses itself"),
    ],
)
def test_what_is_left_out_is_said(tmp_path, text, word):
    with pytest.warns(InputWarning, match=word):
        mesh = loaded(tmp_path, CUBE + SIDES + text)
    assert volume(mesh) == pytest.approx(6)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("cstype bspline\ncurv 0 1 1 2 3\n", "free-form .*curv.*export it as polygons"),
        ("surf 0 1 0 1 1 2 3 4\n", "surf"),
        ("v 1 2 3 0.5\n", "weight"),
        ("v 1 2 3 4 5\n", "a vertex has 5 numbers"),
        ("v 1 2 3 4 5 6 7 8\n", "8 numbers"),
    ],
)
def test_what_is_not_read_is_refused_without_calling_it_damaged(tmp_path, text, word):
    with pytest.raises(InputError, match=word) as caught:
        loaded(tmp_path, CUBE + SIDES + text)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("f 0 1 2\n", "line 15.*face index 0"),
        ("f 1 2 -9\n", "beyond the first"),
        ("f a b c\n", "line 15, 'f a b c'"),
        ("5 6 7\n", "begins with '5'"),
        ("v 1 2\n", "2 coordinates"),
        ("v 1 2 3.1+e2\n", "line 15"),
    ],
)
def test_what_is_broken_names_its_line(tmp_path, text, word):
    with pytest.raises(InputError, match=word):
        loaded(tmp_path, CUBE + SIDES + text)


def test_a_file_of_another_kind(tmp_path):
    with pytest.raises(InputError, match="no line of OBJ; check the ending"):
        loaded(tmp_path, "Dear reader,\nthis is a letter.\n")


def test_a_wireframe_is_a_cloud_with_a_word(tmp_path):
    with pytest.warns(InputWarning, match="lines"):
        assert len(loaded(tmp_path, CUBE + "l 1 2\n", load_shape)) == 8
    assert len(box((2, 1, 3)).vertices) == 8
