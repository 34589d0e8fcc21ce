from dataclasses import replace

import numpy as np
import pytest
import torch

from bozzetto import InputError
from bozzetto.score import (
    LatentConfig,
    autoencode,
    cloud_table,
    encode,
    find_shape,
    great_circle,
    interpolate,
    is_cloud_prior,
    load_cloud_prior,
    open_cloud_prior,
    sample,
    save_cloud_prior,
)
from bozzetto.score.autoencode import field_misfit
from bozzetto.score.model import build_latent

from .conftest import ellipses


def test_sampling_is_repeatable_and_takes_any_number_of_points(tiny):
    made = sample(tiny, 3, 150, seed=4)
    assert made.shape == (3, 150, 2) and bool(torch.isfinite(made).all())
    torch.testing.assert_close(sample(tiny, 3, 150, seed=4), made)
    torch.testing.assert_close(tiny.sample_codes(2, 4), tiny.sample_codes(3, 4)[:2])
    assert float((sample(tiny, 3, 150, seed=5) - made).abs().max()) > 0.05
    assert sample(tiny, 1, 200_000, seed=4, evaluations=2).shape == (1, 200_000, 2)
    spread = [float(tiny.sample_codes(32, 0, truncation).var(dim=0).mean()) for truncation in (0.2, 1.0)]
    assert spread[0] < spread[1]
    for words in ({"shapes": 0}, {"shapes": 1, "points": 0}, {"shapes": 1, "truncation": 1.5}):
        with pytest.raises(InputError):
            sample(tiny, **words)


def test_autoencoding_stays_in_the_frame_of_the_cloud(tiny):
    cloud = ellipses(8, 400, seed=9)[2]
    near = autoencode(tiny, cloud, 300)
    far = autoencode(tiny, cloud * 50 + torch.tensor([1000.0, -300.0]), 300)
    torch.testing.assert_close((far - torch.tensor([1000.0, -300.0])) / 50, near, atol=2e-3, rtol=0)
    distance = torch.cdist(near, cloud).amin(dim=1)
    assert float(distance.mean()) < 0.1


def test_a_code_explains_its_own_cloud_best(tiny, rings):
    cost = torch.stack(
        [field_misfit(tiny.model, tiny.codes, cloud.expand(8, -1, -1)) for cloud in rings.points[:, :200]]
    )
    assert (cost.argmin(dim=1) == torch.arange(8)).sum() >= 6


def test_interpolation_begins_and_ends_at_the_shapes(tiny):
    a, b = tiny.codes[0], tiny.codes[6]
    codes = great_circle(a, b, 5)
    torch.testing.assert_close(codes[0], a)
    torch.testing.assert_close(codes[-1], b, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(codes.norm(dim=1), a.norm().expand(5), atol=0.1, rtol=0)
    clouds = interpolate(tiny, a, b, 5, 200)
    torch.testing.assert_close(clouds[0], interpolate(tiny, a, b, 2, 200)[0])
    steps = (clouds[1:] - clouds[:-1]).norm(dim=2).mean(dim=1)
    assert float(steps.max()) < float((clouds[-1] - clouds[0]).norm(dim=1).mean()) + 0.05
    with pytest.raises(InputError, match="2 or more"):
        great_circle(a, b, 1)


def test_clouds_of_other_dimensions_are_refused(tiny):
    with pytest.raises(InputError, match="scan has points with 3 coordinates.*model is for 2"):
        encode(tiny, torch.rand(20, 3), "scan")
    with pytest.raises(InputError, match="at least two"):
        autoencode(tiny, torch.zeros(1, 2))


def test_a_collection_with_one_frame_keeps_sizes_and_places(tiny, tmp_path):
    rings = list(ellipses(8, 1024))
    moved = [4 * (1 + index / 8) * ring + torch.tensor([100.0, 20.0]) for index, ring in enumerate(rings)]
    table = cloud_table(moved, [str(index) for index in range(8)], 512, "shared")
    assert table.frame is not None
    back = table.frame.undo(table.points)
    sizes = (back.amax(dim=1) - back.amin(dim=1)).amax(dim=1)
    torch.testing.assert_close(sizes, 8 * (1 + torch.arange(8) / 8), atol=0.05, rtol=0)
    assert 0.95 < float(table.points.abs().max()) <= 1
    shared = replace(tiny, frame=table.frame)
    save_cloud_prior(shared, tmp_path / "model.safetensors")
    again = load_cloud_prior(tmp_path / "model.safetensors")
    torch.testing.assert_close(sample(again, 2, 100), table.frame.undo(sample(tiny, 2, 100)))
    assert encode(again, moved[0]).frame == again.frame
    a, b = tiny.codes[:2]
    torch.testing.assert_close(
        interpolate(again, a, b, 3, 50), table.frame.undo(interpolate(tiny, a, b, 3, 50))
    )


@pytest.mark.filterwarnings("ignore:.*look like no shape of the family")  # it has not been trained
def test_a_latent_gan_may_have_noise_of_another_size_than_codes(tiny):
    gan = build_latent(16, LatentConfig(kind="gan", hidden=32))
    assert gan.noise_size != 16
    prior = replace(tiny, latent=gan)
    drawn = prior.sample_codes(3, seed=1).detach()
    assert drawn.shape == (3, 16) and torch.isfinite(drawn).all()
    assert float(torch.cdist(drawn, drawn).add(torch.eye(3)).min()) > 0  # no two are equal
    assert torch.equal(drawn, prior.sample_codes(3, seed=1).detach())
    assert sample(prior, 2, 50).shape == (2, 50, 2)


def test_shapes_are_found_by_name_or_file(tiny, rings, tmp_path):
    assert torch.equal(find_shape("ring3", tiny), tiny.codes[3])
    with pytest.raises(InputError, match="nobody is neither a file nor .* ring0 to ring7"):
        find_shape("nobody", tiny)
    np.save(tmp_path / "ring.npy", rings.points[3].numpy())
    found = find_shape(str(tmp_path / "ring.npy"), tiny)
    nearest = (tiny.codes - found).norm(dim=1).argmin()
    assert int(nearest) == 3


def test_a_model_is_opened_by_name_or_file(tiny, tmp_path):
    path = tmp_path / "mine.safetensors"
    save_cloud_prior(tiny, path)
    assert torch.equal(open_cloud_prior(str(path)).codes, tiny.codes)
    assert open_cloud_prior("cloud-airfoils").model.config.dimensions == 2
    kinds = [is_cloud_prior(word) for word in (str(path), "cloud-airfoils", "bodies", "nobody.safetensors")]
    assert kinds == [True, True, False, False]
    for word, sentence in (("nobody", "no weights named"), ("nobody.safetensors", "there is no model at")):
        with pytest.raises(InputError, match=sentence):
            open_cloud_prior(word)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="damaged"):
        is_cloud_prior(str(path))
