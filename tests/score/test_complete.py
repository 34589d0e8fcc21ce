import copy
import sys
from dataclasses import replace

import pytest
import torch

from bozzetto import InputError
from bozzetto.score import CompleteConfig, complete, representatives
from bozzetto.shapes.frames import Frame

from .conftest import ellipses

KNOWN = Frame(torch.zeros(2, dtype=torch.float64), 1.0)


def test_observed_points_stay_and_the_rest_is_invented(tiny):
    whole = ellipses(8, 600, seed=5)[4]
    part = whole[whole[:, 0] < 0]
    results = complete(part, tiny, CompleteConfig(hypotheses=3, points=400, candidates=24), KNOWN)
    assert len(results) == 3
    for one in results:
        assert one.points.shape[1] == 2 and 300 <= len(one.points) <= 400
        kept = one.points[one.observed]
        assert (kept[:, None] == part).all(dim=2).any(dim=1).all()  # they are points of the part, unmoved
        assert float(torch.cdist(one.points[~one.observed], part).amin(dim=1).min()) > 0.01
    assert results[0].misfit <= results[1].misfit <= results[2].misfit
    best = min(float(torch.cdist(whole, one.points).amin(dim=1).mean()) for one in results)
    unfinished = float(torch.cdist(whole, part).amin(dim=1).mean())
    assert best < 0.5 * unfinished


def test_of_a_huge_cloud_some_points_are_looked_at(tiny, monkeypatch):
    monkeypatch.setattr(sys.modules[complete.__module__], "LARGEST", 300)
    part = ellipses(8, 5000, seed=6)[1]
    quick = CompleteConfig(hypotheses=1, candidates=4)
    few, many = (complete(part, tiny, replace(quick, points=n))[0] for n in (200, 2000))
    assert len(few.points) <= 200 and int(many.observed.sum()) > 300
    kept = few.points[few.observed]
    assert (kept[:, None] == part).all(dim=2).any(dim=1).all()


def test_the_frame_of_the_part_is_kept(tiny):
    part = ellipses(8, 300, seed=6)[1] * 20 + 500
    one = complete(part, tiny, CompleteConfig(hypotheses=1, points=200, candidates=4))[0]
    assert 470 < float(one.points.min()) and float(one.points.max()) < 530


def test_hypotheses_differ_where_nothing_was_seen_and_follow_the_seed(tiny):
    whole = ellipses(8, 600, seed=5)[4]
    part = whole[whole[:, 0] < -0.4]
    first = complete(part, tiny, CompleteConfig(hypotheses=4, points=200, candidates=16, seed=3), KNOWN)
    again = complete(part, tiny, CompleteConfig(hypotheses=4, points=200, candidates=16, seed=3), KNOWN)
    assert all(torch.equal(a.points, b.points) for a, b in zip(first, again, strict=True))
    codes = torch.stack([one.code for one in first])
    assert float(torch.pdist(codes).min()) > 0.01


def test_what_cannot_be_completed_is_refused(tiny):
    with pytest.raises(InputError, match="coordinates"):
        complete(torch.rand(9, 3), tiny)
    with pytest.raises(InputError, match="at least two"):
        complete(torch.rand(1, 2), tiny, name="scan")
    with pytest.raises(InputError, match="hypotheses"):
        complete(torch.rand(9, 2), tiny, CompleteConfig(hypotheses=0))
    with pytest.raises(InputError, match="guidance"):
        complete(torch.rand(9, 2), tiny, CompleteConfig(guidance=-1.0))
    blind = type(tiny)(tiny.model, None, tiny.codes, tiny.names)
    with pytest.raises(InputError, match="flow"):
        complete(torch.rand(9, 2), blind)
    with torch.no_grad():
        unhinted = copy.deepcopy(tiny.latent)
        unhinted.hint.weight.zero_()
    with pytest.raises(InputError, match="seen parts in training"):
        complete(torch.rand(9, 2), type(tiny)(tiny.model, unhinted, tiny.codes, tiny.names))


def test_representatives_stand_for_every_group():
    generator = torch.Generator().manual_seed(0)
    places = torch.tensor([0.0, 5.0, 9.0]).repeat(7)[:, None, None]
    clouds = places + 0.1 * torch.randn(21, 40, 2, generator=generator)
    chosen = representatives(clouds, 3)
    assert sorted((chosen % 3).tolist()) == [0, 1, 2]
    assert sorted(representatives(clouds[:4], 4).tolist()) == [0, 1, 2, 3]
