"""Tests of the benchmark scripts: what they import exists. Nothing else runs them here."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "benchmarks").rglob("*.py"))


def defined(path: Path) -> set[str]:
    """Names that a script defines or imports at its top level."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                found.add(node.name)
            case ast.Import() | ast.ImportFrom():
                found.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
            case ast.Assign() | ast.AnnAssign():
                found.update(part.id for part in ast.walk(node) if isinstance(part, ast.Name))
    return found


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_of_scripts_exist(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or node.level:
            continue
        room, *parts = (node.module or "").split(".")
        if room == "bozzetto":
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
        elif room == "benchmarks":
            place = ROOT.joinpath(room, *parts)
            names = defined(place.with_suffix(".py")) if place.with_suffix(".py").is_file() else set()
            for alias in node.names:
                assert alias.name in names or (place / f"{alias.name}.py").is_file(), alias.name
