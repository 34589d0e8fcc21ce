"""Strays, repeated points and normals: what is said, and that nothing is said of clouds that have none."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto.errors import InputError, InputWarning
from bozzetto.geometry import face_normals
from bozzetto.points.cloud_cleaning import clean_cloud, clean_points, require_width
from bozzetto.shapes import Mesh, PointCloud, box, grid, icosphere, sample_surface, torus

SHAPES = {
    "sphere": icosphere(4),
    "box": box((2.0, 1.0, 3.0)),
    "plate": box((2.0, 1.0, 0.02)),
    "torus": torus(1.0, 0.3),
    "sheet": grid(8, 8, (2.0, 1.0)),
}


def cloud_of(mesh: Mesh, count: int = 2000, seed: int = 0, noise: float = 0.0) -> PointCloud:
    draw = torch.Generator().manual_seed(seed)
    points, face = sample_surface(mesh, count, draw)
    points = points + noise * torch.randn(points.shape, generator=draw)
    return PointCloud(
        points, face_normals(mesh.vertices, mesh.faces)[face], torch.rand(count, 3, generator=draw)
    )


def cleaned_with_warnings(cloud: PointCloud) -> tuple[PointCloud, list[str]]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        used = clean_cloud(cloud, "scan").cloud
    return used, [str(one.message) for one in found]


@settings(deadline=None, max_examples=15)
@given(
    shape=st.sampled_from(sorted(SHAPES)),
    count=st.integers(100, 1500),
    seed=st.integers(0, 99),
    noise=st.sampled_from([0.0, 0.003, 0.03]),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
    length=st.sampled_from([0.01, 1.0, 127.0]),
)
def test_good_clouds_are_used_as_they_are(shape, count, seed, noise, scale, length):
    if shape == "plate":
        noise /= 10  # beyond its thickness, nobody could tell its sides
    cloud = cloud_of(SHAPES[shape], count, seed, noise)
    given_cloud = PointCloud(scale * cloud.points, length * cloud.normals, cloud.colors)
    used, sentences = cleaned_with_warnings(given_cloud)
    assert sentences == []
    assert torch.equal(used.points, given_cloud.points) and torch.equal(used.colors, cloud.colors)
    assert torch.allclose(used.normals, cloud.normals, atol=1e-5)


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("where", ["one side", "all around"])
def test_strays_are_left_out(count, where):
    cloud = cloud_of(SHAPES["sphere"])
    draw = torch.Generator().manual_seed(1)
    far = torch.nn.functional.normalize(torch.randn(count, 3, generator=draw), dim=1)
    far = (far.abs() if where == "one side" else far) * torch.linspace(20, 1000, count)[:, None]
    with_strays = PointCloud(torch.cat([cloud.points[:900], far, cloud.points[900:]]))
    with pytest.warns(InputWarning, match=f"scan has {count} of its {2000 + count} points far away"):
        sound = clean_cloud(with_strays, "scan")
    assert torch.equal(sound.cloud.points, cloud.points)
    assert (sound.row[900 : 900 + count] == -1).all()
    with pytest.warns(InputWarning, match="far away"):
        assert len(clean_points(with_strays.points[:, :2])) == 2000


def test_thin_parts_that_reach_far_are_no_strays():
    cable = torch.zeros(40, 3)
    cable[:, 0] = torch.linspace(1, 20, 40)
    used, sentences = cleaned_with_warnings(PointCloud(torch.cat([cloud_of(SHAPES["sphere"]).points, cable])))
    assert sentences == [] and len(used) == 2040


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 999), share=st.floats(0.01, 3.0))
def test_repeated_points_are_used_once_and_restored(seed, share):
    cloud = cloud_of(SHAPES["torus"], 300, seed)
    rng = np.random.default_rng(seed)
    order = torch.from_numpy(
        rng.permutation(np.concatenate([np.arange(300), rng.integers(300, size=1 + int(300 * share))]))
    )
    doubled = PointCloud(cloud.points[order], cloud.normals[order], cloud.colors[order])
    with pytest.warns(
        InputWarning, match=f"has {len(order) - 300} of its {len(order)} points in the same place as others"
    ):
        sound = clean_cloud(doubled)
    assert len(torch.unique(sound.cloud.points, dim=0)) == len(sound.cloud) == 300
    moved = PointCloud(sound.cloud.points + 1, sound.cloud.normals)
    again = sound.restored(doubled, moved)
    assert torch.equal(again.points, doubled.points + 1) and torch.equal(again.colors, doubled.colors)
    assert torch.allclose(again.normals, doubled.normals, atol=1e-6)


def test_minus_zero_is_zero():
    points = torch.tensor([[0.0, 1.0, 2.0], [-0.0, 1.0, 2.0], [3.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    with pytest.warns(InputWarning, match="1 of its 4"):
        assert len(clean_points(points)) == 3


@pytest.mark.parametrize("shape", ["sphere", "torus", "box"])
def test_normals_that_are_none_are_not_used(shape):
    cloud = cloud_of(SHAPES[shape])
    draw = torch.Generator().manual_seed(2)
    signs = torch.where(torch.rand(2000, 1, generator=draw) < 0.5, -1.0, 1.0)
    half = torch.where(cloud.points[:, :1] < 0, -1.0, 1.0)
    cases = {
        "are zero at 2000 of 2000 points": 0 * cloud.normals,
        "are not perpendicular to the surface": torch.randn(2000, 3, generator=draw),
        "point to different sides": signs * cloud.normals,
        r"point into the solid at [45]\d%": half * cloud.normals,
    }
    for words, normals in cases.items():
        with pytest.warns(InputWarning, match=f"{words}.*estimated instead"):
            assert clean_cloud(PointCloud(cloud.points, normals)).cloud.normals is None
    colors = torch.randint(0, 256, (2000, 3), generator=draw).float()
    with pytest.warns(InputWarning, match="are not perpendicular to the surface"):
        assert clean_cloud(PointCloud(cloud.points, colors)).cloud.normals is None


@pytest.mark.parametrize("shape", ["sphere", "torus", "box"])
def test_inward_normals_are_turned_round(shape):
    cloud = cloud_of(SHAPES[shape])
    with pytest.warns(InputWarning, match="reversed"):
        used = clean_cloud(PointCloud(cloud.points, -cloud.normals)).cloud
    assert torch.allclose(used.normals, cloud.normals, atol=1e-6)
    kept = clean_cloud(PointCloud(cloud.points, -cloud.normals), outward=False).cloud
    assert torch.allclose(kept.normals, -cloud.normals, atol=1e-6)


def test_sheets_may_face_either_side():
    cloud = cloud_of(SHAPES["sheet"])
    for sign in (-1, 1):
        used, sentences = cleaned_with_warnings(PointCloud(cloud.points, sign * cloud.normals))
        assert sentences == [] and torch.allclose(used.normals, sign * cloud.normals)


def test_a_few_zero_normals_are_those_of_points_beside():
    cloud = cloud_of(SHAPES["sphere"], 3000)
    normals = cloud.normals.clone()
    normals[::10] = 0
    with pytest.warns(
        InputWarning, match="zero at 300 of 3000 points; there, normals of neighbouring points"
    ):
        used = clean_cloud(PointCloud(cloud.points, normals)).cloud
    assert float((used.normals * cloud.normals).sum(dim=1).min()) > 0.97


def test_points_on_a_line_are_refused():
    points = torch.linspace(0, 1, 50)[:, None] * torch.tensor([[1.0, 2.0, 3.0]])
    with pytest.raises(InputError, match="all points of scan lie on a line"):
        require_width(PointCloud(points), "scan")


def test_equal_points_are_refused():
    with pytest.raises(InputError, match="all 30 points of scan are equal"):
        clean_cloud(PointCloud(torch.ones(30, 3)), "scan")


def test_single_points_between_which_there_is_nothing_are_left_out():
    cloud = cloud_of(SHAPES["sphere"])
    stray = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3) * cloud.points.norm(dim=1).max()
    with pytest.warns(InputWarning, match="scan has 8 of its 2008 points alone"):
        sound = clean_cloud(PointCloud(torch.cat([stray, cloud.points])), "scan")
    assert torch.equal(sound.cloud.points, cloud.points)
    assert (sound.row[:8] == -1).all() and torch.equal(sound.row[8:], torch.arange(2000))
