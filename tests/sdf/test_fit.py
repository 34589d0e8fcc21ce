import math

import pytest
import torch

from bozzetto.errors import InputError, InputWarning
from bozzetto.sdf import CompleteConfig, extract_mesh, fit, fit_mesh
from bozzetto.shapes import Mesh, Similarity, box, icosphere, save_mesh
from bozzetto.shapes.similarity import rotation_about

CODE = torch.tensor([0.25, 0.1, -0.2, 0.2])

pytestmark = pytest.mark.usefixtures("coarse_completion")


@pytest.mark.parametrize("degrees", [0, 100])
def test_a_mesh_is_its_code_whichever_way_it_faces(figures, tmp_path, degrees):
    mesh = extract_mesh(figures, CODE, 48)
    turn = rotation_about((0, 1, 0), math.radians(degrees))
    moved = Similarity(40.0, torch.tensor([3.0, 0.0, -9.0]).double(), turn).apply(mesh.vertices.double())
    save_mesh(Mesh(moved.float(), mesh.faces), tmp_path / "mesh.ply")
    found = fit(tmp_path / "mesh.ply", figures)
    assert found.misfit < 0.004
    vertices = mesh.vertices[None]
    assert float(figures.decoder(found.code[None], vertices)[0].abs().mean()) < 0.01


def test_a_lying_mesh_is_stood_up(figures):
    mesh = extract_mesh(figures, CODE, 48)
    turn = rotation_about((1.0, 0.2, 0.5), 2.0)
    found = fit_mesh(mesh.with_vertices((mesh.vertices.double() @ turn.T).float()), figures)
    assert found.misfit < 0.004


def test_a_mesh_is_its_code_also_beside_another_piece(figures):
    mesh, ball = extract_mesh(figures, CODE, 48), icosphere(2)
    vertices = torch.cat([mesh.vertices, 0.05 * ball.vertices + torch.tensor([1.0, 0.9, 0.4])])
    beside = Mesh(vertices, torch.cat([mesh.faces, ball.faces + len(mesh.vertices)]))
    found = fit_mesh(beside, figures, CompleteConfig(turns=2))
    assert found.misfit < 0.004
    assert float(figures.decoder(found.code[None], mesh.vertices[None])[0].abs().mean()) < 0.015


def test_open_meshes_are_scans_and_strangers_are_refused(figures):
    mesh = extract_mesh(figures, CODE, 32)
    front = mesh.vertices[mesh.faces].mean(dim=1)[:, 2] > 0
    quick = CompleteConfig(turns=1, surface=300, space=0)
    with pytest.warns(InputWarning, match="the half is open"):
        assert fit_mesh(Mesh(mesh.vertices, mesh.faces[front]), figures, quick, "the half").misfit < 0.01
    with pytest.raises(InputError, match="the cross is no member of the prior's family"):
        fit_mesh(box((3.0, 0.3, 3.0)), figures, quick, "the cross")
