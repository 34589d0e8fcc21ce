"""Tests of geometry.remesh_pass: one pass of remeshing that makes no faces cross."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto import InputError, Mesh
from bozzetto.geometry import (
    boundary_edges,
    euler_number,
    intersecting_faces,
    is_manifold,
    is_watertight,
    remesh_pass,
)
from bozzetto.geometry.remeshing.surface import NOWHERE, Balls
from bozzetto.shapes import grid, icosphere, join, torus

from .shape_measures import area, lengths, perturbed

COARSE = 0.28  # nearly twice the edges of the shells


def shells(gap, shift=0.0):
    """A ball inside another one, with a narrow gap between them, wider on one side if it is shifted."""
    outer = icosphere(3)
    inner = outer.vertices * (1 - gap - shift) + torch.tensor([shift, 0.0, 0.0])
    return join([outer, outer.with_vertices(inner)])


def test_a_gap_that_coarse_triangles_would_close_stays_open():
    both = shells(0.004, shift=0.2)
    alone = []
    for first in (0, len(icosphere(3).faces)):
        faces = both.faces[first : first + len(icosphere(3).faces)]
        shell = Mesh(both.vertices[faces.unique()], faces - faces.min())
        alone.append(remesh_pass(shell, COARSE)[0])
    assert len(intersecting_faces(join(alone))) > 0
    result, search = remesh_pass(both, COARSE)
    assert len(intersecting_faces(result)) == 0
    assert len(search.pairs(result.vertices)) == 0
    assert len(join(alone).vertices) < len(result.vertices) < 0.7 * len(both.vertices)


@settings(max_examples=12, deadline=None)
@given(
    gap=st.sampled_from([0.01, 0.05, 0.2]),
    amount=st.sampled_from([0.0, 0.05]),
    factor=st.floats(0.4, 4.0),
    seed=st.integers(0, 10_000),
)
def test_no_more_faces_cross_than_before(gap, amount, factor, seed):
    mesh = perturbed(shells(gap), amount, seed)
    before = len(torch.unique(intersecting_faces(mesh)))
    result, _ = remesh_pass(mesh, factor * float(lengths(mesh).mean()), seed=seed)
    if before == 0:
        assert len(intersecting_faces(result)) == 0
    assert is_watertight(result.faces)
    assert is_manifold(result.faces, len(result.vertices))
    assert euler_number(result.faces) == 4


def test_faces_that_cross_before_are_ignored_by_the_search():
    mesh = join([icosphere(2), icosphere(2).with_vertices(icosphere(2).vertices + 0.9)])
    result, search = remesh_pass(mesh, 0.3)
    crossing = intersecting_faces(result)
    assert len(crossing) > 0 and len(search.pairs(result.vertices)) == 0
    assert bool(search.ignored[crossing].all())


def test_passes_reach_the_length_and_keep_the_shape():
    mesh = torus(segments=40, sides=20)
    result = mesh
    for seed in range(6):
        result, _ = remesh_pass(result, 0.2, seed=seed)
    assert float(lengths(result).mean()) == pytest.approx(0.2, rel=0.1)
    assert euler_number(result.faces) == 0
    assert area(result) == pytest.approx(area(mesh), rel=0.05)


def test_lengths_per_vertex():
    mesh = icosphere(3)
    wanted = torch.where(mesh.vertices[:, 2] > 0, 0.08, 0.3)
    for seed in range(4):
        mesh, _ = remesh_pass(mesh, wanted, seed=seed)
        wanted = torch.where(mesh.vertices[:, 2] > 0, 0.08, 0.3)
    up = mesh.corners()[:, :, 2]
    sides = (mesh.corners() - mesh.corners().roll(1, dims=1)).norm(dim=2).mean(dim=1)
    assert float(sides[up.amin(dim=1) > 0.3].mean()) == pytest.approx(0.08, rel=0.2)
    assert float(sides[up.amax(dim=1) < -0.3].mean()) == pytest.approx(0.3, rel=0.2)


def test_boundaries_stay_boundaries():
    sheet = grid(8, 8)
    result, _ = remesh_pass(sheet, 1.7 * float(lengths(sheet).mean()))
    assert len(result.vertices) < 0.6 * len(sheet.vertices)
    assert euler_number(result.faces) == 1 and len(boundary_edges(result.faces)) < 28
    sides = result.vertices[boundary_edges(result.faces).flatten(), :2].abs().amax(dim=1)
    limit = sheet.vertices[:, :2].abs().amax()
    assert bool(torch.isclose(sides, limit.expand_as(sides)).all())  # also where corners are cut


def test_the_same_seed_gives_the_same_mesh():
    mesh = perturbed(icosphere(3), 0.1, 0)
    one, two = (remesh_pass(mesh, 0.3, seed=5)[0] for _ in range(2))
    assert torch.equal(one.vertices, two.vertices) and torch.equal(one.faces, two.faces)


def test_bad_input():
    fan = Mesh(torch.rand(5, 3), torch.tensor([[0, 1, 2], [0, 1, 3], [0, 1, 4]]))
    with pytest.raises(InputError, match="not manifold"):
        remesh_pass(fan, 0.1)
    with pytest.raises(InputError, match="edge_length"):
        remesh_pass(icosphere(1), -1.0)


def test_balls():
    balls = Balls(np.array([[0.0, 0, 0], [3.0, 0, 0]]), 1.0)
    points = np.array([[0.5, 0, 0], [1.5, 0, 0], [3.0, 0.9, 0], [5.0, 0, 0]])
    assert balls.contain(points).tolist() == [True, False, True, False]
    assert not NOWHERE.contain(points).any()
