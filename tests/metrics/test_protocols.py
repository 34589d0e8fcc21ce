"""Protocols over sets of results: means, oracle rows, and what is left out of them."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from bozzetto.errors import InputError, InputWarning
from bozzetto.metrics import (
    at_protocol_size,
    evaluate_clouds,
    evaluate_height_maps,
    evaluate_points,
    evaluate_sets,
    evaluate_surfaces,
    height_scores,
)
from bozzetto.shapes import Mesh, icosphere


def relief(seed=0, rows=48, columns=64):
    noise = np.random.default_rng(seed).standard_normal((rows, columns))
    return torch.from_numpy(ndimage.gaussian_filter(noise, 2, mode="wrap")).float()


def clouds(count, points, seed=0):
    """Boxes of random sides, so that no two sets of points of one are like those of another."""
    draw = torch.Generator().manual_seed(seed)
    sides = [0.02 + torch.rand(3, generator=draw) ** 4 for _ in range(count)]
    return {str(i): torch.rand(points, 3, generator=draw) * side for i, side in enumerate(sides)}


def test_height_maps_are_compared_at_one_size_and_averaged_over_materials():
    truths = {name: relief(seed) for name, seed in (("a", 0), ("b", 1))}
    found = {"a": truths["a"] * 3 - 7, "b": relief(2)}
    figures = evaluate_height_maps(found, truths, side=24)
    assert figures["protocol"] == "HM-24 v1" and figures["materials"] == 2
    scores, mean = figures["scores"]["prediction"], figures["summary"]["prediction"]
    assert scores["a"]["correlation"] == pytest.approx(1) and scores["a"]["sign_error"] == 0
    alone = height_scores(at_protocol_size(found["b"], 24), at_protocol_size(truths["b"], 24))
    assert scores["b"]["rmse_affine"] == pytest.approx(alone.rmse_affine)
    for key in ("correlation", "rmse_affine", "glcm_z", "seam_ratio"):
        assert mean[key] == pytest.approx((scores["a"][key] + scores["b"][key]) / 2)
    assert evaluate_height_maps(found, truths, side=0)["protocol"] == "as they are"


def test_the_luma_of_a_photo_is_a_row_beside():
    truth = relief()
    unit = (truth - truth.min()) / (truth.max() - truth.min())
    pure = torch.zeros(48, 64, 3)
    pure[..., 1] = 1 - unit  # dark is high, in green only
    for photo in (pure, (1 - unit)[..., None]):
        figures = evaluate_height_maps({"a": truth}, {"a": truth}, 24, {"a": photo})
        assert figures["summary"]["luminance"]["correlation"] == pytest.approx(-1)
        assert figures["summary"]["luminance"]["sign_error"] == 1
    colours = torch.stack([unit, unit.flip(0), unit.flip(1)], dim=-1)
    luma = 0.299 * colours[..., 0] + 0.587 * colours[..., 1] + 0.114 * colours[..., 2]
    rows = [
        evaluate_height_maps({"a": truth}, {"a": truth}, 24, {"a": photo})["scores"]["luminance"]["a"]
        for photo in (colours, luma[..., None])
    ]
    assert rows[0]["correlation"] == pytest.approx(rows[1]["correlation"], abs=1e-5)


def test_flat_and_ill_sized_height_maps():
    truth = relief()
    with pytest.warns(InputWarning, match="the reference b is flat"):
        figures = evaluate_height_maps({"a": truth, "b": truth}, {"a": truth, "b": truth * 0 + 3}, 24)
    assert figures["flat_references"] == ["b"]
    assert figures["summary"]["prediction"]["correlation"] == pytest.approx(1)
    with pytest.warns(InputWarning, match="1 of 1 predictions have another size .* 32 x 24"):
        evaluate_height_maps({"a": relief(rows=24, columns=32)}, {"a": truth}, 16)
    with pytest.raises(InputError, match="different sizes"):
        evaluate_height_maps({"a": relief(rows=24, columns=32)}, {"a": truth}, 0)
    with pytest.raises(InputError, match="different proportions"):
        evaluate_height_maps({"a": relief(rows=48, columns=48)}, {"a": truth}, 16)


def test_surfaces_and_faults_of_meshes():
    ball = icosphere(2)
    open_ball = Mesh(ball.vertices, ball.faces[5:])
    pairs = [("small", icosphere(2, 0.9), ball), ("smaller", icosphere(2, 0.7), ball)]
    figures = evaluate_surfaces(iter(pairs), samples=2000)
    assert figures["shapes"] == 2 and set(figures["scores"]) == {"small", "smaller"}
    means = [figures["scores"][name]["chamfer_sum"] for name in figures["scores"]]
    assert figures["summary"]["chamfer_sum"]["mean"] == pytest.approx(sum(means) / 2)
    assert means[0] < means[1]
    with pytest.warns(InputWarning) as said:
        evaluate_surfaces([(f"p{i}", open_ball, ball) for i in range(7)], samples=100)
    sentences = [str(warning.message) for warning in said]
    assert len(said) == 6 and "2 more such faults" in sentences[-1]
    assert all(sentences[i].startswith(f"the prediction p{i} is open") for i in range(5))


def test_the_oracle_of_clouds_compares_halves_of_the_references():
    pred, ref = clouds(3, 40), clouds(3, 80, seed=5)
    figures = evaluate_clouds((name, pred[name], ref[name]) for name in pred)
    assert figures["shapes"] == 3
    one = evaluate_points(pred["1"], ref["1"])
    assert figures["scores"]["1"]["chamfer_sum"] == pytest.approx(one.chamfer_sum)
    values = sorted(row["earth_mover"] for row in figures["scores"].values())
    assert figures["summary"]["earth_mover"]["median"] == pytest.approx(values[1])
    oracle = figures["oracle"]["summary"]["earth_mover"]["mean"]
    assert 0 < oracle < figures["summary"]["earth_mover"]["mean"]  # disjoint halves, of one shape
    short = {**ref, "2": ref["2"][:79]}
    assert "oracle" not in evaluate_clouds((name, pred[name], short[name]) for name in pred)


def test_rows_of_sets():
    pred, ref, train = clouds(4, 40), clouds(3, 80, seed=5), clouds(6, 50, seed=9)
    rows = evaluate_sets(pred, ref, train, "shapegf")
    assert list(rows) == ["generated", "training set", "oracle"]
    assert {row.points for row in rows.values()} == {40} and rows["generated"].protocol == "shapegf"
    assert (rows["generated"].generated, rows["training set"].generated) == (4, 3)
    assert rows["oracle"].earth_mover.mmd.value < rows["generated"].earth_mover.mmd.value
    assert rows["oracle"].chamfer.mmd.value > 0  # other points
    assert list(evaluate_sets(pred, ref, points=60)) == ["generated", "oracle"]
    assert list(evaluate_sets(pred, {**ref, "2": ref["2"][:79]})) == ["generated"]
    assert evaluate_sets(pred, ref, points=30)["generated"].points == 30


def test_sets_far_from_the_origin_are_compared_as_near_ones():
    far = torch.tensor([448000.0, 5412000.0, 320.0], dtype=torch.float64)
    near = [clouds(3, 40), clouds(3, 40, seed=5)]
    moved = [{name: cloud.double() + far for name, cloud in one.items()} for one in near]
    found = [evaluate_sets(a, b)["generated"].chamfer.mmd.value for a, b in (near, moved)]
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_a_cloud_that_cannot_be_compared_is_named():
    pred, ref = clouds(2, 20), clouds(2, 20, seed=5)
    with pytest.raises(InputError, match="all 20 points of odd are equal"):
        evaluate_sets(pred, {**ref, "odd": torch.ones(20, 3)})
