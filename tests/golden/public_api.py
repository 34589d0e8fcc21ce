"""Public names of the package and of its rooms, with their parameters and fields, as text.

    python tests/golden/public_api.py      # writes public_api.txt anew, after a name was changed on purpose

Names and defaults come from the syntax tree: the text is the same with every version of Python and PyTorch.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import bozzetto

STORED = Path(__file__).with_name("public_api.txt")
PACKAGE = Path(bozzetto.__file__).parent

Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


def listing() -> list[str]:
    """A line for every public name, and for every public method and field of a class."""
    return sorted({line for stub in PACKAGE.rglob("__init__.pyi") for line in _of_stub(stub)})


def _of_stub(stub: Path) -> Iterator[str]:
    room = ".".join(["bozzetto", *stub.parent.relative_to(PACKAGE).parts])
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.ImportFrom):
            continue
        for alias in node.names:
            name = f"{room}.{alias.name}"
            if node.module is None:
                yield name
                continue
            place = _file(stub.parent, node.module)
            if place.suffix == ".pyi":  # another room, which lists what it is
                yield f"{name} = {'.'.join(place.parent.relative_to(PACKAGE.parent).parts)}.{alias.name}"
            else:
                yield from _lines(name, _definition(place, alias.name))


def _file(folder: Path, module: str) -> Path:
    place = folder.joinpath(*module.split("."))
    return place / "__init__.pyi" if place.is_dir() else place.with_suffix(".py")


def _definition(path: Path, name: str) -> Definition:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in ast.unparse(node).split("=")[0]:
            return node
    raise LookupError(f"{path} does not define {name}")


def _lines(name: str, node: ast.AST) -> Iterator[str]:
    """Of a function its parameters, of a class its fields and methods."""
    if isinstance(node, ast.FunctionDef):
        shown = any(isinstance(one, ast.Name) and one.id == "property" for one in node.decorator_list)
        yield name if shown else f"{name}({_parameters(node.args)})"
    elif isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        yield f"class {name}({bases})" if bases else f"class {name}"
        for part in node.body:
            if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                yield f"{name}.{part.target.id}{_default(part.value)}"
            elif isinstance(part, ast.FunctionDef) and (part.name == "__init__" or part.name[0] != "_"):
                yield from _lines(f"{name}.{part.name}", part)
    else:
        yield name


def _default(value: ast.expr | None) -> str:
    return "" if value is None else f"={ast.unparse(value)}"


def _parameters(arguments: ast.arguments) -> str:
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    parts = [f"{one.arg}{_default(value)}" for one, value in zip(plain, defaults, strict=True)]
    if arguments.vararg or arguments.kwonlyargs:
        parts.append(f"*{arguments.vararg.arg if arguments.vararg else ''}")
    parts += [
        f"{one.arg}{_default(value)}"
        for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    return ", ".join([*parts, *([f"**{arguments.kwarg.arg}"] if arguments.kwarg else [])])


if __name__ == "__main__":
    STORED.write_text("\n".join(listing()) + "\n", encoding="utf-8")
