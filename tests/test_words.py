"""Public names use the words of the field, and no name stands for two things."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import bozzetto
from bozzetto.cli import VERBS
from bozzetto.cli.checks import options_of

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(bozzetto.__file__).parent
# Kernels are code for devices, with names of their own.
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if not path.stem.endswith("kernels"))
GLOSSARY = (
    (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").partition("## Words that names avoid")[2]
)
AVOIDED = {
    word.strip()
    for row in re.findall(r"^\| ([a-z_, ]+?)(?: \(as a field\))? \|", GLOSSARY, re.MULTILINE)
    for word in row.split(",")
} - {"not"}
FIELDS_ONLY = {"about"}
"""Words that are good in names of functions, such as `rotation_about`."""
SHARED = {
    **dict.fromkeys(("Batch", "CompleteConfig", "TrainConfig", "Training"), "a class of every engine"),
    **dict.fromkeys(
        ("complete", "interpolate", "sample", "find_shape", "invent_meshes"), "a verb of engines"
    ),
    **dict.fromkeys(("require_member", "training_preview"), "the same step of several engines"),
    **dict.fromkeys(
        ("antialias", "irradiance", "rasterize"), "the same, written plainly in rendering/reference"
    ),
    **dict.fromkeys(("torus", "main"), "the same for another kind of input"),
}
"""Names that several modules may define, and why."""


def definitions(path: Path) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Public functions and classes of a module."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


def parameters(function: ast.FunctionDef) -> Iterator[str]:
    arguments = function.args
    for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        yield one.arg


def public_names(path: Path) -> Iterator[tuple[str, bool]]:
    """Names of a module and in it; whether each is a parameter or a field."""
    yield path.stem, False
    for node in definitions(path):
        yield node.name, False
        parts = node.body if isinstance(node, ast.ClassDef) else [node]
        for part in parts:
            if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                yield part.target.id, True
            elif isinstance(part, ast.FunctionDef) and (part.name[0] != "_" or part.name == "__init__"):
                yield part.name, False
                yield from ((name, True) for name in parameters(part))
        for part in ast.walk(node):  # attributes that methods set
            if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store):
                if isinstance(part.value, ast.Name) and part.value.id == "self":
                    yield part.attr, True


def words_of(name: str) -> set[str]:
    """The words of a name in snake or camel case, and the name itself."""
    return {name, *re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().split("_")}


def avoided(name: str, is_field: bool) -> set[str]:
    words = words_of(name) & AVOIDED
    return words if is_field else words - FIELDS_ONLY


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_names_use_the_words_of_the_field(path):
    for name, is_field in public_names(path):
        if not name.startswith("_"):
            assert not avoided(name, is_field), f"{name}; docs/glossary.md names other words"


@pytest.mark.parametrize("verb", VERBS)
def test_options_use_the_words_of_the_field(verb):
    for option in options_of(VERBS[verb]):
        assert not avoided(option.name.strip("-").replace("-", "_"), True), option.name


def test_no_name_stands_for_two_things():
    places = defaultdict(list)
    for path in MODULES:
        if path.relative_to(PACKAGE).parts[0] != "cli":  # its classes are named as the verbs
            for node in definitions(path):
                places[node.name].append(str(path.relative_to(PACKAGE)))
    several = {name: paths for name, paths in places.items() if len(paths) > 1}
    assert set(several) == set(SHARED), {n: p for n, p in several.items() if n not in SHARED}


def test_the_words_come_from_the_glossary():
    assert {"telling", "waves", "seen", "about", "figures", "share", "reach", "gauge", "evidence"} <= AVOIDED
    assert {"draws", "laid", "made", "natural", "longest_code"} <= AVOIDED
    assert avoided("masks_made", True) == {"made"} and avoided("MadeUp", False) == {"made"}
    assert avoided("about", True) and not avoided("rotation_about", False)
