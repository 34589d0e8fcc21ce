"""One version everywhere, and a changelog that tells of it."""

import re
import tomllib
from pathlib import Path

import bozzetto

ROOT = Path(__file__).resolve().parents[1]
VERSION = bozzetto.__version__


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert project["version"] == VERSION
    assert cited and cited[1] == VERSION


def test_the_changelog_begins_with_this_version():
    found = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert found[0] == VERSION
