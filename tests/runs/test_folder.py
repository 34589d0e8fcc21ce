import json
from dataclasses import dataclass

import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.runs import RunFolder, fingerprint


@dataclass(frozen=True)
class Settings:
    steps: int = 5
    seconds: float = float("inf")


def test_a_new_run_writes_resolved_settings(tmp_path):
    run = RunFolder.create(tmp_path / "a" / "b", Settings())
    assert not run.path.exists()  # a run that fails before it has results leaves nothing
    run.begin()
    content = json.loads((run.path / "config.json").read_text())
    assert content["config"] == {"steps": 5, "seconds": None}


def test_an_earlier_run_is_neither_mixed_nor_lost(tmp_path):
    run = RunFolder.create(tmp_path / "a", Settings())
    run.log(1, loss=1.0)
    with pytest.raises(InputError, match="--overwrite.*--resume"):
        RunFolder.create(tmp_path / "a", Settings())
    with pytest.raises(InputError, match="exclude"):
        RunFolder.create(tmp_path / "a", Settings(), overwrite=True, resume=True)
    assert len(run.metrics()) == 1


def test_overwrite_deletes_only_what_the_run_wrote(tmp_path):
    run = RunFolder.create(tmp_path / "a", Settings())
    run.file("renders/0.png").write_text("old")
    run.log(1, loss=1.0)
    (run.path / "notes.txt").write_text("mine")
    again = RunFolder.create(tmp_path / "a", Settings(steps=9), overwrite=True)
    assert (again.path / "renders" / "0.png").read_text() == "old"  # until there is something new
    again.file("new.txt")
    assert json.loads((again.path / "config.json").read_text())["config"]["steps"] == 9
    assert sorted(p.name for p in again.path.iterdir() if p.is_file()) == [
        ".files",
        "config.json",
        "notes.txt",
    ]
    assert not (again.path / "renders" / "0.png").exists()


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
    RunFolder.create(tmp_path / "a", Settings(), overwrite=True).begin()
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
    with pytest.raises(InputError, match="cannot write"):
        RunFolder.create(tmp_path / "a" / "b", Settings()).begin()


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
