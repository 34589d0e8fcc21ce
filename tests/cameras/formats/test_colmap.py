import math
import struct

import pytest
import torch
from PIL import Image

from bozzetto import InputError
from bozzetto.cameras import load_capture
from bozzetto.cameras.formats import read_cameras
from bozzetto.cameras.formats.colmap_model import CAMERA_MODELS, ColmapCamera
from bozzetto.errors import InputWarning

# Two cameras: the second stands at x = 2 and is turned by 90 degrees about y.
POSES = {"a.png": ((1, 0, 0, 0), (0, 0, 4)), "b.png": ((math.sqrt(0.5), 0, math.sqrt(0.5), 0), (0, 0, 2))}
PARAMETERS = (50.0, 60.0, 20.0, 14.0)
POINTS = [((0.1, -0.2, 0.3), (7, 3)), ((0.0, 0.1, -0.1), (3, 7)), ((0.5, 0, 0), (3,))]


def write_binary(folder):
    folder.mkdir(parents=True)
    (folder / "cameras.bin").write_bytes(struct.pack("<QIiQQ4d", 1, 5, 1, 40, 28, *PARAMETERS))
    images = struct.pack("<Q", 2)
    for key, (name, (q, t)) in zip((7, 3), POSES.items(), strict=True):
        images += struct.pack("<I7dI", key, *q, *t, 5) + name.encode() + b"\0"
        images += struct.pack("<QddqddQ", 2, 1.5, 2.5, -1, 3.5, 4.5, 1)
    (folder / "images.bin").write_bytes(images)
    points = struct.pack("<Q", len(POINTS))
    for key, (position, track) in enumerate(POINTS):
        points += struct.pack("<Q3d3Bd", key, *position, 255, 0, 9, 0.7) + struct.pack("<Q", len(track))
        points += b"".join(struct.pack("<II", image, 0) for image in track)
    (folder / "points3D.bin").write_bytes(points)
    (folder / "rigs.bin").write_bytes(b"newer versions write rigs and frames")


def write_text(folder):
    folder.mkdir(parents=True)
    numbers = " ".join(map(str, PARAMETERS))
    (folder / "cameras.txt").write_text(f"# Camera list\n5 PINHOLE 40 28 {numbers}\n")
    lines = ["# Image list", "# Number of images: 2"]
    for key, (name, (q, t)) in zip((7, 3), POSES.items(), strict=True):
        lines += [" ".join(map(str, [key, *q, *t, 5, name])), "" if key == 7 else "1.5 2.5 -1 3.5 4.5 1"]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    lines = [
        " ".join(map(str, [key, *position, 255, 0, 9, 0.7, *(f"{i} 0" for i in track)]))
        for key, (position, track) in enumerate(POINTS)
    ]
    (folder / "points3D.txt").write_text("\n".join(lines) + "\n")


def write_pictures(folder, size=(40, 28)):
    folder.mkdir(parents=True)
    for name in POSES:
        Image.new("RGB", size, (90, 80, 70)).save(folder / name)


@pytest.fixture(params=[write_binary, write_text])
def project(request, tmp_path):
    request.param(tmp_path / "sparse" / "0")
    write_pictures(tmp_path / "images")
    return tmp_path


def test_points_land_where_they_are_computed_by_hand(project):
    posed = read_cameras(project)
    assert [view.name for view in posed.views] == ["a.png", "b.png"]
    assert [view.image.parent.name for view in posed.views] == ["images", "images"]
    assert posed.views[0].size == (40, 28) and posed.views[0].lens is None
    capture = load_capture(project, masks="none")
    x, y, z = 0.1, -0.2, 0.3
    first, second = capture.cameras.project(torch.tensor([[x, y, z]]))[:, 0]
    assert first.tolist() == pytest.approx([20 + 50 * x / (z + 4), 14 + 60 * y / (z + 4), z + 4], abs=1e-6)
    # about y by 90 degrees: x' = z, z' = 2 - x
    assert second.tolist() == pytest.approx([20 + 50 * z / (2 - x), 14 + 60 * y / (2 - x), 2 - x], abs=1e-6)


def test_points_and_who_saw_them(project):
    points = read_cameras(project).points
    assert torch.allclose(points.positions, torch.tensor([POINTS[0][0], POINTS[1][0]], dtype=torch.float64))
    assert bool(points.visible.all())  # the third, which one image saw, is no measurement
    assert len(load_capture(project, masks="none").points) == 2


@pytest.mark.parametrize("given", [".", "sparse", "sparse/0", "sparse/0/images"])
def test_any_part_of_the_project_may_be_given(project, given):
    path = project / given
    if given.endswith("images"):
        path = next(p for p in path.parent.iterdir() if p.stem == "images")
    assert len(load_capture(path, masks="none")) == 2


def test_reduced_pictures_scale_the_intrinsics(project):
    (project / "images").rename(project / "full")
    write_pictures(project / "images_2", (20, 14))
    with pytest.warns(InputWarning, match="intrinsics are scaled"):
        capture = load_capture(project, masks="none")
    assert capture.cameras.K[0].tolist() == [[25, 0, 10], [0, 30, 7], [0, 0, 1]]


def test_photographs_elsewhere(project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (project / "images").rename(elsewhere / "here")
    posed = read_cameras(project, photos=elsewhere / "here")
    assert all(view.image.is_file() for view in posed.views)
    with pytest.raises(InputError, match="no folder"):
        read_cameras(project, photos=project / "nowhere")


def test_the_largest_of_several_models_is_taken(project):
    write_text(project / "sparse" / "1")
    images = project / "sparse" / "1" / "images.txt"
    images.write_text("".join(line + "\n" for line in images.read_text().splitlines()[:4]))
    with pytest.warns(InputWarning, match="2 models .*0 with 2 images, 1 with 1 images"):
        assert len(read_cameras(project).views) == 2


# What pycolmap 4.2.1 computes for the point (0.3, -0.2, 1) with these parameters, f = 100, c = (100, 80).
EXTRA = [0.03, -0.06, 0.09, -0.12, 0.15, -0.18, 0.21, -0.24, 0.27, -0.3, 0.33, -0.36]
PIXELS = {
    "SIMPLE_PINHOLE": (130, 60),
    "PINHOLE": (130, 60),
    "SIMPLE_RADIAL": (130.117, 59.922),
    "RADIAL": (130.08658, 59.94228),
    "OPENCV": (125.28658, 63.27228),
    "OPENCV_FISHEYE": (128.8752485, 60.74983433),
    "FULL_OPENCV": (125.922539, 62.84830733),
    "FOV": (130.43535086, 59.70976609),
    "SIMPLE_RADIAL_FISHEYE": (128.89628205, 60.73581197),
    "RADIAL_FISHEYE": (128.87150921, 60.75232719),
    "THIN_PRISM_FISHEYE": (126.97109555, 60.94153333),
    "RAD_TAN_THIN_PRISM_FISHEYE": (140.39111894, 57.19818313),
    "SIMPLE_DIVISION": (130.1179216, 59.9213856),
    "DIVISION": (130.1179216, 59.9213856),
    "SIMPLE_FISHEYE": (128.79284507, 60.80476995),
    "FISHEYE": (128.79284507, 60.80476995),
    "EUCM": (129.3266406, 60.44890627),
}


@pytest.mark.parametrize("model", PIXELS)
def test_every_camera_model_agrees_with_colmap(model):
    names = CAMERA_MODELS[model][1]
    own = [100.0] if "f" in names else [100.0, 100.0]
    extra = [0.6, 0.6] if model in ("FOV", "EUCM") else EXTRA
    count = len(names) - len(own) - 2
    camera = ColmapCamera(model, 200, 160, (*own, 100.0, 80.0, *extra[:count]))
    camera.check("camera 1")
    K, lens = camera.intrinsics()
    point = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    plane = point if lens is None else lens.distort(point)
    pixel = (plane @ K[:2, :2].T + K[:2, 2])[0]
    assert pixel.tolist() == pytest.approx(PIXELS[model], abs=1e-7)


def damage(name, change):
    def act(project):
        for path in (project / "sparse" / "0").glob(name):
            change(path)

    return act


def huge_count(path):
    path.write_bytes(struct.pack("<Q", 10**18) + path.read_bytes()[8:])


def truncate(path):
    path.write_bytes(path.read_bytes()[:-9])


def replace(old, new):
    return lambda path: path.write_bytes(path.read_bytes().replace(old, new))


def number(value):
    return struct.pack("<d", value)


BINARY = [
    (damage("cameras.bin", lambda p: p.write_bytes(b"")), "cameras.bin ends in the middle"),
    (damage("images.bin", truncate), "images.bin is damaged or no file of COLMAP|ends in the middle"),
    (damage("points3D.bin", truncate), "points3D.bin"),
    (damage("cameras.bin", huge_count), "announces 1000000000000000000 records"),
    (damage("images.bin", huge_count), "announces 1000000000000000000 records"),
    (damage("images.bin", lambda p: p.write_bytes(struct.pack("<Q", 0))), "a model without images"),
    (damage("cameras.bin", lambda p: p.write_bytes(p.read_bytes() + b"abc")), "3 bytes are left over"),
    (damage("cameras.bin", lambda p: p.unlink()), "needs cameras and images"),
    (damage("cameras.bin", replace(struct.pack("<Ii", 5, 1), struct.pack("<Ii", 5, 99))), "model number 99"),
    (damage("cameras.bin", replace(struct.pack("<Ii", 5, 1), struct.pack("<Ii", 6, 1))), "has the camera 5"),
    (damage("cameras.bin", replace(number(50), number(float("nan")))), "camera 5 has NaN"),
    (damage("cameras.bin", replace(number(50), number(-50))), "focal length that is not positive"),
    (damage("images.bin", replace(number(4), number(float("inf")))), "pose of a.png has NaN or infinite"),
    (damage("images.bin", replace(number(1), number(0))), "quaternion of zeros"),
    (damage("images.bin", replace(b"a.png\0", b"c.png\0")), "no image .*c.png"),
]


@pytest.mark.parametrize(("act", "message"), BINARY)
def test_damaged_binary_files_are_named_in_one_sentence(tmp_path, act, message):
    write_binary(tmp_path / "sparse" / "0")
    write_pictures(tmp_path / "images")
    act(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        load_capture(tmp_path, masks="none")
    assert "\n" not in str(caught.value)


TEXT = [
    (
        damage("cameras.txt", lambda p: p.write_text("5 PINHOLE 40 28 50\n")),
        "has 1 parameters, PINHOLE has 4",
    ),
    (damage("cameras.txt", lambda p: p.write_text("5 MAGIC 40 28 50\n")), "unknown camera model 'MAGIC'"),
    (damage("cameras.txt", lambda p: p.write_text("hello\n")), "has 1 fields"),
    (damage("cameras.txt", replace(b"28 50.0", b"28 fifty")), "'fifty' where a number belongs"),
    (damage("cameras.txt", replace(b" 40 28 ", b" 0 28 ")), "pictures of 0 x 28"),
    (damage("cameras.txt", replace(b"5 PINHOLE", b"5.5 PINHOLE")), "'5.5' where a whole number"),
    (damage("images.txt", lambda p: p.write_text("7 1 0 0\n")), "images.txt, line 1 has 4 fields"),
    (damage("images.txt", lambda p: p.write_text("")), "a model without images"),
    (damage("points3D.txt", lambda p: p.write_text("1 2 3\n")), "points3D.txt, line 1 has 3 fields"),
    (damage("images.txt", lambda p: p.unlink()), "holds cameras.txt, points3D.txt of a COLMAP model"),
]


@pytest.mark.parametrize(("act", "message"), TEXT)
def test_damaged_text_files_are_named_in_one_sentence(tmp_path, act, message):
    write_text(tmp_path / "sparse" / "0")
    write_pictures(tmp_path / "images")
    act(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        load_capture(tmp_path, masks="none")
    assert "\n" not in str(caught.value)


def test_panoramas_are_refused():
    with pytest.raises(InputError, match="panorama"):
        ColmapCamera("EQUIRECTANGULAR", 200, 100, (200.0, 100.0)).check("camera 1")
