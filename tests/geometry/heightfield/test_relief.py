import numpy as np
import pytest
import torch
import trimesh

from bozzetto import InputError
from bozzetto.geometry import boundary_edges, closest_points, face_normals, is_watertight, vertex_normals
from bozzetto.geometry.heightfield import relief_mesh, save_relief
from bozzetto.geometry.heightfield.relief import split_errors, tolerance_for, triangles
from bozzetto.shapes import HeightField


def bumpy(height=48, width=64, tiles=True, **sizes):
    y, x = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    wave = torch.sin(2 * torch.pi * (x + 2 * y)) * torch.exp(-8 * ((x - 0.5) ** 2 + (y - 0.5) ** 2))
    return HeightField(0.5 + 0.5 * wave, width_mm=80.0, depth_mm=5.0, tiles=tiles, **sizes)


def cracks(mesh, size):
    """Edges of one face only that do not lie on the outline."""
    ends = mesh.vertices[boundary_edges(mesh.faces)]
    half = torch.tensor(size) / 2
    on_x = ((ends[..., 0].abs() - half[0]).abs() < 1e-4).all(dim=1)
    on_y = ((ends[..., 1].abs() - half[1]).abs() < 1e-4).all(dim=1)
    return int((~(on_x | on_y)).sum())


@pytest.mark.parametrize("size", [(48, 64), (64, 64), (33, 130), (5, 3), (1, 1)])
def test_planes_have_no_cracks_and_face_up(size):
    field = bumpy(*size)
    relief = relief_mesh(field)
    assert cracks(relief.mesh, field.size_mm) == 0
    assert (face_normals(relief.mesh.vertices, relief.mesh.faces)[:, 2] > 0).all()
    area = relief.mesh.corners()[..., :2].double()
    sides = area[:, 1:] - area[:, :1]
    flat = (sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0]).sum() / 2
    assert float(flat) == pytest.approx(field.size_mm[0] * field.size_mm[1], rel=1e-5)


def test_flat_maps_need_two_triangles_per_square():
    relief = relief_mesh(HeightField(torch.full((64, 128), 0.3)))
    assert len(relief.mesh.faces) == 4
    assert relief.mesh.vertices[:, 2].unique().numel() == 1


def test_the_tolerance_bounds_the_distance_at_the_grid():
    field = bumpy(64, 64)
    for tolerance in (0.3, 0.05):
        relief = relief_mesh(field, tolerance_mm=tolerance)
        full = relief_mesh(field, tolerance_mm=0.0)
        distance, _, _ = closest_points(relief.mesh, full.mesh.vertices)
        assert distance.max() < 1.5 * tolerance
        assert len(relief.mesh.faces) < len(full.mesh.faces) / 2


def test_flatter_places_get_larger_triangles():
    relief = relief_mesh(bumpy(128, 128), tolerance_mm=0.1)
    corners = relief.mesh.corners()
    sides = corners[:, 1:, :2] - corners[:, :1, :2]
    area = (sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0]).abs()
    middle = corners.mean(dim=1)[:, :2].norm(dim=1) < 15
    assert area[middle].mean() < area[~middle].mean() / 2


def test_budgets_are_kept_and_used():
    field = bumpy(128, 128)
    for budget in (100, 3000):
        count = len(relief_mesh(field, tolerance_mm=0.0, max_faces=budget).mesh.faces)
        assert 0.7 * budget <= count <= budget


def test_counted_faces_are_the_faces():
    generator = np.random.default_rng(0)
    points = generator.random((17, 33, 3)).astype(np.float32)
    errors = split_errors(points, 16)
    full = triangles(errors, 16, -1.0)
    assert len(full) == 2 * 16 * 32
    tolerance = tolerance_for(errors, 400, 2)
    assert len(triangles(errors, 16, tolerance)) <= 400
    assert len(triangles(errors, 16, float(np.nextafter(np.float32(tolerance), np.float32(0))))) > 400


def test_copies_of_a_tile_fit_side_by_side():
    relief = relief_mesh(bumpy(64, 64), tolerance_mm=0.02)
    x, y, z = relief.mesh.vertices.T
    left, right = (relief.mesh.vertices[(x - s * 40).abs() < 1e-4][:, 1:] for s in (-1, 1))
    torch.testing.assert_close(left[left[:, 0].argsort()], right[right[:, 0].argsort()], atol=1e-4, rtol=0)
    assert y.min() < z.min()


def test_cylinders_close_and_face_outwards():
    field = bumpy(64, 128)
    relief = relief_mesh(field, wrap="cylinder", max_faces=5000)
    radius = relief.mesh.vertices[:, [0, 2]].norm(dim=1)
    base = 80 / (2 * torch.pi)
    assert radius.min() > base - 1e-3 and radius.max() < base + 5 + 1e-3
    outward = face_normals(relief.mesh.vertices, relief.mesh.faces)
    centres = relief.mesh.corners().mean(dim=1)
    assert ((outward * centres)[:, [0, 2]].sum(dim=1) > 0).all()
    seam = relief.uv[:, 0]
    start, end = (relief.mesh.vertices[seam == k] for k in (0.0, 1.0))
    torch.testing.assert_close(start[start[:, 1].argsort()], end[end[:, 1].argsort()], atol=1e-3, rtol=0)
    assert not is_watertight(relief.mesh.faces)  # the seam has two texture coordinates
    with pytest.raises(InputError, match="deeper than"):
        relief_mesh(HeightField(-torch.rand(16, 16), width_mm=6.0, depth_mm=9.0), wrap="cylinder")


@pytest.mark.parametrize("wrap", ["plane", "cylinder"])
def test_normals_are_those_of_the_surface(wrap):
    relief = relief_mesh(bumpy(128, 128), wrap, tolerance_mm=0.001)
    found = vertex_normals(relief.mesh.vertices, relief.mesh.faces)
    assert (found * relief.normals).sum(dim=1).median() > 0.999


def test_glb_holds_the_photo_upright_in_metres(tmp_path):
    photo = torch.zeros(32, 64, 3)
    photo[:16, :, 0] = 1  # red on top
    field = bumpy(32, 64)
    relief = relief_mesh(field)
    save_relief(relief, tmp_path / "relief.glb", photo)
    scene = trimesh.load(tmp_path / "relief.glb", process=False)
    (shape,) = scene.geometry.values()
    assert shape.extents[0] == pytest.approx(0.08, rel=1e-4) and len(shape.faces) == len(relief.mesh.faces)
    texture = shape.visual.material.baseColorTexture
    assert texture.format == "JPEG" and texture.size == (64, 32)
    top = shape.vertices[:, 1].argmax()
    u, v = shape.visual.uv[top]
    pixel = texture.getpixel((min(63, int(u * 64)), min(31, int((1 - v) * 32))))
    assert pixel[0] > 200 and pixel[2] < 60


def test_bad_input_is_named(tmp_path):
    with pytest.raises(InputError, match="'sphere'"):
        relief_mesh(bumpy(), wrap="sphere")
    with pytest.raises(InputError, match="NaN"):
        relief_mesh(HeightField(torch.full((4, 4), torch.nan)))
    with pytest.raises(InputError, match=".glb"):
        save_relief(relief_mesh(bumpy()), tmp_path / "relief.obj")
