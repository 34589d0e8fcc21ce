"""Tests of cameras.formats.projection_matrices."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bozzetto import InputError
from bozzetto.cameras import fibonacci_cameras, load_capture, orbit_cameras, save_middlebury
from bozzetto.cameras.formats import read_cameras
from bozzetto.cameras.formats.projection_matrices import read_middlebury


def text(matrix):
    return "\n".join(" ".join(repr(float(v)) for v in row) for row in np.atleast_2d(matrix)) + "\n"


def projection(scene, i, offset):
    K = scene.K.copy()
    K[:2, 2] -= offset
    return K @ np.concatenate([scene.R[i], (-scene.R[i] @ scene.C[i])[:, None]], axis=1)


def write_p(folder, scene):
    for i, name in enumerate(scene.names):
        (folder / f"{name[:-4]}.P").write_text(text(projection(scene, i, 0.5)))


def write_contour(folder, scene):
    (folder / "txt").mkdir()
    for i, name in enumerate(scene.names):
        body = text(-2 * projection(scene, i, 0.5))
        (folder / "txt" / f"{name[:-4]}_P.txt").write_text(f"CONTOUR\n{body}")


def write_strecha(folder, scene):
    K = scene.K.copy()
    K[:2, 2] -= 0.5
    for i, name in enumerate(scene.names):
        body = text(K) + text([*scene.k, 0, 0, 0][:3]) + text(scene.R[i].T) + text(scene.C[i])
        (folder / f"{name}.camera").write_text(f"{body}{scene.size[0]} {scene.size[1]}\n")


def write_mvsnet(folder, scene):
    (folder / "cams").mkdir()
    for i, name in enumerate(scene.names):
        T = np.eye(4)
        T[:3] = np.concatenate([scene.R[i], (-scene.R[i] @ scene.C[i])[:, None]], axis=1)
        body = f"extrinsic\n{text(T)}\nintrinsic\n{text(scene.K)}\n425.0 2.5\n"
        (folder / "cams" / f"{name[:-4]}_cam.txt").write_text(body)


@pytest.mark.parametrize("write", [write_p, write_contour, write_strecha, write_mvsnet])
def test_points_land_where_the_matrices_put_them(tmp_path, scene, agrees, write):
    k = (0.1, -0.05, 0.02) if write is write_strecha else ()
    made = scene(f=(70.0, 72.0), skew=0.3, k=k)
    made.pictures(tmp_path / "images")
    write(tmp_path, made)
    agrees(read_cameras(tmp_path), made)
    one = next(p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".png")
    agrees(read_cameras(one), made)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("000.P", "1 2 3\n", "expected 12 numbers"),
        ("000.P", "1 0 0 0\n0 1 0 0\n0 0 nan 0\n", "NaN"),
        ("000.P", "1 0 0 0\n0 1 0 0\n0 1 0 1\n", "no projection matrix"),
        ("000.P", "hello\n", "expected 12 numbers"),
        ("000.png.camera", "1 2 3\n", "expected 26 numbers"),
        ("000_cam.txt", "extrinsic\n" + "1 " * 25, "has the intrinsics"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(tmp_path, scene, name, content, message):
    scene().pictures(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_cameras(tmp_path)
    assert "\n" not in str(caught.value)


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


LINE = "a.png 100 0 32 0 100 24 0 0 1 1 0 0 0 1 0 0 0 1 0 0 5"


def test_round_trip_moves_no_point(tmp_path):
    cameras = fibonacci_cameras(7, distance=3.3, target=(1, -2, 5), size=(640, 480))
    K = cameras.K.clone()
    K[:, 0, 1] = 0.7  # skew
    cameras = replace(cameras, K=K)
    names = [f"{i}.png" for i in range(7)]
    save_middlebury(cameras, tmp_path / "x_par.txt", names)
    views = read_middlebury(tmp_path / "x_par.txt").views
    again = replace(
        cameras, T_cam_world=torch.stack([v.T_cam_world for v in views]), K=torch.stack([v.K for v in views])
    )
    points = torch.randn(30, 3, dtype=torch.float64) + torch.tensor([1.0, -2, 5])
    assert (again.project(points) - cameras.project(points)).abs().max() < 1e-6
    assert [v.name for v in views] == names


def test_fields_and_pixel_centres(tmp_path):
    path = tmp_path / "x_par.txt"
    path.write_text(f"1\n{LINE}\n")
    view = read_middlebury(path).views[0]
    assert view.K.tolist() == [[100, 0, 32.5], [0, 100, 24.5], [0, 0, 1]]
    assert view.T_cam_world[:3, 3].tolist() == [0, 0, 5]
    assert view.image == tmp_path / "a.png"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not begin"),
        ("hello world\n", "does not begin"),
        (f"2\n{LINE}\n", "announces 2 images but lists cameras for 1"),
        (f"1\n{LINE} 7\n", "22 numbers"),
        (f"1\n{LINE[:-1]}x\n", "is 'x', expected a finite number"),
        (f"2\n{LINE}\n{LINE}\n", "2 cameras"),
    ],
)
def test_bad_files_are_refused(tmp_path, text, message):
    (tmp_path / "x_par.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_middlebury(tmp_path / "x_par.txt")


def test_what_the_format_cannot_hold_is_refused(tmp_path):
    with pytest.raises(InputError, match="orthographic"):
        save_middlebury(orbit_cameras(1, extent=2.0), tmp_path / "x_par.txt", ["a.png"])
    with pytest.raises(InputError, match="blanks"):
        save_middlebury(orbit_cameras(1), tmp_path / "x_par.txt", ["a b.png"])
