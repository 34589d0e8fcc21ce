"""Cameras from photographs: the whole way, on a room of which they are known.

The order in which settings are tried; a stand-in takes the place of the program that places pictures.
The child ends with this process, whatever ends it. A stand-in takes pycolmap's place.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from bozzetto.cameras.poses import estimate as search
from bozzetto.cameras.poses import estimate_cameras
from bozzetto.cameras.poses.estimate import run_job
from bozzetto.cameras.poses.model import Model
from bozzetto.cameras.poses.prepare import Photo
from bozzetto.cameras.poses.verdicts import Matches
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
    monkeypatch.setattr("bozzetto.cameras.poses.estimate.find_spec", lambda name: None)
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


def photos(focal):
    thumb = np.zeros((2, 2), np.uint8)
    return [
        Photo(
            name=f"{i}.jpg",
            path=Path(),
            mask=None,
            masked=False,
            size=(640, 480),
            work=f"{i}.png",
            work_size=(640, 480),
            turn=0,
            scale=1.0,
            focal=focal,
            device="",
            detail=40.0,
            sharpness=0.2,
            thumb=thumb,
        )
        for i in range(5)
    ]


@pytest.fixture
def tried(monkeypatch):
    """Jobs that were given to the program, which never places a picture."""
    jobs = []

    def run_job(job, folder):
        jobs.append(job)
        if job["task"] == "map":
            return {"models": []}
        return {"features": [3000] * 5, "pairs": [], "motions": []}

    monkeypatch.setattr(search, "run_job", run_job)
    return jobs


@pytest.mark.parametrize("focal, holds", [(500.0, [True, False, False]), (None, [False, False])])
def test_focal_lengths_by_exif_are_held_first_and_free_later(tried, tmp_path, focal, holds):
    with pytest.raises(InputError, match="only 0 of 5 photos could be placed"):
        search.Search(photos(focal), tmp_path, 0).best()
    assert [job["hold"] for job in tried if job["task"] == "map"] == holds
    cameras = tried[0]["cameras"]
    assert [camera["prior"] for camera in cameras] == [focal is not None]
    assert tried[0]["rich"] == search.PLENTY


def test_a_held_model_with_nearly_all_photos_is_enough(tried, tmp_path, monkeypatch):
    names, poses = tuple(f"{i}.png" for i in range(5)), np.tile(np.eye(4), (5, 1, 1))
    lens, size = np.array([[500.0, 320, 240, 0, 0]]), np.array([[640, 480]])
    model = Model(names, np.zeros(5, int), poses, lens, size, np.zeros((1, 3)), np.ones((1, 5), bool))
    nothing = Matches(np.zeros(5, int), np.zeros((0, 5), int), np.zeros((0, 4), int))
    found = search.FoundModel(model, tmp_path, 0.5, nothing, ())
    monkeypatch.setattr(search.Search, "_map", lambda *arguments: found)
    monkeypatch.setattr(search.Search, "_fault", lambda self, model: None)
    assert search.Search(photos(500.0), tmp_path, 0).best() is found
    assert [job["task"] for job in tried] == ["match"]


WAITING = """
import os, time
from types import SimpleNamespace
logging = SimpleNamespace(minloglevel=0)
def set_random_seed(seed):
    print("noise of a library")
    with open(os.environ["NUMBER"], "w") as file:
        file.write(str(os.getpid()))
    {action}
"""
JOB = {"task": "match", "seed": 0}


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Makes the child meet a module of this action under the name of pycolmap."""

    def make(action):
        (tmp_path / "modules").mkdir()
        (tmp_path / "modules" / "pycolmap.py").write_text(WAITING.format(action=action))
        paths = [str(tmp_path / "modules"), os.environ.get("PYTHONPATH", "")]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))
        monkeypatch.setenv("NUMBER", str(tmp_path / "number"))
        return tmp_path

    return make


def number_in(path):
    for _ in range(200):
        with suppress(OSError, ValueError):
            return int(path.read_text())
        time.sleep(0.05)
    raise AssertionError("the child has not begun")


def is_gone(number):
    for _ in range(200):
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="no timers here")
def test_an_interruption_leaves_no_process_behind(stand_in):
    folder = stand_in("time.sleep(60)")

    def interrupt(*_):
        if (folder / "number").exists():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_job(JOB, folder)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert is_gone(number_in(folder / "number"))


@pytest.mark.skipif(os.name == "nt", reason="processes are killed otherwise there")
def test_the_child_ends_when_this_process_is_killed(stand_in):
    folder = stand_in("time.sleep(60)")
    script = (
        "from pathlib import Path\n"
        "from bozzetto.cameras.poses.estimate import run_job\n"
        f"run_job({JOB!r}, Path({str(folder)!r}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    child = number_in(folder / "number")
    parent.kill()
    parent.wait()
    assert is_gone(child)


def test_a_failure_shows_what_the_child_said(stand_in, capfd):
    folder = stand_in("raise ValueError('what happened')")
    with pytest.raises(RuntimeError, match="(?s)noise of a library.*what happened"):
        run_job(JOB, folder)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(os.name == "nt", reason="no signals there")
def test_a_child_that_the_system_ends_is_explained(stand_in):
    folder = stand_in("os.kill(os.getpid(), 9)")
    with pytest.raises(InputError, match="ended by the system.*memory"):
        run_job(JOB, folder)
