import pytest
import torch

from bozzetto.cameras import distortion
from bozzetto.cameras.distortion import Lens, undistort

K = torch.tensor([[60.0, 0, 33], [0, 62, 23], [0, 0, 1]], dtype=torch.float64)


def brown(k1=0.0, k2=0.0, k3=0.0, k4=0.0, p1=0.0, p2=0.0):
    return Lens(radial=(k1, k2, k3, k4), tangential=(p1, p2))


def test_hand_computed_point():
    # r^2 = 0.25; radial = 1 + 0.1 / 4 - 0.2 / 16 + 0.3 / 64 + 0.4 / 256
    point = torch.tensor([[0.3, 0.4]], dtype=torch.float64)
    radial = 1 + 0.1 / 4 - 0.2 / 16 + 0.3 / 64 + 0.4 / 256
    x = 0.3 * radial + 2 * 0.01 * 0.12 + 0.02 * (0.25 + 0.18)
    y = 0.4 * radial + 0.01 * (0.25 + 0.32) + 2 * 0.02 * 0.12
    moved = brown(0.1, -0.2, 0.3, 0.4, 0.01, 0.02).distort(point)
    assert moved[0].tolist() == pytest.approx([x, y])


def test_no_distortion_changes_nothing():
    image = torch.rand(46, 66, 3, generator=torch.Generator().manual_seed(0))
    straight, known = undistort(image, K, Lens())
    assert bool(known.all())
    assert (straight - image).abs().max() < 1e-4


def test_pixels_come_from_where_the_lens_put_them():
    """The photograph stores its own pixel coordinates, so that the result says where each pixel came from."""
    v, u = torch.meshgrid(torch.arange(46) + 0.5, torch.arange(66) + 0.5, indexing="ij")
    lens = brown(-0.2, 0.05, 0, 0, 0.004, -0.003)
    straight, known = undistort(torch.stack([u, v], dim=-1), K, lens)
    ideal = torch.tensor([[40.5, 10.5]], dtype=torch.float64)
    plane = (ideal - K[:2, 2]) / K[[0, 1], [0, 1]]
    source = lens.distort(plane) * K[[0, 1], [0, 1]] + K[:2, 2]
    assert bool(known[10, 40])
    assert straight[10, 40].tolist() == pytest.approx(source[0].tolist(), abs=1e-3)


def test_pixels_without_source_are_unknown():
    image = torch.ones(46, 66, 1)
    straight, known = undistort(image, K, brown(0.5))
    assert not bool(known[0, 0]) and bool(known[23, 33])
    assert float(straight[~known].abs().max()) == 0
    assert float(straight[known].min()) == pytest.approx(1)


def test_polynomials_that_fold_back_are_cut_off():
    # x (1 - 2 r^2) turns back at r = 0.41, so outer pixels would see the middle of the picture again
    known = undistort(torch.ones(46, 66, 1), K, brown(-2.0))[1]
    radius = ((torch.arange(66) + 0.5 - 33) / 60).abs()
    assert not bool(known[23, radius > 0.42].any())
    assert bool(known[23, radius < 0.4].all())


def test_a_fisheye_picture_becomes_the_pinhole_picture_of_its_middle():
    """Equidistant: a point 45 degrees off the axis lies at f pi / 4, in the pinhole picture at f."""
    image = torch.zeros(101, 201, 1)
    image[50, 100 + round(60 * torch.pi / 4)] = 1
    fisheye = Lens("equidistant")
    K = torch.tensor([[60.0, 0, 100.5], [0, 60, 50.5], [0, 0, 1]], dtype=torch.float64)
    straight, known = undistort(image, K, fisheye)
    assert int(straight[50, :, 0].argmax()) == pytest.approx(160, abs=1)
    assert bool(known.all())


@pytest.mark.parametrize(
    ("lens", "radius", "angle"),
    [
        (Lens("equidistant"), torch.pi / 4, torch.pi / 4),
        (Lens("fov", (0.5,)), 1.0, 0.5),  # r = 1 at the angle for which atan(2 tan(w/2) tan a) = w
        (Lens("unified", (1.0, 1.0)), 0.6, 0.6435011087932844),  # a = b = 1 is the sine of the angle
        (Lens("division", (0.25,)), 0.8, None),
    ],
)
def test_projections_at_points_computed_by_hand(lens, radius, angle):
    if lens.projection == "fov":
        ideal = torch.tan(torch.tensor(0.5)) / (2 * torch.tan(torch.tensor(0.25)))
    elif lens.projection == "division":
        ideal = torch.tensor(radius / (1 + 0.25 * radius**2))
    else:
        ideal = torch.tan(torch.tensor(angle))
    point = torch.tensor([[0.6, -0.8]], dtype=torch.float64) * ideal
    moved = lens.distort(point)[0].tolist()
    assert moved == pytest.approx([0.6 * radius, -0.8 * radius], abs=1e-6)


def test_rays_beyond_a_lens_are_unknown():
    # the division model with k = 1 has no picture of rays with r > 1/2
    known = undistort(torch.ones(46, 66, 1), K, Lens("division", (1.0,)))[1]
    radius = ((torch.arange(66) + 0.5 - 33) / 60).abs()
    assert not bool(known[23, radius > 0.5].any())


def test_rows_at_a_time_make_no_difference(monkeypatch):
    image = torch.rand(46, 66, 3, generator=torch.Generator().manual_seed(0))
    whole, known = undistort(image, K, brown(-0.2, 0.05))
    monkeypatch.setattr(distortion, "ROWS", 7)
    parts, known_parts = undistort(image, K, brown(-0.2, 0.05))
    assert torch.equal(known, known_parts) and (whole - parts).abs().max() < 1e-6
