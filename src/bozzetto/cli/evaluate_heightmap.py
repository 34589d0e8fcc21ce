"""`bozzetto evaluate heightmap PRED REF`: height maps against measured ones, by the protocol HM-256."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, join_names, warn_input
from ..steps import counted

if TYPE_CHECKING:
    from torch import Tensor

    from ..metrics import GlcmReference

ENDINGS = (".exr", ".png", ".tif", ".tiff")
SHOWN = (
    *("rmse_affine", "rmse_positive", "correlation", "gradient_correlation", "sign_error", "ssim"),
    *("edge_f1_0", "edge_f1_15", "edge_f1_2", "glcm_z", "glcm_published"),
    *("edge_precision_published", "edge_recall_published", "edge_f1_published", "lpips", "seam_ratio"),
)


def evaluate_heights(pred: Path, ref: Path, side: int) -> tuple[dict, str]:
    """Figures of every height map and their mean over materials, and a table.

    Where the reference's folder also holds `color.*`, the photo's own luminance is scored beside.

    Args:
        pred: A height map, a folder of them, or a folder whose sub-folders hold `height.*`.
        ref: The same.
        side: Both are averaged over areas to this; 0 compares them as they are.

    Raises:
        InputError: A reference has no prediction, or maps differ in proportions or, without a side, in size.
    """
    from ..metrics import GlcmReference, at_protocol_size, lpips_missing
    from ..metrics.heightmap import is_flat
    from ..shapes import load_height

    pairs = matched_heights(pred, ref)
    maps, flat, resized = {}, [], []
    for name, (one, other) in counted(pairs.items(), "read"):
        found, truth = load_height(one).height, load_height(other).height
        if found.shape != truth.shape:
            resized.append(check_sizes((one, other), found, truth, side))
        if is_flat(truth.numpy()):
            flat.append(name)
            truth = truth * 0  # exactly flat, also after averaging
            warn_input(f"the reference {other} is flat; no figures can be computed for it")
        if is_flat(found.numpy()):
            found = found * 0
            warn_input(f"the prediction {one} is flat; its correlations count as 0")
        maps[name] = [at_protocol_size(m, side) for m in (found, truth)] if side else [found, truth]
    if resized:
        warn_input(
            f"{len(resized)} of {len(maps)} predictions have another size than their reference (the first: "
            f"{resized[0]}); all maps are brought to {side} x {side} pixels"
        )
    measured = [truth for name, (_, truth) in maps.items() if name not in flat]
    reference = GlcmReference(measured) if len(measured) > 1 else None
    figures: dict = {
        "protocol": f"HM-{side} v1" if side else "as they are",
        "materials": len(maps),
        "flat_references": flat,
        "lpips": lpips_missing() or "AlexNet v0.1, grey x 3, [-1, 1]",
    }
    rows = {
        "prediction": {
            n: _scores(p, t, reference, n in flat) for n, (p, t) in counted(maps.items(), "evaluate")
        }
    }
    photos = {name: list(path.parent.glob("color.*")) for name, (_, path) in pairs.items()}
    if side and all(photos.values()):
        rows["luminance"] = {
            n: _scores(at_protocol_size(luminance(photos[n][0]), side), t, reference, n in flat)
            for n, (_, t) in maps.items()
        }
    figures["summary"] = {
        name: _mean([one for n, one in scores.items() if n not in flat] or list(scores.values()))
        for name, scores in rows.items()
    }
    figures["scores"] = rows
    return figures, height_table(figures["summary"], len(maps))


def luminance(path: Path) -> "Tensor":
    """Luma of a photo as stored."""
    import torch

    from ..heightmap.pairs import as_rgb
    from ..images import load_image

    return as_rgb(load_image(path)) @ torch.tensor([0.299, 0.587, 0.114])


def check_sizes(paths: tuple[Path, Path], pred: "Tensor", truth: "Tensor", side: int) -> str:
    """Say how two maps of different sizes differ.

    Raises:
        InputError: They have different proportions, or there is no side to bring them to.
    """
    from ..shapes.height_field import same_proportions

    (h, w), (rows, columns) = pred.shape, truth.shape
    one, other = f"{paths[0]} ({w} x {h})", f"{paths[1]} ({columns} x {rows})"
    if not same_proportions((h, w), (rows, columns)):
        raise InputError(f"{one} and {other} have different proportions; crop them to show the same surface")
    if not side:
        raise InputError(f"{one} and {other} have different sizes; resize one, or give --side")
    return f"{one} and {other}"


def _scores(
    pred: "Tensor", truth: "Tensor", reference: "GlcmReference | None", flat: bool
) -> dict[str, float | None]:
    from ..metrics import height_scores, lpips_distance, seam_ratio

    scores = asdict(height_scores(pred, truth, reference))
    found = {name: None if value is None else float(value) for name, value in scores.items()}
    low, high = pred.min(), pred.max()
    unit = (pred - low) / (high - low) if high > low else pred * 0
    stretched = (truth - truth.min()) / (truth.max() - truth.min()).clamp(min=1e-12)
    distance = None if flat else lpips_distance(unit, stretched)
    return {**found, "lpips": distance, "seam_ratio": max(seam_ratio(pred))}


def _mean(scores: list[dict[str, float | None]]) -> dict[str, float | None]:
    means: dict[str, float | None] = {}
    for key in scores[0]:
        values = [one[key] for one in scores]
        present = [value for value in values if value is not None]
        means[key] = sum(present) / len(present) if len(present) == len(values) else None
    return means


def matched_heights(pred: Path, ref: Path) -> dict[str, tuple[Path, Path]]:
    """Prediction and reference of every name.

    Raises:
        InputError: A path is missing, only one is a folder, or a reference has no prediction.
    """
    for path in (pred, ref):
        if not path.exists():
            raise InputError(f"{path} does not exist; check the path")
    if pred.is_dir() != ref.is_dir():
        raise InputError(f"{pred} and {ref} must be two files or two folders")
    if not pred.is_dir():
        return {ref.stem: (pred, ref)}
    found, wanted = height_files(pred), height_files(ref)
    common = sorted(set(found) & set(wanted))
    missing = sorted(set(wanted) - set(found))
    if missing and not common:
        raise InputError(
            f"{pred} has no height map named {missing[0]}; predictions and references belong together by name"
        )
    if missing:
        raise InputError(
            f"{pred} has no height map named {missing[0]}, nor {len(missing) - 1} more of the {len(wanted)} "
            f"references in {ref}; predict them too, or give a folder with the other references"
        )
    alone = sorted(set(found) - set(wanted))
    if alone:
        warn_input(
            f"{ref} has no reference for {len(alone)} height maps in {pred}, which are left out: "
            f"{join_names(alone)}"
        )
    return {name: (found[name], wanted[name]) for name in common}


def height_files(folder: Path) -> dict[str, Path]:
    """Height maps below a folder by name: that of the sub-folder of a `height.*`, else that of the file.

    Of files of one name and several endings the first of `ENDINGS` is taken, and a warning names the others.

    Raises:
        InputError: There are none.
    """
    names: dict[Path, str] = {}
    for path in folder.rglob("*"):
        if path.suffix.lower() in ENDINGS and path.stem == "height":
            name = path.parent.relative_to(folder).as_posix()
            names[path] = folder.name if name == "." else name
    if not names:
        names = {p: p.stem for p in folder.iterdir() if p.suffix.lower() in ENDINGS and p.name[0] != "."}
    if not names:
        raise InputError(f"{folder} holds no height maps; files must end in {', '.join(ENDINGS)}")
    found: dict[str, Path] = {}
    for path in sorted(names, key=lambda p: (p.parent, ENDINGS.index(p.suffix.lower()), p.name)):
        taken = found.setdefault(names[path], path)
        if taken != path:
            warn_input(f"{path} is left out, because {taken.name} of the same name is taken")
    return dict(sorted(found.items()))


def height_table(rows: dict[str, dict[str, float | None]], materials: int) -> str:
    """Means over materials, a column per method."""
    lines = [f"{f'mean over {materials} materials':28s}" + "".join(f"{name:>16s}" for name in rows)]
    for key in SHOWN:
        cells = ["-" if row.get(key) is None else f"{row[key]:.4f}" for row in rows.values()]
        lines.append(f"{key:28s}" + "".join(f"{cell:>16s}" for cell in cells))
    return "\n".join(lines)
