import json
import re

import pytest

from bozzetto.citations import ENGINES, REFERENCES
from bozzetto.cli import main

MAIN = {
    "inverse": "Large Steps in Inverse Rendering of Geometry",
    "sdf": "DeepSDF",
    "score": "Learning Gradient Fields for Shape Generation",
    "heightmap": "Study of October 2025",
    "points": "Screened Poisson Surface Reconstruction",
    "photometric": "Photometric Method for Determining Surface Orientation",
    "metrics": "PointFlow",
}
ENTRY = re.compile(r"@(\w+)\{([a-z0-9]+),\n((?:  \w+ = \{.*\},\n)+)\}")


@pytest.mark.parametrize("engine", ENGINES)
def test_entries_of_an_engine(engine, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["cite", engine]) == 0
    text = capsys.readouterr().out
    assert MAIN[engine] in text
    assert list(tmp_path.iterdir()) == []
    entries = text.strip().split("\n\n")
    assert all(ENTRY.fullmatch(entry) for entry in entries)
    assert len(entries) == 1 + sum(engine in reference.engines for reference in REFERENCES) < len(REFERENCES)


def test_all_of_them_have_keys_of_their_own(capsys):
    assert main(["cite", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    keys = [found[2] for entry in report["bibtex"] if (found := ENTRY.fullmatch(entry))]
    assert len(keys) == len(set(keys)) == len(REFERENCES) + 1


def test_an_entry_has_its_fields():
    (reference,) = (r for r in REFERENCES if r.label == "Levy et al. 2002")
    assert reference.bibtex() == (
        "@article{levy2002,\n"
        "  author = {Bruno Lévy and Sylvain Petitjean and Nicolas Ray and Jérôme Maillot},\n"
        "  title = {{Least Squares Conformal Maps for Automatic Texture Atlas Generation}},\n"
        "  journal = {ACM Transactions on Graphics},\n"
        "  year = {2002},\n"
        "}"
    )


def test_braces_of_every_entry_match():
    for reference in REFERENCES:
        depth = 0
        for letter in reference.bibtex():
            depth += (letter == "{") - (letter == "}")
            assert depth >= 0
        assert depth == 0
