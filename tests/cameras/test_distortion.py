import pytest
import torch

from bozzetto.cameras.distortion import distort, undistort

K = torch.tensor([[60.0, 0, 33], [0, 62, 23], [0, 0, 1]], dtype=torch.float64)


def coefficients(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_hand_computed_point():
    # r^2 = 0.25; radial = 1 + 0.1 / 4 - 0.2 / 16 + 0.3 / 64 + 0.4 / 256
    point = torch.tensor([[0.3, 0.4]], dtype=torch.float64)
    radial = 1 + 0.1 / 4 - 0.2 / 16 + 0.3 / 64 + 0.4 / 256
    x = 0.3 * radial + 2 * 0.01 * 0.12 + 0.02 * (0.25 + 0.18)
    y = 0.4 * radial + 0.01 * (0.25 + 0.32) + 2 * 0.02 * 0.12
    assert distort(point, coefficients(0.1, -0.2, 0.3, 0.4, 0.01, 0.02))[0].tolist() == pytest.approx([x, y])


def test_no_distortion_changes_nothing():
    image = torch.rand(46, 66, 3, generator=torch.Generator().manual_seed(0))
    straight, known = undistort(image, K, torch.zeros(6, dtype=torch.float64))
    assert bool(known.all())
    assert (straight - image).abs().max() < 1e-4


def test_pixels_come_from_where_the_lens_put_them():
    """The photograph stores its own pixel coordinates, so that the result says where each pixel came from."""
    v, u = torch.meshgrid(torch.arange(46) + 0.5, torch.arange(66) + 0.5, indexing="ij")
    lens = coefficients(-0.2, 0.05, 0, 0, 0.004, -0.003)
    straight, known = undistort(torch.stack([u, v], dim=-1), K, lens)
    ideal = torch.tensor([[40.5, 10.5]], dtype=torch.float64)
    plane = (ideal - K[:2, 2]) / K[[0, 1], [0, 1]]
    source = distort(plane, lens) * K[[0, 1], [0, 1]] + K[:2, 2]
    assert bool(known[10, 40])
    assert straight[10, 40].tolist() == pytest.approx(source[0].tolist(), abs=1e-3)


def test_pixels_without_source_are_unknown():
    image = torch.ones(46, 66, 1)
    straight, known = undistort(image, K, coefficients(0.5, 0, 0, 0, 0, 0))
    assert not bool(known[0, 0]) and bool(known[23, 33])
    assert float(straight[~known].abs().max()) == 0
    assert float(straight[known].min()) == pytest.approx(1)


def test_polynomials_that_fold_back_are_cut_off():
    # x (1 - 2 r^2) turns back at r = 0.41, so outer pixels would see the middle of the picture again
    known = undistort(torch.ones(46, 66, 1), K, coefficients(-2.0, 0, 0, 0, 0, 0))[1]
    radius = ((torch.arange(66) + 0.5 - 33) / 60).abs()
    assert not bool(known[23, radius > 0.42].any())
    assert bool(known[23, radius < 0.4].all())
