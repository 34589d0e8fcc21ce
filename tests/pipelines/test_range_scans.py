import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from bozzetto.errors import InputError
from bozzetto.geometry import euler_number, is_watertight
from bozzetto.pipelines import is_range_scan, load_posed_scans, load_range_scan
from bozzetto.score import surface

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
