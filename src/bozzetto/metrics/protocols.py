"""Evaluation protocols of sets of results: comparisons, averages, and reference rows.

| function | protocol | further rows |
|---|---|---|
| `evaluate_height_maps` | HM-256: maps averaged over areas to 256 x 256, metrics over materials | luminance |
| `evaluate_surfaces` | DeepSDF: 30,000 points per surface, mean and median over shapes | - |
| `evaluate_clouds` | auto-encoding of ShapeGF: Chamfer and earth mover's distance per cloud | oracle |
| `evaluate_sets` | generation of PointFlow and ShapeGF: MMD, COV, 1-NNA, JSD of sets | training set, oracle |

The oracle row compares the references with other points of the same references: the scores of a perfect model
with the same number of points. The training-set row has the scores of repeating the training shapes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from statistics import fmean, median
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, warn_input
from ..geometry.measures import mesh_faults
from ..shapes import Mesh, PointCloud
from ..shapes.height_field import same_proportions
from ..steps import counted, report_progress
from .cloud_scores import EARTH_MOVER_POINTS, CloudScores, check_cloud, evaluate_points
from .generation import GenerationScores, evaluate_generation
from .heightmap import PROTOCOL_SIDE, GlcmReference, at_protocol_size, height_scores, is_flat, seam_ratio
from .image import lpips_distance, lpips_missing
from .surface import evaluate, summarise

LUMA = (0.299, 0.587, 0.114)
"""Luma weights of sRGB-encoded R, G and B (ITU-R BT.601)."""
MOST_FAULTS = 5
"""Largest number of faults of meshes that warnings name individually."""


def evaluate_height_maps(
    predictions: Mapping[str, Float[Tensor, "H W"]],
    references: Mapping[str, Float[Tensor, "Ht Wt"]],
    side: int = PROTOCOL_SIDE,
    photos: "Mapping[str, Float[Tensor, 'Hp Wp C']] | None" = None,
) -> dict[str, Any]:
    """Evaluate height maps against measured ones by the protocol HM-256, as JSON values.

    Both maps are averaged over areas to `side` x `side`, scored by `height_scores`, LPIPS and `seam_ratio`, and
    the metrics averaged over materials. Flat references have no metrics and are left out of the means.

    Args:
        predictions: Heights of any scale, by name of the material; white is high.
        references: Measured heights for every prediction.
        side: Side in pixels, 256 in the protocol; 0 compares maps without resizing.
        photos: The photo of each material (sRGB-encoded), whose luma is evaluated as well.

    Returns:
        `summary` and `scores` per row (`prediction`, and `luminance` with photos), `materials`,
        `flat_references`, and the `protocol` and version of `lpips`.

    Raises:
        InputError: Maps of a material differ in proportions or, without a side, in size, or are too small.
    """
    maps, flat = _comparable(predictions, references, side)
    measured = [truth for name, (_, truth) in maps.items() if name not in flat]
    reference = GlcmReference(measured) if len(measured) > 1 else None

    def score(name: str, prediction: Tensor) -> dict[str, float | None]:
        return _height_figures(prediction, maps[name][1], reference, name in flat)

    rows = {"prediction": {name: score(name, one) for name, (one, _) in counted(maps.items(), "evaluate")}}
    if side and photos is not None:
        rows["luminance"] = {name: score(name, at_protocol_size(_luma(photos[name]), side)) for name in maps}
    return {
        "protocol": f"HM-{side} v1" if side else "as they are",
        "materials": len(maps),
        "flat_references": flat,
        "lpips": lpips_missing() or "AlexNet v0.1, grey x 3, [-1, 1]",
        "summary": {
            row: _mean_figures(
                [one for name, one in scores.items() if name not in flat] or [*scores.values()]
            )
            for row, scores in rows.items()
        },
        "scores": rows,
    }


def evaluate_surfaces(
    pairs: Iterable[tuple[str, Mesh | PointCloud, Mesh]],
    samples: int = 30_000,
    seed: int = 0,
    threshold: float | None = None,
) -> dict[str, Any]:
    """Evaluate surfaces against reference meshes, each pair by `evaluate`, as JSON values.

    Warnings report meshes with faults that distort metrics.

    Args:
        pairs: Name, prediction and reference; they may be loaded one at a time.
        samples: Number of points per surface; 30,000 as in DeepSDF.
        seed: Seed of the points.
        threshold: Distance for completeness and F-score; None for 1 % of the radius of the reference.

    Returns:
        `summary` (mean and median over shapes), `scores` per shape, `shapes` and the `protocol`.

    Raises:
        InputError: A shape cannot be compared.
    """
    scores, faults = {}, []
    for name, pred, ref in pairs:
        for role, shape in (("prediction", pred), ("reference", ref)):
            if isinstance(shape, Mesh):
                faults += [
                    f"the {role} {name} {fault}" for fault in mesh_faults(shape, isinstance(pred, Mesh))
                ]
        scores[name] = evaluate(pred, ref, samples, seed, threshold)
    for sentence in faults[:MOST_FAULTS]:
        warn_input(sentence)
    if len(faults) > MOST_FAULTS:
        warn_input(f"there are {len(faults) - MOST_FAULTS} more such faults of meshes")
    return {
        "protocol": f"{samples} samples per surface; deepsdf_chamfer as in DeepSDF (squared, summed)",
        "shapes": len(scores),
        "summary": summarise(list(scores.values())),
        "scores": {name: asdict(one) for name, one in scores.items()},
    }


def evaluate_clouds(
    pairs: Iterable[tuple[str, Float[Tensor, "P D"], Float[Tensor, "R D"]]],
    seed: int = 0,
    points: int = EARTH_MOVER_POINTS,
) -> dict[str, Any]:
    """Evaluate clouds against reference clouds, each pair by `evaluate_points`, as JSON values.

    The oracle row compares two disjoint random halves of each reference, as large as the prediction. It is left
    out if a reference has fewer than twice the points of its prediction.

    Args:
        pairs: Name, prediction and reference; they may be loaded one at a time.
        seed: Seed of all random choices.
        points: Largest number of points per cloud for the earth mover's distance.

    Returns:
        `summary` (mean and median over shapes), `scores` per shape, `shapes`, and the same two as `oracle`.

    Raises:
        InputError: A cloud cannot be compared.
    """
    scores: dict[str, CloudScores] = {}
    oracle: dict[str, CloudScores] = {}
    for name, pred, ref in pairs:
        scores[name] = evaluate_points(pred, ref, seed, points)
        size = len(pred)
        if len(ref) >= 2 * size and len(oracle) == len(scores) - 1:
            drawn = _shuffled(ref, seed)
            oracle[name] = evaluate_points(drawn[:size], drawn[size : 2 * size], seed, points)
    figures: dict[str, Any] = {"shapes": len(scores), **_rows_of(scores)}
    return {**figures, "oracle": _rows_of(oracle)} if len(oracle) == len(scores) else figures


def evaluate_sets(
    generated: Mapping[str, Float[Tensor, "_ 3"]],
    references: Mapping[str, Float[Tensor, "_ 3"]],
    training: Mapping[str, Float[Tensor, "_ 3"]] | None = None,
    protocol: str = "none",
    points: int = EARTH_MOVER_POINTS,
    seed: int = 0,
) -> dict[str, GenerationScores]:
    """Evaluate generated clouds against references as sets, by `evaluate_generation`, with a result per row.

    Random points of every cloud are taken, as many as the smallest cloud has, and at most `points`. Rows are
    `generated`; `training set`, as many of its first clouds as there are references; and `oracle`, disjoint
    random points of the references, if all of them have twice as many.

    Args:
        generated: Clouds by name; float64 if they are far from the origin.
        references: Reference clouds, likewise.
        training: The clouds that the model was trained on.
        protocol: `shapegf`, `pointflow` or `none`, see `normalise`.
        points: Largest number of points per cloud.
        seed: Seed of the points and of the bootstrap.

    Raises:
        InputError: A cloud or set cannot be compared.
    """
    sets = {"generated": generated, "references": references}
    if training is not None:
        sets["training set"] = training
    for clouds in sets.values():
        for name, cloud in clouds.items():
            check_cloud(cloud, name)
    near = _near_origin({name: list(clouds.values()) for name, clouds in sets.items()})
    size = min(points, *(len(cloud) for clouds in near.values() for cloud in clouds))
    rows = {"generated": _drawn(near["generated"], size, seed)}
    ref = _drawn(near["references"], size, seed)
    if training is not None:
        rows["training set"] = _drawn(near["training set"], size, seed)[: len(ref)]
    if all(len(cloud) >= 2 * size for cloud in near["references"]):
        rows["oracle"] = _drawn(near["references"], size, seed, skip=size)
    return {
        name: evaluate_generation(
            clouds,
            ref,
            protocol,
            seed=seed,
            progress=lambda stage, share, name=name: report_progress(f"{name}: {stage}", share),
        )
        for name, clouds in rows.items()
    }


def _comparable(
    predictions: Mapping[str, Tensor], references: Mapping[str, Tensor], side: int
) -> tuple[dict[str, tuple[Tensor, Tensor]], list[str]]:
    """Both maps of every material in the same size, and names of those with a flat reference."""
    maps, flat, resized = {}, [], []
    for name, truth in references.items():
        found = predictions[name]
        if found.shape != truth.shape:
            resized.append(_size_difference(name, found, truth, side))
        if is_flat(truth.numpy()):
            flat.append(name)
            truth = truth * 0  # exactly flat, also after averaging
            warn_input(f"the reference {name} is flat; no figures can be computed for it")
        if is_flat(found.numpy()):
            found = found * 0
            warn_input(f"the prediction {name} is flat; its correlations count as 0")
        maps[name] = (
            (at_protocol_size(found, side), at_protocol_size(truth, side)) if side else (found, truth)
        )
    if resized:
        warn_input(
            f"{len(resized)} of {len(maps)} predictions have another size than their reference (the first: "
            f"{resized[0]}); all maps are brought to {side} x {side} pixels"
        )
    return maps, flat


def _size_difference(name: str, pred: Tensor, truth: Tensor, side: int) -> str:
    """A sentence about the different sizes of two maps; an error if they cannot be compared."""
    (h, w), (rows, columns) = pred.shape, truth.shape
    sizes = f"the prediction {name} has {w} x {h} pixels and its reference {columns} x {rows}"
    if not same_proportions((h, w), (rows, columns)):
        raise InputError(f"{sizes}: different proportions; crop them to show the same surface")
    if not side:
        raise InputError(f"{sizes}: different sizes; resize one, or choose a resolution for both")
    return sizes


def _height_figures(
    pred: Tensor, truth: Tensor, reference: GlcmReference | None, flat: bool
) -> dict[str, float | None]:
    scores = asdict(height_scores(pred, truth, reference))
    found = {name: None if value is None else float(value) for name, value in scores.items()}
    low, high = pred.min(), pred.max()
    unit = (pred - low) / (high - low) if high > low else pred * 0
    stretched = (truth - truth.min()) / (truth.max() - truth.min()).clamp(min=1e-12)
    distance = None if flat else lpips_distance(unit, stretched)
    return {**found, "lpips": distance, "seam_ratio": max(seam_ratio(pred))}


def _mean_figures(scores: list[dict[str, float | None]]) -> dict[str, float | None]:
    """Means over materials; None if a value is missing."""
    means: dict[str, float | None] = {}
    for key in scores[0]:
        present = [value for one in scores if (value := one[key]) is not None]
        means[key] = sum(present) / len(present) if len(present) == len(scores) else None
    return means


def _luma(photo: Tensor) -> Tensor:
    """Luma of a photo with one channel or more."""
    return photo[..., :3] @ torch.tensor(LUMA) if photo.shape[-1] >= 3 else photo[..., 0]


def _rows_of(scores: Mapping[str, CloudScores]) -> dict[str, Any]:
    """Scores per shape, and mean and median of each metric over them."""
    rows = {name: asdict(one) for name, one in scores.items()}
    keys = [key for key in next(iter(rows.values())) if key != "earth_mover_points"]
    columns = {key: [row[key] for row in rows.values()] for key in keys}
    summary = {key: {"mean": fmean(values), "median": median(values)} for key, values in columns.items()}
    return {"summary": summary, "scores": rows}


def _near_origin(sets: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
    """Sets of clouds as float32, relative to a common offset if some are far from the origin."""
    if all(cloud.dtype == torch.float32 for clouds in sets.values() for cloud in clouds):
        return sets
    first = next(iter(sets.values()))[0].double()
    middle = (first.amin(dim=0) + first.amax(dim=0)) / 2
    return {name: [(cloud.double() - middle).float() for cloud in clouds] for name, clouds in sets.items()}


def _shuffled(cloud: Tensor, seed: int) -> Tensor:
    """The points in random order."""
    return cloud[torch.randperm(len(cloud), generator=torch.Generator().manual_seed(seed))]


def _drawn(clouds: list[Tensor], size: int, seed: int, skip: int = 0) -> Float[Tensor, "N n 3"]:
    """`size` random points of each cloud, after the first `skip` random ones, for disjoint samples."""
    return torch.stack([_shuffled(cloud, seed)[skip : skip + size] for cloud in clouds])
