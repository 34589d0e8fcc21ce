"""Rough surfaces, such as scans, are remeshed evenly, and only creases that stand out of the noise are kept."""

import math

import numpy as np
import pytest
import torch

from bozzetto.geometry import closest_points, remesh
from bozzetto.geometry.remeshing.creases import dihedral_angles, find_creases
from bozzetto.geometry.remeshing.sizing import bends_against, is_rough
from bozzetto.geometry.remeshing.surface import Features, WorkingMesh
from bozzetto.shapes import box, icosphere, torus

from .shape_measures import lengths, perturbed, volume

SHARP = math.radians(35)


def surveyed(mesh):
    vertices = mesh.vertices.double().numpy()
    none = Features(np.empty((0, 2), np.int64), np.empty((0, 2)), np.zeros(len(vertices), bool))
    surface = WorkingMesh(vertices, mesh.faces.numpy(), np.ones(len(vertices)), none)
    bend = dihedral_angles(surface)
    return surface, bend, find_creases(surface, bend, SHARP)


def rough(mesh, tolerance=1e-3):
    return is_rough(*surveyed(mesh), tolerance)


FINE_BOX = remesh(box((1.0, 1.0, 1.0)), 0.06)


@pytest.mark.parametrize(
    "mesh", [icosphere(4), torus(segments=48, sides=24), torus(segments=24, sides=8), FINE_BOX]
)
def test_smooth_and_faceted_shapes_are_not_rough_but_with_noise_they_are(mesh):
    assert not rough(mesh)
    assert rough(perturbed(mesh, 0.1, 0))


def test_an_uneven_mesh_of_a_sphere_is_not_rough():
    sphere = icosphere(4)
    shaken = perturbed(sphere, 0.1, 0).vertices
    sphere = sphere.with_vertices(shaken / shaken.norm(dim=1, keepdim=True))  # only along the surface
    assert not rough(sphere)


def test_a_tolerance_above_the_noise_is_kept():
    noisy = perturbed(icosphere(4), 0.04, 0)
    assert rough(noisy, 1e-3) and not rough(noisy, 1e-1)


def test_noise_bends_edges_against_their_surroundings_and_shape_does_not():
    flat = perturbed(FINE_BOX, 0.1, 0)
    for mesh, low, high in ((icosphere(4), 0, 0), (flat, 0.5, 1)):
        surface, bend, lines = surveyed(mesh)
        bend = np.where(lines, 0, bend)
        against = bends_against(surface, bend)
        assert low <= (bend[against] ** 2).sum() / (bend**2).sum() <= high


@pytest.mark.parametrize("length", [0.05, 0.2])
def test_rough_surfaces_are_remeshed_evenly(length):
    mesh = perturbed(torus(segments=64, sides=32), 0.1, 0)
    kept, even = remesh(mesh, length), remesh(mesh, length, crease_angle=None, tolerance=None)
    torch.testing.assert_close(kept.vertices, even.vertices, rtol=0, atol=0)
    assert torch.equal(kept.faces, even.faces)


def test_creases_stand_out_of_noise():
    noise = 0.05
    mesh = perturbed(FINE_BOX, noise, 0)
    after, even = remesh(mesh, 0.08), remesh(mesh, 0.08, crease_angle=None, tolerance=None)
    assert rough(mesh)
    assert len(after.faces) == pytest.approx(len(even.faces), rel=0.1)
    # Points of the box's edges are as near as noise lets them be; even triangles chop the edges.
    t = torch.linspace(-0.5, 0.5, 41)
    half = torch.full_like(t, 0.5)
    edges = torch.cat([torch.stack([t, a * half, b * half], dim=1) for a in (-1, 1) for b in (-1, 1)])
    near, far = (closest_points(x, edges)[0] for x in (after, even))
    assert near.max() < 5 * noise * lengths(mesh).mean() < far.max()
    assert volume(after) == pytest.approx(1, rel=5e-3)
