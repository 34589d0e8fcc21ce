"""Sample files: the released layout, round trips, and files that are something else.

Split files of the released code, and splits that keep near-copies together.
"""

import json
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bozzetto import InputError, Mesh
from bozzetto.sdf import (
    Collection,
    SdfSamples,
    as_split,
    load_collection,
    load_normalisation,
    load_sdf_samples,
    load_split,
    near_copies,
    save_normalisation,
    save_sdf_samples,
    split_collection,
)
from bozzetto.sdf.data import SampleFiles, normalisation_path, sample_path, split_names
from bozzetto.shapes import Similarity, box, icosphere


def some_samples(count: int = 50) -> SdfSamples:
    values = torch.randn(count, 4, generator=torch.Generator().manual_seed(0))
    return SdfSamples(values[:, :3].contiguous(), values[:, 3].contiguous())


def test_inside_and_outside_divide_the_samples() -> None:
    samples = some_samples()
    assert (samples.inside.distances < 0).all() and (samples.outside.distances >= 0).all()
    assert len(samples.inside) + len(samples.outside) == len(samples) == 50
    torch.testing.assert_close(samples.inside.points, samples.points[samples.distances < 0])


def test_file_has_the_released_layout_and_comes_back_exactly(tmp_path) -> None:
    samples = some_samples()
    save_sdf_samples(samples, tmp_path / "shape.npz")
    with np.load(tmp_path / "shape.npz") as content:
        assert sorted(content.files) == ["neg", "pos"]
        assert content["pos"].dtype == content["neg"].dtype == np.float32
        assert content["pos"].shape[1] == content["neg"].shape[1] == 4
        assert (content["pos"][:, 3] >= 0).all() and (content["neg"][:, 3] < 0).all()
    read = load_sdf_samples(tmp_path / "shape.npz")
    for part in ("inside", "outside"):
        before, after = getattr(samples, part), getattr(read, part)
        assert torch.equal(before.points, after.points) and torch.equal(before.distances, after.distances)


def test_rows_that_are_not_finite_are_dropped(tmp_path) -> None:
    rows = np.ones((6, 4), np.float32)
    rows[1, 3], rows[4, 0] = np.nan, np.inf
    np.savez(tmp_path / "a.npz", pos=rows, neg=-rows[:3])
    samples = load_sdf_samples(tmp_path / "a.npz")
    assert len(samples.outside) == 4 and len(samples.inside) == 2
    assert torch.isfinite(samples.points).all()
    np.savez(tmp_path / "b.npz", pos=rows[1:2], neg=rows[:0])
    with pytest.raises(InputError, match="no finite samples"):
        load_sdf_samples(tmp_path / "b.npz")


def write_truncated(path) -> None:
    save_sdf_samples(some_samples(), path)
    path.write_bytes(path.read_bytes()[:-300])


def write_damaged(path) -> None:
    save_sdf_samples(some_samples(), path)
    content = bytearray(path.read_bytes())
    content[200] ^= 255  # inside the data: the checksum of the zip file tells
    path.write_bytes(bytes(content))


FOREIGN = {
    "truncated": (write_truncated, "cannot read"),
    "changed": (write_damaged, "cannot read"),
    "empty": (lambda path: path.write_bytes(b""), "cannot read"),
    "text": (lambda path: path.write_text("ply\nformat ascii 1.0\n"), "cannot read"),
    "array": (lambda path: path.write_bytes(_npy()), "cannot read"),
    "mesh": (lambda path: np.savez(path, vertices=np.ones(3)), "lacks the arrays pos and neg"),
    "narrow": (lambda path: np.savez(path, pos=np.ones((5, 3)), neg=np.ones((5, 3))), r"\(5, 3\)"),
    "integers": (lambda path: np.savez(path, pos=np.ones((5, 4), int), neg=np.ones((0, 4))), "int64"),
    "objects": (lambda path: np.savez(path, pos=np.array([{}]), neg=np.ones((0, 4))), "cannot read"),
}


def _npy() -> bytes:
    import io

    buffer = io.BytesIO()
    np.save(buffer, np.ones((3, 4)))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", FOREIGN)
def test_other_files_are_refused_in_one_sentence(kind, tmp_path) -> None:
    write, message = FOREIGN[kind]
    write(tmp_path / "shape.npz")
    with pytest.raises(InputError, match=message) as refused:
        load_sdf_samples(tmp_path / "shape.npz")
    assert "\n" not in str(refused.value)


def test_missing_files_and_bad_samples_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_sdf_samples(tmp_path / "nothing.npz")
    with pytest.raises(InputError, match="NaN"):
        save_sdf_samples(SdfSamples(torch.zeros(1, 3), torch.full((1,), torch.nan)), tmp_path / "a.npz")
    assert not (tmp_path / "a.npz").exists()


@given(
    scale=st.floats(2**-10, 1024, width=32),
    offset=st.tuples(*[st.floats(-100, 100, width=32)] * 3),
)
def test_normalisation_keeps_the_released_convention(scale, offset, tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("normalisation") / "shape.npz"
    offset = torch.tensor(offset, dtype=torch.float64)
    save_normalisation(Similarity(scale, offset * scale), path)
    with np.load(path) as content:
        assert content["offset"].dtype == content["scale"].dtype == np.float32
        assert content["offset"].shape == (3,) and content["scale"].shape == (1,)
        # x_normalised = (x + offset) * scale, as the released code applies it.
        points = torch.randn(5, 3, dtype=torch.float64)
        expected = (points + torch.from_numpy(content["offset"]).double()) * float(content["scale"][0])
    torch.testing.assert_close(load_normalisation(path).apply(points), expected, atol=1e-9, rtol=1e-9)


def test_what_is_no_normalisation_is_refused(tmp_path) -> None:
    path = tmp_path / "shape.npz"
    for arrays in (
        {"offset": np.zeros(2), "scale": np.ones(1)},
        {"offset": np.zeros(3), "scale": np.zeros(1)},
        {"offset": np.full(3, np.nan), "scale": np.ones(1)},
    ):
        np.savez(path, allow_pickle=True, **arrays)
        with pytest.raises(InputError, match="no normalisation"):
            load_normalisation(path)
    turned = Similarity(1.0, torch.zeros(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64))
    with pytest.raises(InputError, match="rotates"):
        save_normalisation(turned, path)


NAMES = ("ShapeNetV2/02691156/a", "ShapeNetV2/02691156/b", "ShapeNetV2/03001627/a")


@pytest.fixture
def folder(tmp_path):
    for index, name in enumerate(NAMES):
        values = torch.full((4,), float(index + 1))
        save_sdf_samples(SdfSamples(torch.rand(4, 3), values), sample_path(tmp_path, name))
    save_normalisation(
        Similarity(2.0, torch.tensor([1.0, 2, 3], dtype=torch.float64)),
        normalisation_path(tmp_path, NAMES[1]),
    )
    return tmp_path


def marks(collection: Collection) -> list[float]:
    return [float(samples.distances[0]) for samples in collection.samples]


def test_whole_folder_in_order_of_names(folder) -> None:
    collection = load_collection(folder)
    assert collection.names == NAMES and len(collection) == len(collection.samples) == 3
    assert marks(collection) == [1, 2, 3] and float(collection.samples[-1].distances[0]) == 3
    assert [n.scale for n in collection.normalisations] == [1, 2, 1]
    assert collection.normalisations[1].translation.tolist() == [1, 2, 3]
    with pytest.raises(IndexError):
        collection.samples[3]


def test_split_chooses_and_orders(folder) -> None:
    split = {"ShapeNetV2": {"03001627": ["a"], "02691156": ["b"]}}
    assert marks(load_collection(folder, split)) == [3, 2]
    (folder / "split.json").write_text(json.dumps(split))
    assert load_collection(folder, folder / "split.json").names == (NAMES[2], NAMES[1])


def test_files_are_read_when_asked_for_and_kept_only_if_they_are_small(folder, monkeypatch) -> None:
    small = load_collection(folder).samples
    assert small[0] is small[0]
    monkeypatch.setattr(SampleFiles, "KEEP", 100)
    large = load_collection(folder).samples
    assert large[0] is not large[0] and torch.equal(large[0].points, small[0].points)
    sample_path(folder, NAMES[2]).write_bytes(b"PK damaged")
    damaged = load_collection(folder).samples
    assert len(damaged[1]) == 4
    with pytest.raises(InputError, match="cannot read .*a.npz"):
        damaged[2]


def test_what_is_missing_is_counted_and_named(folder) -> None:
    split = {"ShapeNetV2": {"02691156": ["a", "x", "y"]}}
    with pytest.raises(InputError, match="2 of 3 shapes of the split, first ShapeNetV2/02691156/x"):
        load_collection(folder, split)
    with pytest.raises(InputError, match="no shapes"):
        load_collection(folder, {})
    with pytest.raises(InputError, match="bozzetto prepare sdf"):
        load_collection(folder / "SdfSamples")


def test_a_folder_of_the_released_code(tmp_path) -> None:
    # Written with numpy alone, with the NaN row that such files can have.
    path = tmp_path / "SdfSamples/ShapeNetV2/02691156/edc9.npz"
    path.parent.mkdir(parents=True)
    rows = np.random.default_rng(0).random((9, 4)).astype(np.float32)
    negative = -rows[:4]
    negative[2, 3] = np.nan
    np.savez(path, pos=rows, neg=negative)
    scales = tmp_path / "NormalizationParameters/ShapeNetV2/02691156/edc9.npz"
    scales.parent.mkdir(parents=True)
    np.savez(scales, offset=np.ones(3, np.float32), scale=np.full(1, 0.5, np.float32))
    collection = load_collection(tmp_path)
    assert collection.names == ("ShapeNetV2/02691156/edc9",)
    assert len(collection.samples[0]) == 12
    torch.testing.assert_close(collection.normalisations[0].apply(torch.ones(3)), torch.ones(3))


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
