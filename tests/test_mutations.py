"""The faults of `mutations.py` are still faults of this package."""

import sys
from pathlib import Path

import pytest

import bozzetto

sys.path.insert(0, str(Path(__file__).parent))
from mutations import MUTATIONS  # noqa: E402


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_the_place_of_a_fault_is_there(mutation):
    text = (Path(bozzetto.__file__).parent / mutation.file).read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1 and mutation.old != mutation.new
    assert (Path(__file__).parent / mutation.tests).is_file()
