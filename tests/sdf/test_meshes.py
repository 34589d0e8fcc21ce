"""Folders of meshes and the names of what they hold."""

import pytest

from bozzetto import InputError
from bozzetto.sdf import find_meshes


def touch(root, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


def names(found) -> list[str]:
    return [name for name, _ in found]


def test_flat_and_nested_folders(tmp_path) -> None:
    root = tmp_path / "shapes"
    touch(root, "b.PLY", "a.obj", "notes.txt", "picture.png", ".hidden.ply", "samples.npz")
    assert names(find_meshes(root)) == ["meshes/shapes/a", "meshes/shapes/b"]
    assert [path.name for _, path in find_meshes(root)] == ["a.obj", "b.PLY"]
    touch(root, "cups/c.stl", "cups/old/d.glb")
    assert names(find_meshes(root)) == [
        "meshes/shapes/a",
        "meshes/shapes/b",
        "shapes-cups/old/d",
        "shapes/cups/c",
    ]


@pytest.mark.parametrize(
    ("file", "dataset"), [("models/model_normalized.obj", "ShapeNetV2"), ("model.obj", "ShapeNetV1")]
)
def test_shapenet_as_it_unpacks(file, dataset, tmp_path) -> None:
    root = tmp_path / "ShapeNetCore"
    touch(root, f"02691156/10/{file}", f"02691156/9/{file}", f"03001627/7/{file}")
    touch(root, "02691156/10/models/other.ply", "02691156/10/images/texture.jpg")
    expected = [f"{dataset}/02691156/10", f"{dataset}/02691156/9", f"{dataset}/03001627/7"]
    assert names(find_meshes(root)) == expected
    assert names(find_meshes(root / "02691156")) == expected[:2]
    split = {dataset: {"03001627": ["7"], "02691156": ["9", "gone"]}}
    found = find_meshes(root, split)
    assert names(found) == [f"{dataset}/03001627/7", f"{dataset}/02691156/9", f"{dataset}/02691156/gone"]
    assert [path.exists() for _, path in found] == [True, True, False]


def test_folders_without_meshes_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="no folder"):
        find_meshes(tmp_path / "nothing")
    with pytest.raises(InputError, match="no mesh"):
        find_meshes(tmp_path)
    touch(tmp_path, "a/x.ply", "a/x.obj")
    with pytest.raises(InputError, match="both be named"):
        find_meshes(tmp_path)
    touch(tmp_path / "b", "y.ply")
    with pytest.raises(InputError, match="none of the 1 shapes of the split"):
        find_meshes(tmp_path / "b", {"meshes": {"b": ["z"]}})
