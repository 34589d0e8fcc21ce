import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto import InputError
from bozzetto.shapes import Mesh, icosphere
from bozzetto.viewer import pack, unpack


@settings(deadline=None, max_examples=30)
@given(st.integers(3, 400), st.integers(1, 600), st.integers(0, 10**6), st.booleans())
def test_unpacking_gives_the_mesh_back_within_rounding(vertices, faces, seed, colored):
    generator = torch.Generator().manual_seed(seed)
    mesh = Mesh(
        torch.randn(vertices, 3, generator=generator) * torch.tensor([10.0, 1.0, 0.1]) + 5,
        torch.randint(vertices, (faces, 3), generator=generator),
        torch.rand(vertices, 3, generator=generator) if colored else None,
    )
    packed = json.loads(json.dumps(pack(mesh)))
    again = unpack(packed)
    assert torch.equal(again.faces, mesh.faces)
    extent = float((mesh.vertices.amax(dim=0) - mesh.vertices.amin(dim=0)).max())
    assert (again.vertices - mesh.vertices).abs().max() <= 0.51 * extent / 65535 + 1e-5
    assert (again.colors is not None) == colored
    if colored:
        assert (again.colors - mesh.colors).abs().max() < 0.006  # half a step of 8-bit sRGB at white


def test_packed_meshes_are_small():
    mesh = icosphere(5)
    raw = mesh.vertices.nbytes + mesh.faces.nbytes // 2
    assert len(pack(mesh)["data"]) < raw / 2


def test_a_flat_mesh_and_a_point_like_mesh_survive():
    flat = Mesh(torch.tensor([[0.0, 0, 1], [1, 0, 1], [0, 1, 1]]), torch.tensor([[0, 1, 2]]))
    torch.testing.assert_close(unpack(pack(flat)).vertices, flat.vertices, atol=1e-5, rtol=0)
    tiny = flat.with_vertices(flat.vertices * 0)
    assert unpack(pack(tiny)).vertices.abs().max() == 0


def test_bad_input_is_refused():
    mesh = icosphere(1)
    with pytest.raises(InputError):
        pack(mesh.with_vertices(mesh.vertices * float("nan")))
    with pytest.raises(InputError, match="damaged"):
        unpack({**pack(mesh), "data": "AAAA"})
