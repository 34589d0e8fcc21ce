"""What is said of files that are missing, no files, of another kind or not what their name says."""

import os

import numpy as np
import pytest

from bozzetto.errors import InputError, InputWarning
from bozzetto.shapes import box, load_mesh, load_points, load_shape, save_mesh


def test_the_first_bytes_tell_more_than_the_name(tmp_path):
    for ending in ("ply", "glb"):
        save_mesh(box((2, 1, 3)), tmp_path / f"a.{ending}")
        (tmp_path / "b.obj").write_bytes((tmp_path / f"a.{ending}").read_bytes())
        with pytest.warns(InputWarning, match=f"it holds {ending.upper()} whatever its name says"):
            assert len(load_mesh(tmp_path / "b.obj").faces) == 12


def test_paths_that_are_no_files(tmp_path):
    (tmp_path / "folder.ply").mkdir()
    for path, word in (
        (tmp_path / "folder.ply", "a folder"),
        (tmp_path / ("x" * 300 + ".ply"), "does not exist"),
    ):
        with pytest.raises(InputError, match=word):
            load_shape(path)
    with pytest.raises(InputError, match="does not exist"):
        load_shape("a\0b.ply")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_pipes_are_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.ply")
    with pytest.raises(InputError, match="no regular file"):
        load_shape(tmp_path / "pipe.ply")


@pytest.mark.parametrize("ending", ["ply", "obj", "off", "stl", "glb", "xyz", "csv", "npy", "npz"])
def test_empty_files(tmp_path, ending):
    (tmp_path / f"a.{ending}").write_bytes(b"")
    with pytest.raises(InputError, match="it is empty"):
        load_shape(tmp_path / f"a.{ending}")


def test_numpy_headers_that_announce_too_much(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((5, 3)))
    assert len(load_points(tmp_path / "a.npy")) == 5
    data = (tmp_path / "a.npy").read_bytes()
    for lie in (b"(500000000000, 3)", b"(6, 3)"):
        head = data[:128].replace(b"(5, 3), }", lie + b", }").ljust(128)[:127] + b"\n"
        (tmp_path / "b.npy").write_bytes(head + data[128:])
        with pytest.raises(InputError, match="announced, 120 bytes found"):
            load_points(tmp_path / "b.npy")
    np.save(tmp_path / "c.npy", np.zeros((5, 4)))
    with pytest.raises(InputError, match=r"shape \(5, 4\), expected \(points, 3\)"):
        load_points(tmp_path / "c.npy")


@pytest.mark.parametrize("ending", ["ply", "stl", "gltf", "xyz", "npy"])
def test_zeros_are_refused_before_they_are_read(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(b"")
    os.truncate(path, 1 << 28)
    with pytest.raises(InputError, match="begins with 4096 zero bytes"):
        load_shape(path)
