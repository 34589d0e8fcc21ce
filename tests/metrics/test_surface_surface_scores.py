import pytest
import torch

from bozzetto import InputError, Mesh, PointCloud
from bozzetto.metrics import evaluate, intersection_over_union, summarise
from bozzetto.shapes import box, grid, icosphere, sample_surface

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")),
]


def moved(mesh: Mesh, *by: float) -> Mesh:
    return mesh.with_vertices(mesh.vertices + torch.tensor(by, device=mesh.vertices.device))


@pytest.mark.parametrize("device", DEVICES)
def test_concentric_spheres(device):
    """Every point is 0.25 away; the smaller solid has (1 / 1.25)^3 of the volume of the larger."""
    small, large = icosphere(5).to(device), icosphere(5, radius=1.25).to(device)
    scores = evaluate(small, large, samples=10_000, threshold=0.26)
    assert scores.chamfer_sum == pytest.approx(0.5, abs=2e-3)
    assert scores.chamfer_mean == pytest.approx(0.25, abs=1e-3)
    assert scores.chamfer_squared_sum == pytest.approx(2 * 0.0625, abs=1e-3)
    assert scores.chamfer_squared_mean == pytest.approx(0.0625, abs=5e-4)
    assert scores.deepsdf_chamfer == pytest.approx(2 * 0.0625, rel=0.02)
    assert scores.accuracy_90 == pytest.approx(0.25, abs=1e-3)
    assert scores.completeness == scores.precision == scores.f_score == 1
    assert scores.normal_consistency == pytest.approx(1, abs=2e-3)
    assert scores.iou == pytest.approx(0.8**3, abs=0.01)
    assert 0.25 < scores.earth_mover < 0.4
    closer = evaluate(small, large, samples=2000, threshold=0.24)
    assert closer.completeness == closer.precision == closer.f_score == 0


def test_a_shape_against_itself_and_inside_out():
    sphere = icosphere(4)
    same = evaluate(sphere, sphere, samples=5000)
    assert same.chamfer_sum < 1e-5 and same.accuracy_90 < 1e-5
    assert same.f_score == 1 and same.iou == 1
    assert same.threshold == pytest.approx(0.01, rel=1e-3)
    # The published protocol measures between samples: two Poisson processes of density s = 5000 / 4 pi,
    # where the mean squared distance to the nearest is 1 / (pi s) each way.
    assert same.deepsdf_chamfer == pytest.approx(2 * 4 / 5000, rel=0.1)
    inverted = evaluate(Mesh(sphere.vertices, sphere.faces.flip(1)), sphere, samples=2000)
    assert inverted.normal_consistency == pytest.approx(-1, abs=1e-3)
    assert inverted.normal_cosine_ref_to_pred == pytest.approx(-1, abs=1e-3)
    assert inverted.iou == 0


def test_a_plane_and_its_half():
    """The half misses points up to 0.5 away, evenly spread: squares average 0.5^2 / 3 over that half."""
    whole = grid(10, 10)
    half = Mesh(whole.vertices, whole.faces[: len(whole.faces) // 2])
    scores = evaluate(half, whole, samples=40_000, threshold=0.1)
    assert scores.precision == 1 and scores.accuracy_90 < 1e-6
    assert scores.completeness == pytest.approx(0.5 + 0.1, abs=0.01)
    assert scores.f_score == pytest.approx(2 * 0.6 / 1.6, abs=0.01)
    assert scores.chamfer_sum == pytest.approx(0.125, rel=0.02)
    assert scores.chamfer_squared_sum == pytest.approx(0.5 * 0.25 / 3, rel=0.03)
    raised = evaluate(moved(whole, 0, 0, 0.3), whole, samples=3000)
    assert raised.chamfer_sum == pytest.approx(0.6, rel=1e-5)
    assert raised.accuracy_90 == pytest.approx(0.3, rel=1e-5)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5, 1.0])
def test_shifted_boxes(shift, device):
    cube = box(1.0).to(device)
    expected = (1 - shift) / (1 + shift)
    assert intersection_over_union(moved(cube, shift, 0, 0), cube) == pytest.approx(expected, abs=0.01)


def test_nothing_inside_has_no_ratio():
    assert intersection_over_union(grid(3, 3), grid(3, 3)) is None


def test_points_of_the_surface():
    sphere = icosphere(5)
    points, face = sample_surface(sphere, 20_000, torch.Generator().manual_seed(1))
    outward = torch.nn.functional.normalize(points, dim=1)
    scores = evaluate(PointCloud(points, outward), sphere, samples=10_000, threshold=0.05)
    assert scores.iou is None
    assert scores.accuracy_90 < 1e-5 and scores.f_score > 0.99
    assert scores.normal_consistency == pytest.approx(1, abs=5e-3)
    bare = evaluate(PointCloud(points * 1.1), sphere, samples=5000)
    assert bare.normal_consistency is None
    assert bare.accuracy_90 == pytest.approx(0.1, abs=2e-3)


def test_same_seed_same_figures_and_scale():
    a, b = icosphere(3), box(1.5)
    one = evaluate(a, b, samples=3000, seed=5)
    assert one == evaluate(a, b, samples=3000, seed=5)
    assert one != evaluate(a, b, samples=3000, seed=6)
    grown = [m.with_vertices(m.vertices * 1000) for m in (a, b)]
    large = evaluate(*grown, samples=3000, seed=5)
    assert large.chamfer_sum == pytest.approx(1000 * one.chamfer_sum, rel=1e-4)
    assert large.deepsdf_chamfer == pytest.approx(1e6 * one.deepsdf_chamfer, rel=1e-4)
    assert large.f_score == pytest.approx(one.f_score, abs=1e-3)


def test_mean_and_median_over_a_set():
    sphere = icosphere(3)
    radii = (1.1, 1.2, 1.9)
    set_ = [evaluate(icosphere(3, radius=r), sphere, samples=1000) for r in radii]
    table = summarise(set_)
    assert table["accuracy_90"]["median"] == set_[1].accuracy_90
    assert table["accuracy_90"]["mean"] == pytest.approx(0.4, abs=0.02)
    assert table["chamfer_sum"]["median"] < table["chamfer_sum"]["mean"]
    cloud = PointCloud(sphere.vertices)
    assert summarise([evaluate(cloud, sphere, samples=100)])["iou"] == {"mean": None, "median": None}


@pytest.mark.parametrize(
    ("pred", "words"),
    [
        (PointCloud(torch.zeros(0, 3)), "empty"),
        (PointCloud(torch.ones(1, 3)), "equal"),
        (PointCloud(torch.ones(50, 3)), "equal"),
        (PointCloud(torch.full((5, 3), torch.nan)), "NaN"),
        (Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]])), "equal"),
        (Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.int64)), "empty"),
    ],
)
def test_shapes_that_are_none(pred, words):
    with pytest.raises(InputError, match=words):
        evaluate(pred, icosphere(1))


@pytest.mark.parametrize("options", [{"samples": 0}, {"threshold": 0.0}, {"threshold": float("nan")}])
def test_bad_options(options):
    with pytest.raises(InputError):
        evaluate(icosphere(1), icosphere(1), **options)
