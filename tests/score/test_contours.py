import numpy as np
import pytest
import torch
from skimage.measure import find_contours

from bozzetto import InputError
from bozzetto.score import contour_points
from bozzetto.score.sources import contour_segments


def test_the_contour_of_a_disc_is_its_circle():
    axis = torch.arange(64.0) - 31.5
    distance = (axis[:, None] ** 2 + axis**2).sqrt()
    points = contour_points(
        (20.5 - distance).clamp(0, 1)[None], 2000, generator=torch.Generator().manual_seed(0)
    )
    assert points.shape == (1, 2000, 2)
    assert float((points.norm(dim=-1) - 1).abs().max()) < 0.01
    angle = torch.atan2(points[0, :, 1], points[0, :, 0])
    share = torch.histc(angle, 8, -torch.pi, torch.pi) / 2000
    torch.testing.assert_close(share, torch.full((8,), 0.125), atol=0.03, rtol=0)


def test_segments_are_those_of_scikit_image():
    picture = torch.rand(12, 12, generator=torch.Generator().manual_seed(3))
    ends, exists = contour_segments(picture[None])
    ours = ends[0][exists[0]]
    theirs = []
    for line in find_contours(np.pad(picture.numpy(), 1), 0.5):
        theirs.append(np.stack([line[:-1], line[1:]], axis=1))
    theirs = torch.from_numpy(np.concatenate(theirs)).float().flip(-1) * torch.tensor([1.0, -1.0])

    def normal(segments):
        middle = segments.mean(dim=1)
        return middle[torch.argsort(middle[:, 0] * 1000 + middle[:, 1])]

    kept = ours[(ours[:, 1] - ours[:, 0]).norm(dim=1) > 1e-6]
    theirs = theirs[(theirs[:, 1] - theirs[:, 0]).norm(dim=1) > 1e-6]
    torch.testing.assert_close(normal(kept), normal(theirs), atol=1e-4, rtol=0)


def test_rows_go_down_and_the_box_is_filled():
    picture = torch.zeros(1, 28, 28)
    picture[0, 4:8, 10:20] = 1  # a wide bar in the upper half
    points = contour_points(picture, 500, generator=torch.Generator().manual_seed(0))[0]
    assert float(points[:, 0].max()) > 0.98 and float(points[:, 0].min()) < -0.98
    assert float(points[:, 1].abs().max()) < 0.5
    picture[0, 20:26, 14] = 1  # and a dot below it
    points = contour_points(picture, 500, generator=torch.Generator().manual_seed(0))[0]
    assert float(points[points[:, 1] < 0, 0].abs().max()) < 0.2


def test_pictures_without_contour_are_refused_by_number():
    pictures = torch.ones(2, 8, 8)
    pictures[1] = 0
    with pytest.raises(InputError, match="picture 1"):
        contour_points(pictures)
