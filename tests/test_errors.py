import warnings

import pytest

from bozzetto.errors import (
    SHOWN,
    InputError,
    InputWarning,
    collected_warnings,
    require_most_usable,
    same_reasons,
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


def refusals(count: int, reason: str = "is empty") -> dict[str, str]:
    return {f"shape{k}": f"in/shape{k}.off {reason}, it has {k} faces" for k in range(count)}


@pytest.mark.parametrize("bad, total", [(0, 0), (0, 5), (1, 2), (3, 6), (40, 100)])
def test_some_of_a_collection_are_left_out_by_name(bad, total):
    with collected_warnings() as sentences:
        require_most_usable(refusals(bad), total, "shapes")
    names = ", ".join(f"shape{k}" for k in range(min(bad, SHOWN)))
    more = f" and {bad - SHOWN} more" if bad > SHOWN else ""
    told = f"left out: {bad} of {total} shapes, {names}{more}: in/shape0.off is empty, it has 0 faces"
    assert sentences == ([told] if bad else [])


def test_reasons_are_counted_and_the_most_common_come_first():
    refused = {"odd": "odd.ply is damaged", **refusals(3)}
    assert same_reasons(refused) == [["shape0", "shape1", "shape2"], ["odd"]]
    with collected_warnings() as sentences:
        require_most_usable(refused, 8, "meshes")
    assert [s.split(":")[1] for s in sentences] == [
        " 3 of 8 meshes, shape0, shape1, shape2",
        " 1 of 8 meshes, odd",
    ]
    with pytest.raises(InputError) as error:
        require_most_usable(refused, 7, "meshes")
    assert str(error.value) == (
        "4 of 7 meshes cannot be used, more than half (3 like shape0: in/shape0.off is empty, it has 0 faces; "
        "1 like odd: odd.ply is damaged); mend them or take them out"
    )


def test_rare_reasons_are_counted_only():
    words = ["damaged", "flat", "open", "huge", "tiny"]
    with pytest.raises(InputError, match=r"1 like mesh-open: it is open; 2 for other reasons\)"):
        require_most_usable({f"mesh-{word}": f"it is {word}" for word in words}, 6, "meshes")


@pytest.mark.parametrize("bad, total", [(1, 1), (2, 3), (51, 100)])
def test_a_collection_that_is_mostly_unusable_is_refused(bad, total):
    with pytest.raises(InputError, match=f"{bad} of {total} shapes cannot be used, .*{bad} like shape0: in"):
        require_most_usable(refusals(bad), total, "shapes")
