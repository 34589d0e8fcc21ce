"""Which files of two folders belong together, and sets of clouds."""

import numpy as np
import pytest
import torch

from bozzetto.errors import InputError, InputWarning
from bozzetto.shapes import PointCloud, save_points
from bozzetto.shapes.folders import height_files, load_cloud_set, matched_heights, matched_shapes


def made(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def test_shapes_belong_together_by_name(tmp_path):
    pred, ref = tmp_path / "pred", tmp_path / "ref"
    made(pred / "b.ply", pred / "a.obj", pred / "c.npy", pred / "more.stl", pred / "notes.txt")
    made(ref / "a.glb", ref / "b.XYZ")
    assert matched_shapes(pred, ref) == [
        ("a", pred / "a.obj", ref / "a.glb"),
        ("b", pred / "b.ply", ref / "b.XYZ"),
    ]
    assert matched_shapes(pred / "b.ply", ref / "a.glb") == [("b", pred / "b.ply", ref / "a.glb")]
    made(ref / "c.npy", ref / "d.npy")
    assert len(matched_shapes(pred, ref)) == 2
    with pytest.raises(InputError, match="no shape named d, nor 0 more of the 4"):
        matched_shapes(pred, ref, arrays=True)
    with pytest.raises(InputError, match="two files or two folders"):
        matched_shapes(pred, ref / "a.glb")
    with pytest.raises(InputError, match="does not exist"):
        matched_shapes(pred, tmp_path / "nowhere")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no shapes"):
        matched_shapes(tmp_path / "none", ref)


def test_height_maps_are_called_by_their_folder_or_file(tmp_path):
    folders, files = tmp_path / "folders", tmp_path / "files"
    made(folders / "brick" / "height.png", folders / "brick" / "color.png", folders / "deep/er/height.exr")
    assert set(height_files(folders)) == {"brick", "deep/er"}
    made(files / "brick.tif", files / ".hidden.png", files / "wood.png")
    assert set(height_files(files)) == {"brick", "wood"}
    made(files / "wood.exr")
    with pytest.warns(InputWarning, match="wood.png is left out, because wood.exr"):
        assert height_files(files)["wood"].suffix == ".exr"
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no height maps"):
        height_files(tmp_path / "none")


def test_predicted_heights_need_no_references_but_references_need_predictions(tmp_path):
    pred, ref = tmp_path / "pred", tmp_path / "ref"
    made(pred / "a.png", pred / "b.png", ref / "a" / "height.png")
    with pytest.warns(InputWarning, match="no reference for 1 height maps .*: b"):
        assert matched_heights(pred, ref) == {"a": (pred / "a.png", ref / "a" / "height.png")}
    made(ref / "c" / "height.png")
    with pytest.raises(InputError, match="no height map named c, nor 0 more of the 2"):
        matched_heights(pred, ref)
    with pytest.raises(InputError, match="belong together by name"):
        matched_heights(made(tmp_path / "other" / "x.png")[0].parent, ref)
    assert matched_heights(pred / "b.png", ref / "a" / "height.png").keys() == {"height"}


def test_a_set_is_an_array_or_a_folder(tmp_path):
    array = np.random.default_rng(0).random((3, 7, 3)).astype(np.float32)
    np.save(tmp_path / "set.npy", array)
    found = load_cloud_set(tmp_path / "set.npy")
    assert torch.equal(torch.stack(list(found.values())), torch.from_numpy(array))
    assert "cloud 2 of" in list(found)[2]
    folder = tmp_path / "set"
    for index in range(2):
        save_points(PointCloud(torch.from_numpy(array[index])), folder / f"points-{index}.ply")
    np.save(folder / "points.npy", array)  # the same again, as `bozzetto sample` writes it
    assert [len(cloud) for cloud in load_cloud_set(folder).values()] == [7, 7]
    np.save(tmp_path / "far.npy", array.astype(np.float64) + 5e6)
    assert all(cloud.dtype == torch.float64 for cloud in load_cloud_set(tmp_path / "far.npy").values())


@pytest.mark.parametrize(
    "array, sentence",
    [
        (np.zeros((3, 7, 2)), "2D clouds cannot be used"),
        (np.zeros((7, 3)), "expected .clouds, points, 3."),
        (np.zeros((1, 7, 3)), "holds 1 clouds; sets of at least two"),
        (np.array(["a"]), "expected numbers"),
    ],
)
def test_what_is_no_set(array, sentence, tmp_path):
    np.save(tmp_path / "set.npy", array)
    with pytest.raises(InputError, match=sentence):
        load_cloud_set(tmp_path / "set.npy")
    with pytest.raises(InputError, match="no folder and no .npy file"):
        load_cloud_set(made(tmp_path / "one.ply")[0])
    with pytest.raises(InputError, match="does not exist"):
        load_cloud_set(tmp_path / "nowhere")
