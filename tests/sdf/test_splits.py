"""Split files of the released code, and splits that keep near-copies together."""

import json
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bozzetto import InputError, Mesh
from bozzetto.sdf import as_split, load_split, near_copies, split_collection
from bozzetto.sdf.splits import split_names
from bozzetto.shapes import box, icosphere


def test_split_files_round_trip(tmp_path) -> None:
    names = ("ShapeNetV2/02691156/b", "ShapeNetV2/02691156/a", "other/x/c")
    content = as_split(names)
    assert content == {"ShapeNetV2": {"02691156": ["b", "a"]}, "other": {"x": ["c"]}}
    (tmp_path / "split.json").write_text(json.dumps(content))
    assert load_split(tmp_path / "split.json") == content
    assert split_names(tmp_path / "split.json") == split_names(content) == names


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"a": ["b"]}', '{"a": {"b": "c"}}', '{"a": {"b": [1]}}', "\xff"]
)
def test_other_files_are_no_splits(text, tmp_path) -> None:
    (tmp_path / "split.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="split"):
        load_split(tmp_path / "split.json")


@pytest.mark.parametrize("name", ["a/b", "a/b/c/d", "a//c", "../b/c", "a/b/..", "a/./c", "a/b/c\\d", ""])
def test_names_stay_within_the_folder(name) -> None:
    with pytest.raises(InputError, match="dataset/class/name"):
        as_split([name])
    with pytest.raises(InputError):
        split_names({"..": {"a": ["b"]}})


def test_near_copies_share_their_faces_in_order() -> None:
    ball, cube = icosphere(1), box(1.0)
    bent = ball.with_vertices(ball.vertices * torch.tensor([1.0, 2.0, 0.5]))
    turned = Mesh(ball.vertices, ball.faces.flip(0))
    assert near_copies([ball, cube, bent, turned]) == [[0, 2], [1], [3]]
    assert near_copies([]) == []


@given(sizes=st.lists(st.integers(1, 6), min_size=8, max_size=40), seed=st.integers(0, 5))
def test_splits_keep_groups_together_and_nearly_hold_the_share(sizes, seed) -> None:
    names = [f"d/c/{i}" for i in range(sum(sizes))]
    order = random.Random(seed).sample(range(len(names)), len(names))
    groups = [[order.pop() for _ in range(size)] for size in sizes]
    if round(0.2 * len(names)) < min(sizes):
        return
    learn, test = split_collection(names, groups, 0.8, seed)
    assert [n for n in names if n in set(learn) | set(test)] == names and not set(learn) & set(test)
    sides = [{names[i] in test for i in group} for group in groups]
    assert all(len(side) == 1 for side in sides)
    room = round(0.2 * len(names))
    assert len(test) <= room
    # Whatever stayed with the others would not have fitted.
    assert all(len(test) + len(g) > room for g, side in zip(groups, sides, strict=True) if side == {False})
    assert split_collection(names, groups, 0.8, seed) == (learn, test)
    assert list(learn) == [n for n in names if n in set(learn)]


def test_another_seed_chooses_other_shapes() -> None:
    names, groups = [f"d/c/{i}" for i in range(50)], [[i] for i in range(50)]
    tests = {split_collection(names, groups, 0.8, seed)[1] for seed in range(4)}
    assert len(tests) == 4 and all(len(test) == 10 for test in tests)


def test_splits_that_cannot_be_are_refused() -> None:
    names = ["d/c/a", "d/c/b", "d/c/c"]
    with pytest.raises(InputError, match="between 0 and 1"):
        split_collection(names, [[0], [1], [2]], 1.0)
    for groups in ([[0], [1]], [[0, 1], [1, 2]], [[0], [1], [3]]):
        with pytest.raises(InputError, match="exactly one group"):
            split_collection(names, groups)
    with pytest.raises(InputError, match="nothing to test on"):
        split_collection(names, [[0, 1, 2]])
