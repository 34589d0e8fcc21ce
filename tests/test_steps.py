import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bozzetto.steps import counted, paused, progress_callback, report_progress, stage


def test_loops_count_as_parts_of_the_outermost():
    heard = []
    with progress_callback(lambda *what: heard.append(what)), stage("sample"):
        for _ in counted([1, 2], "shapes"):
            for _ in counted("ab", "levels"):
                pass
    assert heard[0] == ("sample", None) and heard[-1] == ("", None)
    assert [label for label, _ in heard[1:-1]] == ["sample: shapes"] * 9
    shares = [share for _, share in heard[1:-1]]
    assert shares == [0, 0, 0.25, 0.5, 0.5, 0.5, 0.75, 1, 1]


@given(st.recursive(st.integers(0, 3), lambda inner: st.lists(inner, max_size=3), max_leaves=12))
def test_shares_grow_from_nothing_to_all(tree):
    heard = []

    def walk(node):
        for child in counted(node if isinstance(node, list) else [None] * node):
            if child is not None:
                walk(child)

    with progress_callback(lambda label, share: heard.append(share)):
        walk(tree)
    assert all(b - a > -1e-9 for a, b in itertools.pairwise(heard))
    assert heard == [] or (heard[0] == 0 and heard[-1] == pytest.approx(1))


def test_nobody_listens():
    assert list(counted([1, 2])) == [1, 2]
    with stage("x"):
        report_progress("x", 0.5)
    heard = []
    with progress_callback(lambda *what: heard.append(what)):
        with paused():
            list(counted([1, 2]))
        assert list(counted(iter([1, 2]))) == [1, 2]  # of unknown length
        assert list(counted([])) == []
        assert heard == [("", None)]
        list(counted(iter([1, 2]), total=2))
        assert heard[-1] == ("", 1.0)


def test_a_loop_that_is_left_is_forgotten():
    heard = []
    with progress_callback(lambda *what: heard.append(what)):
        for _ in counted([1, 2, 3], "first"):
            break
        with pytest.raises(ZeroDivisionError):
            for _ in counted([1, 2, 3], "second"):
                raise ZeroDivisionError
        report_progress("third", 0.5)
    assert heard[-1] == ("third", 0.5)
