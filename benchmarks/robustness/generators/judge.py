"""Reads one generated input with bozzetto and says what came of it."""

import contextlib
import io
import json
import re
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .inputs import (
    CaptureTruth,
    CloudTruth,
    HeightTruth,
    Input,
    MeshTruth,
    PictureTruth,
    RunTruth,
)

RIGHT, NOTED, SAID = "right", "right, with a note", "other values, said"
REFUSED, LEGAL_REFUSED = "refused", "refused, though legal"
SAFE, ODD = "no truth, nothing bad", "refused with odd words"
WRONG, TRACEBACK, HANG, MEMORY = "WRONG IN SILENCE", "TRACEBACK", "HANG", "MEMORY"
FAULTY = "GENERATOR FAULTY"
VERDICTS = (RIGHT, NOTED, SAID, REFUSED, LEGAL_REFUSED, SAFE, ODD, WRONG, TRACEBACK, HANG, MEMORY, FAULTY)
FAILURES = (WRONG, TRACEBACK, HANG, MEMORY, FAULTY)


UNTIL = "cli until it optimises"
"""Reading by a command line that is stopped where `reconstruct` begins to optimise."""


class _Begun(BaseException):
    """The optimisation would begin."""


def write(item: Input, folder: Path) -> None:
    """Put the files of an input below a folder."""
    for name, content in item.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content(path)


def judge(item: Input, folder: Path) -> dict:
    """Read the input in `folder` and compare with its truth."""
    _reset_peak()
    before, start = _memory("VmRSS"), time.process_time()
    notes, failure, error, value = [], "", "", None
    try:
        value, notes, error = _carry_out(item, folder)
    except BaseException as problem:  # a judge must survive all
        failure = "".join(traceback.format_exception(problem))[-3000:]
    peak = _memory("VmHWM") - before
    figures = {"seconds": time.process_time() - start, "megabytes": peak, "said": [*notes, error][:6]}
    if failure:
        return {"verdict": TRACEBACK, "why": failure, **figures}
    if peak > item.megabytes:
        return {"verdict": MEMORY, "why": f"{peak:.0f} MB more than before; {error}", **figures}
    verdict, why = _verdict(item, value, notes, error, folder)
    return {"verdict": verdict, "why": why, **figures}


def _carry_out(item: Input, folder: Path) -> tuple[object, list[str], str]:
    """What was returned, the warnings, and the sentence of a refusal."""
    if item.read.startswith("cli"):
        with _stopping() if item.read == UNTIL else contextlib.nullcontext():
            return _command([word.replace("@", str(folder)) for word in item.path])
    from bozzetto.errors import InputError

    function = readers()[item.read]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value, error = function(folder / item.path, **item.options), ""
        except InputError as refusal:
            value, error = None, str(refusal)
    return value, [str(w.message) for w in caught if w.category.__name__ == "InputWarning"], error


def readers() -> dict:
    """Functions by name."""
    from bozzetto.cameras import load_capture
    from bozzetto.heightmap.photos import load_photo
    from bozzetto.images import load_image
    from bozzetto.shapes import load_height, load_mesh, load_points, load_shape, save_mesh, save_points

    def round_trip(path: Path, ending: str) -> object:
        """Loaded, saved with another ending, and loaded again."""
        value, other = load_shape(path), path.with_name("again" + ending)
        (save_mesh if hasattr(value, "faces") else save_points)(value, other)
        return load_shape(other)

    functions = (
        load_mesh,
        load_points,
        load_shape,
        load_image,
        load_photo,
        load_height,
        load_capture,
        round_trip,
    )
    return {function.__name__: function for function in functions}


def _command(words: list[str]) -> tuple[object, list[str], str]:
    """Report, lines on stderr, and the complaint, of a command line."""
    from bozzetto.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as end:  # the parser's own complaint
            code = end.code
        except _Begun:
            code = 0
    lines = err.getvalue().splitlines()
    if code not in (0, 1, 2, 130):
        raise RuntimeError(f"exit code {code}")
    if code != 0:
        return None, [], " ".join(lines) or f"exit code {code}"
    said = [line for line in lines if line.startswith(("note", "bozzetto"))]
    said += [line for line in out.getvalue().splitlines() if _tells(line)]
    with contextlib.suppress(ValueError, IndexError):
        return json.loads(out.getvalue().splitlines()[-1]), said, ""
    return {}, said, ""


@contextlib.contextmanager
def _stopping() -> Iterator[None]:
    """Inside, `reconstruct` raises when it would begin to optimise."""
    from bozzetto import inverse

    def stop(*arguments: object, **options: object) -> None:
        raise _Begun

    original = inverse.reconstruct_photographs
    inverse.reconstruct_photographs = stop
    try:
        yield
    finally:
        inverse.reconstruct_photographs = original


def _tells(line: str) -> bool:
    """Whether a line on stdout warns of something."""
    return bool(re.match(r"(note|left out|doubtful|verdict|warning)|\S+ (check|does not|is all)", line, re.I))


def _verdict(item: Input, value: object, notes: list[str], error: str, folder: Path) -> tuple[str, str]:
    fits = lambda sentences: any(re.search(item.say or "", s, re.I | re.S) for s in sentences)  # noqa: E731
    if error:
        if item.truth is not None and item.say is None:
            return LEGAL_REFUSED, error
        if item.say is None or fits([error, *notes]):
            return REFUSED, error
        return ODD, f"expected words like {item.say!r}: {error}"
    if item.truth is None:
        if item.say is None:
            return SAFE, ""
        return (
            (SAID, "; ".join(notes)) if fits(notes) else (WRONG, f"nothing said about {item.say!r}: {notes}")
        )
    try:
        difference = compare(item.truth, value, folder)
    except Exception as problem:
        return FAULTY, "".join(traceback.format_exception(problem))[-1500:]
    if not difference:
        if item.always and not fits(notes):
            return WRONG, f"values are right, but nothing is said about {item.say!r}: {notes}"
        return (NOTED, "; ".join(notes)) if notes else (RIGHT, "")
    if notes and (item.say is None or fits(notes)):
        return SAID, f"{difference}; said: {'; '.join(notes)}"
    return WRONG, f"{difference}; said: {notes}"


# Comparisons


def compare(truth: object, value: object, folder: Path) -> str:
    """What differs from the truth; empty if nothing does."""
    if isinstance(truth, MeshTruth):
        faces = np.asarray(value.faces) if hasattr(value, "faces") else np.zeros((0, 3), int)
        colors = None if getattr(value, "colors", None) is None else np.asarray(value.colors)
        return compare_mesh(truth, positions(value), faces, colors)
    if isinstance(truth, CloudTruth):
        return compare_cloud(truth, value)
    if isinstance(truth, PictureTruth):
        return compare_picture(truth, np.asarray(value, float))
    if isinstance(truth, HeightTruth):
        return compare_heights(truth, np.asarray(value.height, float))
    if isinstance(truth, CaptureTruth):
        return compare_capture(truth, value)
    assert isinstance(truth, RunTruth)
    return truth.check(value, folder)


def positions(shape: object) -> np.ndarray:
    """Vertices or points in the frame of the file, in double."""
    values = shape.vertices if hasattr(shape, "vertices") else shape.points
    values = np.asarray(values, np.float64)
    offset = getattr(shape, "offset", None)
    return values if offset is None else values + np.asarray(offset, np.float64)


def measures(vertices: np.ndarray, faces: np.ndarray) -> tuple[float, float]:
    """Area and signed volume."""
    middle = vertices[faces.ravel()].mean(0)
    a, b, c = (vertices[faces[:, i]] - middle for i in range(3))
    cross = np.cross(b - a, c - a)
    return float(np.linalg.norm(cross, axis=1).sum() / 2), float((a * cross).sum() / 6)


def compare_mesh(truth: MeshTruth, vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray | None) -> str:
    """Differences of a mesh."""
    if len(faces) == 0:
        return f"no faces and {len(vertices)} vertices"
    size = np.ptp(truth.bounds, axis=0).max()
    found, area_and_volume = [], measures(vertices, faces)
    if truth.triangles is not None and len(faces) != truth.triangles:
        found.append(f"{len(faces)} triangles, not {truth.triangles}")
    if truth.vertices is not None:
        if len(vertices) != len(truth.vertices):
            found.append(f"{len(vertices)} vertices, not {len(truth.vertices)}")
        else:
            found += _misplaced(truth, vertices, np.unique(faces), size)
    used = vertices[np.unique(faces)]
    if (far := np.abs(np.stack([used.min(0), used.max(0)]) - truth.bounds).max()) > truth.tolerance * size:
        found.append(f"bounds {far / size:.3g} sizes off")
    for name, is_, should in zip(
        ("area", "volume"), area_and_volume, (truth.area, truth.volume), strict=True
    ):
        unit = truth.area if name == "area" else max(abs(should or 0), 1e-3 * truth.area * size)
        if should is not None and not abs(is_ - should) <= 10 * truth.tolerance * unit:
            found.append(f"{name} {is_:.6g}, not {should:.6g}")
    if truth.colors is not None:
        found += _color_difference(truth.colors, colors)
    return ", ".join(found)


def _misplaced(truth: MeshTruth, vertices: np.ndarray, used: np.ndarray, size: float) -> list[str]:
    """Of vertices that no face uses, single precision at their place is enough."""
    free = np.abs(truth.vertices).max(1) * 2e-7
    free[used] = 0
    far = np.abs(vertices - truth.vertices).max(1)
    return (
        [f"vertices up to {far.max() / size:.3g} sizes off"]
        if (far > truth.tolerance * size + free).any()
        else []
    )


def compare_cloud(truth: CloudTruth, cloud: object) -> str:
    """Differences of a cloud."""
    points, found = positions(cloud), []
    if len(points) != len(truth.points):
        return f"{len(points)} points, not {len(truth.points)}"
    size = np.ptp(truth.points, axis=0).max()
    if (far := np.abs(points - truth.points).max()) > truth.tolerance * size:
        found.append(f"points up to {far / size:.3g} sizes off")
    normals = getattr(cloud, "normals", None)
    if normals is not None:  # lengths mean nothing, and 0 means unknown
        lengths = np.linalg.norm(np.asarray(normals, float), axis=1, keepdims=True)
        normals = np.asarray(normals, float) / np.where(lengths > 0, lengths, 1)
    if truth.normals is not None:
        if normals is None:
            found.append("no normals")
        elif (far := np.abs(normals - truth.normals).max()) > 0.02:
            found.append(f"normals up to {far:.3g} off")
    if truth.no_normals and normals is not None and normals.any():
        found.append("normals that are none")
    if truth.colors is not None:
        colors = getattr(cloud, "colors", None)
        found += _color_difference(truth.colors, None if colors is None else np.asarray(colors))
    return ", ".join(found)


def _color_difference(truth: np.ndarray, colors: np.ndarray | None) -> list[str]:
    if colors is None:
        return ["no colours"]
    if colors.shape != truth.shape:
        return [f"colours of shape {colors.shape}, not {truth.shape}"]
    far = np.abs(colors - truth).max()
    return [f"colours up to {far:.3g} off"] if not far <= 0.01 else []


def compare_picture(truth: PictureTruth, values: np.ndarray) -> str:
    """Differences of a picture; grey may come as one or three channels, alpha that is 1 may be missing."""
    should = truth.values
    if values.ndim == 2:
        values = values[..., None]
    if values.shape[:2] != should.shape[:2]:
        return f"size {values.shape[:2]}, not {should.shape[:2]}"
    if values.shape[2] != should.shape[2]:
        should, values = (_four_channels(a) for a in (should, values))
    far = np.abs(values - should).max()
    return (
        ""
        if far <= truth.tolerance
        else f"values up to {far:.3g} off, mean {np.abs(values - should).mean():.3g}"
    )


def _four_channels(values: np.ndarray) -> np.ndarray:
    count = values.shape[2]
    alpha = values[..., -1:] if count in (2, 4) else np.ones_like(values[..., :1])
    color = values[..., : count - (count in (2, 4))]
    return np.concatenate([np.broadcast_to(color, (*color.shape[:2], 3)), alpha], -1)


def compare_heights(truth: HeightTruth, heights: np.ndarray) -> str:
    """Differences of a height map."""
    if heights.shape != truth.values.shape:
        return f"size {heights.shape}, not {truth.values.shape}"
    if truth.exact:
        far = np.abs(heights - truth.values).max()
        return "" if far <= truth.tolerance else f"heights up to {far:.3g} off"
    if np.ptp(heights) == 0:
        return "the map is constant"
    r = np.corrcoef(heights.ravel(), truth.values.ravel())[0, 1]
    return "" if r > 1 - truth.tolerance else f"correlation {r:.4f}"


def compare_capture(truth: CaptureTruth, capture: object) -> str:
    """Differences of a capture."""
    found = []
    cameras = capture.cameras
    if len(capture) != len(truth.K):
        return f"{len(capture)} views, not {len(truth.K)}"
    if (cameras.width, cameras.height) != truth.size:
        found.append(f"size {cameras.width} x {cameras.height}, not {truth.size}")
    if (far := np.abs(np.asarray(cameras.T_cam_world) - truth.T_cam_world).max()) > 2e-3:
        found.append(f"poses up to {far:.3g} off")
    if (far := np.abs(np.asarray(cameras.K) - truth.K).max()) > 0.02:
        found.append(f"intrinsics up to {far:.3g} pixels off")
    if not found and truth.masks is not None:
        if capture.masks is None:
            return "no masks"
        one, other = np.asarray(capture.masks) > 0.5, truth.masks > 0.5
        iou = (one & other).sum((1, 2)) / (one | other).sum((1, 2)).clip(1)
        if iou.min() < 0.93:
            found.append(f"mask IoU down to {iou.min():.3g}, median {np.median(iou):.3g}")
    if not found and truth.images is not None:
        far = np.abs(np.asarray(capture.images) - truth.images).mean((1, 2, 3)).max()
        if far > 0.02:
            found.append(f"photographs differ by {far:.3g} on average")
    return ", ".join(found)


# Memory of this process


def _memory(what: str) -> float:
    """VmRSS or VmHWM in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def _reset_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
