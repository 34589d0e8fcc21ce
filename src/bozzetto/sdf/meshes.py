"""The meshes of a folder, as people have them."""

import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError
from ..shapes.readers import ending_of
from .splits import Split, split_names

MESH_ENDINGS = (".ply", ".obj", ".stl", ".off", ".glb", ".gltf")


def find_meshes(
    path: str | os.PathLike, split: str | os.PathLike | Split | None = None
) -> list[tuple[str, Path]]:
    """The meshes of a folder, with names under which to prepare them.

    Of a ShapeNet folder as it unpacks (`<class>/<id>/models/model_normalized.obj`, or `<class>/<id>/model.obj`
    in version 1) the names are `ShapeNetV2/<class>/<id>` (or `ShapeNetV1`), so that split files of the released
    code fit; what else lies there is left alone. Otherwise every mesh file counts: the class is the folder it
    lies in, the dataset what is above that from `path` on, or `meshes`.

    A file is a mesh of its own, whatever its format.

    Args:
        path: The folder, or one mesh.
        split: Which of them, in this order, also those that are not there: a report will name them. All, by
            name, if None.

    Raises:
        InputError: There is no such folder, no mesh in it, none of the split, or two meshes have one name.
    """
    path = Path(path)
    if path.is_file():
        return [(f"meshes/{path.resolve().parent.name or 'single'}/{path.stem}", path)]
    if not path.is_dir():
        raise InputError(f"{path} is no folder and no file; give a mesh or the folder that holds the meshes")
    found: dict[str, Path] = {}
    for name, file in _shapenet(path) or _plain(path):
        if name in found:
            raise InputError(f"{found[name]} and {file} would both be named {name}; rename one of them")
        found[name] = file
    if not found:
        raise InputError(f"{path} holds no mesh ({', '.join(MESH_ENDINGS)}); check the path")
    if split is None:
        return sorted(found.items())
    wanted = split_names(split)
    if not set(wanted) & set(found):
        raise InputError(
            f"{path} holds none of the {len(wanted)} shapes of the split; "
            f"it has {next(iter(found))}, the split {', '.join(wanted[:1]) or 'nothing'}"
        )
    return [(name, found.get(name, path / name)) for name in wanted]


def _shapenet(path: Path) -> list[tuple[str, Path]]:
    root = path.resolve()
    shapes = [(file.parents[1], file) for file in root.rglob("models/model_normalized.obj")]
    version = "ShapeNetV2"
    if not shapes:
        shapes = [(file.parent, file) for file in root.rglob("model.obj")]
        version = "ShapeNetV1"
    return [(f"{version}/{shape.parent.name}/{shape.name}", file) for shape, file in shapes]


def _plain(path: Path) -> Iterator[tuple[str, Path]]:
    root = path.resolve()
    for file in sorted(root.rglob("*")):
        if ending_of(file) in MESH_ENDINGS and not file.name.startswith(".") and file.is_file():
            above = [root.name, *file.parent.relative_to(root).parts]
            yield f"{'-'.join(above[:-1]) or 'meshes'}/{above[-1]}/{file.stem}", file
