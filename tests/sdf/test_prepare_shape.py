"""Samples of one shape against what is known of it."""

import pytest
import torch

from bozzetto import InputError, Mesh
from bozzetto.geometry import is_watertight, self_intersections
from bozzetto.sdf import prepare_shape
from bozzetto.sdf.prepare_shape import PROTOCOLS, sample_points, shape_normalisation, stretched_shape
from bozzetto.shapes import box, icosphere, join

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def moved(mesh: Mesh, scale: float, by: tuple[float, float, float]) -> Mesh:
    return mesh.with_vertices(mesh.vertices * scale + torch.tensor(by))


@pytest.mark.parametrize("device", DEVICES)
def test_sphere_anywhere_has_the_distances_of_a_sphere(device) -> None:
    mesh = moved(icosphere(5), 20.0, (300.0, -40.0, 7.0))
    shape = prepare_shape(mesh.to(device), 4000, seeded())
    expected = shape.samples.points.norm(dim=1) - 1 / 1.03
    torch.testing.assert_close(shape.samples.distances, expected, atol=1e-3, rtol=0)
    assert shape.samples.points.device.type == "cpu"
    assert shape.ambiguity < 0.01 and shape.turned == 0
    back = shape.normalisation.inverse().apply(shape.samples.points.double())
    distance = (back - torch.tensor([300.0, -40.0, 7.0])).norm(dim=1) - 20
    torch.testing.assert_close(
        distance.float() * shape.normalisation.scale, shape.samples.distances, atol=1e-3, rtol=0
    )


def test_normalisation_counts_only_vertices_of_faces_and_fits_into_a_file() -> None:
    mesh = box([2.0, 4.0, 6.0])
    stray = Mesh(torch.cat([mesh.vertices, torch.tensor([[900.0, 0, 0]])]) + 5, mesh.faces)
    to_unit = shape_normalisation(stray)
    placed = to_unit.apply(stray.vertices[:-1].double())
    torch.testing.assert_close(placed.amax(0), -placed.amin(0), atol=1e-6, rtol=0)
    torch.testing.assert_close(placed.norm(dim=1).amax().item(), 1 / 1.03)
    assert to_unit.scale == float(torch.tensor(to_unit.scale, dtype=torch.float32))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_samples_are_spread_as_the_protocol_says(name) -> None:
    # A huge flat square: the height over it has the distribution of the perturbation.
    protocol, size = PROTOCOLS[name], 1e3
    corners = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * size
    square = Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]))
    points = sample_points(square, 40_000, seeded(), protocol)
    uniform = (points.abs() <= 1).all(dim=1)  # next to no other sample is that near to the origin
    assert abs(int(uniform.sum()) - 40_000 * (1 - protocol.near)) < 10
    torch.testing.assert_close(points[uniform].var(dim=0), torch.full((3,), 1 / 3), atol=0.03, rtol=0)
    height = points[~uniform][:, 2]
    mean_square = sum(protocol.variances) / 2
    fourth = 3 * sum(v**2 for v in protocol.variances) / 2
    torch.testing.assert_close(float(height.square().mean()), mean_square, rtol=0.05, atol=0)
    torch.testing.assert_close(float(height.pow(4).mean()), fourth, rtol=0.1, atol=0)
    assert len(points) == 40_000
    half = points[:20_000]  # in random order, every part is like the whole
    assert abs(float((half.abs() <= 1).all(dim=1).double().mean()) - float(uniform.double().mean())) < 0.01


def test_protocols_have_the_published_numbers() -> None:
    released, paper = PROTOCOLS["released"], PROTOCOLS["paper"]
    assert round(500_000 * released.near) == 470_000
    torch.testing.assert_close([v**0.5 for v in released.variances], [0.0707, 0.0224], atol=1e-4, rtol=0)
    torch.testing.assert_close([v**0.5 for v in paper.variances], [0.05, 0.0158], atol=1e-4, rtol=0)


def test_faces_turned_inward_change_nothing_else() -> None:
    mesh = join([box(1.0), moved(icosphere(2), 0.3, (2.0, 0.0, 0.0))])
    right = prepare_shape(mesh, 3000, seeded())
    turned = prepare_shape(Mesh(mesh.vertices, mesh.faces.flip(1)), 3000, seeded())
    assert turned.turned == 1 and right.turned == 0
    # The random points differ, since the corners of each face come in another order.
    assert abs(len(turned.samples.inside) - len(right.samples.inside)) < 150
    checked = prepare_shape(mesh, 10, seeded()).normalisation
    assert checked.scale == turned.normalisation.scale
    inside = checked.inverse().apply(turned.samples.inside.points)
    in_box = (inside.abs() < 0.501).all(dim=1)
    in_ball = (inside - torch.tensor([2.0, 0, 0])).norm(dim=1) < 0.301
    assert (in_box | in_ball).all()


def test_double_sided_shapes_are_taken_from_one_side() -> None:
    ball = icosphere(3)
    shape = prepare_shape(Mesh(ball.vertices, torch.cat([ball.faces, ball.faces.flip(1)])), 3000, seeded())
    assert shape.turned == 0.5 and shape.ambiguity == 0
    inside = shape.samples.inside
    torch.testing.assert_close(-inside.distances, 1 / 1.03 - inside.points.norm(dim=1), atol=0.01, rtol=0)


def test_one_part_turned_inward_is_mended() -> None:
    cube, ball = box(1.0), moved(icosphere(3), 0.4, (1.5, 0.0, 0.0))
    mesh = join([cube, Mesh(ball.vertices, ball.faces.flip(1))])
    shape = prepare_shape(mesh, 4000, seeded())
    torch.testing.assert_close(shape.turned, len(ball.faces) / len(mesh.faces))
    expected = prepare_shape(join([cube, ball]), 4000, seeded())
    in_ball = (shape.normalisation.inverse().apply(shape.samples.inside.points)[:, 0] > 1).sum()
    in_expected = (shape.normalisation.inverse().apply(expected.samples.inside.points)[:, 0] > 1).sum()
    assert int(in_expected) > 300 and abs(int(in_ball) - int(in_expected)) < 60
    # A cavity is turned the other way too, and stays.
    small = moved(icosphere(3), 0.6, (0.0, 0.0, 0.0))
    hollow = join([icosphere(3), Mesh(small.vertices, small.faces.flip(1))])
    for mesh, turned in ((hollow, 0), (Mesh(hollow.vertices, hollow.faces.flip(1)), 1)):
        shape = prepare_shape(mesh, 4000, seeded())
        radius = shape.samples.inside.points.norm(dim=1) * 1.03
        assert shape.turned == turned and 0.59 < float(radius.min()) < 0.7 < float(radius.max()) <= 1


def test_open_mesh_is_ambiguous_and_closed_ones_are_not() -> None:
    cube = box(1.0)
    lid = cube.vertices[cube.faces][..., 1].amin(dim=1) > 0.49
    assert lid.any()
    closed = prepare_shape(cube, 4000, seeded())
    opened = prepare_shape(Mesh(cube.vertices, cube.faces[~lid]), 4000, seeded())
    assert closed.ambiguity < 0.001 < 0.004 < opened.ambiguity < 0.1
    overlapping = join([cube, moved(cube, 1.0, (0.5, 0.2, 0.1))])
    assert prepare_shape(overlapping, 4000, seeded()).ambiguity < 0.002


def test_the_same_seed_gives_the_same_samples() -> None:
    first, again, other = (prepare_shape(icosphere(2), 500, seeded(seed)).samples for seed in (1, 1, 2))
    assert torch.equal(first.points, again.points) and torch.equal(first.distances, again.distances)
    assert not torch.equal(first.points, other.points)


def test_shapes_that_cannot_be_sampled_are_refused() -> None:
    with pytest.raises(InputError, match="at least two"):
        prepare_shape(box(1.0), 1)
    with pytest.raises(InputError, match="empty"):
        prepare_shape(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64)), 100)
    with pytest.raises(InputError, match="encloses nothing"):
        sheet = Mesh(torch.eye(3), torch.tensor([[0, 1, 2], [0, 2, 1]]))
        prepare_shape(sheet, 1000, seeded())
    with pytest.raises(InputError, match="no area"):
        prepare_shape(Mesh(torch.eye(3), torch.tensor([[0, 1, 1]])), 100)
    broken = box(1.0)
    broken.vertices[0, 0] = torch.nan
    with pytest.raises(InputError, match="NaN"):
        prepare_shape(broken, 100)


def asymmetry(mesh, flip):
    """How far the mirrored vertices are from the vertices."""
    places = mesh.vertices.double()
    return float(torch.cdist(places * flip, places).min(dim=1).values.max())


def test_a_variant_is_another_shape_that_still_closes_and_does_not_fold():
    ball = icosphere(3)
    generator = torch.Generator().manual_seed(0)
    first, second = (stretched_shape(ball, generator, 0.3) for _ in range(2))
    assert (first.vertices - second.vertices).norm(dim=1).max() > 0.05
    for mesh in (first, second):
        assert is_watertight(mesh.faces) and not self_intersections(mesh).any()


def test_mirror_planes_stay_and_round_stays_round():
    ball = icosphere(3)
    mesh = stretched_shape(ball, torch.Generator().manual_seed(1), 0.3, sideways=0.0)
    flip = torch.tensor([-1.0, 1.0, 1.0])
    assert asymmetry(mesh, flip) < 1e-5
    radius = mesh.vertices[:, [0, 2]].norm(dim=1)
    level = (ball.vertices[:, 1] * 1e4).round()
    for height in level.unique()[::7]:
        ring = radius[level == height]
        assert float(ring.max() - ring.min()) < 1e-3


def test_without_strength_nothing_changes():
    ball = icosphere(2)
    same = stretched_shape(ball, torch.Generator().manual_seed(2), 0.0, sideways=0.0)
    torch.testing.assert_close(same.vertices, ball.vertices, atol=1e-5, rtol=0)


def test_heights_move_along_the_axis_asked_for():
    ball = icosphere(3)
    low, high = ball.bounds
    mesh = stretched_shape(ball, torch.Generator().manual_seed(3), 0.2, upright=2, sideways=0.0)
    assert asymmetry(mesh, torch.tensor([1.0, -1.0, 1.0])) < 1e-5
    assert not torch.allclose(mesh.bounds[:, 2], torch.stack([low, high])[:, 2], atol=1e-3)
