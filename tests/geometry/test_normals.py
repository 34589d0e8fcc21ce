import pytest
import torch

from bozzetto import InputError, Mesh
from bozzetto.geometry import face_normals, vertex_normals
from bozzetto.geometry.normals import vertex_normals_reference
from bozzetto.shapes import box, icosphere, torus

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")),
]
WEIGHTINGS = ["area", "angle"]


def bumpy(seed=0):
    """A sphere with noise: no two faces alike."""
    sphere = icosphere(2)
    noise = torch.randn(sphere.vertices.shape, generator=torch.Generator().manual_seed(seed))
    return Mesh(sphere.vertices + 0.03 * noise, sphere.faces)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_sphere(device, weighting):
    sphere = icosphere(4, radius=3.0).to(device)
    normals = vertex_normals(sphere.vertices, sphere.faces, weighting)
    error = (normals - sphere.vertices / 3).norm(dim=1).max()
    assert error < 8e-3  # radians; edges are 0.07 long
    torch.testing.assert_close(normals.norm(dim=1), torch.ones(len(normals), device=device))


def test_angles_do_not_depend_on_the_cut_of_flat_regions():
    cube = box(2.0)
    expected = cube.vertices / 3**0.5  # three right angles meet in every corner
    torch.testing.assert_close(vertex_normals(cube.vertices, cube.faces, "angle"), expected)
    assert (vertex_normals(cube.vertices, cube.faces, "area") - expected).norm(dim=1).max() > 0.1


def test_weights_by_hand():
    vertices = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 1]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])  # area 2 facing +z, area 1 facing +x
    area = vertex_normals(vertices, faces)[0]
    torch.testing.assert_close(area, torch.tensor([1.0, 0, 2]) / 5**0.5)
    angle = vertex_normals(vertices, faces, "angle")[2]  # 45 degrees and atan(1 / 2)
    weights = torch.tensor([torch.pi / 4, torch.atan(torch.tensor(0.5))])
    expected = torch.tensor([weights[1], 0.0, weights[0]])
    torch.testing.assert_close(angle, expected / expected.norm())


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_reference_gradient(weighting):
    mesh = icosphere(0)
    shaken = mesh.vertices.double() + 0.1 * torch.randn(12, 3, dtype=torch.float64)
    torch.autograd.gradcheck(
        lambda v: vertex_normals(v, mesh.faces, weighting), shaken.requires_grad_(), atol=1e-7
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_kernel_agrees_with_reference(device, weighting):
    for mesh in (bumpy(), torus()):
        outer = torch.randn(mesh.vertices.shape, generator=torch.Generator().manual_seed(1))
        exact = mesh.vertices.double().requires_grad_()
        expected = vertex_normals_reference(exact, mesh.faces, weighting)
        expected.backward(outer.double())
        assert exact.grad is not None
        vertices = mesh.vertices.to(device).requires_grad_()
        normals = vertex_normals(vertices, mesh.faces.to(device), weighting)
        normals.backward(outer.to(device))
        assert vertices.grad is not None
        torch.testing.assert_close(normals.cpu(), expected.float(), atol=5e-6, rtol=0)
        size = float(exact.grad.abs().max())
        torch.testing.assert_close(vertices.grad.cpu(), exact.grad.float(), atol=2e-5 * size, rtol=0)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_degenerate_faces_give_zero_normals_and_gradients(weighting, dtype):
    vertices = torch.tensor([[0.0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0], [9, 9, 9]], dtype=dtype)
    vertices.requires_grad_()
    faces = torch.tensor([[0, 1, 2], [3, 3, 3], [0, 1, 3]])  # a point, a repeated corner, a needle
    normals = vertex_normals(vertices, faces, weighting)
    assert torch.equal(normals, torch.zeros_like(normals))
    normals.sum().backward()
    assert vertices.grad is not None
    assert torch.equal(vertices.grad, torch.zeros_like(vertices))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_cancelling_faces_pass_nothing_on(weighting):
    mesh = box()
    doubled = torch.cat([mesh.faces, mesh.faces.flip(1)])
    vertices = mesh.vertices.clone().requires_grad_()
    vertex_normals(vertices, doubled, weighting).square().sum().backward()
    assert vertices.grad is not None
    assert torch.isfinite(vertices.grad).all()
    assert vertices.grad.abs().max() < 1e-3


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_nearly_cancelling_faces_are_damped(weighting):
    # Two sheets 1e-7 apart in slope: the exact derivative is about 1e7, all of it noise.
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 1e-7]]).requires_grad_()
    normals = vertex_normals(vertices, torch.tensor([[0, 1, 2], [1, 0, 3]]), weighting)
    normals[0, 2].backward()
    assert vertices.grad is not None
    assert vertices.grad.abs().max() < 2e4


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_scale_does_not_matter(weighting, scale):
    mesh = bumpy()
    small = mesh.vertices * scale
    expected = vertex_normals(mesh.vertices, mesh.faces, weighting)
    torch.testing.assert_close(vertex_normals(small, mesh.faces, weighting), expected, atol=1e-4, rtol=0)


def test_face_normals():
    cube = box(2.0)
    normals = face_normals(cube.vertices, cube.faces)
    middle = cube.corners().mean(dim=1)
    torch.testing.assert_close(normals.norm(dim=1), torch.ones(12))
    torch.testing.assert_close((normals * middle).sum(dim=1), torch.ones(12))  # distance of the sides
    vertices = torch.zeros(3, 3, requires_grad=True)
    nothing = face_normals(vertices, torch.tensor([[0, 1, 2]]))
    nothing.sum().backward()
    assert vertices.grad is not None
    assert nothing.abs().max() == 0 and vertices.grad.abs().max() == 0


def test_faces_missing_or_few():
    lonely = vertex_normals(torch.rand(4, 3), torch.zeros(0, 3, dtype=torch.int64))
    assert torch.equal(lonely, torch.zeros(4, 3))
    assert vertex_normals(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64)).shape == (0, 3)


def test_unknown_weighting_is_named():
    with pytest.raises(InputError, match="'uniform'"):
        vertex_normals(torch.rand(3, 3), torch.tensor([[0, 1, 2]]), "uniform")  # pyright: ignore
