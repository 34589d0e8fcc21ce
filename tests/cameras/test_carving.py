"""Tests of cameras.carving."""

import numpy as np
import pytest
import torch

from bozzetto.cameras.carving import (
    carve,
    carve_grid,
    classify,
    depths,
    fewest_carving,
    grid_silhouettes,
    silhouette_distance,
)

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")),
]


def points_around(count=400, size=3.0):
    return (torch.rand(count, 3, generator=torch.Generator().manual_seed(0)) - 0.5) * size


def test_distance_to_a_disc_is_accurate_below_a_pixel():
    y, x = np.mgrid[:60, :70] + 0.5
    exact = 17.3 - np.hypot(x - 33.2, y - 28.7)
    found = silhouette_distance((exact + 0.5).clip(0, 1), np.ones((60, 70), dtype=bool))
    near, wide = np.abs(exact) < 1, (exact > -8) & (exact < 15)  # further out the image border is nearer
    error = np.abs(found - exact)
    assert error[near].mean() < 0.2 and error[near].max() < 0.7
    assert np.median(error[wide]) < 0.2


def test_unknown_pixels_and_the_outside_never_carve():
    coverage, known = np.zeros((20, 30)), np.ones((20, 30), dtype=bool)
    known[:, :10] = False
    found = silhouette_distance(coverage, known)
    assert (found[:, :10] > 0).all() and (found[:, 10:] < 0).all()
    assert found[10, 15] == pytest.approx(-5.5)
    assert found[1, 20] == pytest.approx(-1.5)  # the top edge is near
    assert (silhouette_distance(np.ones((20, 30)), known) > 100).all()


@pytest.mark.parametrize("device", DEVICES)
def test_kernel_agrees_with_plain_pytorch(silhouettes, device):
    points = points_around(size=20.0)  # also behind cameras and outside frames
    expected, view = depths(silhouettes, points.double()).sort(dim=0)
    origin = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
    moved = silhouettes.moved(origin)
    if device == "cuda":
        from dataclasses import replace

        moved = replace(
            moved,
            cameras=moved.cameras.to(device),
            distance=moved.distance.to(device),
            frame=moved.frame.to(device),
        )
    values, views = carve(moved, (points - origin).float().to(device))
    clear = expected[1] - expected[0] > 1e-3
    assert (values.cpu().double() - expected[:2].T).abs().max() < 2e-4
    assert torch.equal(views[:, 0].cpu()[clear].long(), view[0][clear])
    assert torch.equal(views[:, 2].cpu(), (expected < 0).sum(dim=0).int()) or (
        (views[:, 2].cpu() - (expected < 0).sum(dim=0)).abs().float().mean() < 0.01
    )


def test_depth_inside_a_sphere(silhouettes):
    """All views agree that a point at radius r lies 1 - r deep, up to perspective and pixels."""
    points = torch.nn.functional.normalize(points_around(100), dim=1) * 0.4
    values, views = carve(silhouettes, points)
    assert (values[:, 0] > 0.5).all() and (values[:, 0] < 1.02).all()
    assert (views[:, 1] == 7).all() and (views[:, 2] == 0).all()


def test_excluding_the_deciding_view_gives_the_second_depth(silhouettes):
    points = points_around(50)
    values, views = carve(silhouettes, points)
    for i in range(50):
        without, _ = carve(silhouettes, points[i : i + 1], exclude=int(views[i, 0]))
        assert without[0, 0] == pytest.approx(float(values[i, 1]), abs=1e-6)


@pytest.mark.parametrize("tolerance", [0, 1])
def test_certain_balls_are_right_throughout(silhouettes, tolerance):
    centers, radius = points_around(300), 0.15
    classes = classify(silhouettes, centers, radius, 0, tolerance)
    inner = torch.nn.functional.normalize(points_around(64), dim=1) * radius
    samples = (centers[:, None] + inner).reshape(-1, 3)
    depth = depths(silhouettes, samples.double()).sort(dim=0).values[tolerance].reshape(300, -1)
    assert (depth[classes == 1] > 0).all() and (depth[classes == -1] < 0).all()
    assert (classes == 1).sum() > 3 and (classes == -1).sum() > 50


def test_where_too_few_views_look_is_outside(silhouettes):
    far = torch.tensor([[40.0, 0, 0]])
    assert classify(silhouettes, far, 0.1, 4).tolist() == [-1]


def test_the_hull_of_the_others_covers_the_sphere(silhouettes, coverage):
    bounds = torch.tensor([[-1.3] * 3, [1.3] * 3], dtype=torch.float64)
    grid = carve_grid(silhouettes, bounds, 48, 4)
    seen = grid_silhouettes(silhouettes.cameras, grid, leave_out=False)
    others = grid_silhouettes(silhouettes.cameras, grid, leave_out=True)
    mask = coverage(silhouettes.cameras) > 0.5
    assert (mask & ~seen).sum() / mask.sum() < 0.02
    assert (seen & ~mask).sum() / mask.sum() < 0.03
    assert (seen & ~others).sum() == 0 and others.sum() > 1.02 * seen.sum()


def test_fewest_carving_views_along_a_ray(silhouettes):
    bounds = torch.tensor([[-1.3] * 3, [1.3] * 3], dtype=torch.float64)
    grid = carve_grid(silhouettes, bounds, 24, 4)
    generator = torch.Generator().manual_seed(3)
    directions = torch.nn.functional.normalize(torch.randn(40, 3, generator=generator).double(), dim=1)
    origins = -4 * directions + 0.6 * torch.randn(40, 3, generator=generator).double()
    counts, places = fewest_carving(grid, origins, directions)
    steps = torch.arange(0, 8, grid.cell / 4, dtype=torch.float64)
    along = origins[:, None] + steps[:, None] * directions[:, None]
    index = ((along - grid.low) / grid.cell).round().long()
    shape = torch.tensor(grid.carving.shape)
    valid = ((index >= 0) & (index < shape)).all(dim=-1)
    x, y, z = torch.minimum(index.clamp(min=0), shape - 1).unbind(dim=-1)
    expected = torch.where(valid, grid.carving[x, y, z], 1 << 20).amin(dim=1)
    assert (counts >= expected).all()  # it takes fewer samples
    assert (counts == expected).float().mean() > 0.9
    i, j, k = ((places - grid.low) / grid.cell).round().long().T
    hit = counts < 1 << 20
    assert hit.sum() > 20 and torch.equal(grid.carving[i, j, k][hit], counts[hit])
