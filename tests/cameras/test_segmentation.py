"""Masks without a plain background: what is known exactly is found again."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from bozzetto import InputError
from bozzetto.cameras import ScenePoints
from bozzetto.cameras.segmentation import segment
from bozzetto.cameras.segmentation.choice import masks_from_pictures
from bozzetto.cameras.segmentation.colors import color_bins, color_evidence
from bozzetto.cameras.segmentation.cut import minimum_cut
from bozzetto.cameras.segmentation.region import nearest_to_rays, starting_ball
from bozzetto.cameras.segmentation.space import Ball, sampled


def before_a_room(capture, seed=0):
    """The object before another pattern of greenish stripes and spots in every view, without masks."""
    generator = torch.Generator().manual_seed(seed)
    count, height, width = capture.masks.shape
    small = torch.rand(count, 3, 6, 8, generator=generator) * torch.tensor([0.25, 0.6, 0.5])[:, None, None]
    room = torch.nn.functional.interpolate(small, (height, width), mode="bilinear").permute(0, 2, 3, 1)
    images = capture.images + (1 - capture.masks[..., None]) * room
    noise = 0.01 * torch.randn(images.shape, generator=generator)
    return replace(capture, images=(images + noise).clamp(0, 1), masks=None)


def overlaps(found, expected):
    a, b = (found.masks > 0.5) & found.known, (expected.masks > 0.5) & found.known
    return (a & b).sum(dim=(1, 2)) / (a | b).sum(dim=(1, 2))


def test_minimum_cut_is_the_global_optimum():
    rng = np.random.default_rng(3)
    evidence = rng.normal(size=(3, 4))
    colors = rng.random((3, 4, 3))
    free = np.ones((3, 4), dtype=bool)
    free[0, 0] = free[2, 3] = False
    fixed = np.zeros((3, 4), dtype=bool)
    fixed[0, 0] = True

    def energy(mask):
        total = float(-(evidence * mask)[free].sum())
        for (y, x), (v, u) in itertools.combinations(list(np.ndindex(3, 4)), 2):
            if max(abs(y - v), abs(x - u)) == 1 and mask[y, x] != mask[v, u]:
                weight = 1.0 if abs(y - v) + abs(x - u) == 1 else math.sqrt(0.5)
                edge = math.exp(-((colors[y, x] - colors[v, u]) ** 2).sum() / (2 * 0.3**2))
                total += weight * 0.6 * (0.05 + 0.95 * edge)
        return total

    candidates = []
    for values in itertools.product([False, True], repeat=10):
        mask = fixed.copy()
        mask[free] = values
        candidates.append(energy(mask))
    found = minimum_cut(evidence, colors, 0.6, 0.3, free, fixed)
    assert (found == fixed)[~free].all()
    assert energy(found) == pytest.approx(min(candidates), abs=0.05)  # capacities are rounded


def test_colours_of_inside_and_outside_are_told_apart():
    colors = torch.zeros(2, 16, 16, 3)
    colors[:, :, :8], colors[:, :, 8:] = torch.tensor([0.8, 0.2, 0.1]), torch.tensor([0.2, 0.5, 0.6])
    inside = torch.zeros(2, 16, 16)
    inside[:, 4:12, 2:8] = 1
    evidence = color_evidence(color_bins(colors), inside, 1 - inside)
    assert evidence[:, :, :8].min() > 0.5 and evidence[:, :, 8:].max() < -1


def test_balls_look_like_balls(sphere_capture):
    capture = sphere_capture(3)
    depth = Ball(torch.zeros(3, dtype=torch.float64), 1.0).depth(capture.cameras)
    assert ((depth > 0) == (capture.masks > 0.5)).float().mean() > 0.995
    assert float(depth.max()) == pytest.approx(1.0, abs=1e-3)


def test_samples_of_the_object_are_agreed_on_and_others_not(sphere_capture):
    capture = sphere_capture(12, center=(0.2, 0.1, 0.0), radius=0.6)
    space = sampled(Ball(torch.zeros(3, dtype=torch.float64), 1.2), capture.cameras, capture.known, 40)
    agreeing = space.agreeing((capture.masks > 0.5).float(), 6)
    assert agreeing[capture.masks > 0.9].min() > 0.99
    assert agreeing[capture.masks == 0].quantile(0.9) < 0.9
    ball = space.fitted((capture.masks > 0.5).float(), 6, 0.99)
    assert ball.center.tolist() == pytest.approx([0.2, 0.1, 0.0], abs=0.06)
    assert 0.6 < ball.radius < 1.0


def test_rays_meet_in_their_point(sphere_capture):
    cameras = sphere_capture(5).cameras
    point = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
    pixels = cameras.project(point[None])[:, 0, :2]
    assert torch.allclose(nearest_to_rays(cameras, torch.arange(5), pixels), point, atol=1e-4)


def test_pixels_and_points_move_the_ball(sphere_capture):
    capture = sphere_capture(6, center=(0.5, 0.0, 0.0), radius=0.4)
    point = torch.tensor([[0.5, 0.0, 0.0]], dtype=torch.float64)
    pixels = capture.cameras.project(point)[:, 0, :2]
    two = [(capture.names[i], float(pixels[i, 0]), float(pixels[i, 1])) for i in (0, 3)]
    assert starting_ball(capture, two).center.tolist() == pytest.approx([0.5, 0, 0], abs=1e-4)
    offsets = torch.randn(200, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    points = ScenePoints(point + 0.1 * offsets, torch.ones(200, 6, dtype=torch.bool))
    capture = replace(capture, points=points)
    assert starting_ball(capture).center.tolist() == pytest.approx([0.5, 0, 0], abs=0.05)
    assert starting_ball(capture, two[:1]).center.tolist() == pytest.approx([0.5, 0, 0], abs=0.1)
    with pytest.raises(InputError, match="no photograph elsewhere.png"):
        starting_ball(capture, [("elsewhere.png", 3, 3)])
    with pytest.raises(InputError, match="outside the picture of 72 x 64"):
        starting_ball(capture, [(capture.names[0], 100, 3)])


def test_an_object_before_rooms_is_found(ball_capture):
    clean = ball_capture(12, size=(128, 96))
    found = segment(before_a_room(clean))
    scores = overlaps(found, clean)
    assert scores.mean() > 0.96 and scores.min() > 0.92
    soft = (clean.masks > 0.05) & (clean.masks < 0.95)
    assert (found.masks - clean.masks).abs()[soft].mean() < 0.2
    # Along soft edges only the light of the object is left.
    assert (found.foreground() - clean.images).abs()[soft].mean() < 0.05


def test_plain_backgrounds_are_told_from_rooms(ball_capture):
    clean = ball_capture(8, size=(96, 72))
    plain = replace(clean, images=clean.images + 0.3 * (1 - clean.masks[..., None]), masks=None)
    assert overlaps(masks_from_pictures(plain), clean).min() > 0.97
    assert masks_from_pictures(plain).background is not None
    assert masks_from_pictures(before_a_room(clean)).background is None


def test_what_has_no_object_is_refused(ball_capture):
    clean = ball_capture(8, size=(64, 48))
    with pytest.raises(InputError, match="3 or more"):
        segment(before_a_room(clean).subset([0, 1]))
    noise = torch.rand(clean.images.shape, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match="no object is found"):
        segment(replace(clean, images=0.5 + 0 * noise, masks=None))
