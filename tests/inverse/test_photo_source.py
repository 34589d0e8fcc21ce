import hashlib
import json
from dataclasses import replace

import pytest
import torch

from bozzetto.cameras import Capture, fibonacci_cameras, orbit_cameras, read_cameras
from bozzetto.cameras.consistency import Consistency
from bozzetto.cameras.formats.camera_files import PosedViews, View
from bozzetto.cameras.formats.transforms_json import save_transforms
from bozzetto.cameras.poses import EstimatedViews, PoseReport
from bozzetto.errors import InputError, InputWarning
from bozzetto.images import save_image
from bozzetto.inverse import ReconstructConfig, Stage, photo_source
from bozzetto.inverse.photo_source import (
    CaptureSettings,
    PreparedCapture,
    find_source,
    fitting_size,
    mended_by_surface,
    prepare_capture,
    write_cameras,
)
from bozzetto.rendering import render
from bozzetto.runs import RunFolder
from bozzetto.shapes import icosphere


@pytest.fixture
def posed(tmp_path) -> PosedViews:
    """Four photographs of 40 x 40 pixels, a bright square on black."""
    cameras = orbit_cameras(4, distance=3.0, size=40)
    views = []
    for i, (pose, K) in enumerate(zip(cameras.T_cam_world, cameras.K, strict=True)):
        path = tmp_path / "photos" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        picture = torch.zeros(40, 40, 3)
        picture[13:27, 13:27] = 0.8
        save_image(path, picture)
        views.append(View(path.name, path, pose, K, size=(40, 40)))
    return PosedViews(tuple(views), tmp_path / "photos" / "transforms.json")


def test_photographs_with_and_without_cameras(posed, tmp_path):
    folder = tmp_path / "photos"
    alone = find_source(folder)
    assert alone.posed is None and [p.name for p in alone.photos] == ["0.png", "1.png", "2.png", "3.png"]
    save_transforms(posed, folder / "transforms.json")
    known = find_source(folder)
    assert known.posed is not None and known.photos == alone.photos
    assert known.fingerprint() != alone.fingerprint()
    (folder / "2.png").unlink()
    with pytest.raises(InputError, match=r"2\.png"):
        find_source(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no photos"):
        find_source(tmp_path / "empty")


def test_pictures_are_as_large_as_memory_allows(posed, monkeypatch):
    views = [replace(view, size=(4000, 3000)) for view in posed.views]
    monkeypatch.setattr(photo_source, "available_memory", lambda: 10**12)
    with pytest.warns(InputWarning, match="as the preset default does"):
        assert fitting_size(views, "default") == photo_source.LARGEST["default"]
    with pytest.warns(InputWarning, match="as the preset default does"):
        many = fitting_size(30 * views, "default")
    assert 0.99 < many**2 * 0.75 * 30 * len(views) / photo_source.TOGETHER["default"] <= 1
    monkeypatch.setattr(
        photo_source, "available_memory", lambda: 4 * 700 * 525 * 2 * photo_source.BYTES_PER_PIXEL
    )
    with pytest.warns(InputWarning, match="as much as memory allows"):
        assert abs(fitting_size(views, "default") - 700) <= 1
    assert fitting_size(posed.views, "default") == 40  # said of nothing that stays as it is


def some_capture(**values) -> Capture:
    one, cameras = torch.zeros(1, 2, 2), orbit_cameras(1, 0.0, size=2)
    return Capture(("a.png",), cameras, one[..., None].expand(1, 2, 2, 3), one, one > -1, **values)


def test_estimated_cameras_that_fit_their_points_are_exact(posed):
    def inexact(error):
        report = PoseReport(("a.jpg",), ("a.jpg",), {}, 100, error, 1000, (0.8,))
        estimated = EstimatedViews(posed.views, posed.source, report=report)
        return PreparedCapture(some_capture(masks_computed=True), estimated).inexact(None)

    assert inexact(1.6) and not inexact(0.4)


def test_given_cameras_with_which_masks_disagree_are_inexact(posed):
    def inexact(outside, **values):
        names = ("iou", "missing", "excess", "stray", "blamed")
        shares = {name: torch.tensor([0.0, outside, 0.9]) for name in names}
        found = Consistency(("a", "b", "c"), **shares, verdicts=("good",) * 3)
        return PreparedCapture(some_capture(**values), posed).inexact(found)

    assert inexact(0.05) and not inexact(0.01)
    assert not inexact(
        0.05, masks_computed=True
    )  # made from what all photographs look at: the masks are inexact
    assert inexact(0.05, masks_computed=True, background=torch.zeros(1, 3))
    assert not PreparedCapture(some_capture(), posed).inexact(None)


def test_masks_that_were_edited_are_used_again(posed, tmp_path, monkeypatch):
    save_transforms(posed, posed.source)
    source, settings = find_source(tmp_path / "photos"), CaptureSettings(masks="background")
    run = RunFolder.create(tmp_path / "out", {"a": 1})
    first = prepare_capture(source, settings, run).capture
    run.report({})
    made = json.loads((tmp_path / "out/masks/made.json").read_text())
    assert len(made) == 4
    path = tmp_path / "out/masks" / sorted(made)[0]
    edited = torch.zeros(40, 40)
    edited[10:30, 10:30] = 1
    save_image(path, edited)
    again = RunFolder.create(tmp_path / "out", {"a": 2}, overwrite=True)
    with pytest.warns(InputWarning, match="1 were edited"):
        second = prepare_capture(source, CaptureSettings(), again).capture
    again.report({})
    assert torch.equal(second.require_masks()[0], edited)
    assert (second.require_masks()[1] - first.require_masks()[1]).abs().max() < 0.01
    assert hashlib.sha256(path.read_bytes()).hexdigest() != made[sorted(made)[0]]  # the edited file is kept
    assert json.loads((tmp_path / "out/masks/made.json").read_text()) == made


def test_refined_cameras_are_written_for_the_photographs(posed, tmp_path):
    cameras = orbit_cameras(4, distance=3.0, size=20)  # of pictures at half the size
    blank = torch.zeros(4, 20, 20)
    given = Capture(
        tuple(v.name for v in posed.views), cameras, blank[..., None].repeat(1, 1, 1, 3), None, blank == 0
    )
    T = cameras.T_cam_world.clone()
    T[:, :3, 3] += 0.01
    K = cameras.K.clone()
    K[:, :2, :2] *= 1.1
    RunFolder.create(tmp_path / "out", {}).report({})
    run = RunFolder.create(tmp_path / "out", {}, overwrite=True)
    write_cameras(run, posed, given, replace(cameras, T_cam_world=T, K=K))
    run.report({})
    written = tmp_path / "out/cameras"
    for read in (
        read_cameras(written / "transforms.json"),
        read_cameras(written / "sparse/0", tmp_path / "photos"),
    ):
        assert len(read.views) == 4
        for before, after, pose in zip(posed.views, read.views, T, strict=True):
            assert after.image.resolve() == before.image.resolve()
            assert torch.allclose(after.T_cam_world, pose, atol=1e-9)
            assert before.K is not None and after.K is not None
            assert torch.allclose(after.K[0, 0], 1.1 * before.K[0, 0])
            assert torch.allclose(after.K[:2, 2], before.K[:2, 2])


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
    config = ReconstructConfig(stages=(Stage(scale=1.0, edge_pixels=2.5, steps=50),))
    mended = mended_by_surface(replace(clean, masks=masks), replace(clean, masks=None), config=config)
    after = overlaps(mended.masks, clean.masks)
    assert after.mean() > before.mean() + 0.02 and bool((after > before).all())


def test_a_view_that_cuts_away_what_all_others_show_is_mended_by_them(monkeypatch):
    monkeypatch.setattr(photo_source, "TURNS", 1)
    clean = a_ball_before_stripes(10)
    masks = (clean.masks > 0.5).float()
    masks[4, :40] = 0  # more than half of the ball is taken for background
    config = ReconstructConfig(stages=(Stage(scale=1.0, edge_pixels=2.5, steps=40),))
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
