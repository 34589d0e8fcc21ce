from dataclasses import asdict

import numpy as np
import pytest
import torch
from scipy import ndimage

from bozzetto import InputError
from bozzetto.metrics import (
    GlcmReference,
    height_scores,
    lpips_distance,
    lpips_missing,
    mean_scores,
    seam_ratio,
)
from bozzetto.metrics.heightmap import at_protocol_size, canny_8bit, edge_scores, is_flat


def relief(seed=0, side=96, blur=2.0):
    noise = np.random.default_rng(seed).standard_normal((side, side))
    return torch.from_numpy(ndimage.gaussian_filter(noise, blur, mode="wrap")).float()


def test_a_map_agrees_with_itself_whatever_its_scale():
    truth = relief()
    reference = GlcmReference([relief(k) for k in range(4)])
    same = height_scores(truth * 3 - 7, truth, reference)
    perfect = (same.correlation, same.gradient_correlation, same.ssim, same.ssim_min_max, same.glcm_z)
    assert perfect == pytest.approx([1] * 5, abs=1e-5)
    assert same.rmse_affine < 1e-6 and not same.sign_error
    assert (same.edge_f1_0, same.edge_f1_2, same.edge_f1_published) == (1, 1, 1)
    assert same.glcm_published == pytest.approx(1)


def test_an_inverted_map_is_a_sign_error_and_nothing_else():
    truth = relief()
    scores = height_scores(-truth, truth)
    assert scores.sign_error and scores.rmse_affine < 1e-6 and scores.edge_f1_0 == 1
    spread = float(truth.std(correction=0) / (truth.max() - truth.min()))
    assert scores.rmse_positive == pytest.approx(spread, rel=1e-4)
    assert scores.correlation == pytest.approx(-1) and scores.glcm_z is None


def test_constants_and_unrelated_maps_score_nothing():
    truth = relief()
    flat = height_scores(torch.full_like(truth, 0.4), truth)
    assert (flat.edge_f1_2, flat.edge_f1_published, flat.correlation, flat.sign_error) == (0, 0, 0, False)
    assert flat.rmse_affine == pytest.approx(
        float(truth.std(correction=0) / (truth.max() - truth.min())), rel=1e-4
    )
    other = height_scores(relief(1), truth)
    assert other.edge_f1_0 < 0.1 and abs(other.correlation) < 0.2


def test_nothing_agrees_with_a_flat_truth():
    truth = relief()
    nothing = height_scores(truth, torch.full_like(truth, 0.4))
    assert all(value is None for value in asdict(nothing).values())
    some = height_scores(truth, truth)
    assert mean_scores([some, nothing])["correlation"] == pytest.approx(1)
    assert mean_scores([nothing])["rmse_affine"] is None
    assert is_flat(np.full((4, 4), 1e6, np.float32)) and not is_flat(1e3 + np.eye(4))


def test_tolerance_forgives_a_shift_by_so_many_pixels():
    truth = relief()
    shifted = height_scores(truth.roll(2, 1), truth)
    assert shifted.edge_f1_2 > 0.7 > 0.5 > shifted.edge_f1_0
    a, b = np.zeros((2, 9, 9), bool)
    a[4, 1:8], b[6, 1:8] = True, True
    assert edge_scores(a, b, 1.9)[2] == 0 and edge_scores(a, b, 2.0) == (1, 1, 1)
    b[6, 4:] = False
    precision, recall, f1 = edge_scores(a, b, 2.0)
    assert (precision, recall) == (3 / 7, 1) and f1 == pytest.approx(0.6)
    assert edge_scores(a, np.zeros_like(a), 5) == (0, 0, 0)


def test_blur_lowers_every_figure_of_sharpness():
    truth = relief()
    blurred = [torch.from_numpy(ndimage.gaussian_filter(truth.numpy(), s)) for s in (1, 3)]
    a, b = (height_scores(x, truth) for x in blurred)
    for name in ("ssim", "edge_f1_0", "edge_f1_2", "gradient_correlation", "correlation"):
        assert 1 > getattr(a, name) > getattr(b, name)


def test_contrast_matters_only_where_the_published_figures_say():
    truth = relief()
    unit = (truth - truth.min()) / (truth.max() - truth.min())
    faded = 0.25 + unit / 2
    assert height_scores(faded, truth).edge_f1_published > 0.9
    scores = height_scores(faded, truth, stretch=False)
    assert scores.edge_f1_published < 0.9 and scores.ssim_min_max < 0.9
    assert scores.edge_f1_0 == 1 and scores.ssim == pytest.approx(1)


def test_thin_edges_of_8_bit_pictures():
    step = np.zeros((12, 12), np.uint8)
    step[:, 6:] = 200  # |gx| is 800 on both sides of the step, and the left one wins
    edges = canny_8bit(step)
    assert edges[:, 5].all() and edges.sum() == 12
    assert canny_8bit(step.T)[5].all() and canny_8bit(step.T).sum() == 12
    weak = np.zeros((12, 12), np.uint8)
    weak[:, 6:] = 40  # 160: between the thresholds, so kept only where it touches something strong
    assert not canny_8bit(weak).any()
    weak[:3, 6:] = 200
    assert canny_8bit(weak)[5:, 5].all()


def test_seams():
    x = torch.arange(64) * (2 * torch.pi / 64)
    tiling = torch.sin(x).expand(32, 64) + torch.cos(2 * torch.arange(32) * (2 * torch.pi / 32))[:, None]
    left, top = seam_ratio(tiling)
    assert left < 1.6 and top < 1.6
    ramp = torch.arange(64.0).expand(32, 64)
    assert seam_ratio(ramp) == (63, 0)


def test_the_protocol_averages_over_areas():
    image = torch.arange(4 * 512 * 512, dtype=torch.float32).reshape(4, 512, 512)
    expected = image.reshape(4, 256, 2, 256, 2).mean(dim=(2, 4))
    torch.testing.assert_close(at_protocol_size(image), expected)


def test_means_over_materials():
    truth = relief()
    scores = [height_scores(sign * truth, truth) for sign in (1, 1, 1, -1)]
    mean = mean_scores(scores)
    assert mean["sign_error"] == 0.25 and mean["correlation"] == pytest.approx(0.5)
    assert mean["glcm_z"] is None


def test_bad_input_is_named():
    with pytest.raises(InputError, match="same size"):
        height_scores(relief(), relief()[:, 1:])
    with pytest.raises(InputError, match="NaN"):
        height_scores(relief() * torch.nan, relief())
    with pytest.raises(InputError, match="at least two"):
        GlcmReference([relief()])
    with pytest.raises(InputError, match="no scores"):
        mean_scores([])


def test_lpips_is_a_number_or_says_what_it_lacks():
    if lpips_missing() is None:
        assert lpips_distance(torch.zeros(64, 64), torch.zeros(64, 64)) == pytest.approx(0)
    else:
        assert "not available" in str(lpips_missing())
        assert lpips_distance(torch.zeros(64, 64), torch.zeros(64, 64)) is None
