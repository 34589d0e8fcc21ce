from dataclasses import replace

import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.sdf import find_shape, interpolate, open_prior, save_code, save_prior
from bozzetto.sdf.interpolate import code_path, needs_fit

pytestmark = pytest.mark.usefixtures("coarse_completion")


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


def test_shapes_are_found_by_name_or_file(figures, tmp_path):
    names = tuple(f"{'cats' if i % 2 else 'dogs'}/a/{i // 2}" for i in range(len(figures.codes)))
    prior = replace(figures, names=names)
    code, fit = find_shape("cats/a/3", prior)
    assert torch.equal(code, prior.codes[7]) and fit is None
    with pytest.raises(InputError, match="3 is neither a file nor a training shape .* dogs/a/0 to cats/a/"):
        find_shape("3", prior)  # there are two of them
    alone = replace(prior, names=("dogs/a/x", *names[1:]))
    assert torch.equal(find_shape("x", alone)[0], prior.codes[0])
    save_code(prior.codes[2], prior, tmp_path / "code.safetensors")
    (tmp_path / "mesh.ply").touch()
    assert torch.equal(find_shape(str(tmp_path / "code.safetensors"), prior)[0], prior.codes[2])
    fitted = [needs_fit(word, prior) for word in ("cats/a/3", *map(str, sorted(tmp_path.iterdir())), "none")]
    assert fitted == [False, False, True, False]


def test_a_prior_is_opened_by_name_or_file(figures, tmp_path):
    assert "body001" in str(open_prior("bodies").names)
    save_prior(figures, tmp_path / "mine.safetensors")
    assert torch.equal(open_prior(str(tmp_path / "mine.safetensors")).codes, figures.codes)
    with pytest.raises(InputError, match="no weights named nobody .* bodies"):
        open_prior("nobody")
    with pytest.raises(InputError, match="there is no prior at"):
        open_prior("nobody.safetensors")
    with pytest.raises(InputError, match="not a prior over shapes"):
        open_prior("cloud-procedural")
