import numpy as np
import pytest
import torch

from bozzetto.errors import InputWarning, Interrupted
from bozzetto.heightmap import data
from bozzetto.heightmap.data import Crops, cropped_pair, procedural_pairs, recolored, relit
from bozzetto.heightmap.pairs import PROCEDURAL, SCANNED, Pair


@pytest.fixture(scope="module")
def samples():
    return procedural_pairs(4, seed=0, side=64, workers=1)


def ramp_pair(tiles=False, side=64):
    """Red and the height grow to the right, green downwards."""
    steps = np.linspace(0, 255, side).astype(np.uint8)
    color = np.zeros((side, side, 3), np.uint8)
    color[..., 0], color[..., 1] = steps, steps[:, None]
    height = np.broadcast_to(steps.astype(np.uint16) * 257, (side, side)).copy()
    return Pair(color, height, SCANNED, tiles)


def test_a_step_is_always_the_same(samples):
    crops = Crops([ramp_pair()], samples, (0.5, 0.2, 0.3), side=32, seed=1)
    one, again, other = crops.draw(7, 4), crops.draw(7, 4), crops.draw(8, 4)
    assert torch.equal(one.photos, again.photos) and torch.equal(one.heights, again.heights)
    assert not torch.equal(one.photos, other.photos)
    assert one.photos.min() >= 0 and one.photos.max() <= 1
    assert torch.allclose(one.heights.mean(dim=(1, 2)), torch.zeros(4), atol=1e-5)
    assert torch.allclose(one.heights.std(dim=(1, 2)), torch.ones(4), atol=1e-2)


def test_groups_without_pairs_leave_their_share(samples):
    batch = Crops([], samples, (0.5, 0.3, 0.2), side=32).draw(0, 6)
    assert (batch.kinds == PROCEDURAL).all()


def test_quarters_are_four_times_as_many(samples):
    batch = Crops([], samples, (0, 0, 1.0), side=32).draw(0, 2, quarters=True)
    assert batch.photos.shape == (8, 3, 16, 16) and batch.heights.shape == (8, 16, 16)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("part", [1, 2])
def test_photo_and_height_stay_on_each_other(seed, part):
    crop = cropped_pair(ramp_pair(), 32, np.random.default_rng(seed), part=part)
    assert crop.shape == (4, 32 // part, 32 // part)
    assert torch.allclose(crop[0], crop[3], atol=2e-3)
    assert (crop[1].diff(dim=0) >= 0).all()


def test_what_tiles_is_taken_across_the_border():
    found = [cropped_pair(ramp_pair(tiles=True), 64, np.random.default_rng(k), whole=True) for k in range(4)]
    assert any((crop[3].diff(dim=1) < -0.5).any() for crop in found)
    assert all(crop[3].mean() == pytest.approx(0.5, abs=0.01) for crop in found)


def test_light_comes_from_one_side():
    """Slopes that face the sun get brighter, the opposite ones darker, a flat surface stays even."""
    x = torch.linspace(0, 4 * torch.pi, 64)
    heights = torch.stack([x.sin().expand(64, 64), torch.zeros(64, 64)])
    photos = torch.full((2, 3, 64, 64), 0.5)
    lit = relit(photos, heights, np.random.default_rng(0), torch.ones(2))
    slope, change = torch.gradient(heights[0], dim=1)[0], lit[0, 0] - 0.5
    r = torch.corrcoef(torch.stack([slope.flatten(), change.flatten()]))[0, 1]
    assert abs(float(r)) > 0.7
    assert lit[1].std() < 1e-6
    assert torch.equal(relit(photos, heights, np.random.default_rng(0), torch.zeros(2)), photos)


def test_colours_change_and_places_do_not(samples):
    photos = torch.zeros(4, 3, 32, 32)
    photos[:, :, :, 16:] = 0.7
    changed = recolored(photos, np.random.default_rng(3))
    step = changed.mean(dim=1).diff(dim=2).abs().mean(dim=1)
    assert (step.argmax(dim=1) == 15).all()
    assert not torch.allclose(changed[0].mean(), changed[1].mean(), atol=1e-3)


def test_procedural_pairs_are_kept(tmp_path):
    made = procedural_pairs(2, seed=5, side=32, workers=1, store=tmp_path)
    (file,) = tmp_path.iterdir()
    read = procedural_pairs(2, seed=5, side=32, workers=1, store=tmp_path)
    assert file.stat().st_size > 0 and all(
        (a.color == b.color).all() for a, b in zip(made, read, strict=True)
    )
    assert procedural_pairs(0, seed=5) == []


def test_materials_that_are_made_are_kept_when_the_others_are_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "STORED", 2)
    whole, make = procedural_pairs(5, seed=5, side=32, workers=1), data.make_samples
    made = []

    def interrupted(seed, numbers, side, workers):
        for sample, number in zip(make(seed, numbers, side, workers), numbers, strict=True):
            if len(made) == 3 and numbers[0] == 0 and len(numbers) == 5:
                raise KeyboardInterrupt
            made.append(number)
            yield sample

    monkeypatch.setattr(data, "make_samples", interrupted)
    with pytest.raises(Interrupted, match="2 of 5 are kept"):
        procedural_pairs(5, seed=5, side=32, workers=1, store=tmp_path)
    (file,) = tmp_path.iterdir()
    made.clear()
    again = procedural_pairs(5, seed=5, side=32, workers=1, store=tmp_path)
    assert made == [2, 3, 4]
    assert all((a.color == b.color).all() for a, b in zip(whole, again, strict=True))
    file.write_bytes(file.read_bytes()[:-30])
    made.clear()
    with pytest.warns(InputWarning, match="is damaged; its materials are made anew"):
        again = procedural_pairs(5, seed=5, side=32, workers=1, store=tmp_path)
    assert made == [0, 1] and all((a.height == b.height).all() for a, b in zip(whole, again, strict=True))
