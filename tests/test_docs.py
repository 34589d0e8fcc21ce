"""The pages: files and names that they mention exist, and every room has its place on the site."""

import ast
import importlib
import re
from pathlib import Path

import pytest

import bozzetto

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(bozzetto.__file__).parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
BLOCKS = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, block in enumerate(
        re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    )
    if "--8<--" not in block
]
FILE = re.compile(r"`((?:[\w-]+/)*[\w-]+/[\w-]+\.pyi?)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page):
    for name in FILE.findall(page.read_text(encoding="utf-8")):
        if "NAME" not in name:  # stands for a name of the reader's choice
            # The package lies elsewhere when its wheel is tested.
            assert (ROOT / name).is_file() or (PACKAGE / name.removeprefix("bozzetto/")).is_file(), name


@pytest.mark.parametrize("block", BLOCKS)
def test_what_the_code_of_a_page_imports_exists(block):
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bozzetto"):
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module}.{alias.name}"


def test_the_site_has_every_page_and_every_room():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    listed = set(re.findall(r"[\w/-]+\.md", nav))
    rooms = {f"reference/{stub.parent.name}.md" for stub in PACKAGE.glob("*/__init__.pyi")}
    assert listed == rooms | {page.relative_to(ROOT / "docs").as_posix() for page in PAGES}


def test_the_loop_of_a_loss_of_ones_own_runs():
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    (loop,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "backward" in block)
    names: dict = {}
    exec(loop, names)
    assert names["u"].grad.abs().max() > 0


def test_the_training_of_ones_own_runs():
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    (loop,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "Patience" in block)
    names: dict = {}
    exec(loop, names)
    assert names["Patience"].losses and names["prior"].names == ("ball",)


def test_code_of_a_page_is_checked():
    assert len(BLOCKS) > 5
    assert FILE.findall("`sdf/fit_code.py`, `a/b/c.pyi` and `README.md`") == ["sdf/fit_code.py", "a/b/c.pyi"]
