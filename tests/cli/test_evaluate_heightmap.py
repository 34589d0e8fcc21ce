"""`evaluate heightmap`: which maps are compared, and what is said about odd ones."""

import json

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from scipy import ndimage

from bozzetto.cli import main
from bozzetto.shapes import HeightField, save_height


def relief(rows=48, columns=64, seed=0):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((rows, columns)), 2)
    return (noise - noise.min()) / np.ptp(noise)


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, values)
    elif path.suffix == ".exr":
        save_height(HeightField(torch.from_numpy(values)), path)
    else:
        Image.fromarray((values * 65535).round().astype(np.uint16)).save(path)
    return path


def evaluate(tmp_path, capsys, pred, ref, *more):
    words = ["evaluate", "heightmap", str(pred), str(ref), "--out", str(tmp_path / "report"), "--overwrite"]
    code = main([*words, "--json", *more])
    output = capsys.readouterr()
    return json.loads(output.out)["figures"] if code == 0 else None, output.err


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "i2", "i4", "f2", "f4", "f8"])
def test_a_map_is_the_same_whatever_its_numbers(tmp_path, capsys, kind):
    truth = relief()
    largest = 1 if kind[0] == "f" else np.iinfo(kind).max
    stored = (truth * largest if kind[0] == "f" else np.round(truth * largest)).astype(kind)
    figures, said = evaluate(
        tmp_path,
        capsys,
        write(tmp_path / "a.tif", stored),
        write(tmp_path / "b.png", truth),
        "--resolution",
        "32",
    )
    assert figures["summary"]["prediction"]["correlation"] == pytest.approx(1, abs=1e-4) and said == ""


def test_proportions_must_agree(tmp_path, capsys):
    ref = write(tmp_path / "ref.png", relief())
    for size in ((48, 48), (64, 48), (96, 64)):
        figures, said = evaluate(tmp_path, capsys, write(tmp_path / "a.png", relief(*size)), ref)
        assert figures is None and "different proportions" in said
    half = write(tmp_path / "half.png", ndimage.zoom(relief(), 0.5, order=1))
    figures, said = evaluate(tmp_path, capsys, half, ref, "--resolution", "16")
    assert figures is not None and "another size" in said and "32 x 24" in said
    figures, said = evaluate(tmp_path, capsys, half, ref, "--resolution", "0")
    assert figures is None and "different sizes" in said


def test_flat_maps_are_told(tmp_path, capsys):
    ref, flat = write(tmp_path / "a.png", relief()), write(tmp_path / "flat.png", np.full((48, 64), 0.3))
    figures, said = evaluate(tmp_path, capsys, ref, flat, "--resolution", "20")
    assert set(figures["summary"]["prediction"].values()) - {None} == {
        figures["summary"]["prediction"]["seam_ratio"]
    }
    assert "the reference" in said and "flat" in said
    figures, said = evaluate(tmp_path, capsys, flat, ref, "--resolution", "20")
    assert figures["summary"]["prediction"]["correlation"] == 0 and "the prediction" in said
    for folder, second in (("pred", relief(seed=1)), ("ref", np.full((48, 64), 0.3))):
        write(tmp_path / folder / "one.png", relief())
        write(tmp_path / folder / "two.png", second)
    figures, _ = evaluate(tmp_path, capsys, tmp_path / "pred", tmp_path / "ref", "--resolution", "20")
    assert figures["flat_references"] == ["two"]
    assert figures["summary"]["prediction"]["correlation"] == pytest.approx(1)


def test_of_two_files_of_one_name_exr_is_taken(tmp_path, capsys):
    for folder in ("pred", "ref"):
        write(tmp_path / folder / "m.exr", relief())
    write(tmp_path / "pred" / "m.png", relief(seed=5))
    write(tmp_path / "pred" / "extra.png", relief(seed=6))
    figures, said = evaluate(tmp_path, capsys, tmp_path / "pred", tmp_path / "ref", "--resolution", "20")
    assert figures["summary"]["prediction"]["correlation"] == pytest.approx(1)
    assert "m.png is left out" in said and "no reference for 1 height maps" in said and "extra" in said
