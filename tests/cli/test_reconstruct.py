import pytest

from bozzetto.cli.reconstruct import choose_held_out
from bozzetto.errors import InputError

NAMES = [f"images/dino{i:02d}.png" for i in range(16)]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ((), []),
        (("0",), []),
        (("1",), [8]),
        (("2",), [4, 12]),
        (("4",), [2, 6, 10, 14]),
        (("dino03", "dino01.png"), [1, 3]),
        (("dino03,images/dino07.png", "dino03"), [3, 7]),
    ],
)
def test_held_out_by_name_or_count(wanted, expected):
    assert choose_held_out(NAMES, wanted) == expected


def test_a_name_that_is_a_number_is_a_name():
    assert choose_held_out(["3", "4", "5"], ("4",)) == [1]


@pytest.mark.parametrize(
    ("wanted", "message"), [(("dino99",), "no such photograph"), (("15",), "at least two must remain")]
)
def test_held_out_refusals(wanted, message):
    with pytest.raises(InputError, match=message):
        choose_held_out(NAMES, wanted)
