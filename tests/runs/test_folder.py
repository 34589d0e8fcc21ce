import errno
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bozzetto.errors import InputError, InputWarning, collected_warnings
from bozzetto.files import write_text
from bozzetto.locks import release_all_locks
from bozzetto.runs import RunFolder, fingerprint, results, write_checkpoint


@dataclass(frozen=True)
class Settings:
    steps: int = 5
    seconds: float = float("inf")


def test_a_new_run_writes_resolved_settings(tmp_path):
    run = RunFolder.create(tmp_path / "a" / "b", Settings())
    assert [p.name for p in run.path.iterdir()] == [".lock"]
    run.begin()
    content = json.loads((run.path / "config.json").read_text())
    assert content["config"] == {"steps": 5, "seconds": None}


def test_a_run_that_fails_before_it_has_results_leaves_nothing(tmp_path):
    run = RunFolder.create(tmp_path / "a" / "b", Settings())
    release_all_locks()
    assert list(tmp_path.iterdir()) == []
    run.begin()
    del run
    assert [p.name for p in (tmp_path / "a" / "b").iterdir() if p.name != ".files"] == ["config.json"]


def test_an_earlier_run_is_neither_mixed_nor_lost(tmp_path):
    run = RunFolder.create(tmp_path / "a", Settings())
    run.log(1, loss=1.0)
    with pytest.raises(InputError, match="--overwrite.*--resume"):
        RunFolder.create(tmp_path / "a", Settings())
    with pytest.raises(InputError, match="exclude"):
        RunFolder.create(tmp_path / "a", Settings(), overwrite=True, resume=True)
    assert len(run.metrics()) == 1


def test_overwrite_replaces_only_what_the_run_wrote_when_there_is_a_report(tmp_path):
    run = RunFolder.create(tmp_path / "a", Settings())
    run.file("renders/0.png").write_text("old")
    run.log(1, loss=1.0)
    (run.path / "notes.txt").write_text("mine")
    again = RunFolder.create(tmp_path / "a", Settings(steps=9), overwrite=True)
    again.file("renders/1.png").write_text("new")
    assert (again.path / "renders" / "0.png").read_text() == "old"  # until all of the new is there
    assert json.loads((again.path / "config.json").read_text())["config"]["steps"] == 5
    again.report({})
    assert json.loads((again.path / "config.json").read_text())["config"]["steps"] == 9
    names = {p.relative_to(again.path).as_posix() for p in again.path.rglob("*") if p.is_file()} - {".lock"}
    assert names == {".files", "config.json", "notes.txt", "renders/1.png", "report.json"}


@pytest.mark.parametrize("flags", [{}, {"overwrite": True}, {"resume": True}])
def test_folders_of_others_are_never_touched(tmp_path, flags):
    (tmp_path / "thesis.txt").write_text("precious")
    (tmp_path / "config.json").write_text('{"steps": 3}')
    with pytest.raises(InputError, match="not from bozzetto"):
        RunFolder.create(tmp_path, Settings(), **flags)
    assert (tmp_path / "thesis.txt").read_text() == "precious"
    assert (tmp_path / "config.json").read_text() == '{"steps": 3}'


def test_a_listing_cannot_point_outside(tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("precious")
    run = RunFolder.create(tmp_path / "a", Settings())
    run.begin()
    with (run.path / ".files").open("a") as listing:
        listing.write("../outside.txt\n")
    RunFolder.create(tmp_path / "a", Settings(), overwrite=True).report({})
    assert outside.exists()


@pytest.mark.parametrize("read", ["model.bin", "renders", "."])
def test_what_a_run_reads_is_not_deleted(tmp_path, read):
    run = RunFolder.create(tmp_path / "a", Settings())
    for name in ("model.bin", "renders/0.png"):
        run.file(name).write_text("precious")
    with pytest.raises(InputError, match="would delete"):
        RunFolder.create(tmp_path / "a", Settings(), overwrite=True, reads=[tmp_path / "a" / read])
    RunFolder.create(
        tmp_path / "a", Settings(), overwrite=True, reads=[tmp_path, tmp_path / "b", "cloud-bodies"]
    )
    assert (run.path / "renders" / "0.png").read_text() == "precious"


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(InputError, match="needs a folder"):
        RunFolder.create(tmp_path / "a", Settings())
    with pytest.raises(InputError, match="needs a folder"):
        RunFolder.create(tmp_path / "a" / "b", Settings())


def test_resume_continues_from_the_checkpoint(tmp_path):
    run = RunFolder.create(tmp_path / "a", Settings())
    for step in range(1, 4):
        with run.stage("optimise"):
            run.log(step, loss=1 / step)
        if step == 2:
            run.save_checkpoint(step, {"x": torch.arange(3)}, {"stage": 1})
    spent = run.stopwatch.seconds["optimise"]
    again = RunFolder.create(tmp_path / "a", Settings(), resume=True)
    step, tensors, meta = again.load_checkpoint()
    assert (step, meta) == (2, {"stage": 1})
    assert torch.equal(tensors["x"], torch.arange(3))
    assert [line["step"] for line in again.metrics()] == [1, 2]
    assert 0 < again.stopwatch.seconds["optimise"] <= spent


def test_resume_without_anything_to_resume_begins(tmp_path):
    run = RunFolder.create(tmp_path / "a", Settings(), resume=True)
    run.log(1, loss=1.0)
    again = RunFolder.create(tmp_path / "a", Settings(), resume=True)
    assert again.load_checkpoint() is None
    assert again.metrics() == []


def test_resume_refuses_other_settings_or_input(tmp_path):
    photo = torch.rand(4, 4)
    RunFolder.create(tmp_path / "a", {"steps": 5, "input": fingerprint(photo)}).begin()
    with pytest.raises(InputError, match="steps was 5 and is now 6"):
        RunFolder.create(tmp_path / "a", {"steps": 6, "input": fingerprint(photo)}, resume=True)
    with pytest.raises(InputError, match="input was"):
        RunFolder.create(tmp_path / "a", {"steps": 5, "input": fingerprint(photo + 1)}, resume=True)


def test_a_difference_deep_inside_is_named(tmp_path):
    RunFolder.create(tmp_path / "a", {"stages": [{"steps": 5}, {"steps": 6}]}).begin()
    with pytest.raises(InputError, match=r"stages\.1\.steps was 6 and is now 7"):
        RunFolder.create(tmp_path / "a", {"stages": [{"steps": 5}, {"steps": 7}]}, resume=True)
    with pytest.raises(InputError, match="stages was"):
        RunFolder.create(tmp_path / "a", {"stages": [{"steps": 5}]}, resume=True)


def test_metrics_survive_a_crash_in_the_middle_of_a_line(tmp_path):
    run = RunFolder.create(tmp_path / "a", Settings())
    run.log(1, loss=float("nan"), values=torch.ones(2))
    with (run.path / "metrics.jsonl").open("a") as metrics:
        metrics.write('{"step": 2, "lo')
    assert run.metrics() == [{"step": 1, "loss": None, "values": [1.0, 1.0]}]


def test_damaged_metrics_and_checkpoints_of_others(tmp_path):
    run = RunFolder.create(tmp_path / "a", Settings())
    run.log(1, loss=1.0)
    run.save_checkpoint(1, {"x": torch.zeros(1)})
    with (run.path / "metrics.jsonl").open("ab") as metrics:
        metrics.write(b'\xff\xfe\n[1]\n{"loss": 1}\n{"step": "2"}\n' + b"[" * 100_000 + b'\n{"step": 3}\n')
    assert [line["step"] for line in run.metrics()] == [1, 3]
    assert run.load_checkpoint()[0] == 1
    assert [line["step"] for line in run.metrics()] == [1]
    write_checkpoint(run.path / "checkpoint.safetensors", {"x": torch.zeros(1)}, {"kind": "prior"})
    with pytest.raises(InputError, match="no checkpoint of a run"):
        run.load_checkpoint()
    (run.path / "checkpoint.safetensors").unlink()
    (run.path / "checkpoint.safetensors").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        run.load_checkpoint()


def test_report_has_what_a_reader_needs(tmp_path):
    run = RunFolder.create(tmp_path / "a", Settings())
    with run.stage("hull"):
        pass
    report = run.report({"iou": 0.98}, seed=3, files={"mesh": run.file("mesh.ply")})
    assert report == json.loads((run.path / "report.json").read_text())
    assert report["figures"] == {"iou": 0.98}
    assert report["peak_memory_bytes"]["host"] > 10e6
    assert set(report["versions"]) >= {"python", "torch", "bozzetto"}
    assert (report["seed"], report["device"], list(report["seconds"])) == (3, "cpu", ["hull"])


# Other systems than Linux do not allow every name.
ODD = "odd \u2028\n\udce9 name.txt" if sys.platform == "linux" else "odd \u82b1.txt"
RESULTS = ("mesh.ply", "renders/view.png", ODD)


def whole_run(path, version: int, names=RESULTS, **flags) -> RunFolder:
    """A small run that does all that runs do."""
    run = RunFolder.create(path, {"version": version}, **flags)
    run.load_checkpoint()
    run.log(1, version=version)
    run.save_checkpoint(1, {"x": torch.tensor([version])})
    for name in names:
        write_text(run.file(name), f"version {version}")
    run.report({"version": version})
    return run


def version_of(path) -> dict[str, int]:
    """From which run each result in a folder is."""
    found = {}
    for file in path.rglob("*"):
        name = file.relative_to(path).as_posix()
        if file.is_file() and not name.startswith(".") and file.suffix != ".safetensors":
            found[name] = int(re.search(rb"version\W+(\d)", file.read_bytes())[1])
    return found


class Faults:
    """Makes the n-th call that changes the disk fail, and counts them."""

    def __init__(self, monkeypatch, error: BaseException) -> None:
        self.calls, self.at, self.error = 0, -1, error
        for owner, name in (
            (os, "replace"),
            (os, "unlink"),
            (os, "mkdir"),
            (os, "rmdir"),
            (Path, "write_bytes"),
            (Path, "touch"),
            (Path, "open"),
        ):
            monkeypatch.setattr(owner, name, self.failing(name, getattr(owner, name)))

    def failing(self, name, action):
        def call(*arguments, **options):
            changes = name != "open" or arguments[1:] in (("a",), ("ab",))
            self.calls += changes
            if self.calls != self.at or not changes:
                return action(*arguments, **options)
            if name == "write_bytes":
                action(arguments[0], arguments[1][: len(arguments[1]) // 2])
            raise self.error

        return call


@pytest.mark.parametrize(
    ("error", "dies"), [(OSError(errno.ENOSPC, "full"), False), (KeyboardInterrupt(), True)], ids=str
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # also the release may fail
def test_whatever_fails_there_are_all_results_of_one_run(tmp_path, monkeypatch, error, dies):
    """Every call that changes the disk fails once, in a process that tidies up and in one that is dead then."""
    names = ("renders/view.png", "new.txt")
    before = version_of(whole_run(tmp_path / "before", 1).path)
    faults, at, outcomes = Faults(monkeypatch, error), 0, set()
    while True:
        at += 1
        out = tmp_path / str(at)
        faults.at = -1
        shutil.copytree(tmp_path / "before", out)
        faults.calls, faults.at = 0, at
        try:
            with collected_warnings():
                after = version_of(whole_run(out, 2, names, overwrite=True).path)
            failed = False
        except (InputError, OSError, KeyboardInterrupt):
            failed = True
        if not failed and faults.calls < at:
            break
        faults.at = -1
        if not dies:
            release_all_locks()
        found = version_of(out)
        if "report.json" in found:
            assert found == before or set(found.values()) == {2}
        with pytest.raises(InputError, match="earlier run"):
            RunFolder.create(out, {"version": 3})  # the next run tidies, also one that does nothing
        found = version_of(out)
        assert found == before or set(found.values()) == {2}
        outcomes.add(found == before)
        if at % 4:  # the rest is the same each time
            continue
        assert version_of(whole_run(out, 3, names, overwrite=True).path) == {
            name: 3 for name in (*names, "config.json", "metrics.jsonl", "report.json")
        }
        left = [p.name for p in out.rglob(".*") if p.name not in (".files", ".lock")]
        assert left == []
    assert outcomes == {True, False}
    assert set(after.values()) == {2}


def test_a_run_that_was_killed_while_it_replaced_another_is_resumed(tmp_path):
    whole_run(tmp_path / "a", 1)
    run = RunFolder.create(tmp_path / "a", {"version": 2}, overwrite=True)
    run.save_checkpoint(7, {"x": torch.tensor([2])})
    del run
    assert set(version_of(tmp_path / "a").values()) == {1}
    with pytest.raises(InputError, match="version was 2 and is now 1"):
        RunFolder.create(tmp_path / "a", {"version": 1}, resume=True)
    again = RunFolder.create(tmp_path / "a", {"version": 2}, resume=True)
    assert again.load_checkpoint()[0] == 7
    again.log(8, version=2)
    write_text(again.file("mesh.ply"), "version 2")
    again.report({"version": 2})
    assert set(version_of(tmp_path / "a").values()) == {2}


def test_a_failed_run_that_cannot_be_resumed_leaves_only_the_earlier_results(tmp_path):
    whole_run(tmp_path / "a", 1)
    before = sorted(p for p in (tmp_path / "a").rglob("*"))
    run = RunFolder.create(tmp_path / "a", {"version": 2}, overwrite=True)
    write_text(run.file("mesh.ply"), "version 2")
    release_all_locks()
    assert sorted(p for p in (tmp_path / "a").rglob("*")) == before


def test_a_full_disk_does_not_end_a_run_for_its_checkpoint(tmp_path, monkeypatch):
    run = RunFolder.create(tmp_path / "a", {})
    run.save_checkpoint(1, {"x": torch.zeros(3)})
    write = Path.write_bytes

    def small_disk(path, data):
        if len(data) > 1000:
            raise OSError(errno.ENOSPC, "no space")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", small_disk)
    with pytest.warns(InputWarning, match="no space left.*may not be resumable") as warned:
        for step in range(2, 5):
            run.save_checkpoint(step, {"x": torch.zeros(300)})
    assert len(warned) == 1
    assert run.load_checkpoint()[0] == 1
    monkeypatch.undo()


HOLD = (
    "import sys, pathlib; from bozzetto.locks import acquire_lock; "
    "h = acquire_lock(pathlib.Path(sys.argv[1]), 'x'); "
)


def test_two_runs_do_not_share_a_folder(tmp_path):
    out = tmp_path / "a"
    hold = [sys.executable, "-c", HOLD + "print('held', flush=True); sys.stdin.read()", str(out / ".lock")]
    with subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another run is writing"):
            RunFolder.create(out, {})
        RunFolder.create(tmp_path / "b", {})
        other.kill()  # a dead run does not block
    RunFolder.create(out, {}).report({})
    assert not (out / ".lock").exists()


def test_a_folder_that_is_deleted_meanwhile_is_noticed(tmp_path):
    run = RunFolder.create(tmp_path / "a", {})
    run.log(1)
    shutil.rmtree(run.path)
    with pytest.raises(InputError, match="deleted or moved"):
        run.file("mesh.ply")
    assert not run.path.exists()


def test_odd_places(tmp_path):
    (tmp_path / "file").write_text("")
    for place, message in (
        ("x" * 300, "name is longer" if os.name == "posix" else "cannot write"),
        ("file/x/y", "file is a file"),
        ("file", "is a file"),
    ):
        with pytest.raises(InputError, match=message):
            RunFolder.create(tmp_path / place, {})
    odd = (" a ", "with\nnewline") if os.name == "posix" else ()
    for place in ("a/../b", "\u82b1", *odd):
        run = RunFolder.create(tmp_path / place, {})
        assert run.report({})["out"] == str(tmp_path / place)
    assert (tmp_path / "b" / "report.json").is_file()


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links(tmp_path):
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="link to a folder that does not exist"):
        RunFolder.create(tmp_path / "dangling" / "a", {})
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    whole_run(tmp_path / "link", 1)
    assert set(version_of(whole_run(tmp_path / "link", 2, overwrite=True).path).values()) == {2}
    assert (tmp_path / "real" / "report.json").is_file() and (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("name", ["mesh.ply", "report.json", "renders/view.png"])
def test_a_folder_in_the_place_of_a_result(tmp_path, name):
    whole_run(tmp_path / "a", 1)
    (tmp_path / "a" / name).unlink()
    (tmp_path / "a" / name / "mine").mkdir(parents=True)
    with pytest.raises(InputError, match="is a folder.*move it away"):
        whole_run(tmp_path / "a", 2, overwrite=True)
    assert (tmp_path / "a" / name / "mine").is_dir()


@pytest.mark.parametrize("damage", [b"\0\1\2", b'"half', b"[]\n7\n\0", None])
def test_a_damaged_list_of_results(tmp_path, damage):
    whole_run(tmp_path / "a", 1)
    listing = tmp_path / "a" / ".files"
    listing.unlink()
    listing.mkdir() if damage is None else listing.write_bytes(damage)
    for flags in ({"overwrite": True}, {"resume": True}):
        with pytest.raises(InputError, match="is damaged"):
            RunFolder.create(tmp_path / "a", {"version": 1}, **flags)


@pytest.mark.parametrize("damage", ["", "{", "[" * 100_000, '{"bozzetto": 1, "config": 3}', "\udcff"])
def test_damaged_settings_of_an_earlier_run(tmp_path, damage):
    whole_run(tmp_path / "a", 1)
    (tmp_path / "a" / "config.json").write_bytes(damage.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match="earlier run"):
        RunFolder.create(tmp_path / "a", {})
    with pytest.raises(InputError, match="cannot be resumed: its config.json is damaged"):
        RunFolder.create(tmp_path / "a", {"version": 1}, resume=True)
    assert set(version_of(whole_run(tmp_path / "a", 2, overwrite=True).path).values()) == {2}


@given(st.lists(st.text(st.characters(exclude_categories=[]), min_size=1).filter(lambda n: n.strip("/."))))
def test_any_names_are_listed(names):
    names = [n for n in names if "\0" not in n and ".." not in n.split("/") and not n.startswith("/")]
    with TemporaryDirectory() as folder:
        results.write_list(Path(folder), [*names, "config.json"])
        results.add_to_list(Path(folder), "\udce9\n")
        with (Path(folder) / ".files").open("a") as listing:
            listing.write("cut by a cra")
        assert results.listed_files(Path(folder)) == [*sorted([*names, "config.json"]), "\udce9\n"]


def test_a_run_that_holds_former_names_of_settings_is_resumed(tmp_path):
    run = RunFolder.create(tmp_path / "a", {"settings": {"ends": "auto", "stages": [{"longest_code": 1.0}]}})
    run.log(1, loss=1.0)
    del run
    today = {"settings": {"boundary": "auto", "stages": [{"max_code_norm": 1.0}]}}
    RunFolder.create(tmp_path / "a", today, resume=True)
    release_all_locks()
    other = {"settings": {"boundary": "open", "stages": [{"max_code_norm": 1.0}]}}
    with pytest.raises(InputError, match="settings.boundary"):
        RunFolder.create(tmp_path / "a", other, resume=True)
