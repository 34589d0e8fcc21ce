"""Results of pose estimation in a folder: the text model that pycolmap writes, and a report as JSON."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError
from ...files import write_text
from ..capture import ScenePoints
from ..distortion import Lens
from ..formats.camera_files import PosedViews, View
from .model import Model, placed_model, read_model, turned_model
from .prepare import Photo
from .report import PoseReport

MODEL, REPORT = "sparse", "report.json"
_INTERMEDIATE = (
    *("pictures", "masks", "models", "job.json"),
    *(f"{name}.db{journal}" for name in ("matches", "sample") for journal in ("", "-shm", "-wal")),
)


@dataclass(frozen=True)
class EstimatedViews(PosedViews):
    """Cameras that were found, and how.

    Attributes:
        report: What became of each photograph.
    """

    report: PoseReport | None = None


@dataclass(frozen=True)
class Source:
    """Where a small picture comes from.

    Attributes:
        number: Position of its photograph among those that were given.
        size: Width and height of the upright photograph.
        scale: Its pixels along one of the small picture.
        turn: Anticlockwise quarter turns that set the small picture upright.
    """

    number: int
    size: tuple[int, int]
    scale: float
    turn: int


def store(folder: Path, key: str, report: PoseReport, photos: Sequence[Photo], found: Path) -> None:
    """Keep the text model and the report, delete what is not needed any more.

    Args:
        folder: Where to.
        key: Fingerprint of the input.
        report: What became of each photograph.
        photos: The small pictures.
        found: Folder of the text model.
    """
    shutil.rmtree(folder / MODEL, ignore_errors=True)
    shutil.copytree(found, folder / MODEL)
    numbers = {name: number for number, name in enumerate(report.photos)}
    sources = {p.work: asdict(Source(numbers[p.name], p.size, p.scale, p.turn)) for p in photos}
    content = {"input": key, "report": asdict(report), "pictures": sources}
    write_text(folder / REPORT, json.dumps(content, indent=1))
    remove_intermediate(folder)


def remove_intermediate(folder: Path) -> None:
    """Delete what is needed only while cameras are looked for."""
    for name in _INTERMEDIATE:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def read_stored_poses(
    folder: Path, key: str, paths: Sequence[Path], masks: Sequence[Path | None]
) -> EstimatedViews | None:
    """The result of an earlier call for the same input; None if there is none.

    Args:
        folder: Where it is.
        key: Fingerprint of the input.
        paths: The photographs.
        masks: Their masks.
    """
    try:
        content = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        if content["input"] != key:
            return None
        said: dict[str, Any] = content["report"]
        said |= {name: tuple(value) for name, value in said.items() if isinstance(value, list)}
        report = PoseReport(**said)
        rows = content["pictures"].items()
        sources = {work: Source(**{**row, "size": tuple(row["size"])}) for work, row in rows}
        turns = {work: source.turn for work, source in sources.items()}
        model = placed_model(turned_model(read_model(folder / MODEL), turns))
        return _views(model, sources, report, folder, paths, masks)
    except (OSError, ValueError, KeyError, TypeError, IndexError, InputError):
        return None


def _views(
    model: Model,
    sources: dict[str, Source],
    report: PoseReport,
    folder: Path,
    paths: Sequence[Path],
    masks: Sequence[Path | None],
) -> EstimatedViews:
    """Cameras for the upright photographs in full size."""
    views = []
    for work, camera, pose in zip(model.names, model.camera, model.poses, strict=True):
        source = sources[work]
        focal, cx, cy, k1, k2 = model.lenses[camera].tolist()
        K = torch.tensor([[focal, 0, cx], [0, focal, cy], [0, 0, 1 / source.scale]], dtype=torch.float64)
        views.append(
            View(
                name=report.photos[source.number],
                image=paths[source.number],
                T_cam_world=torch.from_numpy(pose.copy()),
                K=K * source.scale,
                size=source.size,
                lens=Lens(radial=(k1, k2)) or None,
                mask=masks[source.number],
                upright=True,
            )
        )
    points = ScenePoints(torch.from_numpy(model.points), torch.from_numpy(model.visible))
    return EstimatedViews(tuple(views), folder / MODEL, points, report)
