import pytest
import torch

from bozzetto.datasets.synthetic.materials import make_sample
from bozzetto.errors import InputError, InputWarning
from bozzetto.heightmap import height_map, predict
from bozzetto.heightmap.predict import brightened, canonical_shift, level_sizes, tiled_gradients


def photo(side=96, number=0):
    return torch.from_numpy(make_sample(1, number, side).color.copy()).float() / 255


@pytest.mark.parametrize("size", [(16, 16), (40, 33), (300, 450), (97, 800)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_size_and_channels(predictor, size, channels):
    image = torch.rand(*size, channels, generator=torch.Generator().manual_seed(0))
    result = height_map(image, predictor, tiles=False)
    assert result.height.shape == size and result.confidence.shape == size
    assert result.height.min() == 0 and result.height.max() == 1
    assert 0 <= result.confidence.min() and result.confidence.max() <= 1 and 0 < result.upright < 1


@pytest.mark.parametrize("shift", [(1, 0), (37, 5), (-20, 64)])
def test_a_turned_tile_is_the_same_height_turned(predictor, shift):
    image = photo()
    plain = height_map(image, predictor, tiles=True)
    turned = height_map(image.roll(shift, (0, 1)), predictor, tiles=True)
    assert torch.allclose(plain.height.roll(shift, (0, 1)), turned.height, atol=1e-5)
    assert torch.allclose(plain.confidence.roll(shift, (0, 1)), turned.confidence, atol=1e-5)


@pytest.mark.parametrize("side", [96, 400])
def test_what_tiles_stays_tiling(predictor, side):
    result = height_map(photo(side), predictor)
    assert result.tiles
    for axis in (0, 1):  # neighbours across the border differ no more than some neighbours within
        steps = (result.height.roll(-1, axis) - result.height).abs().mean(dim=1 - axis)
        assert steps[-1] <= steps[:-1].max()


def test_the_canonical_shift_follows_the_picture():
    image = photo(60).movedim(-1, 0)
    first = canonical_shift(image)
    second = canonical_shift(image.roll((7, -11), (1, 2)))
    assert ((second[0] - first[0]) % 60, (second[1] - first[1]) % 60) == (7, 49)


def test_tiles_leave_no_seams(predictor, monkeypatch):
    """Gradients from small tiles are those of the whole, up to what the network sees of their margins."""
    image = torch.rand(3, 336, 352, generator=torch.Generator().manual_seed(1))
    context = torch.zeros(1, predictor.config.widths[-1])
    with torch.no_grad():
        whole = tiled_gradients(image, predictor.network, False, context)
        monkeypatch.setattr(predict, "TILE", 160)
        monkeypatch.setattr(predict, "OVERLAP", 48)
        parts = tiled_gradients(image, predictor.network, False, context)
    inner = (slice(64, -64), slice(64, -64))
    off = (parts - whole)[inner].abs()
    assert off.max() < 0.05 * whole[inner].abs().max()
    # No line along which neighbours differ more than elsewhere.
    steps = parts[..., 0].diff(dim=1).abs().mean(dim=0)
    assert steps.max() < 2 * steps.median()


def test_sizes_double_up_to_the_photo():
    assert level_sizes((1024, 1024)) == [(256, 256), (512, 512), (1024, 1024)]
    assert level_sizes((1024, 1024), detail=False) == [(256, 256)]
    assert level_sizes((300, 300)) == [(304, 304)]
    assert level_sizes((64, 64)) == [(128, 128)]
    assert level_sizes((2000, 1000))[-1] == (2000, 992)


@pytest.mark.parametrize("size", [(1, 1), (15, 400), (16, 1601)])
def test_too_little_is_refused(predictor, size):
    with pytest.raises(InputError, match="too little"):
        height_map(torch.zeros(*size, 3), predictor)


def test_values_that_are_not_finite_are_refused(predictor):
    with pytest.raises(InputError, match="NaN"):
        height_map(torch.full((32, 32, 3), float("nan")), predictor)


@pytest.mark.parametrize("color", [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.9, 0.4, 0.1)])
def test_a_blank_photo_is_flat_and_not_trusted(predictor, color):
    photo = torch.tensor(color).expand(40, 48, 3).clone()
    photo[3, 5] += 1 / 255  # rounding
    with pytest.warns(InputWarning, match="of one colour"):
        found = height_map(photo.clamp(0, 1), predictor)
    assert found.height.shape == (40, 48) and (found.height == 0).all() and (found.confidence == 0).all()
    assert found.upright == 0.5


@pytest.mark.parametrize("low, high", [(0.0, 300 / 65535), (0.0, 4095 / 65535), (0.5, 0.5 + 300 / 65535)])
def test_deep_photos_that_use_little_of_their_range_are_stretched(predictor, low, high):
    plain = torch.rand(48, 48, 3, generator=torch.Generator().manual_seed(0))
    levels = ((low + plain * (high - low)) * 65535).round() / 65535
    with pytest.warns(InputWarning, match="stretched"):
        image = brightened(levels.movedim(-1, 0), "a.png").movedim(0, -1)
    assert (image - plain).abs().max() < 0.01
    with pytest.warns(InputWarning, match="stretched"):
        assert height_map(levels, predictor).height.std() > 0


def test_other_photos_keep_their_brightness():
    plain = torch.rand(3, 48, 48, generator=torch.Generator().manual_seed(0))
    eight_bits = (plain * 20).round() / 255
    for image in (plain, eight_bits, torch.full((3, 8, 8), 0.01), (plain * 2).round() / 65535):
        assert brightened(image) is image
