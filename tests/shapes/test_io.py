import json
import struct
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bozzetto.errors import InputError, InputWarning
from bozzetto.images import srgb_to_linear
from bozzetto.shapes import Mesh, PointCloud, icosphere, join, load_mesh, load_points, save_mesh, save_points

MESH_ENDINGS = ["ply", "obj", "off", "glb", "npz"]  # STL has no shared vertices and its own test
FINITE = st.floats(-(2.0**100), 2.0**100, width=32)


def colored_sphere() -> Mesh:
    sphere = icosphere(2)
    return Mesh(sphere.vertices * 1e-2 + 3.0, sphere.faces, (sphere.vertices + 1) / 2)


@pytest.mark.parametrize("ending", MESH_ENDINGS)
def test_mesh_round_trip_is_exact(tmp_path, ending):
    mesh = colored_sphere()
    save_mesh(mesh, tmp_path / f"a.{ending}")
    again = load_mesh(tmp_path / f"a.{ending}")
    assert torch.equal(again.vertices, mesh.vertices)
    assert torch.equal(again.faces, mesh.faces)
    assert again.vertices.dtype == torch.float32


@pytest.mark.parametrize(
    ("ending", "tolerance"), [("ply", 0.5 / 255), ("obj", 1e-6), ("glb", 1e-7), ("npz", 0.0)]
)
def test_colors_survive_up_to_the_precision_of_the_format(tmp_path, ending, tolerance):
    mesh = colored_sphere()
    save_mesh(mesh, tmp_path / f"a.{ending}")
    again = load_mesh(tmp_path / f"a.{ending}")
    # PLY rounds in sRGB, whose slope against linear light is at most 2.4 / 1.055 at 1.
    assert torch.allclose(again.colors, mesh.colors, atol=tolerance * 2.3, rtol=0)


@settings(deadline=None, max_examples=25)
@given(
    positions=arrays(np.float32, (5, 3), elements=FINITE),
    faces=arrays(np.int64, (4, 3), elements=st.integers(0, 4)),
    ending=st.sampled_from(MESH_ENDINGS),
)
def test_any_values_survive(tmp_path_factory, positions, faces, ending):
    """Unused and coinciding vertices and degenerate faces stay where they are."""
    positions[0] = 0  # of shapes far from the origin the readers say what is lost
    path = tmp_path_factory.mktemp("any") / f"a.{ending}"
    save_mesh(Mesh(torch.from_numpy(positions), torch.from_numpy(faces)), path)
    again = load_mesh(path)
    assert np.array_equal(again.vertices.numpy(), positions)
    assert np.array_equal(again.faces.numpy(), faces)


def test_stl_has_three_vertices_per_face_in_order(tmp_path):
    mesh = colored_sphere()
    save_mesh(mesh, tmp_path / "a.stl")
    again = load_mesh(tmp_path / "a.stl")
    assert torch.equal(again.corners(), mesh.corners())
    assert torch.equal(again.faces, torch.arange(3 * len(mesh.faces)).reshape(-1, 3))


def test_ascii_stl(tmp_path):
    (tmp_path / "a.stl").write_text(
        "solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0.5\n"
        "endloop\nendfacet\nendsolid a\n"
    )
    assert load_mesh(tmp_path / "a.stl").vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0.5]]


def test_obj_keeps_positions_at_texture_seams(tmp_path):
    """One position with two texture coordinates stays one vertex; quads, negative indices, comments."""
    (tmp_path / "a.obj").write_text(
        "# seam\nmtllib missing.mtl\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv 5 5 5\n"
        "vt 0 0\nvt 1 0\nvt 0.5 1\nvn 0 0 1\nusemtl paint\n"
        "f 1/1/1 2/2/1 3/3/1\nf 1/3/1 3/2/1 4/1/1\nf 1 2 \\\n 3 4\nf -5//1 -4//1 -1//1\n"
    )
    mesh = load_mesh(tmp_path / "a.obj")
    assert len(mesh.vertices) == 5
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2], [0, 2, 3], [0, 1, 4]]


def test_ascii_ply_with_quads_texture_and_colors(tmp_path):
    (tmp_path / "a.ply").write_text(
        "ply\nformat ascii 1.0\ncomment TextureFile missing.png\nelement vertex 4\n"
        "property float x\nproperty float y\nproperty float z\nproperty float s\nproperty float t\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\n"
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
        "0 0 0 0 0 255 0 0\n1 0 0 0 0 255 0 0\n1 1 0 1 1 255 0 0\n0 1 0 1 1 0 128 255\n4 0 1 2 3\n"
    )
    mesh = load_mesh(tmp_path / "a.ply")
    assert len(mesh.vertices) == 4
    assert sorted(map(sorted, mesh.faces.tolist())) == [[0, 1, 2], [0, 2, 3]]
    assert torch.allclose(mesh.colors[3], srgb_to_linear(torch.tensor([0, 128 / 255, 1])))


def test_off_variants(tmp_path):
    (tmp_path / "a.off").write_text(
        "COFF\n# comment\n4 1 0\n0 0 0 1 0 0 1\n1 0 0 1 0 0 1\n1 1 0 1 0 0 1\n0 1 0 1 0 0 1\n"
        "4 0 1 2 3 255 0 0\n"
    )
    assert load_mesh(tmp_path / "a.off").faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    (tmp_path / "b.off").write_text("OFF 3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    assert load_mesh(tmp_path / "b.off").faces.tolist() == [[0, 1, 2]]


def test_glb_is_valid_and_stores_linear_light(tmp_path):
    save_mesh(colored_sphere(), tmp_path / "a.glb")
    data = (tmp_path / "a.glb").read_bytes()
    magic, version, length, chunk = struct.unpack("<4sIII", data[:16])
    tree = json.loads(data[20 : 20 + chunk])
    assert (magic, version, length) == (b"glTF", 2, len(data))
    assert chunk % 4 == 0
    assert all(view["byteOffset"] % 4 == 0 for view in tree["bufferViews"])
    position = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    assert position["min"] == pytest.approx(colored_sphere().bounds[0].tolist())


def test_glb_node_transforms_are_applied(tmp_path):
    """A mesh used twice, once moved and once mirrored, comes out where the nodes put it, facing outwards."""
    import trimesh

    ball = trimesh.creation.icosphere(subdivisions=1)
    scene = trimesh.Scene()
    scene.add_geometry(
        ball, geom_name="ball", transform=trimesh.transformations.translation_matrix([5, 0, 0])
    )
    mirror = np.diag([-1.0, 2.0, 1.0, 1.0])
    scene.add_geometry(ball, geom_name="ball", node_name="mirrored", transform=mirror)
    (tmp_path / "a.glb").write_bytes(scene.export(file_type="glb"))
    mesh = load_mesh(tmp_path / "a.glb")
    assert len(mesh.vertices) == 2 * len(ball.vertices)
    parts = mesh.vertices.reshape(2, -1, 3)
    moved = int(parts[0].mean() < parts[1].mean())
    assert parts[moved].mean(dim=0).tolist() == pytest.approx([5, 0, 0], abs=1e-5)
    assert parts[1 - moved].amax(dim=0).tolist() == pytest.approx([1, 2, 1], abs=1e-5)
    volumes = torch.linalg.det(mesh.corners()).reshape(2, -1).sum(dim=1) / 6
    assert volumes[1 - moved] == pytest.approx(2 * float(ball.volume), rel=1e-4)


@pytest.mark.parametrize("ending", ["ply", "xyz", "npz"])
@pytest.mark.parametrize("extra", ["plain", "normals", "both"])
def test_points_round_trip(tmp_path, ending, extra):
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(50, 3, generator=generator)
    normals = None if extra == "plain" else torch.randn(50, 3, generator=generator)
    colors = torch.rand(50, 3, generator=generator) if extra == "both" else None
    save_points(PointCloud(points, normals, colors), tmp_path / f"a.{ending}")
    again = load_points(tmp_path / f"a.{ending}")
    assert torch.equal(again.points, points)
    assert again.normals is None if normals is None else torch.equal(again.normals, normals)
    assert again.colors is None if colors is None else torch.allclose(again.colors, colors, atol=5e-3)


def test_points_of_a_mesh_are_its_vertices(tmp_path):
    save_mesh(colored_sphere(), tmp_path / "a.obj")
    assert torch.equal(load_points(tmp_path / "a.obj").points, colored_sphere().vertices)


def test_xyz_cannot_hold_colors_without_normals(tmp_path):
    with pytest.raises(InputError, match="save it as .ply"):
        save_points(PointCloud(torch.zeros(1, 3), None, torch.zeros(1, 3)), tmp_path / "a.xyz")


@pytest.mark.parametrize("ending", [*MESH_ENDINGS, "stl"])
def test_truncated_files_are_refused(tmp_path, ending):
    save_mesh(colored_sphere(), tmp_path / f"a.{ending}")
    whole = (tmp_path / f"a.{ending}").read_bytes()
    for share in (0.0, 0.1, 0.9):
        (tmp_path / f"b.{ending}").write_bytes(whole[: int(len(whole) * share)])
        if ending == "obj" and share == 0.9:
            continue  # a shortened OBJ file is an OBJ file
        with pytest.raises(InputError, match=f"b.{ending}"):
            load_mesh(tmp_path / f"b.{ending}")


def test_truncated_ascii_ply_is_refused(tmp_path):
    head = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    head += "element face 2\nproperty list uchar int vertex_indices\nend_header\n"
    for body in ("0 0 0\n1 0 0\n", "0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"):
        (tmp_path / "a.ply").write_text(head + body)
        with pytest.raises(InputError, match="cannot be read as PLY"):
            load_mesh(tmp_path / "a.ply")


@pytest.mark.parametrize("ending", [*MESH_ENDINGS, "stl", "xyz"])
def test_garbage_is_refused(tmp_path, ending):
    (tmp_path / f"a.{ending}").write_bytes(bytes(range(256)) * 8)
    with pytest.raises(InputError, match=f"a.{ending}"):
        (load_points if ending == "xyz" else load_mesh)(tmp_path / f"a.{ending}")


@pytest.mark.parametrize("ending", ["ply", "obj", "off", "npz"])
def test_values_that_are_not_usable_are_refused(tmp_path, ending):
    text = {
        "obj": "v 0 0 0\nv 1 0 0\nv {} 1 0\nf 1 2 {}\n",
        "off": "OFF\n3 1 0\n0 0 0\n1 0 0\n{} 1 0\n3 0 1 {}\n",
        "ply": "ply\nformat ascii 1.0\nelement vertex 3\n"
        "property float x\nproperty float y\nproperty float z\n"
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
        "0 0 0\n1 0 0\n{} 1 0\n3 0 1 {}\n",
    }
    path = tmp_path / f"a.{ending}"
    for value, index, message in (("nan", 2, "NaN"), ("1e60", 2, "infinite"), ("0", 9, "out of range")):
        if ending == "npz":
            vertices = np.array([[0, 0, 0], [1, 0, 0], [float(value), 1, 0]])
            np.savez(path, vertices=vertices, faces=np.array([[0, 1, index]]))
        else:
            path.write_text(text[ending].format(value, index + (ending == "obj")))
        with pytest.raises(InputError, match=message):
            load_mesh(path)


def test_npz_never_unpickles_and_names_its_keys(tmp_path):
    np.savez(tmp_path / "a.npz", vertices=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="cannot be read as NPZ"):
        load_mesh(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", positions=np.zeros((3, 3)))
    with pytest.raises(InputError, match="positions"):
        load_mesh(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", vertices=np.zeros((3, 3)), faces=np.array([[0.0, 1.0, 2.0]]))
    with pytest.raises(InputError, match="not integers"):
        load_mesh(tmp_path / "c.npz")
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("note.txt", "nothing")
    with pytest.raises(InputError, match="d.npz"):
        load_mesh(tmp_path / "d.npz")


def test_missing_unknown_and_faceless(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_mesh(tmp_path / "none.ply")
    with pytest.raises(InputError, match="unknown ending"):
        load_mesh(tmp_path / "a.fbx")
    with pytest.raises(InputError, match="known endings"):
        save_mesh(colored_sphere(), tmp_path / "a.fbx")
    save_points(PointCloud(torch.zeros(3, 3)), tmp_path / "a.ply")
    with pytest.raises(InputError, match="3 vertices and no faces"):
        load_mesh(tmp_path / "a.ply")


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.ply"
    save_mesh(colored_sphere(), path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="NaN"):
        save_mesh(Mesh(torch.full((3, 3), torch.nan), torch.tensor([[0, 1, 2]])), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.ply"]


def test_saving_makes_folders(tmp_path):
    save_mesh(join([colored_sphere(), colored_sphere()]), tmp_path / "deep" / "er" / "a.ply")
    assert len(load_mesh(tmp_path / "deep" / "er" / "a.ply").vertices) == 2 * 162


def test_what_scanners_did_not_see_is_left_out_and_said(tmp_path):
    rng = np.random.default_rng(0)
    points, normals = rng.random((20, 3)), rng.random((20, 3))
    points[3:5], normals[10] = np.nan, np.inf
    np.savez(tmp_path / "a.npz", points=points, normals=normals, colors=rng.random((20, 3)))
    with pytest.warns(InputWarning) as said:
        cloud = load_points(tmp_path / "a.npz")
    assert len(cloud) == len(cloud.normals) == len(cloud.colors) == 18
    assert "2 of its 20 points without coordinates" in str(said[0].message)
    assert "NaN or infinite at 1 of 18" in str(said[1].message) and cloud.normals[8].tolist() == [0, 0, 0]
    points[:] = np.nan
    np.savez(tmp_path / "a.npz", points=points)
    with pytest.raises(InputError, match="20 points with NaN"):
        load_points(tmp_path / "a.npz")


def test_colors_of_archives_are_told_apart_by_their_range(tmp_path):
    colors = np.array([[255.0, 0, 0], [0, 51, 0], [0, 0, 0]])
    np.savez(tmp_path / "a.npz", points=np.eye(3), colors=colors)
    with pytest.warns(InputWarning, match="taken for numbers from 0 to 255"):
        found = load_points(tmp_path / "a.npz").colors
    assert torch.allclose(found, torch.from_numpy(colors / 255).float())
