import warnings

import pytest

from bozzetto.errors import (
    SHOWN,
    InputError,
    InputWarning,
    collected_warnings,
    require_most_usable,
    warn_input,
    warnings_so_far,
)


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


@pytest.mark.parametrize("bad, total", [(0, 0), (0, 5), (1, 2), (3, 6), (40, 100)])
def test_some_of_a_collection_are_left_out_by_name(bad, total):
    with collected_warnings() as sentences:
        require_most_usable([f"shape {k} is empty" for k in range(bad)], total, "shapes")
    named, rest = sentences[:SHOWN], sentences[SHOWN:]
    assert named == [f"left out: shape {k} is empty" for k in range(min(bad, SHOWN))]
    assert rest == ([f"left out: {bad - SHOWN} more of {total} shapes"] if bad > SHOWN else [])


@pytest.mark.parametrize("bad, total", [(1, 1), (2, 3), (51, 100)])
def test_a_collection_that_is_mostly_unusable_is_refused(bad, total):
    with pytest.raises(InputError, match=f"{bad} of {total} shapes cannot be used; the first: shape 0"):
        require_most_usable([f"shape {k} is empty" for k in range(bad)], total, "shapes")
