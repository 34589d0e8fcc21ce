"""Masks with errors of single views are mended by what they have in common."""

from dataclasses import replace

import torch

from bozzetto.cameras import Capture, fibonacci_cameras
from bozzetto.inverse import ReconstructConfig, Stage
from bozzetto.inverse.photo_source import mended_by_surface
from bozzetto.render import render
from bozzetto.shapes import icosphere


def a_ball_before_stripes(count=8, size=(84, 72)):
    """Views of a ball with colours, before other stripes in each; true masks."""
    mesh = icosphere(3)
    colors = 0.5 + 0.3 * torch.sin(4 * mesh.vertices + torch.tensor([0.0, 1.0, 2.0]))
    cameras = fibonacci_cameras(count, distance=3.0, fov=0.9, size=size)
    light = torch.zeros(9, 3)
    light[0] = 2.5
    shown = render(replace(mesh, colors=colors.float()), cameras, light).clamp(0, 1)
    across = torch.arange(size[0]) * torch.linspace(0.1, 0.3, count)[:, None]
    behind = (0.1 + 0.05 * torch.sin(across))[:, None, :, None] * torch.tensor([0.3, 1.0, 0.6])
    pictures = shown[..., :3] * shown[..., 3:] + behind * (1 - shown[..., 3:])
    known = torch.ones(shown.shape[:3], dtype=torch.bool)
    names = tuple(f"{i:02}.png" for i in range(count))
    return Capture(names, cameras, pictures, shown[..., 3], known)


def overlaps(first, second):
    first, second = first > 0.5, second > 0.5
    return (first & second).sum(dim=(1, 2)) / (first | second).sum(dim=(1, 2))


def test_bumps_and_bites_of_single_views_are_mended():
    clean = a_ball_before_stripes()
    masks = (clean.masks > 0.5).float()
    for view, mask in enumerate(masks):
        row = 28 + 3 * (view % 5)
        edge = int(torch.nonzero(mask[row] > 0.5).max())
        left, value = (edge, 1.0) if view % 2 else (edge - 10, 0.0)  # a bump, or a bite
        mask[row - 8 : row + 8, left : left + 10] = value
    before = overlaps(masks, clean.masks)
    config = ReconstructConfig(stages=(Stage(scale=1.0, edge_pixels=2.5, steps=120),))
    mended = mended_by_surface(replace(clean, masks=masks), replace(clean, masks=None), config=config)
    after = overlaps(mended.masks, clean.masks)
    assert after.mean() > before.mean() + 0.02 and bool((after > before).all())


def test_a_view_that_cuts_away_what_all_others_show_is_mended_by_them():
    clean = a_ball_before_stripes(10)
    masks = (clean.masks > 0.5).float()
    masks[4, :40] = 0  # more than half of the ball is taken for background
    config = ReconstructConfig(stages=(Stage(scale=1.0, edge_pixels=2.5, steps=60),))
    mended = mended_by_surface(replace(clean, masks=masks), replace(clean, masks=None), config=config)
    after = overlaps(mended.masks, clean.masks)
    assert float(overlaps(masks, clean.masks)[4]) < 0.5 and float(after.min()) > 0.95


def test_masks_that_no_surface_fits_stay():
    clean = a_ball_before_stripes(4)
    masks = torch.zeros_like(clean.masks)
    for view, corner in enumerate([(0, 0), (0, 60), (50, 0), (50, 60)]):
        masks[view, corner[0] : corner[0] + 12, corner[1] : corner[1] + 12] = 1.0
    stray = replace(clean, masks=masks)
    assert mended_by_surface(stray, replace(clean, masks=None)).masks is masks
