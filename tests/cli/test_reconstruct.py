import numpy as np
import pytest

from bozzetto.cli.reconstruct import choose_held_out, load_known_light, object_pixels
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


def test_a_known_light_is_nine_rows_of_three_numbers(tmp_path):
    path = tmp_path / "light.npy"
    np.save(path, np.arange(27).reshape(9, 3))
    assert load_known_light(path)[8].tolist() == [24, 25, 26]
    whole = path.read_bytes()
    lie = whole.replace(b"(9, 3), }          ", b"(9999999999, 3), } ")
    for content in (b"", b"no array", whole[:40], whole[:-8], lie):
        path.write_bytes(content)
        with pytest.raises(InputError, match="light"):
            load_known_light(path)
    for values in (np.zeros((3, 9)), np.full((9, 3), np.nan), np.zeros((9, 3), complex), np.zeros(10**5)):
        np.save(path, values)
        with pytest.raises(InputError, match="light"):
            load_known_light(path)
    with pytest.raises(InputError, match="no light"):
        load_known_light(tmp_path / "none.npy")


def test_pixels_of_the_object_are_numbers():
    assert object_pixels((("a.jpg", "10", "20.5"), ("b.jpg", "0", "3"))) == (
        ("a.jpg", 10, 20.5),
        ("b.jpg", 0, 3),
    )
    for words in (("a.jpg", "x", "3"), ("a.jpg", "-1", "3"), ("a.jpg", "nan", "3")):
        with pytest.raises(InputError, match="names no pixel"):
            object_pixels((words,))
