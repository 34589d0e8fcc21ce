"""Judgements on matches and models, each on a case made for it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bozzetto.cameras.poses.estimate import largest
from bozzetto.cameras.poses.model import Model, placed_model
from bozzetto.cameras.poses.prepare import Photo
from bozzetto.cameras.poses.verdicts import (
    Matches,
    components,
    geometry_fault,
    lens_fault,
    placement_fault,
    reasons_of,
    silhouette_fault,
    thickness,
    triangulation_angles,
)

COUNT = 10


def ring(count=COUNT, distance=3.0, focal=500.0, height=1.0):
    """Cameras around the origin, and points in a ball."""
    poses = []
    for angle in np.linspace(0, 2 * np.pi, count, endpoint=False):
        eye = np.array([distance * np.cos(angle), distance * np.sin(angle), height])
        forward = -eye / np.linalg.norm(eye)
        right = np.cross(forward, [0, 0, 1])
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = [right, np.cross(forward, right), forward]
        pose[:3, 3] = -pose[:3, :3] @ eye
        poses.append(pose)
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (200, 3))
    return Model(
        names=tuple(f"{i:05d}.png" for i in range(count)),
        camera=np.zeros(count, int),
        poses=np.stack(poses),
        lenses=np.array([[focal, 320.0, 240.0, 0.0, 0.0]]),
        sizes=np.array([[640, 480]]),
        points=points,
        visible=np.ones((200, count), bool),
    )


def photos(count=COUNT, **more):
    made = Photo(
        name="",
        path=Path(),
        mask=None,
        masked=False,
        size=(640, 480),
        work="",
        work_size=(640, 480),
        turn=0,
        scale=1.0,
        focal=None,
        device="",
        detail=40.0,
        sharpness=0.2,
        thumb=np.zeros((2, 2), np.uint8),
    )
    return [replace(made, name=f"{i}.jpg", work=f"{i:05d}.png", **more) for i in range(count)]


def matches(groups, count=COUNT, features=2000, still=0, second=1.0):
    """Pictures of the same group match each other."""
    rows = [[a, b, 200, still, 100] for g in groups for a in g for b in g if a < b]
    motions = [[a, b, 100, round(100 * second)] for a, b, *_ in rows]
    return Matches(np.full(count, features), np.array(rows).reshape(-1, 5), np.array(motions).reshape(-1, 4))


def test_the_largest_model_is_taken():
    models = [
        {"pictures": ["a", "b"], "points": 9},
        {"pictures": ["a", "b", "c"], "points": 5},
        {"pictures": ["d", "e", "f"], "points": 7},
    ]
    assert largest(models) is models[2]
    assert largest([]) is None


def test_two_places_are_told():
    found = matches([range(6), range(6, 10)])
    assert components(found.links()) == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9]]
    sentence = placement_fault(photos(), found, range(6))
    assert "only 6 of 10 photos" in sentence and "groups that show nothing in common" in sentence
    assert "6 (0.jpg, 1.jpg and 4 more) and 4 (6.jpg" in sentence


def test_enough_placed_photos_are_no_fault():
    assert placement_fault(photos(), matches([range(8)]), range(8)) is None
    assert placement_fault(photos(), matches([range(8)]), range(7)) is not None


def test_no_overlap_is_told():
    sentence = placement_fault(photos(), matches([]), ())
    assert "most show nothing in common" in sentence and "every 10 to 15 degrees" in sentence


def test_each_photo_has_its_reason():
    some = photos()
    some[7] = replace(some[7], sharpness=0.08)
    some[8] = replace(some[8], detail=2.0)
    found = matches([range(7), (7, 8)])
    reasons = reasons_of(some, found, range(5))
    assert set(reasons) == {5, 6, 7, 8, 9}
    assert "too little of the others" in reasons[5] and reasons[7] == "blurred"
    assert reasons[8] == "shows too little detail" and reasons[9] == "shows nothing that the others show"


def test_a_camera_that_stood_still_is_noticed():
    assert not matches([range(10)]).camera_stood_still
    assert matches([range(10)], still=80).camera_stood_still


def test_a_second_motion_is_noticed():
    assert not matches([range(10)], second=1.05).two_motions
    assert matches([range(10)], second=1.4).two_motions


def test_a_ring_of_cameras_has_no_fault():
    model = ring()
    assert geometry_fault(model) is None and lens_fault(model, photos()) is None
    assert triangulation_angles(model).min() > 120  # opposite cameras, from a little above


def test_a_panorama_is_noticed():
    model = ring()
    still = model.poses.copy()
    still[:, :3, 3] *= 1e-3
    far = replace(model, poses=still, points=5 * model.points + [0, 0, 20])
    assert "hardly moved" in geometry_fault(far)


def test_a_plane_is_noticed():
    model = ring()
    flat = replace(model, points=model.points * [1, 1, 0.001])
    assert "one plane" in geometry_fault(flat)
    # A few points beside it change nothing, an object on a table does.
    mixed = flat.points.copy()
    mixed[:2] = model.points[:2]
    assert thickness(mixed) < 0.004
    mixed[:40] = model.points[:40]
    assert thickness(mixed) > 0.1


@pytest.mark.parametrize(
    "lens, focal, word",
    [
        ([500.0, 320, 240, 0, 0], 1000.0, "0.5 times that of the EXIF data"),
        ([5000.0, 320, 240, 0, 0], None, "field of view of 7 degrees"),
        ([150.0, 320, 240, 0, 0], None, "field of view of 130 degrees"),
        ([400.0, 320, 240, -0.4, 0], None, "moves the corners by 40 %"),
    ],
)
def test_impossible_lenses_are_noticed(lens, focal, word):
    model = replace(ring(), lenses=np.array([lens]))
    sentence = lens_fault(model, photos(focal=focal))
    assert word in sentence and "--masks" in sentence


def test_focal_lengths_near_the_exif_data_are_fine():
    assert lens_fault(ring(), photos(focal=560.0)) is None


def discs(model, folder, center):
    """Masks of a ball at a place."""
    folder.mkdir(exist_ok=True)
    v, u = np.mgrid[:480, :640] + 0.5
    for name, pose in zip(model.names, model.poses, strict=True):
        x, y, z = pose[:3, :3] @ center + pose[:3, 3]
        focal = model.lenses[0, 0]
        inside = np.hypot(u - 320 - focal * x / z, v - 240 - focal * y / z) < focal * 0.4 / z
        Image.fromarray((inside * 255).astype(np.uint8)).save(folder / f"{name}.png")


def test_masks_that_no_shape_has_are_noticed(tmp_path):
    model = ring()
    discs(model, tmp_path / "masks", np.array([0.5, 0.0, 0.0]))
    some = photos(masked=True)
    assert silhouette_fault(model, some, tmp_path / "masks") is None
    # The room rests while the object turns: cameras that never moved around it.
    wrong = replace(model, poses=model.poses[[0, 5, 2, 8, 1, 7, 3, 9, 4, 6]])
    assert "no shape has such silhouettes" in silhouette_fault(wrong, some, tmp_path / "masks")


def test_the_world_is_what_the_cameras_look_at():
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    model = ring()
    moved = model.poses.copy()  # the same scene, 7 times as large, turned and far away
    moved[:, :3, :3] = model.poses[:, :3, :3] @ turn.T
    moved[:, :3, 3] = 7 * model.poses[:, :3, 3] - moved[:, :3, :3] @ [100.0, 0, 50]
    points = 7 * model.points @ turn.T + [100.0, 0, 50]
    result = placed_model(replace(model, poses=moved, points=points))
    assert np.allclose(np.linalg.norm(result.centers, axis=1), 1)
    assert np.allclose(result.centers[:, 2], 1 / np.sqrt(10)) and np.allclose(
        result.poses[:, 0, 2], 0, atol=1e-9
    )
    camera = np.einsum("nij,pj->npi", result.poses[:, :3, :3], result.points) + result.poses[:, None, :3, 3]
    before = np.einsum("nij,pj->npi", model.poses[:, :3, :3], model.points) + model.poses[:, None, :3, 3]
    assert np.allclose(camera[..., :2] / camera[..., 2:], before[..., :2] / before[..., 2:])
