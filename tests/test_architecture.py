"""The walks of docs/architecture.md: counted again, and within what a reader can keep in mind."""

import importlib.util
from pathlib import Path

import pytest

import bozzetto

PAGE = Path(__file__).parents[1] / "docs" / "count_walks.py"
spec = importlib.util.spec_from_file_location("count_walks", PAGE)
assert spec is not None and spec.loader is not None
count_walks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(count_walks)
count_walks.PACKAGE = Path(bozzetto.__file__).parent  # elsewhere when a wheel is tested


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two rooms of which every walk is known."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "deep.py").write_text("def deep(x):\n    return x\n")
    (tmp_path / "b" / "door.py").write_text("from .deep import deep\n\ndef door(x):\n    return deep(x)\n")
    (tmp_path / "a" / "other.py").write_text("def second(x):\n    return x\n\ndef unused(x):\n    return x\n")
    (tmp_path / "a" / "start.py").write_text(
        "from ..b.door import door\nfrom .other import second, unused\n\n"
        "def first(x, y):\n    z = second(x)\n    unused(y)\n    return last(door(z))\n\n"
        "def last(x):\n    return x\n"
    )
    monkeypatch.setattr(count_walks, "PACKAGE", tmp_path)


@pytest.mark.parametrize(
    "count, stays",
    [
        ("room", ["a.start", "a.other", "a.start"]),
        ("doors", ["a.start", "a.other", "b.door", "a.start"]),
        ("whole", ["a.start", "a.other", "b.door", "b.deep", "a.start"]),
    ],
)
def test_a_walk_follows_the_argument_and_what_is_made_of_it(package, count, stays):
    found = count_walks.walk("a.start:first:x", count)
    assert found.stays() == stays and found.returns() == 1


def test_unknown_parameters_are_refused(package):
    with pytest.raises(KeyError):
        count_walks.walk("a.start:first:z")


def test_the_page_is_up_to_date():
    text = count_walks.PAGE.read_text(encoding="utf-8")
    assert count_walks.table() in text, "run `python docs/count_walks.py`"


@pytest.mark.parametrize(
    "what, stays, returns", [("a photo in `heightmap`", 13, 3), ("a mesh in `train sdf`", 8, 4)]
)
def test_walks_stay_short(what, stays, returns):
    found = count_walks.walk(count_walks.WALKS[what])
    assert len(found.stays()) <= stays and found.returns() <= returns
