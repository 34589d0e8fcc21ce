"""Fetching from a server on this machine that speaks HTTP with ranges."""

import contextlib
import errno
import hashlib
import io
import os
import random
import re
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path

import pytest

from bozzetto.datasets import Sample, catalogue, fetch
from bozzetto.datasets.fetch import SOURCE
from bozzetto.errors import InputError
from bozzetto.files import NoSpace
from bozzetto.runs import peak_memory

fetch_module = import_module("bozzetto.datasets.fetch")

FILES = {"one.png": b"1" * 300_000, "two_par.txt": b"16\n"}


def archive(files: dict[str, bytes] = FILES, compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as content:
        for name, data in files.items():
            content.writestr(f"set/{name}", data)
    return buffer.getvalue()


def sample_at(url: str) -> Sample:
    listed = {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in FILES.items()}
    return Sample("set", "a test set", "here", url, "free", "nobody", listed)


class Server(ThreadingHTTPServer):
    """Serves `content`; breaks off after `limit` bytes of an answer; remembers the ranges asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.limit, self.ranges, self.understands_ranges = archive(), None, [], True
        self.headers, self.endless = None, False

    @property
    def sample(self) -> Sample:
        return sample_at(f"http://127.0.0.1:{self.server_port}/set.zip")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.server.headers is not None:
            self.send_response(200)
            for header in self.server.headers:
                self.send_header(*header)
            self.end_headers()
            with contextlib.suppress(OSError):
                while self.server.endless:
                    self.wfile.write(b"0" * 65536)
                self.wfile.write(self.server.content)
            return
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        start = int(re.match(r"bytes=(\d+)-", asked)[1]) if asked and self.server.understands_ranges else 0
        if start and start >= len(self.server.content):
            self.send_error(416)
            return
        rest = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: self.server.limit])

    def log_message(self, *arguments) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_fetch_checks_unpacks_and_credits(server, tmp_path):
    seen = []
    folder = fetch(server.sample, tmp_path, on_bytes=lambda done, total: seen.append((done, total)))
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.name != SOURCE} == FILES
    assert "terms: free" in (folder / SOURCE).read_text()
    assert seen[-1] == (len(server.content), len(server.content))
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_nothing_is_done_when_it_is_there(server, tmp_path):
    fetch(server.sample, tmp_path)
    fetch(server.sample, tmp_path)
    assert len(server.ranges) == 1


@pytest.mark.parametrize("understands_ranges", [True, False])
def test_an_interrupted_download_continues(server, tmp_path, understands_ranges):
    server.limit, server.understands_ranges = 100_000, understands_ranges
    with pytest.raises(InputError, match="try again to continue"):
        fetch(server.sample, tmp_path)
    assert not (tmp_path / "set").exists()
    server.limit = None
    fetch(server.sample, tmp_path)
    assert server.ranges == [None, "bytes=100000-"]
    assert (tmp_path / "set" / "one.png").read_bytes() == FILES["one.png"]


def test_a_download_that_was_complete_is_used(server, tmp_path):
    (tmp_path / ".set.zip.part").write_bytes(server.content)
    fetch(server.sample, tmp_path)
    assert (tmp_path / "set" / "one.png").exists()


def test_a_wrong_checksum_leaves_nothing_and_can_be_mended(server, tmp_path):
    server.content = archive({**FILES, "one.png": b"2" * 300_000})
    with pytest.raises(InputError, match="one.png from http.*wrong checksum"):
        fetch(server.sample, tmp_path)
    assert list(tmp_path.iterdir()) == []
    server.content = archive()
    fetch(server.sample, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"<html>moved</html>", "not an intact zip"), (archive({"one.png": FILES["one.png"]}), "lacks 1 of 2")],
)
def test_other_content_is_refused(server, tmp_path, content, message):
    server.content = content
    with pytest.raises(InputError, match=message):
        fetch(server.sample, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_unpacks_to_far_more_is_refused(server, tmp_path):
    server.content = archive({**FILES, "two_par.txt": b"0" * 50_000_000}, zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="lacks 1 of 2 files"):
        fetch(server.sample, tmp_path)


def test_names_in_an_archive_cannot_leave_the_folder(server, tmp_path):
    server.content = archive({**FILES, "../../evil.txt": b"evil"})
    fetch(server.sample, tmp_path / "data")
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [SOURCE, *sorted(FILES)]


def test_unreachable_and_missing(server, tmp_path):
    url = server.sample.url
    gone = Sample("set", "", "", url.replace(str(server.server_port), "9"), "", "", server.sample.files)
    with pytest.raises(InputError, match="cannot be reached.*--from"):
        fetch(gone, tmp_path)


@pytest.mark.parametrize("kind", ["folder", "deep", "zip", "folder with zip"])
def test_from_a_local_copy(server, tmp_path, kind):
    source = tmp_path / "copy"
    if kind == "zip":
        source = tmp_path / "renamed.zip"
        source.write_bytes(archive())
    elif kind == "folder with zip":
        source.mkdir()
        (source / "set.zip").write_bytes(archive())
    else:
        inner = source / "a" / "b" if kind == "deep" else source
        inner.mkdir(parents=True)
        for name, data in FILES.items():
            (inner / name).write_bytes(data)
    folder = fetch(server.sample, tmp_path / "data", source)
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.name != SOURCE} == FILES
    assert server.ranges == []


def test_a_changed_local_copy_is_refused(server, tmp_path):
    source = tmp_path / "copy"
    source.mkdir()
    (source / "one.png").write_bytes(b"other")
    with pytest.raises(InputError, match="lacks 2 of 2"):
        fetch(server.sample, tmp_path / "data", source)
    with pytest.raises(InputError, match="does not exist"):
        fetch(server.sample, tmp_path / "data", tmp_path / "nowhere")


def test_what_is_there_is_kept(server, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="not fetched by bozzetto"):
        fetch(server.sample, tmp_path, overwrite=True)
    assert (tmp_path / "set" / "mine.txt").exists()


def test_a_damaged_set_needs_overwrite(server, tmp_path):
    folder = fetch(server.sample, tmp_path)
    (folder / "one.png").write_bytes(b"damaged")
    with pytest.raises(InputError, match="not intact"):
        fetch(server.sample, tmp_path)
    fetch(server.sample, tmp_path, overwrite=True)
    assert (folder / "one.png").read_bytes() == FILES["one.png"]


def test_an_answer_without_end_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch_module, "SPARE", 1 << 20)
    server.headers, server.endless = [], True
    with pytest.raises(InputError, match="sends more than 1348579 bytes"):
        fetch(server.sample, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", ["10", "99999999999999999999999", "-1", "many", "1000000000000"])
def test_a_length_that_is_not_true_is_no_traceback(server, tmp_path, length):
    server.headers = [("Content-Length", length)]
    try:
        fetch(server.sample, tmp_path)
    except InputError:
        assert [p.name for p in tmp_path.iterdir()] in ([], [".set.zip.part"])


def lying(content: bytes, name: bytes, size: int) -> bytes:
    """An archive whose directory and headers say that a file unpacks to this size."""
    content = bytearray(content)
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = -1
        while (start := content.find(mark, start + 1)) >= 0:
            if name in content[start : start + 80]:
                content[start + at : start + at + 4] = size.to_bytes(4, "little")
    return bytes(content)


def test_an_archive_that_lies_about_sizes_does_not_fill_the_memory(server, tmp_path):
    source = tmp_path / "copy.zip"
    packed = archive({**FILES, "two_par.txt": b"0" * 300_000_000}, zipfile.ZIP_DEFLATED)
    source.write_bytes(lying(packed, b"two_par.txt", 3))
    before = peak_memory()["host"]
    with pytest.raises(InputError, match="wrong checksum|intact"):
        fetch(server.sample, tmp_path / "data", source)
    assert peak_memory()["host"] - before < 30e6


def flagged(content: bytes, flags: int = 0, method: int | None = None) -> bytes:
    content = bytearray(content)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = -1
        while (start := content.find(mark, start + 1)) >= 0:
            content[start + at] |= flags
            if method is not None:
                content[start + at + 2] = method
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (flagged(archive(), 1), "is encrypted; unpack it"),
        (flagged(archive(), method=9), "packed in an unusual way"),
        (archive(compression=zipfile.ZIP_LZMA), "packed in an unusual way"),
        (archive()[:-30], "not an intact zip"),
        (archive()[:1000], "not an intact zip"),
        (b"", "not an intact zip"),
    ],
)
def test_archives_that_cannot_be_read(server, tmp_path, content, message):
    source = tmp_path / "copy.zip"
    source.write_bytes(content)
    with pytest.raises(InputError, match=message):
        fetch(server.sample, tmp_path / "data", source)
    assert not (tmp_path / "data").exists()


def test_any_damage_to_an_archive_is_a_sentence(tmp_path):
    whole = archive({name: value[:50] for name, value in FILES.items()}, zipfile.ZIP_DEFLATED)
    choose = random.Random(0)
    for number in range(150):
        content = bytearray(whole)
        for _ in range(choose.randint(1, 4)):
            content[choose.randrange(len(content))] = choose.choice([0, 255, choose.randrange(256)])
        content = content[: choose.choice([len(content), choose.randint(0, len(content))])]
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "copy.zip").write_bytes(content)
        with pytest.raises(InputError):
            fetch(sample_at("http://127.0.0.1:9/set.zip"), folder / "data", folder / "copy.zip")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_other_sizes_are_not_read(server, tmp_path):
    source = tmp_path / "copy"
    (source / "a").mkdir(parents=True)
    os.mkfifo(source / "one.png")
    os.mkfifo(source / "set.zip")
    (source / "a" / "two_par.txt").write_bytes(b"0" * 100_000)
    with pytest.raises(InputError, match="lacks 2 of 2"):
        fetch(server.sample, tmp_path / "data", source)
    with pytest.raises(InputError, match="neither a folder nor a file"):
        fetch(server.sample, tmp_path / "data", source / "set.zip")


def test_a_folder_of_everything_is_not_looked_through(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch_module, "MOST_FILES", 3)
    for number in range(5):
        (tmp_path / str(number)).touch()
    with pytest.raises(InputError, match="more than 3 files"):
        fetch(server.sample, tmp_path / "data", tmp_path)


def test_replacing_a_set_keeps_the_files_of_others(server, tmp_path):
    folder = fetch(server.sample, tmp_path)
    (folder / "one.png").write_bytes(b"damaged")
    (folder / "notes.txt").write_text("mine")
    fetch(server.sample, tmp_path, overwrite=True)
    assert (folder / "one.png").read_bytes() == FILES["one.png"]
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_full_disk_keeps_what_is_there(server, tmp_path, monkeypatch):
    folder = fetch(server.sample, tmp_path)
    (folder / "one.png").write_bytes(b"damaged")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(NoSpace):
        fetch(server.sample, tmp_path, overwrite=True)
    assert sorted(p.name for p in folder.iterdir()) == [SOURCE, *sorted(FILES)]
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def full(path, data):
    raise OSError(errno.ENOSPC, "full")


def test_two_do_not_fetch_the_same_set_at_once(server, tmp_path):
    script = (
        "import sys, pathlib; from bozzetto.locks import acquire_lock\n"
        "h = acquire_lock(pathlib.Path(sys.argv[1]), 'x'); print('held', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", script, str(tmp_path / ".set.lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another run is fetching"):
            fetch(server.sample, tmp_path)
        other.kill()
    fetch(server.sample, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_catalogue_is_complete():
    assert {"dino", "temple"} <= set(catalogue())
    for sample in catalogue().values():
        assert sample.url.startswith("https://vision.middlebury.edu/")
        assert sum(name.endswith(".png") for name in sample.files) == 16
        assert any(name.endswith("_par.txt") for name in sample.files)
        assert all(len(checksum) == 64 and size > 0 for size, checksum in sample.files.values())
        assert sample.terms and sample.credit
