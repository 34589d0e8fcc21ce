import errno
import os

import numpy as np
import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.files import (
    CannotWrite,
    NoSpace,
    atomic_path,
    is_leftover,
    remove_leftovers,
    write_bytes,
    write_error,
    write_text,
)


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        assert path.read_text() == "old"
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with atomic_path(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        write_text(tmp_path / "file" / "a.txt", "x")


@pytest.mark.skipif(os.name == "nt", reason="names there are restricted")
@pytest.mark.parametrize(
    "name", ["x" * 255, "花" * 85, "x" * 250 + ".png", ".hidden", "a b ", "a\nb", "a.", "-"]
)
def test_every_name_that_the_system_allows_can_be_written(tmp_path, name):
    write_bytes(tmp_path / name, b"1")
    assert (tmp_path / name).read_bytes() == b"1"
    with pytest.raises(InputError, match="name is longer"):
        write_bytes(tmp_path / (name + "x" * 255), b"1")


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="names there are text")
def test_names_of_bytes_that_are_no_text(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.txt")
    write_text(path, os.fsdecode(b"caf\xe9"))
    assert path.read_bytes() == b"caf\xe9"


def test_what_killed_processes_leave_is_deleted_and_nothing_else(tmp_path):
    left = []
    for name in ("a.txt", ".files", "x" * 200, "a.b.glb", "mesh", "\u82b1 .ply"):
        with atomic_path(tmp_path / name) as temporary:
            left.append(temporary.name)
    assert all(is_leftover(name) for name in left)
    kept = sorted(p.name for p in tmp_path.iterdir()) + [".notes.part", "a.7.part", ".x.7.part.d"]
    for name in (*left, ".notes.part", "a.7.part"):
        (tmp_path / name).touch()
    (tmp_path / ".x.7.part.d").mkdir()
    remove_leftovers(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(kept)
    remove_leftovers(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (OSError(errno.ENOSPC, "x"), NoSpace, "no space left on the disk to write"),
        (OSError(errno.EDQUOT, "x"), NoSpace, "no space left"),
        (OSError(errno.EFBIG, "x"), NoSpace, "larger than files may be"),
        (
            RuntimeError('Failed to write pixel data to "a". No space left on device.'),
            NoSpace,
            "no space left",
        ),
        (
            OSError(errno.EROFS, "Read-only file system"),
            CannotWrite,
            "Read-only file system; choose a folder",
        ),
        (OSError(errno.EACCES, "Permission denied"), CannotWrite, "Permission denied; choose a folder"),
        (OSError("480 requested and 20 written"), CannotWrite, "480 requested"),
        (OSError(errno.EIO, "x"), CannotWrite, "input/output error"),
    ],
)
def test_what_the_system_says_is_explained(tmp_path, error, kind, message):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(InputError, match=message) as raised, atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error
    assert type(raised.value) is kind and str(path) in str(raised.value)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_other_errors_stay_what_they_are(tmp_path):
    for error in (RuntimeError("a bug"), ZeroDivisionError(), KeyboardInterrupt()):
        with pytest.raises(type(error)), atomic_path(tmp_path / "a") as _:
            raise error
    assert list(tmp_path.iterdir()) == []


def test_a_short_write_on_a_full_disk_is_one_too(tmp_path, monkeypatch):
    error = OSError("480000 requested and 65408 written")
    assert not isinstance(write_error(error, tmp_path / "a" / "b.npy"), NoSpace)
    monkeypatch.setattr("bozzetto.files._free", lambda path: 4096)
    assert isinstance(write_error(error, tmp_path / "a" / "b.npy"), NoSpace)


def test_every_writer_meets_a_limit_on_the_size_of_files(tmp_path):
    resource = pytest.importorskip("resource")
    from bozzetto.images import save_image
    from bozzetto.shapes import HeightField, icosphere, save_height, save_mesh

    noise = torch.from_numpy(np.random.default_rng(0).random((64, 64, 3), dtype=np.float32))
    writers = {
        "a.png": lambda path: save_image(path, noise),
        "a.exr": lambda path: save_height(HeightField(noise[..., 0]), path),
        "h.png": lambda path: save_height(HeightField(noise[..., 0]), path),
        "a.ply": lambda path: save_mesh(icosphere(4), path),
        "a.glb": lambda path: save_mesh(icosphere(4), path),
    }
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        for name, write in writers.items():
            with pytest.raises(NoSpace, match="larger than files may be"):
                write(tmp_path / name)
            assert list(tmp_path.iterdir()) == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
