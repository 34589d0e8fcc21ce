import json

import pytest

from bozzetto import InputError
from bozzetto.cameras.formats import read_cameras
from bozzetto.cameras.formats.reading import FOREIGN_ENDINGS, FOREIGN_NAMES
from bozzetto.errors import InputWarning


def transforms(scene, **changes):
    frames = []
    for name, R, C in zip(scene.names, scene.R, scene.C, strict=True):
        right, down, forward = R
        matrix = [[r, -d, -f, c] for r, d, f, c in zip(right, down, forward, C, strict=True)]
        frames.append(
            {"file_path": f"images/{name}", "transform_matrix": [*matrix, [0, 0, 0, 1]], "sharpness": 3.5}
        )
    (fx, fy), (cx, cy), (w, h) = scene.f, scene.c, scene.size
    return {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": w, "h": h, "frames": frames, **changes}


def write(tmp_path, scene, data):
    scene.pictures(tmp_path / "images")
    (tmp_path / "transforms.json").write_text(json.dumps(data))
    return tmp_path


@pytest.mark.parametrize("model", [{"camera_model": "OPENCV_FISHEYE"}, {"is_fisheye": True}])
def test_fisheyes_of_transforms_json(tmp_path, scene, agrees, model):
    made = scene(k=(0.1, -0.05, 0.02, 0.01), fisheye=True)
    k = {f"k{i + 1}": value for i, value in enumerate(made.k)}
    agrees(read_cameras(write(tmp_path, made, transforms(made, **k, **model))), made)


def test_skew_and_intrinsics_of_single_frames_of_transforms_json(tmp_path, scene, agrees):
    made = scene(skew=0.7)
    data = transforms(made, skew=0.7)
    for frame in data["frames"]:
        frame["fl_x"] = data["fl_x"]
    agrees(read_cameras(write(tmp_path, made, data | {"fl_x": 1.0})), made)


def test_points_of_transforms_json_are_seen_where_they_lie_in_the_frame(tmp_path, scene):
    made = scene()
    write(tmp_path, made, transforms(made, ply_file_path="points.ply"))
    lines = ["ply", "format ascii 1.0", "element vertex 3"]
    lines += [f"property float {axis}" for axis in "xyz"] + ["end_header", "0 0 0", "0.1 0 0", "0 0 -50"]
    (tmp_path / "points.ply").write_text("\n".join(lines) + "\n")
    points = read_cameras(tmp_path).points
    assert points.positions[:, 2].tolist() == [
        0,
        0,
    ]  # the third lies behind the first camera and beside others
    assert bool(points.visible.all())


def test_points_that_cannot_be_read_are_left_out(tmp_path, scene):
    made = scene()
    write(tmp_path, made, transforms(made, ply_file_path="points.ply"))
    (tmp_path / "points.ply").write_text("ply\n")
    with pytest.warns(InputWarning, match="points of points.ply are not used"):
        assert read_cameras(tmp_path).points is None


def test_pictures_are_not_opened(tmp_path, scene, agrees):
    made = scene()
    write(tmp_path, made, transforms(made))
    for picture in (tmp_path / "images").iterdir():
        picture.write_bytes(b"no picture at all")
    agrees(read_cameras(tmp_path), made)


def test_one_photograph_is_not_enough(tmp_path, scene):
    made = scene()
    data = transforms(made)
    with pytest.raises(InputError, match="one photograph only"):
        read_cameras(write(tmp_path, made, data | {"frames": data["frames"][:1]}))


def test_mirrored_poses_are_refused(tmp_path, scene):
    made = scene()
    data = transforms(made)
    for row in data["frames"][1]["transform_matrix"][:3]:
        row[0] = -row[0]
    with pytest.raises(InputError, match="pose of 001.png is mirrored"):
        read_cameras(write(tmp_path, made, data))


@pytest.mark.parametrize("ending", FOREIGN_ENDINGS)
def test_files_of_other_programs_are_named(tmp_path, ending):
    path = tmp_path / f"scene{ending}"
    path.write_bytes(b"something")
    with pytest.raises(InputError, match="which is not read; [a-z]+ "):
        read_cameras(path)


@pytest.mark.parametrize("name", [*FOREIGN_NAMES, "scene.psx", "scene.mvs", "recording.r3d"])
def test_folders_of_other_programs_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(InputError, match="which is not read|of a COLMAP model"):
        read_cameras(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cameras.json", "[{}]", "no list of frames"),
        ("cameras.json", '[{"shots": {}}]', "OpenSfM"),
        ("cameras.json", "[" * 100_000, "nested too deeply"),
        ("cameras.json", "", "is empty"),
        ("cameras.json", '{"frames": 1e999}', "no list of frames"),
        ("cameras.csv", "a,b,c\n", "no line with the columns"),
        ("cameras.npz", "PK", "cannot be read"),
        ("cameras.npy", "abc", "cannot be read"),
        ("cameras.out", "1 2 3", "does not begin with"),
        ("cameras.sfm", "{}", "has no views"),
        ("notes.txt", "hello", "does not begin with the number of images"),
        ("blocks.xml", "<BlocksExchange/>", "a file of ContextCapture"),
        ("orient.xml", "<ExportOrient/>", "MicMac"),
        ("cameras.xml", "<a/>", "no chunk with cameras"),
        ("scene.gltf", "{}", "no camera file that is read; transforms.json, COLMAP"),
        ("cameras.bin", "", "cameras.bin of a COLMAP model, which needs cameras and images"),
        ("cameras.txt", "5 PINHOLE", "cameras.txt of a COLMAP model, which needs cameras and images"),
    ],
)
def test_files_that_are_something_else_are_refused_in_one_sentence(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_cameras(path)
    assert "\n" not in str(caught.value)


def test_names_that_no_file_has_are_refused():
    for name in ("x" * 5000, "a\0b"):
        with pytest.raises(InputError, match="no capture"):
            read_cameras(name)


def test_a_folder_with_nothing_says_what_is_read(tmp_path):
    with pytest.raises(InputError, match="no cameras in .*Metashape XML, RealityCapture CSV"):
        read_cameras(tmp_path)
    for name in ("a.out", "b.out"):
        (tmp_path / name).write_text("# Bundle file v0.3\n")
    with pytest.raises(InputError, match="2 camera files"):
        read_cameras(tmp_path)
