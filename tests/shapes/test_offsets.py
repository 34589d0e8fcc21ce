import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto.errors import InputError, InputWarning
from bozzetto.shapes import (
    Mesh,
    PointCloud,
    box,
    icosphere,
    join,
    load_mesh,
    load_points,
    save_mesh,
    save_morph,
    save_points,
    save_sequence,
)
from bozzetto.shapes.offsets import NO_OFFSET, is_far, split_offset

FAR = (448000.0, 5412000.0, 320.0)
MESH_ENDINGS = ["ply", "obj", "off", "glb", "npz", "stl"]
POINT_ENDINGS = ["ply", "xyz", "npz"]


def far_sphere(radius: float = 40.0, offset: tuple[float, float, float] = FAR) -> Mesh:
    sphere = icosphere(2, radius)
    return Mesh(sphere.vertices, sphere.faces, offset=offset)


@pytest.mark.parametrize("ending", MESH_ENDINGS)
def test_a_far_mesh_keeps_its_shape_and_place_in_every_format(tmp_path, ending):
    mesh = far_sphere()
    save_mesh(mesh, tmp_path / f"a.{ending}")
    again = load_mesh(tmp_path / f"a.{ending}")
    assert again.vertices.dtype == torch.float32
    corners, wanted = (m.world_vertices[m.faces] for m in (again, mesh))
    assert float((corners - wanted).abs().max()) < 1e-6 * 80
    save_mesh(again, tmp_path / f"b.{ending}")  # and a second time nothing moves any more
    assert torch.equal(load_mesh(tmp_path / f"b.{ending}").vertices, again.vertices)


@pytest.mark.parametrize("ending", POINT_ENDINGS)
def test_a_far_cloud_keeps_its_shape_and_place_in_every_format(tmp_path, ending):
    points = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    cloud = PointCloud(points, points, offset=FAR)
    save_points(cloud, tmp_path / f"a.{ending}")
    again = load_points(tmp_path / f"a.{ending}")
    assert float((again.world_points - cloud.world_points).abs().max()) < 1e-6
    assert torch.equal(again.normals, points)


@settings(deadline=None, max_examples=40)
@given(
    size=st.floats(1e-3, 1e5),
    offset=st.tuples(*[st.floats(-1e8, 1e8)] * 3),
    ending=st.sampled_from(MESH_ENDINGS),
)
def test_a_shape_of_any_size_at_any_place_survives_to_a_millionth(tmp_path_factory, size, offset, ending):
    """Up to what double precision itself can tell there."""
    path = tmp_path_factory.mktemp("far") / f"a.{ending}"
    mesh = far_sphere(size, offset)
    save_mesh(mesh, path)
    again = load_mesh(path)
    moved = (again.world_vertices[again.faces] - mesh.world_vertices[mesh.faces]).abs().max()
    assert float(moved) < 1e-6 * 2 * size + 1e-15 * max(map(abs, offset))


def test_the_offset_is_a_short_number_in_the_middle(tmp_path):
    (tmp_path / "a.obj").write_text(
        "v 448123.456 5412345.678 320.125\nv 448124.456 5412345.678 320.125\n"
        "v 448123.456 5412347.678 320.125\nf 1 2 3\n"
    )
    mesh = load_mesh(tmp_path / "a.obj")
    assert mesh.offset == (448124.0, 5412347.0, 320.0)
    assert mesh.vertices[1].tolist() == pytest.approx([0.456, -1.322, 0.125], abs=1e-6)
    assert mesh.world_vertices[1].tolist() == pytest.approx([448124.456, 5412345.678, 320.125], abs=1e-6)


def test_near_shapes_have_no_offset_and_exact_vertices():
    points = np.random.default_rng(0).random((100, 3))
    for shift in (0.0, 1.0, 8.0):
        near, offset = split_offset(points + shift)
        assert offset == NO_OFFSET
        assert np.array_equal(near, (points + shift).astype(np.float32))


def test_stray_and_unused_points_do_not_decide(tmp_path):
    """A reading at 0 among survey coordinates, used or not, takes no digits from the others."""
    world = np.random.default_rng(0).random((2000, 3)) * 50 + np.array(FAR)
    world[7] = 0
    near, offset = split_offset(world)
    assert np.abs(np.asarray(offset) - np.array(FAR)).max() < 100
    assert np.abs(near + np.asarray(offset) - world)[8:].max() < 5e-5
    used = np.ones(len(world), bool)
    used[:1000] = False
    world[:1000] = 1e12
    assert split_offset(world, used)[1] == offset


def test_positions_stored_too_coarsely_are_said_or_refused():
    sphere = icosphere(3).vertices.double().numpy()
    stored = (40 * sphere + np.array([5e5, 5e5, 0.0])).astype(np.float32)
    with pytest.warns(InputWarning, match="scan is 80 large and lies 5e\\+05 from .*double precision"):
        assert split_offset(stored, name="scan")[1] == NO_OFFSET
    stored = (4 * sphere + np.array(FAR)).astype(np.float32)
    with pytest.raises(InputError, match="steps of 0.65; write it in double precision"):
        split_offset(stored, name="scan")


@pytest.mark.parametrize("size", [5, 20, 200])
def test_whole_metres_far_away_are_not_taken_for_rounded(size):
    """A grid of whole metres, with heights, is what single precision holds by chance: nothing was lost."""
    east, north = np.meshgrid(*[np.arange(size + 1.0)] * 2)
    heights = np.random.default_rng(0).random(east.shape)
    world = np.stack([east, north, heights], axis=-1).reshape(-1, 3) + np.array([448_000, 5_412_000, 0])
    near, offset = split_offset(world)
    assert np.abs(near + np.asarray(offset) - world).max() < 1e-6 * size
    assert np.ptp(near, axis=0)[0] == size


def test_parts_too_small_and_far_apart_are_refused():
    rng = np.random.default_rng(0)
    part = rng.random((500, 3))
    apart = np.concatenate([part, part + [1e7, 0, 0]])
    with pytest.raises(InputError, match="save its parts as separate files"):
        split_offset(apart)
    split_offset(np.concatenate([part, part + [1e3, 0, 0]]))  # nothing is lost here
    split_offset(np.array([[x, y, z] for x in (0.0, 0.1) for y in (0.0, 0.1) for z in (0.0, 0.1)]) + 0.05)


def test_shapes_change_their_offset_without_moving():
    mesh, cloud = far_sphere(), PointCloud(far_sphere().vertices, offset=FAR)
    other = (448010.0, 5412010.0, 300.0)
    assert float((mesh.with_offset(other).world_vertices - mesh.world_vertices).abs().max()) < 1e-5
    assert float((cloud.with_offset(other).world_points - cloud.world_points).abs().max()) < 1e-5
    assert mesh.with_offset(FAR).vertices is mesh.vertices
    assert mesh.to("cpu").offset == mesh.with_vertices(mesh.vertices).offset == FAR


def test_joined_meshes_share_the_offset_of_the_first():
    near = box(2.0)
    both = join([far_sphere(), Mesh(near.vertices, near.faces, offset=(448100.0, 5412000.0, 320.0))])
    assert both.offset == FAR
    assert both.world_vertices[-8:].mean(dim=0).tolist() == pytest.approx([448100, 5412000, 320], abs=1e-4)


def test_animations_stand_where_their_shapes_are(tmp_path):
    mesh = far_sphere()
    save_morph(mesh, [mesh.vertices * 2], tmp_path / "a.glb")
    save_sequence([mesh, mesh], tmp_path / "b.glb")
    for name in ("a.glb", "b.glb"):
        shown = load_mesh(tmp_path / name).world_vertices.reshape(-1, 162, 3)  # all but one have the size 0
        assert float((shown - mesh.world_vertices).abs().amax(dim=(1, 2)).min()) < 1e-4


def test_offsets_are_three_finite_numbers():
    for wrong in ((float("inf"), 0.0, 0.0), (0.0, float("nan"), 0.0)):
        with pytest.raises(InputError, match="three finite numbers"):
            Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]]), offset=wrong)


def test_far_is_measured_in_sizes():
    unit = icosphere(1).vertices.numpy()
    assert (
        not is_far(unit) and not is_far(unit + 10) and is_far(unit + 1000) and not is_far(1000 * (unit + 10))
    )
