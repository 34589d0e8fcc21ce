import warnings

import pytest

from bozzetto.errors import InputWarning, collected_warnings, warn_input, warnings_so_far


def test_a_warning_is_an_ordinary_one_outside():
    with pytest.warns(InputWarning, match="half of it"):
        warn_input("half of it is used")
    assert warnings_so_far() == []


def test_sentences_are_collected_once_and_shown_as_they_come():
    shown: list[str] = []
    with collected_warnings(shown.append) as sentences:
        for sentence in ("first", "second", "first"):
            warn_input(sentence)
        assert warnings_so_far() == ["first", "second"]
    assert sentences == shown == ["first", "second"]
    assert warnings_so_far() == []


def test_other_warnings_pass():
    with pytest.warns(RuntimeWarning, match="other"), collected_warnings() as sentences:
        warnings.warn("other", RuntimeWarning, stacklevel=1)
    assert sentences == []
