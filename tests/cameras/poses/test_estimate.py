"""Cameras from photographs: the whole way, on a room of which they are known."""

import importlib.util
import shutil

import numpy as np
import pytest

from bozzetto.cameras.poses import estimate_cameras
from bozzetto.errors import InputError

with_pycolmap = pytest.mark.skipif(importlib.util.find_spec("pycolmap") is None, reason="needs pycolmap")


def centers(poses):
    return -np.einsum("nji,nj->ni", poses[:, :3, :3], poses[:, :3, 3])


def aligned(found, true):
    """Scale, rotation and shift that take one set of points to the other (Umeyama 1991)."""
    a, b = found - found.mean(0), true - true.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.diag([1, 1, np.linalg.det(u @ vt)])
    turn = u @ sign @ vt
    scale = (s * np.diag(sign)).sum() / (a**2).sum()
    return scale, turn, true.mean(0) - scale * turn @ found.mean(0)


@with_pycolmap
def test_cameras_of_a_known_room_are_found_and_read_back(room, tmp_path, monkeypatch):
    for name in ("matches.db", "matches.db-wal", "matches.db-shm"):  # of a process that was killed
        (tmp_path / name).write_bytes(b"remains" * 1000)
    views = estimate_cameras(room.files, None, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.txt", "report.json", "sparse"]
    assert [view.image for view in views.views] == room.files
    assert views.report.placed == tuple(f.name for f in room.files) and not views.report.reasons
    poses = np.stack([view.T_cam_world.numpy() for view in views.views])
    scale, turn, shift = aligned(centers(poses), centers(room.poses))
    errors = np.linalg.norm(scale * centers(poses) @ turn.T + shift - centers(room.poses), axis=1)
    assert errors.max() < 0.03  # the cameras are 2.3 away from the box
    rotations = np.einsum("nij,kj->nik", poses[:, :3, :3], turn)
    cosines = (np.einsum("nij,nij->n", rotations, room.poses[:, :3, :3]) - 1) / 2
    assert (
        np.degrees(np.arccos(cosines.clip(-1, 1))).max() < 1.5
    )  # a pixel of these small pictures is a quarter of a degree
    assert all(abs(float(view.K[0, 0]) / room.focal - 1) < 0.05 for view in views.views)
    assert views.points is not None and len(views.points) > 200
    # The world: what the cameras look at is the origin, at a distance of about 1, and +Z is up.
    assert np.median(np.linalg.norm(centers(poses), axis=1)) == pytest.approx(1)
    assert -poses[:, 1, 2].mean() > 0.9
    # The second time nothing is computed.
    monkeypatch.setattr("bozzetto.cameras.poses.estimate.require_pycolmap", lambda: 1 / 0)
    again = estimate_cameras(room.files, None, tmp_path)
    assert all(
        bool((a.T_cam_world == b.T_cam_world).all()) for a, b in zip(again.views, views.views, strict=True)
    )
    assert again.report == views.report
    shutil.copy(room.files[0], tmp_path / "other.png")
    with pytest.raises(ZeroDivisionError):
        estimate_cameras([*room.files[1:], tmp_path / "other.png"], None, tmp_path)


def test_without_the_extra_nothing_begins(room, tmp_path, monkeypatch):
    monkeypatch.setattr("bozzetto.cameras.poses.process.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'bozzetto\[poses\]'"):
        estimate_cameras(room.files, None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_too_few_photos_are_refused(room, tmp_path):
    with pytest.raises(InputError, match="too few photos to find cameras, 3 were given"):
        estimate_cameras(room.files[:3], None, tmp_path)


@with_pycolmap
def test_the_same_photo_repeated_is_refused(room, tmp_path):
    files = [shutil.copy(room.files[0], tmp_path / f"{i}.png") for i in range(6)]
    with pytest.raises(InputError, match="of 6 only 1 are different"):
        estimate_cameras(files, None, tmp_path / "out")
