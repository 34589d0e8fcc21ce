import math

import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.sdf import CompleteConfig, Observations, complete, find_code
from bozzetto.sdf.complete import require_normalised
from bozzetto.sdf.completed_surface import residual_field, support
from bozzetto.sdf.solver import robust_normalisation
from bozzetto.shapes import Similarity, box
from bozzetto.shapes.similarity import compose_poses, rotation_about, rotation_angle

TRUE = Similarity(0.002, torch.tensor([0.3, -0.1, 0.2]).double(), rotation_about((0, 1, 0), 0.5))
QUICK = CompleteConfig(resolution=48, surface=600, space=600)

pytestmark = pytest.mark.usefixtures("coarse_completion")


@pytest.fixture(scope="module")
def scan(figures, half_of):
    """Half of a shape that is not in the training set, in millimetres far from the origin, with rays."""
    code = torch.tensor([0.2, -0.15, 0.25, 0.1])
    points, normals = half_of(figures, code, 800)
    eye = torch.tensor([0.0, 0.0, 4.0]).expand_as(points)
    return code, Observations(points, 0.002, normals, eye, points).moved(TRUE.inverse())


def turned(degrees: float, scale: float) -> Similarity:
    axis = (0.3, 1.0, -0.5)
    return compose_poses(
        Similarity(scale, torch.zeros(3).double(), rotation_about(axis, math.radians(degrees))), TRUE
    )


@pytest.mark.parametrize(("degrees", "scale"), [(15, 1.15), (-18, 0.85)])
def test_pose_scale_and_code_are_found_together(figures, scan, degrees, scale):
    code, seen = scan
    found, pose = find_code(seen, figures, QUICK, [turned(degrees, scale)])
    assert math.degrees(rotation_angle(pose, TRUE)) < 3
    assert pose.scale == pytest.approx(TRUE.scale, rel=0.03)
    assert torch.allclose(found, code, atol=0.15)


def test_with_a_known_pose_the_unseen_side_is_right_and_the_seen_one_exact(figures, scan):
    code, seen = scan
    config = CompleteConfig(pose="known", resolution=48, hypotheses=2)
    result = complete(seen, figures, config, [TRUE])
    there = TRUE.apply(result.mesh.vertices.double()).float()
    error = figures.decoder(code[None], there[None])[0].abs()
    assert float(error.max()) < 0.03 and float(error.median()) < 0.005
    assert float(error[result.observed].quantile(0.9)) < 0.005
    assert result.metrics["within_two_noise"] > 0.95
    # The seen side faces +z in the frame of the prior.
    assert float(there[result.observed, 2].mean()) > float(there[~result.observed, 2].mean()) + 0.2
    assert 0.2 < float(result.observed.float().mean()) < 0.8
    assert torch.equal(result.mesh.colors[result.observed].std(dim=0), torch.zeros(3))
    assert torch.linalg.eigvalsh(result.covariance).min() > 0
    others = [TRUE.apply(mesh.vertices.double()).float() for mesh in result.hypotheses]
    assert len(others) == 2 and not torch.equal(others[0][:50], others[1][:50])
    for vertices in others:
        assert float(figures.decoder(code[None], vertices[None])[0].abs().median()) < 0.02


def test_directions_around_the_upright_axis_are_tried(figures, scan):
    code, seen = scan
    flipped = seen.moved(Similarity(1000.0, torch.zeros(3).double(), rotation_about((1, 0, 0), math.pi / 2)))
    config = CompleteConfig(up="z", turns=4, surface=400, space=400)
    _, pose = find_code(flipped, figures, config)
    points = pose.apply(flipped.points.double())
    assert float((points - TRUE.apply(seen.points.double())).norm(dim=1).mean()) < 0.06


def test_wrong_units_with_a_known_pose_are_refused(figures, scan):
    _, seen = scan
    with pytest.raises(InputError, match="let the pose be solved"):
        complete(seen, figures, CompleteConfig(pose="known"))
    with pytest.raises(InputError, match="0.00"):
        require_normalised(0.001 * torch.randn(100, 3))


def test_one_point_is_refused(figures):
    with pytest.raises(InputError, match="at least 10"):
        complete(Observations(torch.zeros(1, 3), 0.01), figures)


def test_shapes_are_pushed_out_of_empty_space(balls):
    eye = torch.tensor([0.0, 0.0, 4.0]).expand(400, 3)
    end = torch.rand(400, 3, generator=torch.Generator().manual_seed(0)) * 0.8 - 0.4
    end[:, 2] = -2.0  # rays pass through where the ball bulges to the side
    end[:, 0] += 0.9
    surface = 0.5 * torch.nn.functional.normalize(torch.tensor([[-1.0, 0.1, 0.2]]).repeat(20, 1), dim=1)
    code = torch.tensor([0.0, 0.0, 0.0, 0.5])
    field = residual_field(balls, code, Observations(surface, 1e-3, None, eye, end))
    inside = torch.tensor([[0.42, 0.0, 0.0], [-0.42, 0.0, 0.0]])
    corrected = balls.decoder(code[None], inside[None])[0] - field(inside)
    assert float(corrected[0]) > -0.01 > float(corrected[1])


def test_strays_do_not_shift_the_scan():
    points = torch.randn(2000, 3, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    stray = torch.cat([points, torch.full((3, 3), 500.0)])
    placed, disturbed = robust_normalisation(points), robust_normalisation(stray)
    assert disturbed.scale == pytest.approx(placed.scale, rel=0.1)
    line = torch.zeros(50, 3)
    line[0, 0] = 1.0
    assert robust_normalisation(line).scale > 0


def test_support_reaches_as_far_as_noise_or_spacing_and_not_through_walls():
    axis = torch.arange(10) * 0.1
    points = torch.cartesian_prod(axis, axis, torch.zeros(1))
    upwards = torch.tensor([0.0, 0.0, 1.0]).expand_as(points)
    sheet = box((0.3, 0.3, 0.02))
    sheet = sheet.with_vertices(sheet.vertices + torch.tensor([0.45, 0.45, 0.1]))
    distance, observed = support(sheet, Observations(points, 1e-4))
    assert 0.09 <= float(distance.min()) < 0.13 and bool(observed.all())
    _, observed = support(sheet, Observations(points, 1e-4, upwards))
    assert torch.equal(observed, sheet.vertices[:, 2] > 0.1)
    high = sheet.with_vertices(sheet.vertices + torch.tensor([0.0, 0.0, 1.0]))
    assert not support(high, Observations(points, 1e-4))[1].any()
    assert support(high, Observations(points, 1.0))[1].all()
