import numpy as np
import pytest

from bozzetto import InputError
from bozzetto.cameras import load_capture
from bozzetto.cameras.formats import read_cameras


def projections(scene, offset):
    """World to pixels, integers or half-integers being centres."""
    K = scene.K.copy()
    K[:2, 2] -= offset
    return [K @ np.concatenate([R, (-R @ C)[:, None]], axis=1) for R, C in zip(scene.R, scene.C, strict=True)]


@pytest.mark.parametrize("factor", [1.0, -3.0])
def test_points_land_where_idr_puts_them(tmp_path, scene, agrees, factor):
    made = scene(f=(70.0, 72.0), skew=0.3)
    made.pictures(tmp_path / "image")
    arrays = {}
    for i, P in enumerate(projections(made, 0.5)):
        arrays[f"world_mat_{i}"] = np.concatenate([factor * P, [[0, 0, 0, 1]]])
        arrays[f"scale_mat_{i}"] = np.diag([2.0, 2, 2, 1])
    np.savez(tmp_path / "cameras_sphere.npz", **arrays)
    agrees(read_cameras(tmp_path), made)


def poses_bounds(scene):
    rows = []
    for R, C in zip(scene.R, scene.C, strict=True):
        right, down, forward = R
        matrix = np.stack([down, right, -forward, C, [scene.size[1], scene.size[0], scene.f[0]]], axis=1)
        rows.append([*matrix.flatten(), 0.5, 9.0])
    return np.array(rows)


def test_points_land_where_llff_puts_them(tmp_path, scene, agrees):
    made = scene(c=(32.0, 24.0))
    made.pictures(tmp_path / "images")
    np.save(tmp_path / "poses_bounds.npy", poses_bounds(made))
    agrees(read_cameras(tmp_path), made)


def test_the_folder_with_as_many_pictures_is_taken(tmp_path, scene):
    made = scene(c=(32.0, 24.0))
    made.pictures(tmp_path / "images_4")
    made.pictures(tmp_path / "images")
    (tmp_path / "images" / "000.png").rename(tmp_path / "images" / "more.png")
    made.pictures(tmp_path / "images")
    np.save(tmp_path / "poses_bounds.npy", poses_bounds(made))
    assert {view.image.parent.name for view in read_cameras(tmp_path).views} == {"images_4"}


def with_idr(folder, **arrays):
    np.savez(folder / "cameras.npz", **arrays)


GOOD = {f"world_mat_{i}": np.eye(4) + i * np.diag([0, 0, 1.0], 1) for i in range(3)}
BAD_IDR = [
    ({}, "no world_mat_0"),
    ({**GOOD, "world_mat_1": np.eye(3)}, r"world_mat_1 has the shape \(3, 3\)"),
    ({**GOOD, "world_mat_1": np.zeros((4, 4))}, "world_mat_1 is no projection"),
    ({**GOOD, "world_mat_1": np.full((4, 4), np.nan)}, "world_mat_1 is no projection"),
    ({**GOOD, "world_mat_3": np.eye(4)}, "4 cameras and .*image has 3 pictures"),
    ({**GOOD, "world_mat_1": np.array(["a"])}, r"world_mat_1 has the shape \(1,\)"),
]


@pytest.mark.parametrize(("arrays", "message"), BAD_IDR)
def test_bad_idr_files_are_refused(tmp_path, scene, arrays, message):
    scene().pictures(tmp_path / "image")
    with_idr(tmp_path, **arrays)
    with pytest.raises(InputError, match=message):
        read_cameras(tmp_path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((3, 16)), r"shape \(3, 16\)"),
        (np.zeros((0, 17)), r"shape \(0, 17\)"),
        (np.full((3, 17), np.nan), "NaN"),
        (np.zeros((3, 17)), "pictures of 0 x 0"),
        (np.ones((2, 17)), "2 cameras and .*images has 3 pictures"),
        (np.ones((3, 17)), "no rotation"),
    ],
)
def test_bad_llff_files_are_refused(tmp_path, scene, rows, message):
    scene().pictures(tmp_path / "images")
    np.save(tmp_path / "poses_bounds.npy", rows)
    with pytest.raises(InputError, match=message):
        read_cameras(tmp_path / "poses_bounds.npy")


def test_headers_that_announce_too_much_are_refused(tmp_path, scene):
    scene().pictures(tmp_path / "images")
    np.save(tmp_path / "poses_bounds.npy", np.zeros((3, 17)))
    data = (tmp_path / "poses_bounds.npy").read_bytes()
    huge = data.replace(b"(3, 17)", f"({10**18}, 17)".encode()).replace(b" " * 18, b"", 1)
    (tmp_path / "poses_bounds.npy").write_bytes(huge)
    with pytest.raises(InputError, match="cannot be read"):
        load_capture(tmp_path)
    np.save(tmp_path / "poses_bounds.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="expected numbers"):
        load_capture(tmp_path)
