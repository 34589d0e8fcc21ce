"""The README and the page of figures: what they say is what the stored results hold."""

import ast
import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

import bozzetto

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "benchmarks" / "readme_table.py"
spec = importlib.util.spec_from_file_location("readme_table", SCRIPT)
assert spec and spec.loader
readme_table = sys.modules["readme_table"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(readme_table)
PAGES = [readme_table.README, readme_table.FIGURES]
ROWS = {node.name: node for node in ast.parse(SCRIPT.read_text()).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_table_is_that_of_the_stored_results(page):
    text = page.read_text(encoding="utf-8")
    assert readme_table.with_table(page) == text, "run `python -m benchmarks.readme_table`"


def test_another_stored_value_changes_the_table(monkeypatch):
    found = json.loads(json.dumps(readme_table.stored("score_speed")))
    found["seconds_per_shape"]["default"]["wall"] *= 2
    stored = readme_table.stored
    monkeypatch.setattr(readme_table, "stored", lambda n: found if n == "score_speed" else stored(n))
    for page in PAGES:
        assert readme_table.with_table(page) != page.read_text(encoding="utf-8")


def test_the_readme_has_no_figure_of_an_unknown_state_of_the_code(monkeypatch):
    found = dict(readme_table.stored("score_speed"))
    del found["commit"]
    stored = readme_table.stored
    monkeypatch.setattr(readme_table, "stored", lambda n: found if n == "score_speed" else stored(n))
    assert "score_speed.py" not in readme_table.table(readme_table.README)
    assert "score_speed.py" in readme_table.table(readme_table.FIGURES)


@pytest.mark.parametrize("row", readme_table.ROWS, ids=lambda row: row.text.__name__)
def test_figures_have_no_digits_of_their_own(row):
    # Text of a function but its docstring and what was measured, the first of the two that it returns.
    function = ROWS[row.text.__name__]
    returned = function.body[-1]
    assert isinstance(returned, ast.Return) and isinstance(returned.value, ast.Tuple)
    returned.value.elts[0] = ast.Constant("")
    if isinstance(call := returned.value.elts[1], ast.Call):
        function = ROWS[call.func.id]
    parts = list(ast.walk(ast.Module(function.body[1:], [])))
    formats = {id(part.format_spec) for part in parts if isinstance(part, ast.FormattedValue)}
    strings = [part for part in parts if isinstance(part, ast.JoinedStr) and id(part) not in formats]
    texts = [c.value for s in strings for c in s.values if isinstance(c, ast.Constant)]
    assert texts
    assert not [text for text in texts if re.search(r"(?<![A-Za-z])\d", text)]


@pytest.mark.parametrize("row", readme_table.ROWS, ids=lambda row: row.text.__name__)
def test_scripts_and_code_exist(row):
    assert (ROOT / "benchmarks" / row.script).is_file()
    for folder in row.code:
        assert (Path(bozzetto.__file__).parent / folder).is_dir()


@pytest.mark.parametrize("name", sorted({n for row in readme_table.ROWS for n in row.results}))
def test_results_hold_where_they_come_from(name):
    found = readme_table.stored(name)
    assert found["date"] and found["machine"]["processor"] and found["machine"]["versions"]
    if found["date"] >= "2026-12-01":
        assert found["commit"] and not found["commit"].endswith("-dirty")
        assert found["command"].startswith(("python -m benchmarks.", "python benchmarks/"))
        assert found["seconds"] > 0
