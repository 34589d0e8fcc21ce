"""Faults of meshes, in words; nothing is said of sound ones."""

import pytest
import torch

from bozzetto.geometry.measures import mesh_faults
from bozzetto.shapes import Mesh, box, grid, icosphere, join, torus


@pytest.mark.parametrize("mesh", [box(), icosphere(2), torus()])
def test_sound_solids_have_none(mesh):
    unwelded = Mesh(mesh.corners().reshape(-1, 3), torch.arange(3 * len(mesh.faces)).reshape(-1, 3))
    shifted = Mesh(mesh.vertices + 5, mesh.faces)
    for same in (mesh, unwelded, shifted, join([mesh, Mesh(mesh.vertices + 5, mesh.faces)])):
        assert mesh_faults(same, solid=True) == []


def test_inside_out_is_told_wherever_the_mesh_lies():
    ball = icosphere(2)
    for shift in (0.0, 7.0):
        (fault,) = mesh_faults(Mesh(ball.vertices + shift, ball.faces.flip(1)))
        assert "inside out" in fault


def test_holes_matter_to_solids_only():
    sheet, ball = grid(3, 3), icosphere(1)
    assert mesh_faults(sheet) == [] and "is open (12 edges" in mesh_faults(sheet, solid=True)[0]
    assert "is open (3 edges" in mesh_faults(Mesh(ball.vertices, ball.faces[1:]), solid=True)[0]


def test_repeated_and_turned_faces():
    ball = icosphere(1)
    doubled = Mesh(ball.vertices, torch.cat([ball.faces, ball.faces[:7].roll(1, dims=1)]))
    assert "has 7 of its 87 faces more than once" in mesh_faults(doubled)[0]
    turned = Mesh(ball.vertices, torch.cat([ball.faces[:5].flip(1), ball.faces[5:]]))
    assert "look to different sides" in mesh_faults(turned)[0]
