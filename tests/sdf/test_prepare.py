"""Folders of meshes and the names of what they hold."""

import json
import os
import signal
import time
from contextlib import suppress

import pytest
import torch

from bozzetto import InputError, Mesh, save_mesh
from bozzetto.cli import main
from bozzetto.errors import InputWarning, Interrupted
from bozzetto.sdf import (
    find_meshes,
    load_collection,
    load_sdf_samples,
    prepare,
    prepare_collection,
    prepare_shape,
)
from bozzetto.sdf import prepare as prepared_folder
from bozzetto.sdf.data import sample_path
from bozzetto.shapes import box, icosphere


def touch(root, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


def names(found) -> list[str]:
    return [name for name, _ in found]


def test_flat_and_nested_folders(tmp_path) -> None:
    root = tmp_path / "shapes"
    touch(root, "b.PLY", "a.obj", "notes.txt", "picture.png", ".hidden.ply", "samples.npz")
    assert names(find_meshes(root)) == ["meshes/shapes/a", "meshes/shapes/b"]
    assert [path.name for _, path in find_meshes(root)] == ["a.obj", "b.PLY"]
    touch(root, "cups/c.stl", "cups/old/d.glb")
    assert names(find_meshes(root)) == [
        "meshes/shapes/a",
        "meshes/shapes/b",
        "shapes-cups/old/d",
        "shapes/cups/c",
    ]


@pytest.mark.parametrize(
    ("file", "dataset"), [("models/model_normalized.obj", "ShapeNetV2"), ("model.obj", "ShapeNetV1")]
)
def test_shapenet_as_it_unpacks(file, dataset, tmp_path) -> None:
    root = tmp_path / "ShapeNetCore"
    touch(root, f"02691156/10/{file}", f"02691156/9/{file}", f"03001627/7/{file}")
    touch(root, "02691156/10/models/other.ply", "02691156/10/images/texture.jpg")
    expected = [f"{dataset}/02691156/10", f"{dataset}/02691156/9", f"{dataset}/03001627/7"]
    assert names(find_meshes(root)) == expected
    assert names(find_meshes(root / "02691156")) == expected[:2]
    split = {dataset: {"03001627": ["7"], "02691156": ["9", "gone"]}}
    found = find_meshes(root, split)
    assert names(found) == [f"{dataset}/03001627/7", f"{dataset}/02691156/9", f"{dataset}/02691156/gone"]
    assert [path.exists() for _, path in found] == [True, True, False]


def test_folders_without_meshes_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="no folder"):
        find_meshes(tmp_path / "nothing")
    with pytest.raises(InputError, match="no mesh"):
        find_meshes(tmp_path)
    touch(tmp_path, "a/x.ply", "a/x.obj")
    with pytest.raises(InputError, match="both be named"):
        find_meshes(tmp_path)
    touch(tmp_path / "b", "y.ply")
    with pytest.raises(InputError, match="none of the 1 shapes of the split"):
        find_meshes(tmp_path / "b", {"meshes": {"b": ["z"]}})


GOOD = ["meshes/things/ball", "meshes/things/cube", "meshes/things/inward"]


@pytest.fixture
def things(tmp_path):
    root = tmp_path / "things"
    cube = box([1.0, 2.0, 3.0])
    save_mesh(cube.with_vertices(cube.vertices + 7), root / "cube.ply")
    save_mesh(icosphere(2, 30.0), root / "ball.obj")
    save_mesh(Mesh(cube.vertices, cube.faces.flip(1)), root / "inward.off")
    return root


@pytest.fixture
def bad_things(things):
    (things / "torn.ply").write_bytes((things / "cube.ply").read_bytes()[:-20])
    (things / "nothing.obj").write_text("v 0 0 0\n")
    save_mesh(Mesh(torch.eye(3), torch.tensor([[0, 1, 2]])), things / "sheet.ply")
    return things


def run(root, out, **options) -> dict:
    return prepare_collection(find_meshes(root), out, **{"count": 400, "quiet": True, **options})


def test_bad_meshes_are_reported_and_stop_nothing(bad_things, tmp_path) -> None:
    out = tmp_path / "out"
    with pytest.warns(InputWarning, match="left out: 1 of 6 meshes"):
        report = run(bad_things, out)
    assert list(report["shapes"]) == GOOD
    failed = report["failed"]
    assert sorted(failed) == [f"meshes/things/{name}" for name in ("nothing", "sheet", "torn")]
    assert "damaged" in failed["meshes/things/torn"] and "no faces" in failed["meshes/things/nothing"]
    assert "encloses nothing" in failed["meshes/things/sheet"]
    assert json.loads((out / "report.json").read_text()) == report
    assert [report["shapes"][name]["turned"] for name in GOOD] == [0, 0, 1]
    split = json.loads((out / "split.json").read_text())
    assert split == {"meshes": {"things": ["ball", "cube", "inward"]}}
    collection = load_collection(out, out / "split.json")
    assert collection.names == tuple(GOOD)
    for samples, to_unit in zip(collection.samples, collection.normalisations, strict=True):
        assert len(samples) == 400 and 0 < len(samples.inside) < 400
        assert to_unit.scale > 0
    back = collection.normalisations[1].inverse().apply(collection.samples[1].inside.points)
    assert (((back - 7) / torch.tensor([0.5, 1.0, 1.5])).abs() <= 1.001).all()


def test_samples_depend_on_seed_and_name_only(things, tmp_path) -> None:
    run(things, tmp_path / "all")
    cube = [(name, path) for name, path in find_meshes(things) if name.endswith("cube")]
    prepare_collection(cube, tmp_path / "one", 400, quiet=True)
    prepare_collection(cube, tmp_path / "other", 400, seed=1, quiet=True)
    content = [sample_path(tmp_path / f, GOOD[1]).read_bytes() for f in ("all", "one", "other")]
    assert content[0] == content[1] != content[2]


def test_an_interrupted_run_goes_on(things, tmp_path, monkeypatch) -> None:
    out, calls = tmp_path / "out", []

    def interrupted(mesh, *arguments):
        calls.append(len(mesh.vertices))
        if len(calls) > 1:
            raise KeyboardInterrupt
        return prepare_shape(mesh, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(prepare, "prepare_shape", interrupted)
        patch.setattr(prepare, "thread_count", lambda: 1)
        with pytest.raises(KeyboardInterrupt):
            run(things, out)
    assert load_collection(out).names == (GOOD[0],) and not (out / "report.json").exists()
    first = sample_path(out, GOOD[0]).stat().st_mtime_ns
    with (out / "preparation.jsonl").open("a") as records:
        records.write('{"name": "meshes/things/cu')  # what a power failure may leave
    report = run(things, out)
    assert list(report["shapes"]) == GOOD
    assert sample_path(out, GOOD[0]).stat().st_mtime_ns == first
    assert run(things, out)["shapes"] == report["shapes"]
    run(things, tmp_path / "whole")
    for name in GOOD:
        assert sample_path(out, name).read_bytes() == sample_path(tmp_path / "whole", name).read_bytes()


def test_a_signal_keeps_what_is_finished_or_at_work(things, tmp_path, monkeypatch) -> None:
    run(things, tmp_path / "whole")
    work, started = prepare._work, []

    def signalling(name, *arguments):
        if not started:
            os.kill(os.getpid(), signal.SIGINT)
        started.append(name)
        time.sleep(1)  # until the others are called off
        return work(name, *arguments)

    monkeypatch.setattr(prepare, "thread_count", lambda: 1)
    monkeypatch.setattr(prepare, "_work", signalling)
    with pytest.raises(Interrupted, match="1 of 3 are kept") as error:
        run(things, tmp_path / "parts")
    assert error.value.exit_code == 130 and len(started) == 1
    monkeypatch.setattr(prepare, "_work", work)
    run(things, tmp_path / "parts")
    for name in GOOD:
        assert (
            sample_path(tmp_path / "parts", name).read_bytes()
            == sample_path(tmp_path / "whole", name).read_bytes()
        )


def contents(folder) -> dict:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.npz")}


@pytest.mark.parametrize("crash", range(1, 12))
def test_earlier_samples_stay_until_all_new_ones_are_there(things, tmp_path, monkeypatch, crash) -> None:
    """Whichever file is the last that can be moved: nothing is lost, and the next call ends the same."""
    out = tmp_path / "out"
    run(things, out)
    before, replace, moves = contents(out), os.replace, []
    (things / "cube.ply").unlink()

    def crashing(source, target):
        if ".unfinished" in str(source) and prepared_folder.FINISHED not in str(target):
            return replace(source, target)  # a file that is being written
        moves.append(target)
        if len(moves) == crash:
            raise KeyboardInterrupt
        return replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(prepared_folder.os, "replace", crashing)
        with suppress(KeyboardInterrupt):
            run(things, out, count=200, overwrite=True)
    if crash == 1:
        assert {path: data for path, data in contents(out).items() if path in before} == before
    run(things, out, count=200, overwrite=crash == 1)
    run(things, tmp_path / "whole", count=200)
    assert contents(out) == contents(tmp_path / "whole")
    assert {path.name for path in out.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}


def test_changed_new_and_lost_shapes_are_prepared_again(things, tmp_path) -> None:
    out = tmp_path / "out"
    run(things, out)
    before = {name: sample_path(out, name).stat().st_mtime_ns for name in GOOD}
    later = before[GOOD[0]] / 1e9 + 100
    save_mesh(icosphere(1, 5.0), things / "cube.ply")
    os.utime(things / "cube.ply", (later, later))
    save_mesh(icosphere(1), things / "new.ply")
    sample_path(out, GOOD[2]).unlink()
    report = run(things, out)
    assert list(report["shapes"]) == [*GOOD, "meshes/things/new"]
    assert sample_path(out, GOOD[0]).stat().st_mtime_ns == before[GOOD[0]]
    radius = load_sdf_samples(sample_path(out, GOOD[1])).inside.points.norm(dim=1)
    assert float(radius.max()) < 1 / 1.03
    assert sample_path(out, GOOD[2]).exists()


def test_other_settings_need_a_word(things, tmp_path) -> None:
    out = tmp_path / "out"
    run(things, out)
    for other in ({"count": 300}, {"seed": 5}, {"protocol": "paper"}):
        with pytest.raises(InputError, match="--overwrite"):
            run(things, out, **other)
    (things / "ball.obj").unlink()
    report = run(things, out, count=300, overwrite=True)
    assert report["shapes"][GOOD[1]]["samples"] == 300
    assert not sample_path(out, GOOD[0]).exists()  # made with the other settings


def test_what_others_made_is_not_touched(things, tmp_path) -> None:
    theirs = sample_path(tmp_path, GOOD[1])
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="not prepared here"):
            run(things, tmp_path, overwrite=overwrite)
    assert theirs.read_bytes() == b"theirs"


def test_errors_that_concern_everything_are_raised(bad_things, tmp_path) -> None:
    bad = [(name, path) for name, path in find_meshes(bad_things) if name not in GOOD]
    with pytest.raises(
        InputError, match="3 of 3 meshes cannot be used, more than half .*like meshes/things/"
    ):
        prepare_collection(bad, tmp_path / "out", 100, quiet=True)
    with pytest.raises(InputError, match="one of its own"):
        prepare_collection([bad[0], bad[0]], tmp_path / "out", 100, quiet=True)
    with pytest.raises(InputError, match="dataset/class/name"):
        prepare_collection([("../x", bad[0][1])], tmp_path / "out", 100, quiet=True)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        prepare_collection(bad, tmp_path / "file", 100, quiet=True)


def test_the_verb(bad_things, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    words = ["prepare", "sdf", str(bad_things), "--out", str(out), "--samples", "200"]
    assert main([*words, "--quiet", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report["shapes"]) == GOOD and len(report["failed"]) == 3
    assert main(words) == 0
    said = capsys.readouterr()
    assert "prepared: 3 of 6 shapes" in said.out and said.err.count("left out: 1 of 6 meshes") == 3
    for name in ("ball.obj", "cube.ply"):
        (bad_things / name).unlink()
    assert main(["prepare", "sdf", str(bad_things), "--out", str(tmp_path / "few"), "--samples", "200"]) == 2
    assert "3 of 4 meshes cannot be used, more than half" in capsys.readouterr().err
    assert not (tmp_path / "few" / "report.json").exists()
    assert main(["prepare", "sdf", str(tmp_path / "nowhere"), "--out", str(out)]) == 2
    assert "no folder" in capsys.readouterr().err


def test_variants_are_shapes_of_their_own_and_named_after_theirs(things, tmp_path) -> None:
    report = run(things, tmp_path / "out", variants=2)
    assert len(report["shapes"]) == 9 and "meshes/things/ball~2" in report["shapes"]
    alone = run(things, tmp_path / "alone")
    ball, first, second = (
        load_sdf_samples(sample_path(tmp_path / "out", f"meshes/things/ball{end}"))
        for end in ("", "~1", "~2")
    )
    torch.testing.assert_close(
        load_sdf_samples(sample_path(tmp_path / "alone", GOOD[0])).distances, ball.distances
    )
    # A ball of radius 1 / 1.03 has the signed distance |x| - r; stretched balls do not.
    off = [
        float((s.distances - s.points.norm(dim=1) + 1 / 1.03).abs().median()) for s in (ball, first, second)
    ]
    assert off[0] < 0.02 and min(off[1:]) > 0.02
    assert not torch.equal(first.distances, second.distances) and alone["shapes"].keys() == set(GOOD)


def test_names_that_variants_would_take_twice_are_refused(things, tmp_path) -> None:
    (things / "cube~1.ply").write_bytes((things / "cube.ply").read_bytes())
    with pytest.raises(InputError, match="variants end with ~"):
        run(things, tmp_path / "out", variants=1)
    assert "meshes/things/cube~1" in run(things, tmp_path / "out")["shapes"]
