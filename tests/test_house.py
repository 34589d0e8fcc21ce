"""The rules of the house: what may import what, what is imported when, and that public names exist."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import bozzetto

PACKAGE = Path(bozzetto.__file__).parent
LEVELS = [
    {"images", "weights"},
    {"shapes", "runs"},
    {"geometry"},
    {"cameras", "metrics"},
    {"rendering"},
    {"datasets"},
    {"points", "photometric"},
    {"heightmap", "inverse", "score", "sdf"},
    {"viewer"},
    {"cli"},
]
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
MODULES = sorted(PACKAGE.rglob("*.py"))
STUBS = sorted(PACKAGE.rglob("__init__.pyi"))


def imported_rooms(path: Path) -> set[str]:
    """Rooms that a module imports, written relatively or absolutely, at the top or inside functions."""
    package = path.relative_to(PACKAGE).parts[:-1]
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            parts = [*base, *(node.module or "").split(".")] if node.module else list(base)
            names = [[*parts, alias.name] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [[*(node.module or "").split("."), alias.name] for alias in node.names]
            names = [name[1:] for name in names if name[0] == "bozzetto"]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            names = [name[1:] for name in names if name[0] == "bozzetto"]
        rooms |= {name[0] for name in names if name and name[0] in LEVEL}
    return rooms


def test_every_room_has_its_level():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms <= set(LEVEL)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_point_one_way(path):
    room = path.relative_to(PACKAGE).parts[0]
    if room not in LEVEL:
        return  # a module beside the rooms: errors, files
    for other in imported_rooms(path) - {room}:
        assert LEVEL[other] < LEVEL[room], f"{room} must not import {other}"


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path, modules: set[str]) -> set[str]:
    """Modules that a module imports; a public name of a room stands for the file that defines it."""
    package = list(path.relative_to(PACKAGE).parts[:-1])
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = package[: len(package) - node.level + 1]
        target = ".".join([*base, *([node.module] if node.module else [])])
        for alias in node.names:
            inner = f"{target}.{alias.name}".lstrip(".")
            found.add(PUBLIC.get((target, alias.name)) or (inner if inner in modules else target))
    return (found & modules) - {module_name(path)}


PUBLIC = {
    (module_name(stub), alias.name): f"{module_name(stub)}.{node.module}".lstrip(".")
    for stub in STUBS
    for node in ast.parse(stub.read_text(encoding="utf-8")).body
    if isinstance(node, ast.ImportFrom) and node.module
    for alias in node.names
}
"""Where a public name of a room is defined."""


def test_no_modules_import_each_other_in_a_circle():
    modules = {module_name(path) for path in MODULES}
    left = {module_name(path): imported_modules(path, modules) for path in MODULES}
    while free := {name for name, needs in left.items() if not needs & set(left)}:
        left = {name: needs for name, needs in left.items() if name not in free}
    assert not left, f"circles among {sorted(left)}"


@pytest.mark.parametrize("engine", ["heightmap", "inverse", "score", "sdf"])
def test_engines_have_the_same_files(engine):
    learning = "optimize" if engine == "inverse" else "train"  # of one scene, or of a collection
    for name in ("config", "data", "model", "losses", learning, "run"):
        assert (PACKAGE / engine / f"{name}.py").is_file()


SHORT = 40
"""Lines below which a file needs more than one importer."""


def test_short_files_are_read_by_several():
    names = {module_name(path): path for path in MODULES}
    importers = dict.fromkeys(names, 0)
    for path in MODULES:
        for name in imported_modules(path, set(names)) & set(names):
            importers[name] += 1
    for name, path in names.items():
        exempt = path.stem in ("__init__", "__main__", "losses") or path.stem.endswith("_kernels")
        if not exempt and len(path.read_text(encoding="utf-8").splitlines()) < SHORT:
            assert importers[name] > 1, f"{name} is short and read by one file; join them"


def test_every_room_is_a_name_of_the_package():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms - {"cli", "weights"} <= set(dir(bozzetto))  # the command line, and files


def test_modules_beside_the_rooms_import_no_room():
    for path in set(PACKAGE.glob("*.py")) - {PACKAGE / "__main__.py"}:
        assert imported_rooms(path) == set(), path.name


def test_importing_bozzetto_and_its_rooms_imports_nothing_heavy():
    rooms = [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
    script = (
        "import sys, bozzetto\n"
        f"[getattr(bozzetto, room) for room in {[room for room in rooms if room not in ('cli', 'weights')]}]\n"
        "heavy = {'torch', 'warp', 'scipy', 'trimesh', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("stub", STUBS, ids=lambda p: str(p.parent.relative_to(PACKAGE)) or "bozzetto")
def test_public_names_resolve(stub):
    module = importlib.import_module(".".join(["bozzetto", *stub.parent.relative_to(PACKAGE).parts]))
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert alias.asname == alias.name, f"{alias.name} is not exported explicitly"
                value = getattr(module, alias.name)
                # A module of the same name must not hide what it defines.
                assert isinstance(value, ModuleType) == (node.module is None)


@pytest.mark.parametrize("stub", STUBS, ids=lambda p: str(p.parent.relative_to(PACKAGE)) or "bozzetto")
def test_public_names_are_documented(stub):
    module = importlib.import_module(".".join(["bozzetto", *stub.parent.relative_to(PACKAGE).parts]))
    for name in dir(module) if module is bozzetto else module.__all__:
        value = getattr(module, name)
        if callable(value):
            assert value.__doc__, f"{module.__name__}.{name} has no docstring"
