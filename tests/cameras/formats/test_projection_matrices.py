import numpy as np
import pytest

from bozzetto import InputError
from bozzetto.cameras.formats import read_cameras


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
