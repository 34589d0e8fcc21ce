"""Public names, parameters and fields stay what they are until someone changes them on purpose."""

import difflib
import importlib.util
from pathlib import Path

spec = importlib.util.spec_from_file_location("golden_public_api", Path(__file__).with_name("public_api.py"))
assert spec and spec.loader
public_api = importlib.util.module_from_spec(spec)
spec.loader.exec_module(public_api)


def test_the_public_names_are_the_recorded_ones():
    recorded = public_api.STORED.read_text(encoding="utf-8").splitlines()
    changes = [
        line
        for line in difflib.unified_diff(recorded, public_api.listing(), lineterm="", n=0)
        if line[0] in "+-" and line[:3] not in ("+++", "---")
    ]
    assert not changes, (
        "public names have changed; if that is meant, note it in CHANGELOG.md and run "
        "`python tests/golden/public_api.py`:\n" + "\n".join(changes)
    )


def test_a_removed_parameter_is_noticed():
    (line,) = (line for line in public_api.listing() if line.startswith("bozzetto.geometry.remesh("))
    assert line.startswith("bozzetto.geometry.remesh(mesh, edge_length")
    assert "bozzetto.remesh = bozzetto.geometry.remesh" in public_api.listing()
