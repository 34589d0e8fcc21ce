"""Count how often a reader changes files when following one argument through the code.

A walk begins at a parameter of a function. Statements are read in the order in which they are written, all
branches of them. Where the argument, or a value that was made of it, is handed to a function of this package,
the walk enters that function, each function once. A stay is a run of entries into the same file; a return is a
stay in a file that had been left. There are three counts of a walk:

- room: only files of the room (folder) in which it begins are entered. Of functions of other rooms, name and
  first sentence are enough to go on reading.
- doors: the function that is called in another room counts as a stay as well, but what it calls is not read.
- whole: everything is entered, down to the bytes of a file.

    python docs/count_walks.py                                    # write the walks of docs/architecture.md
    python docs/count_walks.py --check                            # fail if that page is out of date
    python docs/count_walks.py heightmap.run:map_photo:source     # one walk, entry by entry
"""

import argparse
import ast
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, get_args

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "bozzetto"
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- walks -->\n", "<!-- end of walks -->\n"
WALKS = {
    "a photo in `heightmap`": "heightmap.run:map_photo:source",
    "a scan in `complete`": "sdf.run:complete_scan:observations",
    "a cloud in `surface`": "points.run:surface_cloud:cloud",
    "a mesh in `train sdf`": "sdf.run:prepared_collection:data",
    "a capture in `reconstruct`": "inverse.run:reconstruct_photographs:capture",
}
Count = Literal["room", "doors", "whole"]
COUNTS = get_args(Count)
Function = ast.FunctionDef
Place = tuple[str, str]
"""A module, and the qualified name of a function or class in it."""


@dataclass
class Module:
    """A module: its functions and classes by qualified name, and what it imports, by local name."""

    name: str
    functions: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    imports: dict[str, Place] = field(default_factory=dict)


@cache
def read_package(package: Path) -> dict[str, Module]:
    """All modules of a package by name."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        name = ".".join(path.relative_to(package).with_suffix("").parts)
        modules[name] = _read_module(name, ast.parse(path.read_text(encoding="utf-8")))
    stubs: dict[Place, Place] = {}
    for path in package.rglob("__init__.pyi"):
        room = ".".join(path.relative_to(package).parts[:-1])
        for local, place in _imports(
            f"{room}.x" if room else "x", ast.parse(path.read_text(encoding="utf-8"))
        ):
            stubs[room, local] = place
    for module in modules.values():
        module.imports = {local: _resolved(place, stubs) for local, place in module.imports.items()}
    return modules


def _resolved(place: Place, stubs: dict[Place, Place]) -> Place:
    while place in stubs and stubs[place] != place:
        place = stubs[place]
    return place


def _read_module(name: str, tree: ast.Module) -> Module:
    module = Module(name)
    for node in tree.body:
        if isinstance(node, Function):
            module.functions[node.name] = node
        elif isinstance(node, ast.ClassDef):
            module.classes[node.name] = node
            methods = {f"{node.name}.{n.name}": n for n in node.body if isinstance(n, Function)}
            module.functions.update(methods)
    module.imports = dict(_imports(name, tree))
    return module


def _imports(name: str, tree: ast.Module) -> list[tuple[str, Place]]:
    package = name.split(".")[:-1]
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            target = ".".join([*base, *([node.module] if node.module else [])])
            found += [(alias.asname or alias.name, (target, alias.name)) for alias in node.names]
    return found


class Walk:
    """The entries of one argument into functions, in order.

    Attributes:
        entries: Module and function of each entry.
    """

    def __init__(self, modules: dict[str, Module], count: Count) -> None:
        self.modules, self.count = modules, count
        self.entries: list[Place] = []
        self._known: set[Place] = set()

    def enter(self, place: Place, parameters: set[str]) -> None:
        """Follow parameters through a function that was not entered before."""
        if place in self._known:
            return
        self._known.add(place)
        away = bool(self.entries) and place[0].split(".")[0] != self._home
        if away and self.count == "room":
            return
        self.entries.append(place)
        if not (away and self.count == "doors"):
            _Reader(self, self.modules[place[0]], place[1].rpartition(".")[0]).read(
                self.modules[place[0]].functions[place[1]], parameters
            )

    @property
    def _home(self) -> str:
        return self.entries[0][0].split(".")[0]

    def stays(self) -> list[str]:
        """The files, in order, without repetition of one that goes on."""
        files = [module for module, _ in self.entries]
        return [file for i, file in enumerate(files) if i == 0 or file != files[i - 1]]

    def returns(self) -> int:
        """Stays in a file that had been left."""
        stays = self.stays()
        return len(stays) - len(set(stays))


class _Reader(ast.NodeVisitor):
    """Reads one function: which names hold something of the argument, and which calls get it."""

    def __init__(self, walk: Walk, module: Module, holder: str) -> None:
        self.walk, self.module, self.holder = walk, module, holder
        self.held: set[str] = set()
        self.types: dict[str, Place] = {}

    def read(self, function: Function, held: set[str]) -> None:
        self.held = set(held)
        for a in [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]:
            self._note_type(a.arg, a.annotation)
        for statement in function.body:
            self.visit(statement)

    def _note_type(self, name: str, annotation: ast.expr | None) -> None:
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = ast.Name(annotation.value)
        if isinstance(annotation, ast.Name):
            self.types[name] = self.module.imports.get(annotation.id, (self.module.name, annotation.id))

    def holds(self, node: ast.AST | None) -> bool:
        return node is not None and any(isinstance(n, ast.Name) and n.id in self.held for n in ast.walk(node))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for statement in node.body:
            self.visit(statement)

    def _assign(self, targets: list[ast.expr], value: ast.expr) -> None:
        self.visit(value)
        if self.holds(value):
            self.held |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        if isinstance(value, ast.Call) and targets and isinstance(targets[0], ast.Name):
            place = self._called(value.func)
            if place is not None and place[1] in self.walk.modules[place[0]].classes:
                self.types[targets[0].id] = place
            elif place is not None:
                self._note_returned(targets[0].id, place)

    def _note_returned(self, name: str, place: Place) -> None:
        function, module = self.walk.modules[place[0]].functions[place[1]], self.walk.modules[place[0]]
        if isinstance(function.returns, ast.Name):
            self.types[name] = module.imports.get(function.returns.id, (module.name, function.returns.id))

    def visit_Assign(self, node: ast.Assign) -> None:
        self._assign(node.targets, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._assign([node.target], node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._assign([node.target], node.value)

    def visit_For(self, node: ast.For) -> None:
        self._assign([node.target], node.iter)
        for statement in [*node.body, *node.orelse]:
            self.visit(statement)

    def visit_withitem(self, node: ast.withitem) -> None:
        self._assign([node.optional_vars] if node.optional_vars else [], node.context_expr)

    def _called(self, function: ast.expr) -> Place | None:
        """The function or class of the package that is called, as far as the text tells."""
        place = None
        if isinstance(function, ast.Name):
            place = self.module.imports.get(function.id, (self.module.name, function.id))
        elif isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            owner = function.value.id
            kind = (self.module.name, self.holder) if owner == "self" else self.types.get(owner)
            if kind is None and owner in self.module.imports:
                kind = self.module.imports[owner]
                if ".".join(x for x in kind if x) in self.walk.modules:  # a module
                    return self._existing((".".join(x for x in kind if x), function.attr))
            place = None if kind is None else (kind[0], f"{kind[1]}.{function.attr}")
        return self._existing(place)

    def _existing(self, place: Place | None) -> Place | None:
        if place is None or place[0] not in self.walk.modules:
            return None
        module = self.walk.modules[place[0]]
        return place if place[1] in module.functions or place[1] in module.classes else None

    def visit_Call(self, node: ast.Call) -> None:
        for child in [*node.args, *(k.value for k in node.keywords)]:
            self.visit(child)
        if isinstance(node.func, ast.Attribute):
            self.visit(node.func.value)
        place = self._called(node.func)
        if place is None or place[1] not in self.walk.modules[place[0]].functions:
            return
        function = self.walk.modules[place[0]].functions[place[1]]
        names = [a.arg for a in [*function.args.posonlyargs, *function.args.args]]
        method = names[:1] == ["self"]
        if method:
            names = names[1:]
        rest = [function.args.vararg.arg] * len(node.args) if function.args.vararg else []
        handed = {n for n, a in zip([*names, *rest], node.args, strict=False) if self.holds(a)}
        handed |= {k.arg for k in node.keywords if k.arg and self.holds(k.value)}
        if method and isinstance(node.func, ast.Attribute) and self.holds(node.func.value):
            handed.add("self")
        if handed:
            self.walk.enter(place, handed)


def walk(start: str, count: Count = "room") -> Walk:
    """The walk that begins at `module:function:parameter`.

    Raises:
        KeyError: There is no such module, function or parameter.
    """
    modules = read_package(PACKAGE)
    module, function, parameter = start.split(":")
    arguments = modules[module].functions[function].args
    if parameter not in [a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]]:
        raise KeyError(parameter)
    found = Walk(modules, count)
    found.enter((module, function), {parameter})
    return found


def table() -> str:
    """The walks in Markdown, each count as stays and returns."""
    rows = ["| walk | begins at | in its room | with doors | whole |", "|---|---|---|---|---|"]
    for what, start in WALKS.items():
        found = [walk(start, count) for count in COUNTS]
        counts = " | ".join(f"{len(w.stays())} stays, {w.returns()} returns" for w in found)
        rows.append(f"| {what} | `{start}` | {counts} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Print one walk, or write or check the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("start", nargs="?")
    parser.add_argument("--count", choices=COUNTS, default="room")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    if args.start:
        found = walk(args.start, args.count)
        for module, function in found.entries:
            sys.stdout.write(f"{module}: {function}\n")
        sys.stdout.write(f"{len(found.stays())} stays, {found.returns()} returns\n")
        return
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    new = before + BEGIN + table() + END + rest.split(END)[1]
    if args.check and new != text:
        sys.exit(f"{PAGE} is out of date; run `python docs/count_walks.py`")
    PAGE.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
