import math

import pytest
import torch

from bozzetto import Mesh
from bozzetto.rendering import render, render_depth, render_normals
from bozzetto.shapes import icosphere, join

from .scenes import DEVICES, cameras, facing_camera

UNIFORM = torch.zeros(9, 3)
UNIFORM[0] = math.sqrt(4 * math.pi)


@pytest.mark.parametrize("device", DEVICES)
def test_a_white_ball_in_uniform_light_is_as_bright_as_covered(device):
    images = render(icosphere(4).to(device), cameras().to(device), UNIFORM.to(device)).cpu()
    assert images.shape == (2, 40, 48, 4)
    torch.testing.assert_close(images[..., :3], images[..., 3:].expand(2, 40, 48, 3), atol=1e-5, rtol=0)
    assert images[0, 20, 24, 3] == 1 and images[0, 0, 0, 3] == 0
    partly = (images[..., 3] > 0.02) & (images[..., 3] < 0.98)
    assert 100 < partly.sum() < 400  # one pixel or two along an outline of about 100 pixels per view


def test_colors_are_the_albedo_and_the_background_shows_around():
    ball = icosphere(3)
    color = torch.tensor([0.8, 0.3, 0.1])
    colored = Mesh(ball.vertices, ball.faces, color.expand_as(ball.vertices).contiguous())
    images = render(colored, cameras(), UNIFORM, background=torch.tensor([0.0, 0.5, 1.0, 0.0]))
    torch.testing.assert_close(images[0, 20, 24], torch.cat([color, torch.ones(1)]))
    torch.testing.assert_close(images[0, 0, 0], torch.tensor([0.0, 0.5, 1.0, 0.0]))


def test_brightness_follows_the_light():
    light = UNIFORM.clone()
    light[1] = 2.0  # from +y
    ball = icosphere(4)
    camera = facing_camera(40, 40, focal=40.0)
    image = render(ball.with_vertices(ball.vertices + torch.tensor([0, 0, 3.0])), camera, light)[0]
    assert image[30, 20, 0] > 1.3 > 1 > image[10, 20, 0]  # y points down in this view


def test_a_picture_is_differentiable_down_to_the_vertices():
    ball = icosphere(2)
    vertices = ball.vertices.clone().requires_grad_()
    render(ball.with_vertices(vertices), cameras(), UNIFORM).sum().backward()
    radial = (vertices.grad * ball.vertices).sum(dim=1)
    assert radial.sum() > 0 and (radial[radial != 0] > 0).all()  # a larger ball is a larger bright disc


def test_depth_and_normals_of_a_sphere_are_analytic():
    ball = icosphere(5)
    shifted = ball.with_vertices(ball.vertices + torch.tensor([0.0, 0.0, 3.0]))
    camera = facing_camera(32, 32, focal=32.0)
    depth, normals = render_depth(shifted, camera)[0], render_normals(shifted, camera)[0]
    y, x = torch.meshgrid(torch.arange(32) - 15.5, torch.arange(32) - 15.5, indexing="ij")
    ray = torch.stack([x / 32, y / 32, torch.ones_like(x)], dim=-1)
    a, b = ray.square().sum(dim=-1), 3.0
    root = b * b - a * 8
    inner = root > 0.3
    expected = (b - root.clamp(min=0).sqrt()) / a
    torch.testing.assert_close(depth[inner], expected[inner], atol=2e-3, rtol=0)
    points = ray * depth[..., None] - torch.tensor([0.0, 0.0, 3.0])
    torch.testing.assert_close(normals[inner], points[inner], atol=5e-3, rtol=0)
    assert depth[0, 0] == math.inf and not normals[0, 0].any()


def test_what_is_in_front_hides_what_is_behind():
    near, far = icosphere(3, 0.2), icosphere(3, 0.6)
    mesh = join(
        [
            near.with_vertices(near.vertices + torch.tensor([0, 0, 2.0])),
            far.with_vertices(far.vertices + torch.tensor([0, 0, 4.0])),
        ]
    )
    depth = render_depth(mesh, facing_camera(33, 33, focal=60.0))[0]
    assert abs(depth[16, 16] - 1.8) < 1e-2 and 3.4 < depth[16, 8] < 4.0
