"""Shapes in gzip and zip, and archives that unpack to more than they should."""

import gzip
import io
import json
import sys
import zipfile

import numpy as np
import pytest

from bozzetto.errors import InputError, InputWarning
from bozzetto.shapes import PointCloud, box, load_mesh, load_points, load_shape, save_mesh, save_points

ENDINGS = ["ply", "obj", "off", "stl", "glb"]


def zipped(members: dict[str, bytes], **options) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def refusal(path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        load_shape(path)
    return str(caught.value)


@pytest.mark.parametrize("ending", ENDINGS)
def test_meshes_in_gzip_and_zip(tmp_path, ending):
    save_mesh(box((2, 1, 3)), tmp_path / f"a.{ending}")
    data = (tmp_path / f"a.{ending}").read_bytes()
    (tmp_path / f"b.{ending}.GZ").write_bytes(gzip.compress(data[:99]) + gzip.compress(data[99:]))
    beside = {
        "readme.txt": b"1 2 3",
        "a.mtl": b"",
        "__MACOSX/._a.ply": b"?",
        ".hidden.obj": b"?",
        "folder/": b"",
    }
    (tmp_path / "c.zip").write_bytes(zipped({**beside, f"folder/a.{ending}": data}))
    for name in (f"b.{ending}.GZ", "c.zip"):
        assert load_mesh(tmp_path / name).bounds.tolist() == box((2, 1, 3)).bounds.tolist()


def test_clouds_in_gzip_and_zip(tmp_path):
    cloud = PointCloud(box((2, 1, 3)).vertices)
    save_points(cloud, tmp_path / "a.xyz")
    data = (tmp_path / "a.xyz").read_bytes()
    (tmp_path / "a.xyz.gz").write_bytes(gzip.compress(data))
    (tmp_path / "a.zip").write_bytes(zipped({"a.csv": data}))
    for name in ("a.xyz.gz", "a.zip"):
        assert load_points(tmp_path / name).points.tolist() == cloud.points.tolist()


def test_gltf_with_its_buffer_in_one_zip(tmp_path):
    save_mesh(box((2, 1, 3)), tmp_path / "a.glb")
    data = (tmp_path / "a.glb").read_bytes()
    length = int.from_bytes(data[12:16], "little")
    tree = json.loads(data[20 : 20 + length])
    tree["buffers"][0]["uri"] = "a.bin"
    members = {"deep/a.gltf": json.dumps(tree).encode(), "deep/a.bin": data[28 + length :]}
    (tmp_path / "b.zip").write_bytes(zipped(members))
    assert len(load_mesh(tmp_path / "b.zip").faces) == 12


def test_a_name_that_promises_gzip(tmp_path):
    save_mesh(box((2, 1, 3)), tmp_path / "a.ply")
    (tmp_path / "a.ply").rename(tmp_path / "a.ply.gz")
    with pytest.warns(InputWarning, match="it is not packed"):
        assert len(load_mesh(tmp_path / "a.ply.gz").faces) == 12


def test_archives_that_do_not_hold_one_shape(tmp_path):
    path = tmp_path / "a.zip"
    assert "holds 2 (a.ply, b.obj)" in refusal(path, zipped({"a.ply": b"ply", "b.obj": b"v"}))
    assert "holds 0 (notes.md)" in refusal(path, zipped({"notes.md": b"hello"}))
    assert "3MF" in refusal(path, zipped({"3D/3dmodel.model": b"<model/>"}))
    assert "call it .npz" in refusal(path, zipped({"points.npy": b""}))
    assert "packed twice" in refusal(tmp_path / "a.gz", gzip.compress(gzip.compress(b"ply\n")))


def test_bombs_end_soon(tmp_path, monkeypatch):
    monkeypatch.setattr("bozzetto.shapes.packed._FREE", 1 << 21)
    zeros = bytes(1 << 23)
    for name, data in (
        ("a.ply.gz", gzip.compress(zeros)),
        ("a.zip", zipped({"a.obj": zeros})),
        ("a.npz", zipped({"points.npy": b"\x93NUMPY\1\0" + header(1 << 17) + zeros})),
    ):
        assert "as no shape does" in refusal(tmp_path / name, data), name


def header(rows: int) -> bytes:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({rows * 2}, 3), }}".ljust(117) + "\n"
    return len(text).to_bytes(2, "little") + text.encode()


def test_zeros_behind_an_array_are_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("bozzetto.shapes.packed._FREE", 1 << 21)
    buffer = io.BytesIO()
    np.save(buffer, np.eye(3))
    (tmp_path / "a.npz").write_bytes(zipped({"points.npy": buffer.getvalue() + bytes(1 << 25)}))
    assert load_points(tmp_path / "a.npz").points.tolist() == np.eye(3).tolist()


@pytest.mark.parametrize("kind", ["gz", "zip"])
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_damage(tmp_path, kind, damage):
    save_mesh(box((2, 1, 3)), tmp_path / "a.obj")
    data = (tmp_path / "a.obj").read_bytes()
    packed = bytearray(gzip.compress(data) if kind == "gz" else zipped({"a.obj": data}))
    if damage == "cut":
        packed = packed[:-30]
    else:
        packed[60] ^= 255
    assert "damaged" in refusal(tmp_path / f"a.obj.{kind}", bytes(packed))


def test_las(tmp_path, monkeypatch):
    laspy = pytest.importorskip("laspy")
    header = laspy.LasHeader(point_format=2, version="1.2")
    header.scales, header.offsets = [0.001] * 3, [448000.0, 5412000.0, 0.0]
    points = np.round(np.random.default_rng(0).random((50, 3)) * 40, 3)
    las = laspy.LasData(header)
    las.x, las.y, las.z = (points + [448000, 5412000, 0]).T
    las.red, las.green, las.blue = (np.full((50, 3), 65535) * [1, 0, 1]).T
    for name in ("a.las", "a.laz"):
        las.write(str(tmp_path / name))
        cloud = load_points(tmp_path / name)
        assert np.allclose(cloud.world_points.numpy(), points + [448000, 5412000, 0], atol=1e-4)
        assert cloud.colors[0].tolist() == [1, 0, 1]
        data = (tmp_path / name).read_bytes()
        assert "a.las" not in refusal(tmp_path / "b.las", data[:150]) and "damaged" in refusal(
            tmp_path / "b.las", data[:-30]
        )
    lying = bytearray((tmp_path / "a.las").read_bytes())
    lying[107:111] = (2**31).to_bytes(4, "little")
    assert "announced" in refusal(tmp_path / "b.las", bytes(lying))
    monkeypatch.setitem(sys.modules, "laspy", None)
    assert "pip install 'bozzetto[las]'" in refusal(tmp_path / "b.las", bytes(lying))
