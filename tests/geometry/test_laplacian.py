import pytest
import torch

from bozzetto import InputError
from bozzetto.geometry import cotangent_laplacian, grid_laplacian, laplacian, unique_edges
from bozzetto.shapes import box, icosphere, torus

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")),
]
NON_MANIFOLD = torch.tensor([[0, 1, 2], [1, 0, 3], [0, 1, 4], [5, 5, 6], [7, 8, 9]])  # 10 is isolated


def shaken(mesh, seed=0):
    noise = torch.randn(mesh.vertices.shape, generator=torch.Generator().manual_seed(seed))
    return mesh.vertices + 0.1 * noise


def matrices():
    sphere, cube = icosphere(1), box((1.0, 2.0, 3.0))
    vertices = torch.rand(11, 3, generator=torch.Generator().manual_seed(0))
    return {
        "sphere": laplacian(sphere.faces, 42),
        "non-manifold": laplacian(NON_MANIFOLD, 11),
        "cotangent sphere": cotangent_laplacian(shaken(sphere), sphere.faces),
        "cotangent box": cotangent_laplacian(cube.vertices, cube.faces),
        "cotangent non-manifold": cotangent_laplacian(vertices, NON_MANIFOLD),
        "grid": grid_laplacian(5, 7),
        "periodic grid": grid_laplacian(5, 7, periodic=True),
        "narrow periodic grid": grid_laplacian(2, 1, periodic=True),
    }


@pytest.mark.parametrize("name", matrices())
def test_constant_is_in_the_kernel_and_the_form_is_positive(name):
    matrix = matrices()[name]
    dense = matrix.to_dense().double()
    size = dense.abs().max()
    assert (dense.sum(dim=1).abs() < 1e-6 * size).all()
    assert torch.equal(dense, dense.T)
    assert torch.linalg.eigvalsh(dense).min() > -1e-6 * size
    assert matrix.is_coalesced()
    indices = matrix.indices()
    assert int((indices[0] == indices[1]).sum()) == len(dense)  # every diagonal entry is stored


@pytest.mark.parametrize("device", DEVICES)
def test_combinatorial_entries(device):
    mesh = torus()
    edges, count = unique_edges(mesh.faces), len(mesh.vertices)
    expected = torch.zeros(count, count)
    for i, j in edges.tolist():
        expected[i, j] = expected[j, i] = -1
        expected[i, i] += 1
        expected[j, j] += 1
    assert torch.equal(laplacian(mesh.faces.to(device), count).to_dense().cpu(), expected)


def test_collapsed_and_missing_faces():
    dense = laplacian(NON_MANIFOLD, 11).to_dense()
    assert dense[5, 6] == -1 and dense[5, 5] == 1
    assert not dense[10].any()
    assert not laplacian(torch.zeros(0, 3, dtype=torch.int64), 4).to_dense().any()


def test_cotangents_of_a_right_triangle():
    # Right angle at vertex 0, both others 45 degrees: weights 1/2 on the legs, 0 on the hypotenuse.
    vertices = torch.tensor([[0.0, 0, 0], [5, 0, 0], [0, 5, 0]])
    dense = cotangent_laplacian(vertices, torch.tensor([[0, 1, 2]])).to_dense()
    torch.testing.assert_close(dense, torch.tensor([[1.0, -0.5, -0.5], [-0.5, 0.5, 0], [-0.5, 0, 0.5]]))


def regular_grid(side):
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    vertices = torch.stack([x, y, torch.zeros_like(x)], dim=-1).reshape(-1, 3).float()
    corner = (torch.arange(side - 1)[:, None] * side + torch.arange(side - 1)).reshape(-1)
    lower = torch.stack([corner, corner + 1, corner + side + 1], dim=1)
    upper = torch.stack([corner, corner + side + 1, corner + side], dim=1)
    return vertices, torch.cat([lower, upper])


def test_cotangents_on_a_regular_grid_are_the_five_point_stencil():
    vertices, faces = regular_grid(6)
    inside = (vertices[:, :2].min(dim=1).values > 0) & (vertices[:, :2].max(dim=1).values < 5)
    cotangent = cotangent_laplacian(vertices, faces).to_dense()[inside]
    torch.testing.assert_close(cotangent, grid_laplacian(6, 6).to_dense()[inside])


def test_cotangents_have_linear_precision_in_the_plane():
    vertices, faces = regular_grid(7)
    inside = (vertices[:, :2].min(dim=1).values > 0) & (vertices[:, :2].max(dim=1).values < 6)
    shift = 0.25 * torch.rand(vertices.shape, generator=torch.Generator().manual_seed(3))
    shift[:, 2] = 0
    vertices = vertices + shift
    linear = 3 * vertices[:, 0] - 2 * vertices[:, 1] + 5
    residual = cotangent_laplacian(vertices, faces) @ linear[:, None]
    assert residual[inside].abs().max() < 1e-4
    assert residual[~inside].abs().max() > 1


def test_scale_does_not_matter_and_energy_is_dirichlet():
    sphere = icosphere(4)
    matrix = cotangent_laplacian(sphere.vertices, sphere.faces)
    torch.testing.assert_close(
        cotangent_laplacian(100 * sphere.vertices, sphere.faces).values(), matrix.values()
    )
    # Each coordinate is an eigenfunction with eigenvalue 2: integral of |grad z|^2 = 2 * 4 pi / 3.
    energy = (sphere.vertices * (matrix @ sphere.vertices)).sum(dim=0)
    torch.testing.assert_close(energy, torch.full((3,), 8 * torch.pi / 3), rtol=1e-2, atol=0)


def test_slivers_have_bounded_weights():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0.5, 0, 0], [0.5, 1e-9, 0]])
    faces = torch.tensor([[0, 1, 2], [0, 1, 3], [2, 2, 2]])
    dense = cotangent_laplacian(vertices, faces).to_dense().double()
    assert dense.abs().max() < 1e5
    assert torch.linalg.eigvalsh(dense).min() > -1e-2


def test_grid_by_hand():
    expected = torch.tensor(
        [[2.0, -1, -1, 0], [-1, 2, 0, -1], [-1, 0, 2, -1], [0, -1, -1, 2]]  # 2 x 2, rows first
    )
    assert torch.equal(grid_laplacian(2, 2).to_dense(), expected)
    assert torch.equal(grid_laplacian(2, 2, periodic=True).to_dense(), 2 * expected)


def test_product_is_differentiable():
    matrix = laplacian(icosphere(0).faces, 12)
    x = torch.rand(12, 3, requires_grad=True)
    (matrix @ x).square().sum().backward()
    dense = matrix.to_dense()
    torch.testing.assert_close(x.grad, 2 * dense @ dense @ x.detach())


def test_bad_input_is_named():
    with pytest.raises(InputError, match="12 vertices|0 to 11"):
        laplacian(icosphere(0).faces, 11)
    with pytest.raises(InputError, match="0 x 4"):
        grid_laplacian(0, 4)
