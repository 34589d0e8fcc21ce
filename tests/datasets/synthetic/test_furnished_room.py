import math

import numpy as np
import pytest
import torch

from bozzetto import InputError
from bozzetto.datasets.synthetic.furnished_room import (
    DEPTH,
    FREE,
    HEIGHT,
    TABLE,
    WIDTH,
    FurnishedRoom,
    furnished_room,
)
from bozzetto.datasets.synthetic.room import furniture, materials, prints
from bozzetto.datasets.synthetic.room.materials import Finishes
from bozzetto.datasets.synthetic.room.panels import Finish, PartCollector
from bozzetto.datasets.synthetic.room.scene import Lamp, illuminated, joined_scene
from bozzetto.shapes import icosphere

WHITE = Finish(lambda *_: np.ones((2, 2, 3)), 1.0, spacing=0.1)


@pytest.fixture(scope="module")
def room() -> FurnishedRoom:
    ball = icosphere(2, 0.1)
    return furnished_room(4, ball.with_vertices(ball.vertices + torch.tensor([0.0, 0.1, 0.0])), 0.05, 2)


def test_the_subject_stands_on_the_table_in_a_closed_room(room):
    assert float(room.subject.vertices[:, 1].min()) == pytest.approx(TABLE, abs=1e-5)
    scene = room.scene
    count = len(room.subject.vertices)
    assert torch.equal(scene.vertices[:count], room.subject.vertices)
    assert int((scene.part == 0).sum()) == len(room.subject.faces)
    half = torch.tensor([WIDTH / 2, HEIGHT / 2, DEPTH / 2])
    assert float((scene.vertices.sub(torch.tensor([0, half[1], 0])).abs() - half).max()) < 1e-5
    assert float(scene.light.min()) >= 0 and float(scene.light.mean()) > 0.05


def test_one_can_walk_around_the_table(room):
    points = room.scene.vertices[len(room.subject.vertices) :]
    away = points[:, [0, 2]].norm(dim=1)
    in_the_way = (points[:, 1] > 0.05) & (points[:, 1] < 2.1) & (away < FREE) & (away > 0.62)
    assert not in_the_way.any()


def test_same_seed_same_shelf():
    shelves = []
    for seed in (4, 4, 5):
        pieces = PartCollector()
        furniture.add_bookshelf(pieces, Finishes(seed, 0.05), 0.4)
        shelves.append(joined_scene(pieces.all))
    same, again, other = shelves
    assert torch.equal(same.texels, again.texels) and torch.equal(same.vertices, again.vertices)
    assert other.texels.shape != same.texels.shape or not torch.equal(other.texels, same.texels)


def test_detail_out_of_range_is_refused():
    with pytest.raises(InputError, match="detail"):
        furnished_room(detail=0.0)


def test_light_of_a_small_lamp_follows_the_inverse_square_and_is_shadowed():
    pieces = PartCollector()
    pieces.panel((-1, 0, 1), (2, 0, 0), (0, 0, -2), WHITE)
    pieces.panel((0.25, 0.5, 0.3), (0.25, 0, 0), (0, 0, -0.6), WHITE)
    scene = joined_scene(pieces.all)
    lamp = Lamp((-0.01, 1, -0.01), (0.02, 0, 0), (0, 0, 0.02), (3.0, 2.0, 1.0))
    lit = illuminated(scene, [lamp], rays=4, places=1, bounces=0)
    points = scene.vertices[:441]
    r2 = points[:, 0] ** 2 + points[:, 2] ** 2 + 1
    expected = 4e-4 * 2.0 / math.pi / r2**2
    open_ = (points[:, 0] < 0.1) & (points[:, 0] > -0.8) & (points[:, 2].abs() < 0.8)
    # The bake smooths, which changes a smooth function by little.
    torch.testing.assert_close(lit.light[:441, 1][open_], expected[open_], rtol=0.03, atol=1e-7)
    torch.testing.assert_close(lit.light[:441, 0], 3 * lit.light[:441, 2])
    # The panel at half the height covers 0.25 to 0.5, its shadow on the floor 0.5 to 1.
    shadowed = ((points[:, 0] - 0.75).abs() < 0.06) & (points[:, 2].abs() < 0.06)
    assert int(shadowed.sum()) >= 2 and float(lit.light[:441][shadowed].max()) < 0.05 * float(expected.max())


def test_light_in_a_closed_box_is_the_geometric_series_of_its_reflections():
    grey = Finish(lambda *_: np.full((2, 2, 3), 0.735357), 1.0, spacing=0.5)  # linear 0.5
    pieces = PartCollector()
    for turn in range(4):
        pieces.at(0, 0, 0, turn * math.pi / 2).panel((1, -1, 1), (-2, 0, 0), (0, 2, 0), grey)
    pieces.panel((-1, -1, 1), (2, 0, 0), (0, 0, -2), grey)
    pieces.panel((-1, 1, -1), (2, 0, 0), (0, 0, 2), grey)
    scene = joined_scene(pieces.all)
    lamp = Lamp((-0.5, 0.9, -0.5), (1, 0, 0), (0, 0, 1), (1.0, 1.0, 1.0))
    one, many = (illuminated(scene, [lamp], rays=64, places=16, bounces=n).light.mean() for n in (0, 12))
    assert 1.7 < float(many / one) < 2.3  # 1 / (1 - albedo) = 2 where all walls are lit alike


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, shape: materials.floorboards(rng, shape, 100),
        lambda rng, shape: materials.plaster(rng, shape, 100, (0.8, 0.7, 0.6)),
        lambda rng, shape: materials.wallpaper(rng, shape, 100, (0.8, 0.8, 0.7), [(0.3, 0.4, 0.3)]),
        lambda rng, shape: materials.rug(rng, (2 * shape[0], 2 * shape[1]), 100)[::2, ::2],
        lambda rng, shape: materials.cloth(rng, shape, 100, (0.5, 0.4, 0.3), (0.2, 0.2, 0.4)),
        lambda rng, shape: materials.outdoors(rng, shape),
        prints.painting,
        prints.spine,
        prints.newspaper,
    ],
)
def test_textures_are_colours_and_follow_the_seed(draw):
    first, again, other = (draw(np.random.default_rng(seed), (60, 90)) for seed in (1, 1, 2))
    assert first.shape == (60, 90, 3)
    assert np.isfinite(first).all() and first.min() >= 0 and first.max() <= 1
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert first.std(axis=(0, 1)).min() > 0.005
