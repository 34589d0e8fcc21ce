"""Which shapes of a collection are meant, and which are kept aside for tests.

A split file of the released code is JSON: {dataset: {class: [name, ...]}}.
"""

import hashlib
import json
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import InputError
from ..shapes import Mesh

Split = Mapping[str, Mapping[str, Sequence[str]]]


def load_split(path: str | os.PathLike[str]) -> dict[str, dict[str, list[str]]]:
    """Read a split file of the released code.

    Raises:
        InputError: It is missing, no JSON, or has another form.
    """
    path = Path(path)
    try:
        split = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the split {path} ({error}); give a JSON file") from None
    if not _is_split(split):
        raise InputError(f"{path} is no split file; expected {{dataset: {{class: [name, ...]}}}}")
    return split


def _is_split(content: object) -> bool:
    if not isinstance(content, dict) or not all(isinstance(classes, dict) for classes in content.values()):
        return False
    lists = [names for classes in content.values() for names in classes.values()]
    return all(isinstance(names, list) and all(isinstance(n, str) for n in names) for names in lists)


def split_names(split: str | os.PathLike[str] | Split) -> tuple[str, ...]:
    """The shapes of a split file or its content, as `dataset/class/name`.

    Raises:
        InputError: The file cannot be read or a name leaves the folder.
    """
    content: Split = split if isinstance(split, Mapping) else load_split(split)
    names = tuple(f"{d}/{c}/{n}" for d, classes in content.items() for c, ids in classes.items() for n in ids)
    for name in names:
        check_name(name)
    return names


def as_split(names: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """The content of a split file with these shapes, named `dataset/class/name`."""
    split: dict[str, dict[str, list[str]]] = {}
    for name in names:
        dataset, kind, shape = check_name(name)
        split.setdefault(dataset, {}).setdefault(kind, []).append(shape)
    return split


def check_name(name: str) -> tuple[str, str, str]:
    """The three parts of a shape's name.

    Raises:
        InputError: There are more or fewer, or one of them would lead somewhere else in the file system.
    """
    parts = name.split("/")
    if len(parts) != 3 or any(part in ("", ".", "..") or "\\" in part for part in parts):
        raise InputError(f"{name!r} cannot name a shape; expected dataset/class/name")
    return parts[0], parts[1], parts[2]


def near_copies(meshes: Sequence[Mesh]) -> list[list[int]]:
    """Groups of meshes with the same list of faces: one is a deformed copy of the other.

    Returns:
        Positions of the meshes; each is in one group, alone in it if it has no copy.
    """
    groups: dict[bytes, list[int]] = {}
    for index, mesh in enumerate(meshes):
        key = hashlib.sha256(mesh.faces.cpu().contiguous().numpy().tobytes()).digest()
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def split_collection(
    names: Sequence[str], groups: Sequence[Sequence[int]], fraction: float = 0.8, seed: int = 0
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divide shapes into those to learn from and those to test on, near-copies always on one side.

    Groups in random order go to the test side as long as they fit there.

    Args:
        names: The shapes.
        groups: Positions of shapes that belong together, see `near_copies`.
        fraction: Part to learn from.
        seed: Of the order.

    Returns:
        The names to learn from and those to test on, each in the given order.

    Raises:
        InputError: The share is not between 0 and 1, the groups are no partition of the names, or one side
            would be empty.
    """
    if not 0 < fraction < 1:
        raise InputError(f"the share to learn from must lie between 0 and 1, got {fraction}")
    if sorted(index for group in groups for index in group) != list(range(len(names))):
        raise InputError(f"every one of {len(names)} shapes must be in exactly one group; group them again")
    room = round(len(names) * (1 - fraction))
    test: set[int] = set()
    for group in random.Random(seed).sample(list(groups), len(groups)):
        if len(test) + len(group) <= room:
            test.update(group)
    if not test:
        raise InputError(
            f"{len(names)} shapes in {len(groups)} groups leave nothing to test on at a share of {fraction}; "
            "take more shapes or a smaller share"
        )
    return (
        tuple(name for i, name in enumerate(names) if i not in test),
        tuple(name for i, name in enumerate(names) if i in test),
    )
