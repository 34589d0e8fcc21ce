import json

import numpy as np
import pytest
import torch

from bozzetto import PointCloud
from bozzetto.cli import main
from bozzetto.shapes import icosphere, save_mesh, save_points


@pytest.fixture
def spheres(tmp_path):
    """Folders of two predicted and two reference spheres."""
    for name, radii in (("pred", (1.1, 1.3)), ("ref", (1.0, 1.0))):
        for i, radius in enumerate(radii):
            save_mesh(icosphere(3, radius=radius), tmp_path / name / f"{i}.ply")
    return tmp_path


@pytest.fixture
def clouds(tmp_path):
    """Folders of clouds: boxes of random sides, the references with twice as many points."""
    generator = torch.Generator().manual_seed(0)
    for name, points in (("pred", 40), ("ref", 80), ("train", 40)):
        for i in range(5):
            sides = 0.02 + torch.rand(3, generator=generator) ** 4
            cloud = PointCloud(torch.rand(points, 3, generator=generator) * sides)
            save_points(cloud, tmp_path / name / f"{i}.xyz")
    return tmp_path


def evaluate(*words: object) -> int:
    return main(["evaluate", *map(str, words), "--quiet"])


def figures(folder) -> dict:
    return json.loads((folder / "report.json").read_text())["figures"]


def test_surfaces_in_folders(spheres, capsys):
    out = spheres / "out"
    words = [
        "evaluate",
        "surface",
        str(spheres / "pred"),
        str(spheres / "ref"),
        "--out",
        str(out),
        "--samples",
        "2000",
    ]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "chamfer_squared_sum" in text and "median" in text and str(out) in text
    found = figures(out)
    assert found["shapes"] == 2
    assert found["scores"]["0"]["accuracy_90"] == pytest.approx(0.1, abs=0.01)
    assert found["summary"]["accuracy_90"]["mean"] == pytest.approx(0.2, abs=0.01)
    assert main(words) == 2  # the results of an earlier run stay


def test_one_surface_and_points_of_it(spheres):
    out = spheres / "out"
    points = spheres / "points.xyz"
    save_points(PointCloud(icosphere(4).vertices), points)
    assert evaluate("surface", points, spheres / "ref" / "0.ply", "--samples", 1000, "--out", out) == 0
    assert figures(out)["scores"]["points"]["iou"] is None


def test_points_with_oracle(clouds, capsys):
    out = clouds / "out"
    assert main(["evaluate", "points", str(clouds / "pred"), str(clouds / "ref"), "--out", str(out)]) == 0
    assert "oracle" in capsys.readouterr().out
    found = figures(out)
    assert found["oracle"]["summary"]["earth_mover"]["mean"] < found["summary"]["earth_mover"]["mean"]
    assert found["scores"]["0"]["earth_mover_points"] == 40


def test_generation_with_both_rows(clouds, capsys):
    out = clouds / "out"
    words = ["evaluate", "generation", clouds / "pred", clouds / "ref", "--train", clouds / "train"]
    assert main([*map(str, words), "--out", str(out), "--protocol", "shapegf"]) == 0
    text = capsys.readouterr().out
    assert "1-NNA" in text and "assignments solved" in text
    rows = figures(out)["rows"]
    assert set(rows) == {"generated", "oracle", "training set"}
    assert rows["oracle"]["earth_mover"]["mmd"]["value"] < rows["generated"]["earth_mover"]["mmd"]["value"]
    assert rows["generated"]["protocol"] == "shapegf" and rows["generated"]["points"] == 40


def test_generation_from_arrays_without_the_other_rows(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", rng.random((4, 30, 3), dtype=np.float32))
    words = ["evaluate", "generation", tmp_path / "a.npy", tmp_path / "b.npy", "--out", tmp_path / "out"]
    assert main([*map(str, words)]) == 0
    text = capsys.readouterr().out
    assert "no oracle row" in text and "no training-set row" in text


def bad_sets(folder):
    good = np.random.default_rng(0).random((3, 10, 3))
    broken = good.copy()
    broken[1, 2, 0] = np.nan
    yield "NaN", broken
    yield "equal", np.concatenate([good[:2], np.ones((1, 10, 3))])
    yield "1 points", good[:, :1]
    yield "2D", good[..., :2]
    yield "at least two", good[:1]
    yield "numbers", np.array(["a", "b"])


def test_bad_sets_are_one_sentence_and_write_nothing(tmp_path, capsys):
    np.save(tmp_path / "good.npy", np.random.default_rng(1).random((3, 10, 3)))
    for words, array in bad_sets(tmp_path):
        np.save(tmp_path / "bad.npy", array)
        for order in (("bad.npy", "good.npy"), ("good.npy", "bad.npy")):
            assert evaluate("generation", *(tmp_path / p for p in order), "--out", tmp_path / "out") == 2
            error = capsys.readouterr().err
            assert words in error and error.count("\n") == 1, (words, error)
    assert not (tmp_path / "out").exists()


def test_bad_files_are_one_sentence(spheres, capsys):
    pred, ref, out = spheres / "pred", spheres / "ref", spheres / "out"
    (spheres / "none").mkdir()
    (spheres / "one.xyz").write_text("0 0 0\n")
    (spheres / "flat.npy").write_bytes(b"no array")
    off = "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n"
    (spheres / "broken.off").write_text(off)
    cases = [
        ("out of range", "surface", spheres / "broken.off", ref / "0.ply"),
        ("does not exist", "surface", pred / "9.ply", ref / "0.ply"),
        ("two files or two folders", "surface", pred, ref / "0.ply"),
        ("no shapes", "surface", spheres / "none", ref),
        ("1 points", "points", spheres / "one.xyz", ref / "0.ply"),
        ("equal", "surface", spheres / "one.xyz", ref / "0.ply"),
        ("cannot read", "generation", spheres / "flat.npy", spheres / "flat.npy"),
        ("--samples", "surface", pred, ref, "--samples", 0),
        ("threshold", "surface", pred, ref, "--threshold", -1),
    ]
    for words, *arguments in cases:
        assert evaluate(*arguments, "--out", out) == 2, words
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1, (words, error)
    (pred / "1.ply").unlink()
    assert evaluate("surface", pred, ref, "--out", out) == 2
    assert "no shape named 1" in capsys.readouterr().err
    assert not out.exists()
