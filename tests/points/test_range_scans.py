"""Tests of points.range_scans."""

import json
import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from bozzetto.cli import main
from bozzetto.errors import InputError, InputWarning
from bozzetto.geometry import euler_number, is_watertight
from bozzetto.points import (
    LEAST_POINTS,
    is_range_scan,
    load_posed_scans,
    load_range_scan,
    load_scans,
    load_solid_cloud,
    surface,
)
from bozzetto.shapes import PointCloud, icosphere, save_mesh, save_points

ROWS, COLUMNS = 40, 40


def write_scan(path, turn: Rotation, shift: np.ndarray) -> None:
    """What a scanner that looks along -z sees of a unit sphere, when the sphere is in the frame of the scan."""
    y, x = (axis.ravel() for axis in np.meshgrid(np.linspace(-1, 1, ROWS), np.linspace(-1, 1, COLUMNS)))
    seen = x**2 + y**2 < 0.95
    world = np.stack([x, y, np.sqrt((1 - x**2 - y**2).clip(0))], axis=1)[seen]
    local = world - turn.inv().apply(shift)  # the sphere looks the same from everywhere
    header = (
        f"ply\nformat binary_big_endian 1.0\nelement vertex {len(local)}\nproperty float x\nproperty float y\n"
        f"property float z\nelement range_grid {ROWS * COLUMNS}\nproperty list uchar int vertex_indices\n"
        "end_header\n"
    )
    grid, index = b"", 0
    for one in seen:
        grid += b"\x01" + index.to_bytes(4, "big") if one else b"\x00"
        index += bool(one)
    path.write_bytes(header.encode() + local.astype(">f4").tobytes() + grid)


def write_scans(folder, count: int = 6):
    lines = ["camera 0 0 0 0 0 0 1"]
    axes = [(0, 0), (90, 0), (180, 0), (270, 0), (0, 90), (0, -90)][:count]
    for k, (about_y, about_x) in enumerate(axes):
        turn = Rotation.from_euler("yx", [about_y, about_x], degrees=True)
        shift = np.array([0.1 * k, -0.2, 0.3])
        write_scan(folder / f"scan {k}.ply".replace(" ", ""), turn, shift)
        words = [*shift, *turn.inv().as_quat()]
        lines.append(f"bmesh scan{k}.ply " + " ".join(str(value) for value in words))
    poses = folder / "scans.conf"
    poses.write_text("\n".join(lines))
    return poses


def test_scans_meet_in_their_common_frame_and_face_the_scanner(tmp_path):
    cloud = load_posed_scans(write_scans(tmp_path))
    assert cloud.points.norm(dim=1).sub(1).abs().max() < 1e-5
    assert cloud.normals is not None
    assert (cloud.normals * cloud.points).sum(dim=1).min() > 0.9
    mesh = surface(cloud, 48, "closed")
    assert is_watertight(mesh.faces) and euler_number(mesh.faces) == 2
    a, b, c = mesh.corners().double().unbind(dim=1)
    assert float((a * torch.linalg.cross(b, c)).sum() / 6) == pytest.approx(4 / 3 * math.pi, rel=0.02)


def test_a_range_grid_tells_the_side_of_the_scanner(tmp_path):
    write_scans(tmp_path, 1)
    path = tmp_path / "scan0.ply"
    assert is_range_scan(path) and not is_range_scan(tmp_path / "scans.conf")
    assert (load_range_scan(path).normals[:, 2] > 0).all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("camera 0 0 0", "names no scans"),
        ("bmesh scan0.ply 0 0 0 0 0 0", "line 1 of .* must read"),
        ("bmesh scan0.ply 0 0 0 0 0 0 0", "must read"),
        ("bmesh scan0.ply 0 0 0 0 0 0 one", "must read"),
        ("bmesh missing.ply 0 0 0 0 0 0 1", "missing.ply"),
    ],
)
def test_bad_poses_are_refused(tmp_path, text, words):
    write_scans(tmp_path, 1)
    (tmp_path / "scans.conf").write_text(text)
    with pytest.raises(InputError, match=words):
        load_posed_scans(tmp_path / "scans.conf")
    with pytest.raises(InputError, match="cannot be read"):
        load_posed_scans(tmp_path / "nothing.conf")


def test_lines_that_are_not_used_are_named(tmp_path):
    poses = write_scans(tmp_path, 2)
    lines = poses.read_text().splitlines()
    poses.write_text("\n".join([*lines[:2], "# a comment", lines[2].replace("bmesh", "mesh")]))
    both = len(load_posed_scans(poses))
    assert both == 2 * len(load_range_scan(tmp_path / "scan0.ply"))
    poses.write_text("\n".join([*lines[:2], lines[2].replace("bmesh", "scan")]))
    with pytest.warns(InputWarning, match="line 3 of .* is not used"):
        assert 2 * len(load_posed_scans(poses)) == both


def test_normals_of_a_scan_are_used(tmp_path):
    write_scans(tmp_path, 1)
    path = tmp_path / "scan0.ply"
    header, body = path.read_bytes().split(b"end_header\n", 1)
    count = int(header.split(b"element vertex ")[1].split()[0])
    points = np.frombuffer(body, ">f4", 3 * count).reshape(count, 3)
    away = -(points + np.array([0, -0.2, 0.3]))  # into the sphere, which nobody would guess
    mark = b"property float z\n"
    names = b"".join(b"property float n" + axis + b"\n" for axis in (b"x", b"y", b"z"))
    given = np.concatenate([points, away], axis=1).astype(">f4").tobytes()
    path.write_bytes(header.replace(mark, mark + names) + b"end_header\n" + given + body[12 * count :])
    scan = load_range_scan(path)
    inward = -(scan.points + torch.tensor([0.0, -0.2, 0.3]))
    torch.testing.assert_close(scan.normals, inward, atol=1e-4, rtol=0)


def test_the_command_line_takes_poses(tmp_path, capsys):
    poses = write_scans(tmp_path)
    other = tmp_path / "elsewhere" / "scans.conf"
    other.parent.mkdir()
    other.write_text(poses.read_text())
    words = ["--resolution", "40", "--boundary", "closed", "--json", "--out"]
    found = []
    for name, source in (("a", [str(poses)]), ("b", [str(tmp_path), "--poses", str(other)])):
        assert main(["surface", *source, *words, str(tmp_path / name)]) == 0
        found.append(json.loads(capsys.readouterr().out)["figures"])
    assert found[0] == found[1] and found[0]["mesh"]["watertight"] and found[0]["mesh"]["components"] == 1
    assert main(["surface", str(poses), "--poses", str(other), "--out", str(tmp_path / "c")]) == 2
    assert "with poses, the cloud must be the folder of the scans" in capsys.readouterr().err


def test_clouds_of_arrays_and_files(tmp_path):
    ball = icosphere(2)
    save_points(PointCloud(ball.vertices, ball.vertices), tmp_path / "ball.ply")
    np.save(tmp_path / "ball.npy", ball.vertices.double().numpy() + 5e6)
    save_mesh(ball, tmp_path / "mesh.ply")
    found = load_solid_cloud(tmp_path / "ball.ply")
    assert torch.equal(found.points, ball.vertices) and found.normals is not None
    far = load_solid_cloud(tmp_path / "ball.npy")
    assert torch.allclose(far.world_points - 5e6, ball.vertices.double(), atol=1e-6)
    assert torch.equal(load_solid_cloud(tmp_path / "mesh.ply").points, ball.vertices)
    assert torch.equal(load_scans(tmp_path / "ball.ply").points, ball.vertices)


@pytest.mark.parametrize(
    "array, sentence",
    [
        (np.zeros((20, 2)), "2D"),
        (np.zeros((20, 3)), "equal"),
        (np.eye(3), f"has 3 points; {LEAST_POINTS} or more"),
        (np.zeros((0, 3)), "empty"),
    ],
)
def test_what_describes_no_surface(array, sentence, tmp_path):
    np.save(tmp_path / "cloud.npy", array)
    with pytest.raises(InputError, match=sentence):
        load_solid_cloud(tmp_path / "cloud.npy")


def test_poses_need_the_folder_of_the_scans(tmp_path):
    with pytest.raises(InputError, match="must be the folder of the scans"):
        load_scans(tmp_path / "scan.ply", tmp_path / "poses.conf")
