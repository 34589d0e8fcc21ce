import json

import pytest
import torch

from bozzetto.cameras import ScenePoints, load_capture, orbit_cameras, save_colmap
from bozzetto.cameras.distortion import Lens
from bozzetto.cameras.formats import PosedViews, View, read_cameras
from bozzetto.cameras.sheets import looked_at, rig_sheet
from bozzetto.cli import main
from bozzetto.images import load_image, save_image


@pytest.fixture
def project(tmp_path):
    """A COLMAP project of four cameras around a few points."""

    def make(lens=None):
        cameras = orbit_cameras(4, 0.4, distance=3.0, target=(1, 2, 3), size=(40, 30))
        views = []
        for i in range(4):
            path = tmp_path / "in" / "images" / f"{i}.png"
            save_image(path, torch.full((30, 40, 3), 0.5))
            views.append(
                View(path.name, path, cameras.T_cam_world[i], cameras.K[i], size=(40, 30), lens=lens)
            )
        near = torch.rand(30, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        points = ScenePoints(near + torch.tensor([0.5, 1.5, 2.5]), torch.ones(30, 4, dtype=torch.bool))
        save_colmap(PosedViews(tuple(views), path, points), tmp_path / "in" / "sparse" / "0")
        return tmp_path / "in"

    return make


def test_cameras_are_converted_and_drawn(project, tmp_path, capsys):
    folder, out = project(), tmp_path / "out"
    assert main(["cameras", str(folder), str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["views"] == 4 and report["points"] == 30 and report["lenses"] == ["pinhole"]
    assert report["looked_at"] == pytest.approx([1, 2, 3], abs=1e-9)
    assert report["distance"] == pytest.approx([3, 3])
    assert {"transforms.json", "points.ply", "rig.png", "report.json", "sparse"} <= {
        p.name for p in out.iterdir()
    }
    before = read_cameras(folder)
    for written in (out / "transforms.json", out / "sparse" / "0"):
        after = read_cameras(written, photos=None if written.suffix else folder / "images")
        for a, b in zip(before.views, after.views, strict=True):
            assert a.image.resolve() == b.image.resolve()
            assert (a.T_cam_world - b.T_cam_world).abs().max() < 1e-12
        assert len(after.points) == 30
    assert len(load_capture(out, masks="none")) == 4


def test_results_are_not_overwritten_but_replaced_when_asked(project, tmp_path, capsys):
    folder, out = str(project()), str(tmp_path / "out")
    assert main(["cameras", folder, "--out", out]) == 0
    text = capsys.readouterr().out
    assert "4 cameras from" in text and "pictures of 40x30" in text and "rig.png" in text
    assert main(["cameras", folder, "--out", out]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["cameras", folder, "--out", out, "--overwrite", "--format", "transforms"]) == 0
    assert not (tmp_path / "out" / "sparse" / "0" / "images.txt").exists()
    assert all(view.image.is_file() for view in read_cameras(out).views)


def test_a_lens_that_only_one_format_holds(project, tmp_path, capsys):
    folder, out = str(project(Lens("fov", (0.7,)))), tmp_path / "out"
    assert main(["cameras", folder, str(out)]) == 0
    assert "one of the two files is left out: transforms.json cannot hold the lens" in capsys.readouterr().err
    assert (out / "sparse" / "0" / "cameras.txt").exists()
    assert main(["cameras", folder, str(tmp_path / "other"), "--format", "transforms"]) == 2


def test_pictures_may_be_missing_or_elsewhere(project, tmp_path, capsys):
    folder = project()
    (folder / "images").rename(tmp_path / "moved")
    assert main(["cameras", str(folder), str(tmp_path / "a")]) == 0
    assert "4 pictures are not where the file says" in capsys.readouterr().out
    assert main(["cameras", str(folder), str(tmp_path / "b"), "--photos", str(tmp_path / "moved")]) == 0
    assert "not where" not in capsys.readouterr().out


def test_bad_input_is_one_sentence(tmp_path, capsys):
    (tmp_path / "cameras.bin").write_bytes(b"")
    assert main(["cameras", str(tmp_path), str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "of a COLMAP model" in lines[0]
    assert not (tmp_path / "out").exists()


def test_the_drawing_shows_cameras_where_they_stand():
    cameras = orbit_cameras(4, 0.0, distance=3.0, size=(40, 30))
    sheet = rig_sheet(cameras, width=800)
    assert sheet.shape == (400, 800, 3)
    ink = (sheet - 1).abs().amax(dim=2) > 0.1
    above, side = ink[30:370, 36:364], ink[40:320, 401:]  # without axes, scale and titles
    assert all(corner.any() for rows in (above[:50], above[-50:]) for corner in (rows[:, :50], rows[:, -50:]))
    assert not above[70:150].any()  # between the cameras and what they look at
    # seen from the side all stand at one height
    rows = torch.nonzero(side.any(dim=1))[:, 0]
    assert int(rows.max() - rows.min()) < 40


def test_parallel_cameras_look_at_no_point():
    cameras = orbit_cameras(1, 0.0)
    both = torch.cat([cameras.T_cam_world, cameras.T_cam_world])
    both[1, 0, 3] += 1
    twice = type(cameras)(both, cameras.K.repeat(2, 1, 1), 10, 10)
    assert torch.allclose(looked_at(twice), twice.centers.mean(dim=0))
    assert rig_sheet(twice, width=200).isfinite().all()
    assert rig_sheet(twice[[0, 0]], width=200).isfinite().all()


def test_the_drawing_is_a_picture(project, tmp_path):
    main(["cameras", str(project()), str(tmp_path / "out"), "--quiet"])
    assert load_image(tmp_path / "out" / "rig.png").shape[2] == 3
