"""The order in which settings are tried; a stand-in takes the place of the program that places pictures."""

from pathlib import Path

import numpy as np
import pytest

from bozzetto.cameras.poses import search
from bozzetto.cameras.poses.model import Model
from bozzetto.cameras.poses.photo_verdicts import Matches
from bozzetto.cameras.poses.prepare import Photo
from bozzetto.errors import InputError


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
