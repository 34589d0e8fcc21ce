"""glTF 2.0 as its specification allows it: accessors, primitives, nodes, extensions, and what breaks."""

import base64
import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto.errors import InputError, InputWarning
from bozzetto.shapes import box, load_mesh, load_points, load_shape

BOX = box((2, 1, 3))
POINTS, FACES = BOX.vertices.numpy(), BOX.faces.numpy()


class Builder:
    """A glTF file in the making."""

    def __init__(self) -> None:
        self.blob = b""
        self.tree = {"asset": {"version": "2.0"}, "accessors": [], "bufferViews": [], "buffers": [{}]}

    def view(self, data: bytes, **more) -> int:
        self.blob += b"\0" * (-len(self.blob) % 4)
        view = {"buffer": 0, "byteOffset": len(self.blob), "byteLength": len(data), **more}
        self.tree["bufferViews"].append(view)
        self.blob += data
        return len(self.tree["bufferViews"]) - 1

    def accessor(self, values, kind: str = "<f4", **more) -> int:
        values = np.asarray(values)
        component = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}[kind[-2:]]
        shape = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}[values.size // len(values)]
        entry = {"componentType": component, "count": len(values), "type": shape, **more}
        entry.setdefault("bufferView", self.view(values.astype(kind).tobytes()))
        self.tree["accessors"].append({k: v for k, v in entry.items() if v is not None})
        return len(self.tree["accessors"]) - 1

    def mesh(self, *primitives: dict, **more) -> int:
        self.tree.setdefault("meshes", []).append({"primitives": list(primitives), **more})
        return len(self.tree["meshes"]) - 1

    def primitive(self, positions=POINTS, faces=FACES, **more) -> dict:
        made = {"attributes": {"POSITION": self.accessor(positions)}, **more}
        return made if faces is None else {**made, "indices": self.accessor(np.ravel(faces), "<u2")}

    def simple(self, **node) -> "Builder":
        self.tree["nodes"] = [{"mesh": 0, **node}]
        self.tree |= {"scenes": [{"nodes": [0]}], "scene": 0}
        return self

    def glb(self) -> bytes:
        self.tree["buffers"] = [{"byteLength": len(self.blob)}]
        text = json.dumps(self.tree).encode()
        text += b" " * (-len(text) % 4)
        blob = self.blob + b"\0" * (-len(self.blob) % 4)
        chunks = (
            struct.pack("<II", len(text), 0x4E4F534A)
            + text
            + struct.pack("<II", len(blob), 0x004E4942)
            + blob
        )
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def boxes(**node) -> Builder:
    made = Builder()
    made.mesh(made.primitive())
    return made.simple(**node)


def loaded(folder, data: bytes | Builder, load=load_mesh, name: str = "a.glb"):
    (folder / name).write_bytes(data.glb() if isinstance(data, Builder) else data)
    return load(folder / name)


def volume(mesh) -> float:
    return float(np.linalg.det(mesh.corners().double().numpy()).sum() / 6)


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(["f4", "i1", "u1", "i2", "u2"]),
    normalized=st.booleans(),
    gap=st.integers(0, 3),
    changed=st.integers(0, 8),
    index=st.sampled_from(["u1", "u2", "u4"]),
    sparse_index=st.sampled_from(["u1", "u2", "u4"]),
    empty=st.booleans(),
)
def test_accessors(tmp_path_factory, kind, normalized, gap, changed, index, sparse_index, empty):
    """Every component type, normalised or not, with gaps between rows, sparse, and without data."""
    top = 1.0 if kind == "f4" else float(np.iinfo(kind).max)
    unit = (POINTS - POINTS.min(0)) / 3
    stored = unit if kind == "f4" else np.rint(unit * top)
    made = Builder()
    item = 3 * np.dtype(kind).itemsize
    stride = -(-item // 4) * 4 + 4 * gap
    rows = np.zeros((8, stride), np.uint8)
    first = (
        np.zeros_like(stored)
        if empty
        else np.where(np.arange(8)[:, None] < changed, 7 * (kind != "f4"), stored)
    )
    rows[:, :item] = np.ascontiguousarray(first.astype("<" + kind)).view(np.uint8).reshape(8, item)
    view = None if empty else made.view(rows.tobytes(), byteStride=stride)
    count = 8 if empty else changed
    sparse = None
    if count:
        sparse = {
            "count": count,
            "indices": {
                "bufferView": made.view(np.arange(count).astype("<" + sparse_index).tobytes()),
                "componentType": {"u1": 5121, "u2": 5123, "u4": 5125}[sparse_index],
            },
            "values": {"bufferView": made.view(stored[:count].astype("<" + kind).tobytes())},
        }
    positions = made.accessor(stored, "<" + kind, bufferView=view, sparse=sparse, normalized=normalized)
    made.mesh({"attributes": {"POSITION": positions}, "indices": made.accessor(FACES.ravel(), "<" + index)})
    mesh = loaded(tmp_path_factory.mktemp("gltf"), made.simple())
    expected = stored / top if normalized else stored
    assert np.allclose(mesh.vertices.numpy(), expected, rtol=1e-6)
    assert np.array_equal(mesh.faces.numpy(), FACES)


@pytest.mark.parametrize(
    ("mode", "order", "faces"),
    [
        (4, None, [[0, 1, 2], [3, 4, 5]]),
        (5, None, [[0, 1, 2], [2, 1, 3], [2, 3, 4], [4, 3, 5]]),
        (6, None, [[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 5]]),
        (5, [0, 1, 3, 3, 4, 4], [[0, 1, 3]]),
        (6, [5, 1, 0, 2], [[5, 1, 0], [5, 0, 2]]),
    ],
)
def test_primitives_of_triangles(tmp_path, mode, order, faces):
    made = Builder()
    made.mesh(made.primitive(POINTS[:6], order, mode=mode))
    assert loaded(tmp_path, made.simple()).faces.tolist() == faces


def test_points_are_a_cloud_and_lines_are_said(tmp_path):
    made = Builder()
    normals = made.accessor(np.tile([0.0, 0.0, 1.0], (8, 1)))
    points = made.primitive(faces=None, mode=0)
    points["attributes"]["NORMAL"] = normals
    made.mesh(points)
    cloud = loaded(tmp_path, made.simple(rotation=[np.sqrt(0.5), 0, 0, np.sqrt(0.5)]), load_shape)
    assert len(cloud) == 8
    assert cloud.normals[0].tolist() == pytest.approx([0, -1, 0], abs=1e-6)
    for mode, word in ((0, "points"), (1, "lines"), (2, "lines"), (3, "lines")):
        made = Builder()
        made.mesh(made.primitive(), made.primitive(faces=None, mode=mode))
        with pytest.warns(InputWarning, match=f"primitives of {word}"):
            assert volume(loaded(tmp_path, made.simple())) == pytest.approx(6)


def test_nodes_put_meshes_where_they_belong(tmp_path):
    """Matrices and translation, rotation, scale multiply from the root down; mirrors keep outsides outside."""
    made = boxes()
    matrix = np.diag([2.0, 1, 1, 1])
    matrix[:3, 3] = 5, 0, 0
    made.tree["nodes"] = [
        {"children": [1, 2], "translation": [0, 10, 0]},
        {"mesh": 0, "matrix": matrix.T.ravel().tolist()},
        {"children": [3], "rotation": [0, 0, np.sqrt(0.5), np.sqrt(0.5)], "scale": [1, 1, 1]},
        {"mesh": 0, "scale": [-1, 2, 1]},
    ]
    mesh = loaded(tmp_path, made)
    assert volume(mesh) == pytest.approx(24)
    assert mesh.vertices[:8].amax(0).tolist() == pytest.approx([7, 10.5, 1.5])
    assert mesh.vertices[8:].amax(0).tolist() == pytest.approx([1, 11, 1.5])


def test_only_the_default_scene_counts(tmp_path):
    made = boxes()
    made.tree |= {
        "nodes": [{"mesh": 0}, {"mesh": 0, "scale": [2, 1, 1]}],
        "scenes": [{"nodes": [0]}, {"nodes": [1]}],
    }
    made.tree["scene"] = 1
    with pytest.warns(InputWarning) as caught:
        assert volume(loaded(tmp_path, made)) == pytest.approx(12)
    said = " ".join(str(one.message) for one in caught)
    assert (
        "2 scenes, of which number 1 was read" in said and "1 of its nodes with a mesh do not belong" in said
    )


@pytest.mark.parametrize("without", [("scenes", "scene"), ("scenes", "scene", "nodes")])
def test_files_without_scenes_or_nodes(tmp_path, without):
    made = boxes()
    made.tree = {key: value for key, value in made.tree.items() if key not in without}
    assert volume(loaded(tmp_path, made)) == pytest.approx(6)


def test_instances_and_quantised_positions(tmp_path):
    made = boxes()
    shifts = made.accessor([[0, 0, 0], [5, 0, 0], [0, 9, 0]])
    scales = made.accessor([[1, 1, 1], [2, 2, 2], [-1, 1, 1]])
    made.tree["nodes"][0]["extensions"] = {
        "EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": shifts, "SCALE": scales}}
    }
    made.tree["extensionsRequired"] = ["EXT_mesh_gpu_instancing", "KHR_mesh_quantization"]
    mesh = loaded(tmp_path, made)
    assert volume(mesh) == pytest.approx(6 + 48 + 6)
    assert mesh.vertices[8:16].mean(0).tolist() == pytest.approx([5, 0, 0])


def test_skins_and_morphs_in_their_pose(tmp_path):
    """Half of the vertices hang on a joint that has moved; the node's own place does not count."""
    made = Builder()
    lifted = made.accessor(np.tile([0.0, 1.0, 0.0], (8, 1)))
    bent = made.primitive(targets=[{"POSITION": lifted}, {"POSITION": lifted}])
    joints = np.zeros((8, 4), np.uint8)
    joints[4:, 0] = 1
    bent["attributes"]["JOINTS_0"] = made.accessor(joints, "<u1")
    bent["attributes"]["WEIGHTS_0"] = made.accessor(np.tile([2.0, 0, 0, 0], (8, 1)))
    made.mesh(bent, weights=[0.5, 0.0])
    back = np.eye(4)
    back[:3, 3] = 0, 0, -1
    inverse = made.accessor(np.stack([np.eye(4), back.T]).reshape(2, 16))
    made.simple(skin=0, translation=[100, 100, 100])
    made.tree["nodes"] += [{"children": [2]}, {"translation": [0, 0, 3]}]
    made.tree["scenes"][0]["nodes"] = [0, 1]
    made.tree["skins"] = [{"joints": [1, 2], "inverseBindMatrices": inverse}]
    with pytest.warns(InputWarning, match="skinned"):
        mesh = loaded(tmp_path, made)
    expected = POINTS + [0, 0.5, 0] + np.where(np.arange(8)[:, None] < 4, 0, [0, 0, 2])
    assert np.allclose(mesh.vertices.numpy(), expected, atol=1e-6)


def test_colours_of_vertices_and_materials(tmp_path):
    half = np.tile([0.5, 0.25, 1.0, 1.0], (8, 1))
    for kind, normalized in (("<f4", False), ("<u1", True), ("<u2", True)):
        made = Builder()
        one, other = made.primitive(material=0), made.primitive()
        values = half if kind == "<f4" else np.rint(half * np.iinfo(kind).max)
        one["attributes"]["COLOR_0"] = made.accessor(values, kind, normalized=normalized)
        made.mesh(one, other)
        made.tree["materials"] = [{"pbrMetallicRoughness": {"baseColorFactor": [0.5, 1, 0, 1]}}]
        with pytest.warns(InputWarning, match="1 of its 2 parts have no colours and were made white"):
            mesh = loaded(tmp_path, made.simple())
        assert mesh.colors[0].tolist() == pytest.approx([0.25, 0.25, 0], abs=3e-3)
        assert mesh.colors[-1].tolist() == [1, 1, 1]
    made.tree["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
    with pytest.warns(InputWarning) as caught:
        loaded(tmp_path, made)
    assert "colours lie in a texture" in str(caught[0].message)


@pytest.mark.parametrize("form", ["data", "beside", "escaped"])
def test_text_with_buffers_inside_and_beside(tmp_path, form):
    made = boxes()
    uri = "data:application/octet-stream;base64," + base64.b64encode(made.blob).decode()
    if form != "data":
        name = "my data.bin"
        (tmp_path / name).write_bytes(made.blob)
        uri = name.replace(" ", "%20") if form == "escaped" else name
    made.tree["buffers"] = [{"byteLength": len(made.blob), "uri": uri}]
    for mark in (b"", b"\xef\xbb\xbf", b"\n "):
        mesh = loaded(tmp_path, mark + json.dumps(made.tree).encode(), name="a.gltf")
        assert volume(mesh) == pytest.approx(6)
    if form != "data":
        (tmp_path / name).unlink()
        with pytest.raises(InputError, match="my data.bin, which is not beside it"):
            load_mesh(tmp_path / "a.gltf")


def required(name: str) -> Builder:
    made = boxes()
    made.tree["extensionsRequired"] = [name]
    return made


def changed(*path, value) -> Builder:
    """A file with one value of its JSON replaced."""
    made = boxes()
    made.tree["buffers"] = [{}]
    place = made.tree
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return made


@pytest.mark.parametrize(
    ("made", "word", "damaged"),
    [
        (required("EXT_unheard_of"), "needs the extension EXT_unheard_of", False),
        (changed("asset", "version", value="1.0"), "glTF 1.0", False),
        (changed("asset", "minVersion", value="3.0"), "glTF 3.0", False),
        (changed("accessors", 1, "componentType", value=5126), "no integers|beyond the", True),
        (changed("bufferViews", 0, "extensions", value={"EXT_meshopt_compression": {}}), None, False),
        (changed("nodes", 0, "children", value=[0]), "two parents or is its own", True),
        (changed("scenes", 0, "nodes", value=[7]), "no entry 7 in nodes", True),
        (changed("scene", value="first"), "no entry first in scenes", True),
        (changed("accessors", 0, "count", value=10**12), "beyond the", True),
        (changed("accessors", 0, "count", value=-1), "count of an accessor is -1", True),
        (changed("accessors", 0, "byteOffset", value=64), "beyond the", True),
        (changed("accessors", 0, "type", value="VEC9"), "type VEC9", True),
        (changed("accessors", 0, "componentType", value=[1]), "component type", True),
        (changed("accessors", 0, "bufferView", value=99), "no entry 99 in bufferViews", True),
        (
            changed("accessors", 0, value={"componentType": 5126, "count": 10**12, "type": "VEC3"}),
            "zeros",
            True,
        ),
        (changed("accessors", 1, "count", value=10**9), "beyond the", True),
        (changed("bufferViews", 0, "byteLength", value=10**12), "ends at byte", True),
        (changed("bufferViews", 0, "byteStride", value=4), "stride of 4", True),
        (changed("meshes", 0, "primitives", 0, "mode", value=9), "mode 9", True),
        (changed("meshes", 0, "primitives", value={}), "primitives is no list", True),
        (changed("nodes", 0, "rotation", value=[1, 2]), "wrong number of values", True),
        (changed("nodes", value={}), "no list", True),
    ],
)
def test_what_is_refused(tmp_path, made, word, damaged):
    if word is None:
        assert volume(loaded(tmp_path, made)) == pytest.approx(6)  # the plain bytes are there as well
        return
    with pytest.raises(InputError, match=word) as caught:
        loaded(tmp_path, made)
    assert ("damaged" in str(caught.value)) == damaged


def test_indices_out_of_range_do_not_reach_the_next_part(tmp_path):
    made = Builder()
    made.mesh(made.primitive(faces=[0, 1, 8]), made.primitive())
    with pytest.raises(InputError, match="an index is 8, out of range for 8"):
        loaded(tmp_path, made.simple())


def test_json_that_is_nested_too_deeply(tmp_path):
    text = b'{"asset":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(InputError, match="nested too deeply"):
        loaded(tmp_path, text, name="a.gltf")


def test_small_files_that_make_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr("bozzetto.shapes.gltf._MOST", 100)
    made = boxes()
    made.tree["nodes"] = [{"mesh": 0}] * 20
    made.tree["scenes"][0]["nodes"] = list(range(20))
    with pytest.raises(InputError, match="more than 100 vertices"):
        loaded(tmp_path, made)


def draco(made: Builder, data: bytes, required: bool, plain: bool) -> Builder:
    primitive = made.tree["meshes"][0]["primitives"][0]
    packed = {"bufferView": made.view(data), "attributes": {"POSITION": 0}}
    primitive["extensions"] = {"KHR_draco_mesh_compression": packed}
    if required:
        made.tree["extensionsRequired"] = ["KHR_draco_mesh_compression"]
    if not plain:
        for accessor in made.tree["accessors"]:
            accessor.pop("bufferView")
    return made


def test_draco(tmp_path, monkeypatch):
    draco_py = pytest.importorskip("DracoPy")
    data = draco_py.encode(POINTS.astype(np.float64), FACES.astype(np.uint32), quantization_bits=14)
    for plain in (False, True):
        mesh = loaded(tmp_path, draco(boxes(), data, not plain, plain))
        assert volume(mesh) == pytest.approx(6, rel=1e-3)
    with pytest.raises(InputError, match="damaged"):
        loaded(tmp_path, draco(boxes(), b"nonsense", True, False))
    monkeypatch.setitem(__import__("sys").modules, "DracoPy", None)
    assert volume(loaded(tmp_path, draco(boxes(), data, False, True))) == pytest.approx(6)
    with pytest.raises(InputError, match=r"pip install 'bozzetto\[draco\]'"):
        loaded(tmp_path, draco(boxes(), data, True, False))


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_damage_gives_a_mesh_or_a_sentence(tmp_path_factory, data):
    whole = bytearray(boxes(rotation=[0, 0, 0, 1]).glb())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(whole), data.draw(st.integers(0, len(whole)))]))
    path = tmp_path_factory.mktemp("gltf") / "a.glb"
    path.write_bytes(whole[:cut])
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        try:
            load_points(path)
        except InputError as error:
            assert "\n" not in str(error)
