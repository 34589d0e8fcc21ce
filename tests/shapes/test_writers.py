import json
import struct

import numpy as np
import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.shapes import box, icosphere, load_mesh, save_morph, save_sequence


def read(path):
    data = path.read_bytes()
    length = struct.unpack("<I", data[12:16])[0]
    tree = json.loads(data[20 : 20 + length])
    blob = data[28 + length :]

    def values(index):
        accessor = tree["accessors"][index]
        view = tree["bufferViews"][accessor["bufferView"]]
        kind = {5126: "<f4", 5125: "<u4"}[accessor["componentType"]]
        raw = blob[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        rows = np.frombuffer(raw, kind).reshape(accessor["count"], -1)
        if "min" in accessor:
            assert np.allclose(rows.min(0), accessor["min"]) and np.allclose(rows.max(0), accessor["max"])
        return rows

    return tree, values


def test_a_morph_holds_every_shape_and_goes_there_and_back(tmp_path):
    mesh = icosphere(1)
    shapes = [mesh.vertices * 2, mesh.vertices + 1]
    save_morph(mesh, shapes, tmp_path / "morph.glb", seconds=4.0)
    tree, values = read(tmp_path / "morph.glb")
    primitive = tree["meshes"][0]["primitives"][0]
    base = values(primitive["attributes"]["POSITION"])
    for target, shape in zip(primitive["targets"], shapes, strict=True):
        assert np.allclose(base + values(target["POSITION"]), shape.numpy(), atol=1e-6)
    sampler = tree["animations"][0]["samplers"][0]
    times, weights = values(sampler["input"])[:, 0], values(sampler["output"]).reshape(-1, 2)
    assert len(times) == len(weights) and (np.diff(times) > 0).all() and times[0] == 0
    assert times[-1] == pytest.approx(2 * 4 + 2)
    assert weights.tolist() == [[0, 0], [0, 0], [1, 0], [0, 1], [0, 1], [1, 0], [0, 0]]
    assert torch.equal(load_mesh(tmp_path / "morph.glb").vertices, mesh.vertices)


def test_a_sequence_shows_one_mesh_at_a_time(tmp_path):
    meshes = [box(), icosphere(1), icosphere(2)]
    save_sequence(meshes, tmp_path / "walk.glb")
    tree, values = read(tmp_path / "walk.glb")
    animation = tree["animations"][0]
    shown = np.stack([values(sampler["output"])[:, 0] for sampler in animation["samplers"]])
    assert (shown.sum(axis=0) == 1).all() and shown[:, :3].tolist() == np.eye(3).tolist()
    assert [c["target"]["node"] for c in animation["channels"]] == [0, 1, 2]
    counts = [tree["accessors"][m["primitives"][0]["indices"]]["count"] for m in tree["meshes"]]
    assert counts == [3 * len(mesh.faces) for mesh in meshes]


def test_bad_animations_are_refused(tmp_path):
    mesh = box()
    with pytest.raises(InputError, match="at least two"):
        save_morph(mesh, [], tmp_path / "a.glb")
    with pytest.raises(InputError, match="vertices of the first"):
        save_morph(mesh, [mesh.vertices[:3]], tmp_path / "a.glb")
    with pytest.raises(InputError, match="choose a name in .glb"):
        save_sequence([mesh, mesh], tmp_path / "a.ply")
    assert not list(tmp_path.iterdir())
