import io
import json
import struct
import zipfile
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from bozzetto import InputError, Mesh, load_mesh, save_mesh
from bozzetto.geometry import vertex_normals
from bozzetto.images import srgb_to_linear
from bozzetto.shapes import TexturedMesh, box, icosphere, placed, save_textured


def textured_box(relief=True):
    """Every face of a box has a third of a row of cells to itself, in a colour of its own."""
    mesh = box(2.0)
    mesh = Mesh(mesh.vertices + 3, mesh.faces)
    corner = torch.tensor([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9]])
    cell = torch.stack([torch.arange(12) % 4, torch.arange(12) // 4], dim=1)
    uv = ((cell[:, None] + corner) / torch.tensor([4.0, 3.0])).reshape(-1, 2)
    image = torch.rand(3, 4, 3, generator=torch.Generator().manual_seed(0))
    image = image.repeat_interleave(16, dim=0).repeat_interleave(16, dim=1)
    normals = torch.nn.functional.normalize(mesh.vertices - 3, dim=1)
    flat = torch.tensor([0.0, 0, 1]).expand(8, 8, 3)
    tangents = torch.tensor([1.0, 0, 0, 1]).expand(36, 4)
    return TexturedMesh(
        mesh, uv, torch.arange(36).reshape(12, 3), image, normals,
        flat if relief else None, tangents if relief else None,
    )  # fmt: skip


def parts_of(path):
    """The JSON and the binary part of a GLB file."""
    data = path.read_bytes()
    magic, version, length, size = struct.unpack("<4sIII", data[:16])
    assert (magic, version, length) == (b"glTF", 2, len(data)) and size % 4 == 0
    kind = struct.unpack("<I", data[24 + size : 28 + size])[0]
    assert kind == 0x004E4942
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def values(tree, binary, index):
    accessor = tree["accessors"][index]
    view = tree["bufferViews"][accessor["bufferView"]]
    width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[accessor["type"]]
    kind = {5126: "<f4", 5125: "<u4"}[accessor["componentType"]]
    rows = np.frombuffer(binary, kind, accessor["count"] * width, view["byteOffset"])
    return rows.reshape(-1, width)


@pytest.mark.parametrize("unlit", [True, False])
def test_glb_says_what_the_specification_asks_for(tmp_path, unlit):
    model = textured_box()
    save_textured(model, tmp_path / "a.glb", unlit=unlit)
    tree, binary = parts_of(tmp_path / "a.glb")
    assert tree["buffers"][0]["byteLength"] == len(binary)
    for view in tree["bufferViews"]:
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] + view["byteLength"] <= len(binary)
    primitive = tree["meshes"][0]["primitives"][0]
    found = {name: values(tree, binary, at) for name, at in primitive["attributes"].items()}
    assert {len(rows) for rows in found.values()} == {36}
    position = tree["accessors"][primitive["attributes"]["POSITION"]]
    assert position["min"] == [2, 2, 2] and position["max"] == [4, 4, 4]
    for name in ("NORMAL", "TANGENT"):
        assert np.allclose(np.linalg.norm(found[name][:, :3], axis=1), 1, atol=1e-5)
    assert set(found["TANGENT"][:, 3]) == {1.0}
    faces = values(tree, binary, primitive["indices"]).reshape(-1, 3)
    assert np.array_equal(found["POSITION"][faces], model.mesh.corners().numpy())
    assert np.array_equal(found["TEXCOORD_0"][faces], model.uv[model.uv_faces].numpy())
    material = tree["materials"][primitive["material"]]
    assert material["pbrMetallicRoughness"]["metallicFactor"] == 0
    assert material["pbrMetallicRoughness"]["roughnessFactor"] == 1
    assert ("KHR_materials_unlit" in tree.get("extensionsUsed", [])) == unlit
    assert "extensionsRequired" not in tree
    for texture, kind in (
        (material["pbrMetallicRoughness"]["baseColorTexture"], "JPEG"),
        (material["normalTexture"], "PNG"),
    ):
        image = tree["images"][tree["textures"][texture["index"]]["source"]]
        view = tree["bufferViews"][image["bufferView"]]
        content = binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        with Image.open(io.BytesIO(content)) as picture:
            assert picture.format == kind and image["mimeType"] == f"image/{kind.lower()}"


def test_no_relief_no_map_and_no_tangents(tmp_path):
    save_textured(textured_box(relief=False), tmp_path / "a.glb")
    tree, _ = parts_of(tmp_path / "a.glb")
    assert "normalTexture" not in tree["materials"][0]
    assert "TANGENT" not in tree["meshes"][0]["primitives"][0]["attributes"]


@pytest.mark.parametrize("ending", ["glb", "obj"])
def test_another_loader_shows_the_colours_where_they_belong(tmp_path, ending):
    import trimesh

    model = textured_box()
    save_textured(model, tmp_path / f"a b.{ending}")
    mesh = trimesh.load(tmp_path / f"a b.{ending}", force="mesh", process=False)
    assert mesh.visual.kind == "texture"
    seen = mesh.visual.to_color().vertex_colors[mesh.faces][..., :3] / 255
    middle = mesh.vertices[mesh.faces].mean(axis=1)
    wanted = model.mesh.corners().mean(dim=1).numpy()
    nearest = np.linalg.norm(middle[:, None] - wanted[None], axis=2).argmin(axis=0)
    linear = srgb_to_linear(torch.from_numpy(seen[nearest].copy()))
    expected = model.image[8::16, 8::16].reshape(12, 1, 3)
    assert float((linear - expected).abs().max()) < 0.03


def test_our_own_reader_reads_both(tmp_path):
    model = textured_box()
    for ending in ("glb", "obj"):
        save_textured(model, tmp_path / f"a.{ending}")
    with pytest.warns(UserWarning, match="texture"):
        again = load_mesh(tmp_path / "a.glb")
    assert torch.equal(again.corners(), model.mesh.corners())
    assert torch.equal(load_mesh(tmp_path / "a.obj").corners(), model.mesh.corners())


def test_a_place_turns_everything(tmp_path):
    model = textured_box()
    place = placed(model.mesh, torch.tensor([0.0, 0, 1]), size_mm=50)
    save_textured(model, tmp_path / "a.glb", place)
    tree, binary = parts_of(tmp_path / "a.glb")
    attributes = tree["meshes"][0]["primitives"][0]["attributes"]
    points = values(tree, binary, attributes["POSITION"])
    assert points[:, 1].min() == pytest.approx(0, abs=1e-6) and points[:, 1].max() == pytest.approx(0.05)
    outward = points - points.mean(axis=0)
    normals = values(tree, binary, attributes["NORMAL"])
    assert np.allclose(normals, outward / np.linalg.norm(outward, axis=1, keepdims=True), atol=1e-5)
    tangents = values(tree, binary, attributes["TANGENT"])[:, :3]
    assert np.allclose(tangents, place.rotation[:, 0].numpy(), atol=1e-6)


def test_obj_names_its_pictures(tmp_path):
    save_textured(textured_box(), tmp_path / "my mesh.obj")
    assert "mtllib my_mesh.mtl" in (tmp_path / "my mesh.obj").read_text()
    material = (tmp_path / "my_mesh.mtl").read_text()
    for key in ("map_Kd", "norm"):
        name = next(line.split()[1] for line in material.splitlines() if line.startswith(key + " "))
        with Image.open(tmp_path / name) as picture:
            assert picture.format == "PNG"


@pytest.mark.parametrize("size", [None, 80.0])
def test_printable_formats_have_a_unit_and_stand_on_the_plate(tmp_path, size):
    model = textured_box()
    place = None if size is None else placed(model.mesh, torch.tensor([0.0, 1, 0]), size_mm=size)
    save_textured(model, tmp_path / "a.3mf", place)
    save_textured(model, tmp_path / "a.stl", place)
    with zipfile.ZipFile(tmp_path / "a.3mf") as archive:
        assert archive.testzip() is None
        assert {"[Content_Types].xml", "_rels/.rels", "3D/3dmodel.model"} == set(archive.namelist())
        relations = ElementTree.fromstring(archive.read("_rels/.rels"))
        assert relations[0].get("Target") == "/3D/3dmodel.model"
        root = ElementTree.fromstring(archive.read("3D/3dmodel.model"))
    assert root.get("unit") == "millimeter"
    space = "{http://schemas.microsoft.com/3dmanufacturing/core/2015/02}"
    points = np.array([[float(v.get(axis)) for axis in "xyz"] for v in root.iter(space + "vertex")])
    faces = np.array([[int(t.get(f"v{k}")) for k in (1, 2, 3)] for t in root.iter(space + "triangle")])
    assert np.array_equal(faces, model.mesh.faces.numpy())
    assert root.find(f"{space}build/{space}item").get("objectid") == "1"
    printed = load_mesh(tmp_path / "a.stl").corners().numpy()
    assert np.allclose(points[faces], printed, atol=1e-4)
    if size is None:
        assert np.array_equal(points, model.mesh.vertices.numpy())
    else:
        assert points[:, 2].min() == pytest.approx(0, abs=1e-4)
        assert np.ptp(points, axis=0) == pytest.approx(80)


def test_a_mesh_without_texture_can_be_placed_too(tmp_path):
    ball = icosphere(2)
    mesh = Mesh(ball.vertices, ball.faces, (ball.vertices + 1) / 2)
    save_textured(mesh, tmp_path / "a.glb", placed(mesh, torch.tensor([0.0, 1, 0]), size_mm=10))
    again = load_mesh(tmp_path / "a.glb")
    assert torch.allclose(again.vertices, ball.vertices * 0.005 + torch.tensor([0, 0.005, 0]), atol=1e-6)
    assert torch.allclose(again.colors, mesh.colors, atol=1e-6)
    tree, binary = parts_of(tmp_path / "a.glb")
    attributes = tree["meshes"][0]["primitives"][0]["attributes"]
    normals = torch.from_numpy(values(tree, binary, attributes["NORMAL"]).copy())
    assert torch.allclose(normals, vertex_normals(ball.vertices, ball.faces), atol=1e-5)


def test_colours_beyond_their_range_do_not_make_invalid_files(tmp_path):
    ball = icosphere(1)
    save_mesh(Mesh(ball.vertices, ball.faces, ball.vertices * 1.2), tmp_path / "a.glb")
    tree, binary = parts_of(tmp_path / "a.glb")
    colors = values(tree, binary, tree["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"])
    assert colors.min() == 0 and colors.max() <= 1


def test_what_does_not_fit_is_refused(tmp_path):
    model = textured_box()
    with pytest.raises(InputError, match="three places"):
        TexturedMesh(model.mesh, model.uv, model.uv_faces[:4], model.image, model.normals)
    with pytest.raises(InputError, match="rows of uv"):
        TexturedMesh(model.mesh, model.uv[:30], model.uv_faces, model.image, model.normals)
    with pytest.raises(InputError, match="finite"):
        TexturedMesh(model.mesh, model.uv * float("nan"), model.uv_faces, model.image, model.normals)
    with pytest.raises(InputError, match="cannot be saved"):
        save_textured(model, tmp_path / "a.fbx")
