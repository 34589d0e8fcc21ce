import torch

from bozzetto.datasets.synthetic.solids import chair_boxes, chairs, union_distance, union_points


def test_points_lie_on_the_surface_and_cover_it_evenly():
    for index in range(12):
        boxes = chair_boxes(0, index)
        points = union_points(boxes, 500, torch.Generator().manual_seed(index))
        assert float(union_distance(boxes, points).abs().max()) < 1e-5


def test_area_of_two_overlapping_cubes():
    boxes = torch.tensor([[[0.0, 0, 0], [1, 1, 1]], [[0.5, 0.2, 0.2], [1.5, 0.8, 0.8]]])
    points = union_points(boxes, 20000, torch.Generator().manual_seed(0))
    # The second box shows half of its length: one end and four sides of 0.5 by 0.6; it hides 0.36 of the first.
    shown, rest = 0.36 + 4 * 0.3, 6 - 0.36
    share = float((points[:, 0] > 1 + 1e-6).float().mean())
    assert abs(share - shown / (shown + rest)) < 0.015


def test_distances_are_those_of_boxes():
    boxes = torch.tensor([[[-1.0, -1, -1], [1, 1, 1]], [[2.0, -1, -1], [3, 1, 1]]])
    points = torch.tensor([[0.0, 0, 0], [0, 3, 0], [1.5, 0, 0], [4, 2, 0], [0.9, 0, 0]])
    expected = torch.tensor([-1.0, 2.0, 0.5, 2**0.5, -0.1])
    torch.testing.assert_close(union_distance(boxes, points), expected)


def test_chairs_differ_are_repeatable_and_normalised():
    some = chairs(6, 300, seed=3)
    torch.testing.assert_close(chairs(3, 300, seed=3, first=2), some[2:5])
    assert float((some[0] - some[1]).abs().max()) > 0.05
    assert float(some.abs().max()) <= 1 + 1e-5
    lying = some[..., 1].amax(dim=1)
    assert (lying > 0.7).all()  # none is much wider than high
