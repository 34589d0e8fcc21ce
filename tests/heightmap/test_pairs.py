import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.heightmap.pairs import (
    PAINTED,
    SCANNED,
    find_pairs,
    held_out,
    load_pair,
    looks_tileable,
    resized,
)
from bozzetto.heightmap.procedural import make_sample


def test_pairs_are_found_with_what_the_manifest_says(pairs_folder):
    found = {pair.name: pair for pair in find_pairs(pairs_folder)}
    assert list(found) == ["bark", "gravel", "wall"]
    assert found["bark"].kind == SCANNED and found["wall"].kind == PAINTED
    assert found["bark"].ship and not found["gravel"].ship
    assert found["bark"].tiles and not found["gravel"].tiles
    assert found["bark"].author == "Somebody" and found["bark"].licence == "CC0-1.0"


def test_pairs_without_a_manifest_may_not_be_passed_on(pairs_folder):
    (pair,) = find_pairs(pairs_folder / "B")
    assert pair.name == "wall" and pair.kind == SCANNED and not pair.ship


def test_a_pair_fills_the_range_and_keeps_a_half_size(pairs_folder):
    pair = load_pair(find_pairs(pairs_folder)[0], side=32)
    assert pair.height.min() == 0 and pair.height.max() == 65535
    assert pair.half is not None and pair.half.height.shape == (32, 32) and pair.half.half is None
    small = pair.height.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    assert abs(pair.half.height - small).max() <= 2
    assert load_pair(find_pairs(pairs_folder)[0], side=64).half is None


def test_folders_without_pairs_are_refused(tmp_path):
    (tmp_path / "color.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="holds no pairs"):
        find_pairs(tmp_path)


def test_what_is_held_out_does_not_depend_on_the_order():
    names = [f"m{k}" for k in range(20)]
    away = held_out(names, 5)
    assert away == held_out(names[::-1], 5) and len(set(away)) == 5
    assert away != held_out(names, 5, seed=1)


def test_resizing_averages_areas():
    values = torch.arange(16.0).reshape(1, 4, 4)
    assert resized(values, (2, 2)).tolist() == [[[2.5, 4.5], [10.5, 12.5]]]
    assert resized(values, (4, 4)) is values
    assert resized(values, (8, 2)).shape == (1, 8, 2)


def test_tiling_is_seen():
    tile = torch.from_numpy(make_sample(0, 3, 64).color.copy()).movedim(-1, 0) / 255
    assert looks_tileable(tile)
    ramp = torch.linspace(0, 1, 64).expand(3, 64, 64)
    assert not looks_tileable(ramp)
