import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from bozzetto import InputError
from bozzetto.metrics import earth_mover, solve_assignments

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")),
]


def least(costs: torch.Tensor) -> list[float]:
    matrices = costs.double().numpy()
    return [float(m[linear_sum_assignment(m)].mean()) for m in matrices]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("count", [1, 2, 5, 16, 17, 60, 200])
def test_equal_to_another_solver_and_proven(count, device):
    costs = torch.rand(4, count, count, generator=torch.Generator().manual_seed(count))
    found = solve_assignments(costs.to(device))
    assert found.upper.cpu().numpy() == pytest.approx(least(costs), rel=2e-6)
    assert ((found.upper - found.lower) <= 1.01e-6 * found.upper).all()
    assert (found.column.sort(dim=1).values.cpu() == torch.arange(count)).all()
    taken = costs.to(device).gather(2, found.column.long()[:, :, None])[:, :, 0].double().mean(dim=1)
    assert torch.allclose(taken, found.upper)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 4))
def test_ties_and_zeros(seed, count, levels):
    """Few distinct costs: many optimal assignments, and often an optimum of 0."""
    rng = np.random.default_rng(seed)
    costs = torch.from_numpy(rng.integers(levels, size=(1, count, count)).astype(np.float32))
    found = solve_assignments(costs)
    assert float(found.upper[0]) == pytest.approx(least(costs)[0], abs=1e-5)
    assert float(found.lower[0]) <= float(found.upper[0]) + 1e-9


def test_prices_of_a_solution_start_the_next_and_bad_prices_only_cost_time():
    costs = torch.rand(3, 100, 100, generator=torch.Generator().manual_seed(0))
    first = solve_assignments(costs)
    for prices in (first.prices, 10 * torch.rand(3, 100, dtype=torch.float64)):
        again = solve_assignments(costs, prices, first_step=1e-3)
        assert torch.allclose(again.upper, first.upper, rtol=2e-6)


def test_a_cutoff_stops_early_with_a_bound_that_holds():
    costs = torch.rand(5, 150, 150, generator=torch.Generator().manual_seed(1))
    best = solve_assignments(costs)
    stopped = solve_assignments(costs, cutoffs=0.3 * best.upper)
    assert (stopped.lower > 0.3 * best.upper).all()
    assert (stopped.lower <= best.upper).all()


def test_clouds_of_a_few_repeated_points():
    """Every price war there can be: a collapsed cloud against a spread one."""
    generator = torch.Generator().manual_seed(2)
    spread = torch.rand(128, 3, generator=generator)
    for collapsed in (torch.zeros(128, 3), torch.rand(3, 3, generator=generator).repeat(43, 1)[:128]):
        found = earth_mover(spread, collapsed)
        costs = torch.cdist(spread, collapsed)[None]
        assert found.distance == pytest.approx(least(costs)[0], rel=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_earth_mover_of_known_matchings(device):
    generator = torch.Generator().manual_seed(3)
    cloud = torch.rand(300, 3, generator=generator)
    order = torch.randperm(300, generator=generator)
    same = earth_mover(cloud.to(device), cloud[order].to(device))
    assert same.distance == 0 and same.lower_bound <= 0 + 1e-9
    assert (order[same.match.cpu()] == torch.arange(300)).all()
    # A translation by less than half the spacing of a lattice is optimal for the lattice itself.
    lattice = torch.cartesian_prod(*[torch.arange(5.0)] * 3)
    moved = earth_mover(lattice.to(device), (lattice + torch.tensor([0.3, 0, 0.1])).to(device))
    assert moved.distance == pytest.approx((0.3**2 + 0.1**2) ** 0.5, rel=1e-5)
    # On a line the sorted orders match.
    a, b = torch.rand(2, 200, 1, generator=generator)
    assert earth_mover(a.to(device), b.to(device)).distance == pytest.approx(
        float((a.sort(0).values - b.sort(0).values).abs().mean()), rel=1e-5
    )


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (torch.zeros(3, 3), torch.zeros(4, 3), "equally many"),
        (torch.zeros(0, 3), torch.zeros(0, 3), "equally many"),
        (torch.full((3, 3), torch.nan), torch.zeros(3, 3), "NaN"),
    ],
)
def test_bad_clouds(a, b, words):
    with pytest.raises(InputError, match=words):
        earth_mover(a, b)


def test_matrices_must_be_square():
    with pytest.raises(InputError, match="shape"):
        solve_assignments(torch.zeros(2, 3, 4))
