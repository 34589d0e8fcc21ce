import math

import pytest
import torch

from bozzetto.images import srgb_to_linear
from bozzetto.metrics import photometric_error, psnr, silhouette_iou


def test_psnr_of_a_constant_error():
    a = torch.zeros(2, 8, 8, 3)
    assert psnr(a, a + 0.1) == pytest.approx(20, abs=1e-4)
    assert psnr(a, a + 25.5, peak=255.0) == pytest.approx(20, abs=1e-4)
    assert psnr(a, a) == math.inf


def test_psnr_counts_known_pixels_only():
    a, b = torch.zeros(8, 8, 3), torch.zeros(8, 8, 3)
    b[:4] = 1
    b[4:] = 0.01
    known = torch.zeros(8, 8, dtype=torch.bool)
    known[4:] = True
    assert psnr(a, b, known) == pytest.approx(40, abs=1e-3)
    assert psnr(a, b) == pytest.approx(10 * math.log10(2), abs=1e-2)


def test_iou_of_shifted_squares():
    a, b = torch.zeros(3, 20, 20), torch.zeros(3, 20, 20)
    a[0, 5:15, 5:15] = 1
    b[0, 5:15, 10:20] = 0.9
    a[1, 5:15, 5:15] = 0.4  # less than half covered does not count
    a[2, 3] = b[2, 3] = 1
    assert silhouette_iou(a, b).tolist() == pytest.approx([1 / 3, 1, 1])
    known = torch.ones(3, 20, 20, dtype=torch.bool)
    known[:, :, :10] = False
    assert silhouette_iou(a, b, known).tolist() == pytest.approx([0.5, 1, 1])


def test_photometric_error_in_both_encodings():
    target = srgb_to_linear(torch.full((2, 4, 4, 3), 0.5))
    prediction = srgb_to_linear(torch.full((2, 4, 4, 3), 0.6))
    counts = torch.zeros(2, 4, 4, dtype=torch.bool)
    counts[0, 1] = True
    prediction[0, 2] = 0  # does not count
    errors = photometric_error(prediction, target, counts)
    assert errors[0] == pytest.approx(0.1, abs=1e-5) and errors[1].isnan()
    linear = photometric_error(prediction, target, counts, encoding="linear")[0]
    expected = srgb_to_linear(torch.tensor([0.6])) - srgb_to_linear(torch.tensor([0.5]))
    assert linear == pytest.approx(expected.item(), abs=1e-5)
