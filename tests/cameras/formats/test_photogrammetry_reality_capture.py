import math

import numpy as np
import pytest

from bozzetto import InputError
from bozzetto.cameras.formats import read_cameras
from bozzetto.errors import InputWarning

HEADER = "#name,x,y,alt,heading,pitch,roll,f,px,py,k1,k2,k3,k4,t1,t2"


def angles(R):
    """Heading, pitch and roll in degrees of a world-to-camera rotation with OpenCV axes."""
    M = R.T @ np.diag([1.0, -1, -1])  # OpenGL axes; M = Rz(-h) Rx(p) Ry(r)
    pitch = math.asin(M[2, 1])
    heading = math.atan2(M[0, 1], M[1, 1])
    roll = math.atan2(-M[2, 0], M[2, 2])
    return [math.degrees(a) for a in (heading, pitch, roll)]


def table(scene, header=HEADER):
    side, (width, height) = max(scene.size), scene.size
    k = (*scene.k, 0, 0, 0, 0)[:4]
    rows = [header]
    for name, R, C in zip(scene.names, scene.R, scene.C, strict=True):
        px, py = (scene.c[0] - width / 2) / side, (scene.c[1] - height / 2) / side
        numbers = [*C, *angles(R), scene.f[0] * 36 / side, px, py, *k, scene.p[1], scene.p[0]]
        rows.append(",".join([name, *(repr(float(n)) for n in numbers)]))
    return "\n".join(rows) + "\n"


def write(tmp_path, scene, text):
    scene.pictures(tmp_path / "images")
    (tmp_path / "cameras.csv").write_text(text)
    return tmp_path


def test_points_land_where_the_program_puts_them(tmp_path, scene, agrees):
    made = scene(k=(0.1, -0.05, 0.02, 0.01), p=(0.003, -0.002))
    agrees(read_cameras(write(tmp_path, made, table(made))), made)


def test_the_columns_of_newer_versions(tmp_path, scene, agrees):
    made = scene(k=(0.1, -0.05), size=(48, 64), c=(23.0, 33.0))
    newer = "#name,x,y,alt,yaw,pitch,roll,f_35mm,px_norm,py_norm,k1,k2,k3,k4,t1,t2"
    agrees(read_cameras(write(tmp_path, made, "#cameras 3\n" + table(made, newer))), made)


def test_a_camera_that_looks_down_with_north_on_top(tmp_path, scene):
    made = scene()
    rows = "\n".join(f"{name},1,2,5,0,0,0,36,0,0,0,0,0,0,0,0" for name in made.names)
    view = read_cameras(write(tmp_path, made, f"{HEADER}\n{rows}\n")).views[0]
    # a point one unit north of the foot and five below the camera: 64 / 5 pixels above the middle
    x, y, z = (view.T_cam_world[:3, :3].numpy() @ [1, 3, 0] + view.T_cam_world[:3, 3].numpy()).tolist()
    assert (x, y, z) == pytest.approx((0, -1, 5))
    assert view.K.tolist() == [[64, 0, 32], [0, 64, 24], [0, 0, 1]]


def test_one_coefficient_may_be_another_model(tmp_path, scene):
    made = scene(k=(0.1,))
    with pytest.warns(InputWarning, match="only k1"):
        read_cameras(write(tmp_path, made, table(made)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("heading", "h"), "no line with the columns"),
        (lambda text: text.splitlines()[0] + "\n", "lists no cameras"),
        (lambda text: text.replace(",39.375,", ",nan,"), "f of 000.png is 'nan'"),
        (lambda text: text.replace(",39.375,", ",0,"), "focal lengths 0"),
        (lambda text: text + "003.png,1,2\n", "too few fields"),
        (lambda text: text.replace("000.png", "other.png"), "no image .*other.png"),
        (lambda text: text.replace("001.png", "000.png"), "2 cameras for the image"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(tmp_path, scene, change, message):
    made = scene()
    text = change(table(made))
    assert text != table(made)
    write(tmp_path, made, text)
    with pytest.raises(InputError, match=message) as caught:
        read_cameras(tmp_path / "cameras.csv")
    assert "\n" not in str(caught.value)
