import math

import numpy as np
import pytest
import torch

from bozzetto import InputError
from bozzetto.metrics import evaluate_generation, evaluate_points, occupancy_divergence, solve_assignments
from bozzetto.metrics.earth_mover import distances
from bozzetto.metrics.generation import bootstrap, normalise
from bozzetto.metrics.nearest_clouds import (
    EarthMoverSearch,
    Transport,
    first_bounds,
    nearest_means,
    neighbours_from_distances,
)

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")),
]


def boxes(count: int, points: int = 96, seed: int = 0, dimensions: int = 3) -> torch.Tensor:
    """Clouds that fill boxes of random sides: a family in which some shapes are near and some far."""
    generator = torch.Generator().manual_seed(seed)
    sides = 0.2 + torch.rand(count, 1, dimensions, generator=generator)
    return (torch.rand(count, points, dimensions, generator=generator) - 0.5) * sides


def exhaustive(clouds: torch.Tensor) -> torch.Tensor:
    i, j = torch.triu_indices(len(clouds), len(clouds), 1)
    table = torch.zeros(len(clouds), len(clouds), dtype=torch.float64)
    table[i, j] = solve_assignments(distances(clouds[i], clouds[j])).upper
    return table + table.T


@pytest.mark.parametrize("dimensions", [2, 3])
def test_bounds_are_below_the_distance_and_rise(dimensions):
    clouds = boxes(8, 300, dimensions=dimensions)
    exact = exhaustive(clouds)
    first = first_bounds(clouds, nearest_means(clouds))
    pairs = torch.triu_indices(8, 8, 1).T
    i, j = pairs.T
    coarse = Transport(clouds).bound(pairs)
    assert (first[i, j] <= exact[i, j] * (1 + 1e-6)).all()
    assert (coarse <= exact[i, j] * (1 + 1e-6)).all()
    assert torch.equal(first, first.T)
    assert (first[i, j] / exact[i, j]).mean() > 0.5
    assert (coarse / exact[i, j]).mean() > (first[i, j] / exact[i, j]).mean()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seed", range(3))
def test_the_search_finds_what_solving_every_pair_finds(seed, device):
    clouds = boxes(24, seed=seed)
    found = EarthMoverSearch(clouds.to(device), 10, nearest_means(clouds))
    ours, full = found.run(), neighbours_from_distances(exhaustive(clouds), 10)
    assert torch.allclose(ours.distance_from_s, full.distance_from_s, rtol=3e-6)
    assert torch.allclose(ours.distance_from_r, full.distance_from_r, rtol=3e-6)
    assert torch.equal(ours.nearest_to_s, full.nearest_to_s)
    assert torch.equal(ours.same_set, full.same_set)
    assert 0 < found.cost.solved < found.cost.pairs / 2


def test_neighbours_from_a_table():
    """Two clouds in S (0, 1), three in R (2, 3, 4); 4 is as far from 0 as from 2."""
    table = torch.full((5, 5), 9.0, dtype=torch.float64)
    for i, j, value in ((0, 2, 1), (0, 3, 2), (1, 3, 3), (0, 1, 4), (2, 3, 5), (0, 4, 6), (2, 4, 6)):
        table[i, j] = table[j, i] = value
    found = neighbours_from_distances(table, 2)
    assert found.distance_from_s.tolist() == [1, 3]
    assert found.nearest_to_s.tolist() == [0, 1]
    assert found.distance_from_r.tolist() == [1, 2, 6]
    assert found.same_set.tolist() == [0, 0, 0, 0, 0.5]


def test_a_family_against_itself_and_another():
    same = evaluate_generation(boxes(24, 64, seed=1), boxes(24, 64, seed=2))
    assert same.earth_mover is not None and same.search is not None and same.jsd is not None
    for figures in (same.chamfer, same.earth_mover):
        assert 0.25 < figures.one_nna.value < 0.75  # the law is the same: 1/2
        assert figures.one_nna.low < figures.one_nna.value < figures.one_nna.high
    other = evaluate_generation(boxes(24, 64, seed=1) + torch.tensor([3.0, 0, 0]), boxes(24, 64, seed=2))
    assert other.earth_mover is not None and other.jsd is not None
    assert other.earth_mover.one_nna.value == other.chamfer.one_nna.value == 1
    assert other.earth_mover.mmd.value == pytest.approx(3, rel=0.1)
    assert other.jsd > 0.95 > same.jsd  # few points in many cells: far above 0 for one law, too
    # Nothing but the position differed, and this protocol undoes it.
    centred = evaluate_generation(
        boxes(24, 64, seed=1) + torch.tensor([3.0, 0, 0]), boxes(24, 64, seed=2), "shapegf", earth_mover=False
    )
    assert centred.chamfer.one_nna.value < 0.75 and centred.earth_mover is None


def test_copies_of_the_references():
    """A generator that repeats the references in other order of points, and one that repeats one of them."""
    ref = boxes(6, 64)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    copies = evaluate_generation(ref[:, order], ref)
    assert copies.earth_mover is not None and copies.jsd == pytest.approx(0, abs=1e-12)
    for figures in (copies.chamfer, copies.earth_mover):
        assert figures.mmd.value == 0
        assert figures.cov.value == 1
        assert figures.one_nna.value == 0
    collapsed = evaluate_generation(ref[:1].expand(6, -1, -1), ref)
    assert collapsed.earth_mover is not None
    for figures in (collapsed.chamfer, collapsed.earth_mover):
        assert figures.cov.value == pytest.approx(1 / 6)
        # The six copies and their reference are all at distance 0 from each other: ties count one half.
        # The five other references decide by distance.
        assert figures.one_nna.value >= (6 * 0.5 + 0) / 12


def test_clouds_in_the_plane():
    scores = evaluate_generation(boxes(5, 64, 1, 2), boxes(5, 64, 2, 2))
    assert scores.jsd is None
    # The plane z = 0 of space: distances are the same.
    flat = [torch.nn.functional.pad(boxes(5, 64, seed, 2), (0, 1)) for seed in (1, 2)]
    spatial = evaluate_generation(*flat)
    assert scores.earth_mover == spatial.earth_mover and scores.chamfer == spatial.chamfer


def test_normalisation():
    clouds = boxes(3) * 7 + 5
    unit = normalise(clouds, "shapegf")
    assert torch.allclose(unit.amax(dim=1), -unit.amin(dim=1), atol=1e-5)
    assert torch.allclose((unit.amax(dim=1) - unit.amin(dim=1)).amax(dim=1), torch.full((3,), 2.0))
    assert torch.equal(normalise(clouds, "pointflow"), clouds)
    with pytest.raises(InputError, match="protocol"):
        evaluate_generation(clouds, clouds, "mine")


def test_divergence_of_known_distributions():
    node = 0.5 / 27  # the middle of the grid lies between nodes
    here = torch.full((1, 4, 3), node)
    there = torch.tensor([[[node] * 3] * 2 + [[-node] * 3] * 2])
    assert occupancy_divergence(here, here) == 0
    assert occupancy_divergence(here, -here) == pytest.approx(1)
    # Shares (1, 0) and (1/2, 1/2): H(3/4, 1/4) - (0 + 1) / 2.
    mixed = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert occupancy_divergence(here, there) == pytest.approx(mixed - 0.5)


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = sum((figure := bootstrap(rng.random(60) < 0.3)).low <= 0.3 <= figure.high for _ in range(60))
    assert 50 <= hits <= 60


@pytest.mark.parametrize(
    ("pred", "words"),
    [
        (torch.rand(1, 8, 3), "at least two"),
        (torch.rand(3, 1, 3), "1 points"),
        (torch.rand(3, 8, 1), "1 dimensions"),
        (torch.full((3, 8, 3), torch.nan), "NaN"),
        (torch.ones(3, 8, 3), "equal"),
        (torch.rand(3, 9, 3), "both need the same"),
    ],
)
def test_sets_that_cannot_be_compared(pred, words):
    with pytest.raises(InputError, match=words):
        evaluate_generation(pred, torch.rand(3, 8, 3))


def test_two_clouds():
    a = torch.tensor([[0.0, 0, 0], [1, 0, 0]])
    b = torch.tensor([[0.0, 0, 0], [1, 2, 0], [0, 1, 0]])
    scores = evaluate_points(a, b)
    assert scores.pred_to_ref == pytest.approx((0 + 1) / 2)
    assert scores.ref_to_pred == pytest.approx((0 + 2 + 1) / 3)
    assert scores.chamfer_sum == scores.pred_to_ref + scores.ref_to_pred
    assert scores.chamfer_squared_sum == pytest.approx(1 / 2 + 5 / 3)
    assert scores.hausdorff == 2
    assert scores.earth_mover_points == 2
    line = torch.rand(100, 3)
    assert evaluate_points(line, line + torch.tensor([5.0, 0, 0])).earth_mover == pytest.approx(5, rel=1e-5)


@pytest.mark.parametrize(
    ("cloud", "words"),
    [
        (torch.zeros(0, 3), "0 points"),
        (torch.zeros(1, 3), "1 points"),
        (torch.full((4, 3), math.inf), "infinite"),
        (torch.ones(4, 3), "equal"),
    ],
)
def test_clouds_that_cannot_be_compared(cloud, words):
    with pytest.raises(InputError, match=words):
        evaluate_points(torch.rand(4, 3), cloud)
