import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.sdf import interpolate
from bozzetto.sdf.interpolate import code_path


def test_paths_begin_and_end_at_the_codes():
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    for path in ("straight", "spherical"):
        codes = code_path(a, b, 5, path)
        assert torch.allclose(codes[0], a) and torch.allclose(codes[-1], b, atol=1e-6)
    assert torch.allclose(code_path(a, b, 3)[1], torch.tensor([0.5, 1.0]))
    arc = code_path(a, b, 5, "spherical")
    assert torch.allclose(arc.norm(dim=1), torch.linspace(1, 2, 5))
    angles = torch.atan2(arc[:, 1], arc[:, 0]).diff()
    assert torch.allclose(angles, angles[:1].expand(4), atol=1e-5)


def test_an_arc_between_parallel_codes_is_straight():
    a = torch.tensor([1.0, 1.0])
    assert torch.equal(code_path(a, 2 * a, 4, "spherical"), code_path(a, 2 * a, 4))
    assert torch.isfinite(code_path(a, 0 * a, 4, "spherical")).all()


def test_one_mesh_follows_the_shapes(figures):
    found = interpolate(figures, figures.codes[0], figures.codes[1], 3, resolution=40)
    assert len(found.meshes) == 3 and found.morph is not None
    for code, mesh in zip(found.codes, found.morph, strict=True):
        assert torch.equal(mesh.faces, found.meshes[1].faces)
        assert float(figures.decoder(code[None], mesh.vertices[None]).abs().max()) < 0.01


def test_a_surface_that_appears_elsewhere_cannot_be_followed(balls):
    a, b = torch.tensor([-0.5, 0.0, 0.0, 0.25]), torch.tensor([0.5, 0.0, 0.0, 0.25])
    assert interpolate(balls, a, b, 2, resolution=32).morph is None
    near = torch.tensor([-0.4, 0.0, 0.0, 0.3])
    assert interpolate(balls, a, near, 2, resolution=32).morph is not None


def test_bad_input_is_refused(figures):
    with pytest.raises(InputError, match="at least 2"):
        interpolate(figures, figures.codes[0], figures.codes[1], 1)
    with pytest.raises(InputError, match="the first code has shape"):
        interpolate(figures, torch.ones(9), torch.zeros(9))
