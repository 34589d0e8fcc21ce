"""Prepared folders, ours and those of the released code."""

import json

import numpy as np
import pytest
import torch

from bozzetto import InputError
from bozzetto.sdf import Collection, SdfSamples, load_collection, save_normalisation, save_sdf_samples
from bozzetto.sdf.data import SampleFiles, normalisation_path, sample_path
from bozzetto.shapes import Similarity

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
