import json

import numpy as np
import pytest

from bozzetto import InputError
from bozzetto.cameras.formats import read_cameras
from bozzetto.errors import InputWarning


def openmvg(scene, lens):
    width, height = scene.size
    camera = {"focal_length": scene.f[0], "principal_point": list(scene.c), **lens}
    newer = {"value0": {"width": width, "height": height}, **camera}
    return {
        "sfm_data_version": "0.3",
        "root_path": "/home/somebody/pictures",
        "views": [
            {
                "key": i,
                "value": {
                    "polymorphic_id": 1073741824,
                    "ptr_wrapper": {
                        "id": i,
                        "data": {
                            "local_path": "/",
                            "filename": name,
                            "width": width,
                            "height": height,
                            "id_view": i,
                            "id_intrinsic": 0,
                            "id_pose": 10 + i,
                        },
                    },
                },
            }
            for i, name in enumerate([*scene.names, "lost.png"])
        ],
        "intrinsics": [{"key": 0, "value": {"polymorphic_id": 5, "ptr_wrapper": {"id": 9, "data": newer}}}],
        "extrinsics": [
            {"key": 10 + i, "value": {"rotation": R.tolist(), "center": C.tolist()}}
            for i, (R, C) in enumerate(zip(scene.R, scene.C, strict=True))
        ],
        "structure": [
            {
                "key": 0,
                "value": {"X": [1, 2, 3], "observations": [{"key": 0, "value": {}}, {"key": 2, "value": {}}]},
            },
            {"key": 1, "value": {"X": [4, 5, 6], "observations": [{"key": 1, "value": {}}]}},
        ],
    }


def alicevision(scene, version, kind):
    width, height = scene.size
    later = version >= [1, 2, 1]
    c = [scene.c[0] - width / 2, scene.c[1] - height / 2] if later else list(scene.c)
    camera = {
        "intrinsicId": "77",
        "width": str(width),
        "height": str(height),
        "type": kind if version < [1, 2, 6] else "pinhole",
        "principalPoint": [repr(float(v)) for v in c],
        "distortionParams": [
            repr(v) for v in (*scene.k, *scene.p)[: {"radial3": 3, "brown": 5}.get(kind, 4)]
        ],
    }
    if version < [1, 2, 2]:
        camera["pxFocalLength"] = str(scene.f[0]) if version < [1, 2, 0] else [str(f) for f in scene.f]
    else:
        ratio = scene.f[1] / scene.f[0] if version >= [1, 2, 5] else scene.f[0] / scene.f[1]
        millimetres = scene.f[0] / width * 7.2
        camera |= {"sensorWidth": "7.2", "focalLength": repr(millimetres), "pixelRatio": repr(ratio)}
    if version >= [1, 2, 6]:
        camera["distortionType"] = {"radial3": "radialk3"}.get(kind, kind)
    return {
        "version": [str(v) for v in version],
        "views": [
            {"viewId": str(100 + i), "poseId": str(i), "intrinsicId": "77", "path": f"/home/somebody/{name}"}
            for i, name in enumerate(scene.names)
        ],
        "intrinsics": [camera],
        "poses": [
            {
                "poseId": str(i),
                "pose": {
                    "transform": {
                        "rotation": [repr(float(v)) for v in R.T.flatten()],  # column by column
                        "center": [repr(float(v)) for v in C],
                    },
                    "locked": "0",
                },
            }
            for i, (R, C) in enumerate(zip(scene.R, scene.C, strict=True))
        ],
        "structure": [
            {"X": ["1", "2", "3"], "observations": [{"observationId": "101"}, {"observationId": "102"}]}
        ],
    }


def write(tmp_path, scene, data, name):
    scene.pictures(tmp_path / "images")
    (tmp_path / name).write_text(json.dumps(data))
    return tmp_path


LENSES = {
    "pinhole": {},
    "disto_k1": {"k": (0.1,)},
    "disto_k3": {"k": (0.1, -0.05, 0.02)},
    "disto_t2": {"k": (0.1, -0.05, 0.02), "p": (0.003, -0.002)},
    "fisheye": {"k": (0.1, -0.05, 0.02, 0.01), "fisheye": True},
}


@pytest.mark.filterwarnings("ignore:.*photographs were not placed|.*gives places")
@pytest.mark.parametrize("lens", LENSES)
def test_points_land_where_openmvg_puts_them(tmp_path, scene, agrees, lens):
    made = scene(**LENSES[lens])
    written = {} if lens == "pinhole" else {lens: [*made.k, *(made.p if lens == "disto_t2" else ())]}
    posed = read_cameras(write(tmp_path, made, openmvg(made, written), "sfm_data.json"))
    agrees(posed, made)
    assert posed.points.positions.tolist() == [[1, 2, 3]]
    assert posed.points.visible.tolist() == [[True, False, True]]


def test_views_without_pose_are_named(tmp_path, scene):
    made = scene()
    write(tmp_path, made, openmvg(made, {}), "sfm_data.json")
    with pytest.warns(InputWarning, match="1 of 4 photographs were not placed and are left out: lost.png"):
        read_cameras(tmp_path / "sfm_data.json")


KINDS = {
    "radial3": {"k": (0.1, -0.05, 0.02)},
    "brown": {"k": (0.1, -0.05, 0.02), "p": (0.003, -0.002)},
    "fisheye4": {"k": (0.1, -0.05, 0.02, 0.01), "fisheye": True},
}


@pytest.mark.filterwarnings("ignore:.*gives places")
@pytest.mark.parametrize("version", [[1, 0, 0], [1, 2, 0], [1, 2, 1], [1, 2, 4], [1, 2, 8]])
@pytest.mark.parametrize("kind", KINDS)
def test_points_land_where_meshroom_puts_them(tmp_path, scene, agrees, version, kind):
    f = (70.0, 70.0) if version < [1, 2, 0] else (70.0, 72.0)
    made = scene(f=f, **KINDS[kind])
    posed = read_cameras(write(tmp_path, made, alicevision(made, version, kind), "cameras.sfm"))
    agrees(posed, made)
    assert posed.points.visible.tolist() == [[False, True, True]]


def test_the_fov_model_of_meshroom(tmp_path, scene):
    made = scene(k=(0.6,))
    data = alicevision(made, [1, 2, 4], "fisheye1")
    data["intrinsics"][0]["distortionParams"] = ["0.6"]
    with pytest.warns(InputWarning, match="gives places"):
        view = read_cameras(write(tmp_path, made, data, "cameras.sfm")).views[0]
    assert view.lens.projection == "fov" and view.lens.shape == (0.6,)


def camera_of(data):
    return data["intrinsics"][0]["value"]["ptr_wrapper"]["data"]


def damaged(change):
    def act(data):
        change(data)
        return data

    return act


@pytest.mark.filterwarnings("ignore:.*photographs were not placed|.*gives places")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("views"), "has no views"),
        (lambda d: d.update(extrinsics=[]), "has no extrinsics"),
        (lambda d: d.update(extrinsics=[{"key": [1], "value": {}}]), "none of 4 views has a pose"),
        (lambda d: d["extrinsics"][0].update(value=3), "where an object belongs"),
        (lambda d: d["extrinsics"][0]["value"].update(rotation=[[1, 2]]), "rotation is .* 9 numbers"),
        (lambda d: d["extrinsics"][0]["value"].update(center=[1, 2, "x"]), "center is 'x'"),
        (lambda d: d["extrinsics"][0]["value"].update(rotation=(-np.eye(3)).tolist()), "mirrored"),
        (lambda d: d["views"][0]["value"]["ptr_wrapper"]["data"].update(filename=7), "has the picture 7"),
        (lambda d: d["intrinsics"][0]["value"]["ptr_wrapper"]["data"].pop("focal_length"), "no focal length"),
        (lambda d: d["intrinsics"][0]["value"]["ptr_wrapper"]["data"].update(disto_x=[1]), "lens disto_x"),
        (
            lambda d: d["intrinsics"][0]["value"]["ptr_wrapper"]["data"].update(focal_length=-2),
            "focal lengths -2",
        ),
    ],
)
def test_bad_files_are_refused_in_one_sentence(tmp_path, scene, change, message):
    made = scene()
    write(tmp_path, made, damaged(change)(openmvg(made, {})), "sfm_data.json")
    with pytest.raises(InputError, match=message) as caught:
        read_cameras(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*gives places")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["intrinsics"][0].update(type="equirectangular"), "equirectangular"),
        (lambda d: d["intrinsics"][0].update(distortionParams=["1"]), "1 distortionParams, radial3 has 3"),
        (lambda d: d["intrinsics"][0].update(pixelRatio="0"), "pixelRatio 0"),
        (lambda d: d["views"][0].update(rigId="1"), "a rig of several cameras"),
        (lambda d: d["poses"][0]["pose"].pop("transform"), "where an object belongs"),
        (lambda d: d.update(version=["a", "b"]), "expected 3 numbers"),
    ],
)
def test_bad_files_of_meshroom_are_refused(tmp_path, scene, change, message):
    made = scene(**KINDS["radial3"])
    write(tmp_path, made, damaged(change)(alicevision(made, [1, 2, 4], "radial3")), "cameras.sfm")
    with pytest.raises(InputError, match=message):
        read_cameras(tmp_path)
