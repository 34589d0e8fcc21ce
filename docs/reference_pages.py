"""A hook of MkDocs: the pages of the API reference, one per room, from the names that `__init__.pyi` lists.

The names of a file stand together under the first sentence of its docstring. mkdocstrings reads signatures and
docstrings from the sources, so that building the site imports nothing of the package.
"""

import ast
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "bozzetto"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for stub in sorted(PACKAGE.glob("*/__init__.pyi")):
        files.append(File.generated(config, f"reference/{stub.parent.name}.md", content=page(stub.parent)))
    return files


def page(room: Path) -> str:
    """The page of a room, with the rooms inside of it."""
    parts = [f"# {dotted(room)}\n\n{docstring(room / '__init__.py')}\n"]
    for stub in sorted(room.rglob("__init__.pyi")):
        if stub.parent != room:
            parts.append(f"## {dotted(stub.parent)}\n\n{docstring(stub.with_suffix('.py'))}\n")
        parts += [section(stub.parent, module, names) for module, names in public_names(stub).items()]
    return "\n".join(parts)


def section(package: Path, module: str, names: list[str]) -> str:
    """What a room shows of one of its files."""
    path = package.joinpath(*module.split("."))
    source = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    sentence = docstring(source).split("\n\n")[0]
    identifier = f"{dotted(package)}.{module}"
    blocks = [f"::: {identifier}.{name}\n" for name in names] or [f"::: {identifier}\n"]
    imported = f"from {dotted(package)} import {', '.join(names or [module])}"
    return "\n".join([f"## {module}\n\n{sentence}\n\n```python\n{imported}\n```\n", *blocks])


def public_names(stub: Path) -> dict[str, list[str]]:
    """Names by the file that they come from, in the order of the stub; none for a module as a whole."""
    found: dict[str, list[str]] = {}
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if node.module:
                    found.setdefault(node.module, []).append(alias.name)
                elif not (stub.parent / alias.name / "__init__.pyi").is_file():
                    found.setdefault(alias.name, [])
    return found


def docstring(path: Path) -> str:
    """That of a module."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def dotted(path: Path) -> str:
    """Name of a package by its folder."""
    return ".".join(("bozzetto", *path.relative_to(PACKAGE).parts))
