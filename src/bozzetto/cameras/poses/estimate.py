"""Estimation of cameras from photographs by structure from motion (COLMAP, Schoenberger and Frahm 2016).

Settings are tried in order until a result is valid. COLMAP runs in `colmap_program`, a child process that ends
with this one and reports its progress.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, warn_input
from ...files import make_folder, write_text
from ...images.stored_picture import check_file
from ...runs.checkpoint import fingerprint
from ...steps import report_progress, stage
from .model import (
    EstimatedViews,
    Model,
    PoseReport,
    read_model,
    read_stored_poses,
    remove_intermediate,
    store,
)
from .photo_files import unique_names
from .prepare import LONGEST, Photo, prepare_photos
from .verdicts import (
    FEWEST,
    Matches,
    equal_photos,
    geometry_fault,
    lens_fault,
    photo_faults,
    placement_fault,
    reasons_of,
    silhouette_fault,
)

PROGRAM = (
    f"import runpy, sys; sys.path.append({str(Path(__file__).parent)!r}); "
    "runpy.run_module('colmap_program', run_name='__main__', alter_sys=True)"
)
"""The child process imports the program without this package, whose libraries conflict with those of
pycolmap."""
_LAST = 2000  # number of last characters of its messages that are shown if it fails


def require_pycolmap() -> None:
    """Raise an error if the optional package pycolmap is not installed; it is not imported.

    Raises:
        InputError: pycolmap is not installed.
    """
    if find_spec("pycolmap") is None:
        raise InputError(
            "photos without cameras need pycolmap to find them, which is not installed; run: "
            "pip install 'bozzetto[poses]'"
        )


def run_job(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run one job of `colmap_program`; its messages go to `folder/log.txt`, its progress to `steps`.

    The child process ends when its pipe is closed, which happens when this process ends for any reason. It does
    not receive Ctrl-C; it is killed if this function raises an exception.

    Raises:
        InputError: The child process was ended by the system.
    """
    log, described = folder / "log.txt", folder / "job.json"
    write_text(described, json.dumps({**job, "log": str(log)}))
    alone: dict[str, Any] = {"process_group": 0}
    if sys.platform == "win32":
        alone = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", PROGRAM, str(described)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        env={**os.environ, "PYTHONWARNINGS": "ignore", "OPENBLAS_NUM_THREADS": "1"},
        **alone,
    )
    assert process.stdout is not None and process.stdin is not None
    result = None
    try:
        for line in process.stdout:
            message = json.loads(line)
            result = message.get("result", result)
            if "share" in message:
                report_progress(message["stage"], message["share"])
    finally:
        if result is None:
            process.kill()
        process.stdin.close()
        process.wait()
        process.stdout.close()
    if result is None:
        raise _failure(process.returncode, log)
    return result


def _failure(code: int, log: Path) -> Exception:
    text = log.read_text(encoding="utf-8", errors="replace")[-_LAST:] if log.is_file() else ""
    if code < 0 or code > 0x4000_0000:  # a signal, or what Windows has instead
        return InputError(
            f"pycolmap was ended by the system (code {code}), perhaps because memory or disk space ran out; "
            f"close other programs or give fewer photos (its messages: {log})"
        )
    return RuntimeError(f"pycolmap failed with exit code {code}; the end of its messages:\n{text}")


USUAL_FOCAL = 1.0
"""Initial focal length without EXIF data, as a fraction of the longer side; phones have .7 to .9."""
ALIKE = 0.01
"""Relative difference below which focal lengths count as equal."""
EXHAUSTIVE = 100
"""Largest number of photographs of which all pairs are matched."""
NEIGHBOURS = 12
"""With more photographs, number of neighbours before and after each that it is matched with."""
LOOP_STEP = 6
"""With more photographs, every n-th is also matched with every n-th, to close loops."""


@dataclass(frozen=True)
class SharedCamera:
    """Photographs that were taken with the same lens at the same zoom.

    Attributes:
        size: Width and height of the reduced pictures.
        focal: Initial focal length, in pixels of the reduced pictures.
        known: Whether the focal length is from EXIF data.
        photos: Positions of the photographs.
    """

    size: tuple[int, int]
    focal: float
    known: bool
    photos: tuple[int, ...]


def group_cameras(photos: Sequence[Photo]) -> list[SharedCamera]:
    """Group photographs of the same size, focal length and device, which share a camera.

    The reduced pictures have the orientation of the sensor, so that portraits and landscapes of one phone share
    a camera, unless they were rotated upright afterwards. More cameras than necessary do no harm if each has
    several photographs.
    """
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, photo in enumerate(photos):
        focal = None if photo.focal is None else photo.focal / max(photo.size)
        for (size, device, other), members in groups.items():
            alike = focal is other or (
                focal is not None and other is not None and abs(focal / other - 1) < ALIKE
            )
            if size == photo.work_size and device == photo.device and alike:
                members.append(i)
                break
        else:
            groups[photo.work_size, photo.device, focal] = [i]
    return [
        SharedCamera(size, (focal or USUAL_FOCAL) * max(size), focal is not None, tuple(members))
        for (size, _, focal), members in groups.items()
    ]


def choose_pairs(count: int) -> list[tuple[int, int]]:
    """Pairs to match: all pairs, or for many photographs neighbours in their order and some distant pairs."""
    if count <= EXHAUSTIVE:
        return list(combinations(range(count), 2))
    pairs = {(i, j) for i in range(count) for j in range(i + 1, min(count, i + 1 + NEIGHBOURS))}
    pairs |= {(i, i + (1 << k)) for k in range(4, 8) for i in range(count - (1 << k))}
    pairs |= set(combinations(range(0, count, LOOP_STEP), 2))
    return sorted(pairs)


FEATURES: dict[str, Any] = {
    "estimate_affine_shape": True,
    "domain_size_pooling": True,
    "peak_threshold": 0.004,
}
FINE_FEATURES: dict[str, Any] = {**FEATURES, "peak_threshold": 0.0015, "edge_threshold": 16.0}
MAPPING: dict[str, Any] = {
    "mapper.init_min_num_inliers": 50,
    "mapper.abs_pose_min_num_inliers": 15,
    "mapper.init_min_tri_angle": 8.0,
}
LOOSE_MAPPING: dict[str, Any] = {
    "min_num_matches": 10,
    "mapper.init_min_num_inliers": 25,
    "mapper.abs_pose_min_num_inliers": 10,
    "mapper.abs_pose_min_inlier_ratio": 0.15,
    "mapper.init_min_tri_angle": 4.0,
    "mapper.filter_max_reproj_error": 6.0,
}
PLENTY: dict[str, Any] = {"count": 1500, "peak_threshold": 0.01}
"""Median number of features per picture, without the finest, above which only features with at least this
contrast are used. The others are mostly noise, and matching time is quadratic in the number of features."""
RICH = 2000
"""Number of features per picture above which more would not help."""
MOVES = (
    "parts of the photos move against each other, as when the object turns while the room rests; give masks of "
    "the object with --masks, or walk around it while it rests"
)
NEARLY_ALL = 0.95
"""Fraction of placed photographs above which no other settings are tried."""


@dataclass(frozen=True)
class FoundModel:
    """A valid model.

    Attributes:
        model: Pictures and points of the model.
        folder: Folder of its files.
        error: Mean reprojection error in pixels of the reduced pictures.
        matches: Matches that the model was computed from.
        notes: Sentences about unusual properties.
    """

    model: Model
    folder: Path
    error: float
    matches: Matches
    notes: tuple[str, ...]


class Search:
    """Search over settings until nearly all photographs are placed; keeps the best valid model."""

    def __init__(self, photos: Sequence[Photo], folder: Path, seed: int) -> None:
        self.photos = photos
        self.folder = folder
        self.seed = seed
        self._matched: tuple[Any, ...] | None = None
        self._matches = Matches(np.zeros(len(photos), int), np.zeros((0, 5), int), np.zeros((0, 4), int))
        self._still = False

    def best(self) -> FoundModel:
        """Search for the best model.

        Raises:
            InputError: No model is valid.
        """
        masked = any(photo.masked for photo in self.photos)
        held = any(photo.focal is not None for photo in self.photos)
        attempts = [(masked, FEATURES, MAPPING, True)] if held else []
        attempts += [(masked, FEATURES, MAPPING, False), (masked, FEATURES, LOOSE_MAPPING, False)]
        usual = len(attempts)
        if masked:
            attempts += [(False, FEATURES, MAPPING, False)]
        attempts += [(False, FINE_FEATURES, LOOSE_MAPPING, False)]
        best: FoundModel | None = None
        faults: list[str] = []
        for number, (inside, features, mapping, hold) in enumerate(attempts):
            if features is FINE_FEATURES and np.median(self._matches.features) > RICH:
                break  # a lack of features is not the reason
            self._match(inside, features)
            if self._matches.two_motions:
                faults.append(MOVES)
                if inside:
                    continue
                break  # no other settings make one scene of two
            found = self._map(mapping, hold, self.folder / "models" / str(number))
            model = None if found is None else found.model
            fault = self._fault(model)
            if fault is not None:
                faults.append(fault)
            elif found is not None and (best is None or len(found.model.names) > len(best.model.names)):
                best = found
            if best is not None and len(best.model.names) >= NEARLY_ALL * len(self.photos):
                break
            if best is not None and number >= usual - 1:
                break  # the remaining settings are only for the case that no model is valid
        if best is None:
            raise InputError(faults[0])
        return best

    def _notes(self) -> tuple[str, ...]:
        if self._still:
            return ("the camera stood still while the object turned; what rests in the photos was left out",)
        return ()

    def _match(self, masked: bool, features: dict[str, Any]) -> None:
        if self._matched == (masked, features):
            return
        result = run_job(self._job("match", masked=masked, features=features, rich=PLENTY), self.folder)
        self._matches = _as_matches(result)
        self._still = self._matches.camera_stood_still
        if self._still:
            result = run_job(self._job("verify", masked=masked, without_still=True), self.folder)
            self._matches = _as_matches(result)
        self._matched = (masked, features)

    def _map(self, mapping: dict[str, Any], hold: bool, target: Path) -> FoundModel | None:
        shutil.rmtree(target, ignore_errors=True)
        job = self._job("map", mapping=mapping, hold=hold, models=str(target))
        found = largest(run_job(job, self.folder)["models"])
        if found is None:
            return None
        folder = Path(found["folder"])
        return FoundModel(read_model(folder), folder, found["error"], self._matches, self._notes())

    def _fault(self, model: Model | None) -> str | None:
        where = [] if model is None else [i for i, p in enumerate(self.photos) if p.work in model.names]
        fault = placement_fault(self.photos, self._matches, where)
        if fault is not None or model is None:
            return fault
        return (
            lens_fault(model, self.photos)
            or geometry_fault(model)
            or silhouette_fault(model, self.photos, self.folder / "masks")
        )

    def _job(
        self, task: str, masked: bool = False, without_still: bool = False, **more: Any
    ) -> dict[str, Any]:
        cameras = group_cameras(self.photos)
        camera = {i: number for number, shared in enumerate(cameras) for i in shared.photos}
        return {
            "task": task,
            "seed": self.seed,
            "database": str(self.folder / "matches.db"),
            "folder": str(self.folder / "pictures"),
            "masks": str(self.folder / "masks") if masked else "",
            "pictures": [{"name": p.work, "camera": camera[i]} for i, p in enumerate(self.photos)],
            "cameras": [_described(shared) for shared in cameras],
            "pairs": choose_pairs(len(self.photos)),
            "without_still": without_still,
            **more,
        }


def _described(shared: SharedCamera) -> dict[str, Any]:
    width, height = shared.size
    return {"width": width, "height": height, "focal": shared.focal, "prior": shared.known}


def _as_matches(result: dict[str, Any]) -> Matches:
    return Matches(
        features=np.array(result["features"], int),
        pairs=np.array(result["pairs"], int).reshape(-1, 5),
        motions=np.array(result["motions"], int).reshape(-1, 4),
    )


def largest(models: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The model with most pictures, and of several such models the one with most points."""
    return max(models, key=lambda m: (len(m["pictures"]), m["points"]), default=None)


VERSION = 2
"""Version of the method; stored results of other versions are not used."""


def estimate_cameras(
    photos: Sequence[Path],
    masks: Sequence[Path | None] | None,
    folder: Path,
    seed: int = 0,
    longest: int = LONGEST,
) -> EstimatedViews:
    """Estimate the poses and intrinsics of photographs by structure from motion.

    Features are found in pictures reduced to at most `longest` pixels, only inside the masks if there are any,
    and matched. Photographs of equal size, device and EXIF focal length share a lens, also portraits and
    landscapes if EXIF has the orientation of the sensor. A focal length from EXIF is fixed until all
    photographs are placed. Every lens has a focal length and a coefficient of radial distortion. For a lens
    with many photographs, a second coefficient and the principal point are estimated, if they are certain. The
    result of pycolmap is then validated by the number of placed photographs, the lens, the shape of the scene
    and the silhouettes.

    If the camera was static and the object rotated in front of it, static matches are left out.

    Photographs determine neither scale nor position. In the returned world frame the origin is the point that
    the cameras look at, their median distance from it is 1, and +Z is up in most photographs.

    Source: Schoenberger and Frahm 2016, COLMAP.

    Args:
        photos: Picture files, at least three.
        masks: One mask file for each photograph, or None; white is the object.
        folder: Folder for intermediate files and the result. A stored result for the same photographs, masks
            and settings is used again.
        seed: Seed of all random choices. Equal results are likely, but pycolmap does not guarantee them.
        longest: Longer side, in pixels, of the reduced pictures.

    Returns:
        The placed photographs with cameras for their upright full-size pictures, points, and a report. A
        warning names photographs that were not placed.

    Raises:
        InputError: pycolmap is not installed, photographs cannot be read, fewer than 80 % can be placed, or the
            result is not valid; the message says what to do.
    """
    paths = [Path(photo) for photo in photos]
    covers = [None if mask is None else Path(mask) for mask in masks or [None] * len(paths)]
    _check(paths, covers)
    folder = make_folder(folder)
    settings = ["poses", VERSION, seed, longest, [p.name for p in paths], [c is not None for c in covers]]
    key = fingerprint(*settings, *paths, *(c for c in covers if c is not None))
    views = read_stored_poses(folder, key, paths, covers)
    if views is None:
        require_pycolmap()
        with stage("cameras"):
            _find(paths, covers, folder, key, seed, longest)
        views = read_stored_poses(folder, key, paths, covers)
    assert views is not None and views.report is not None
    for note in views.report.notes:
        warn_input(note)
    if views.report.reasons:
        warn_input(views.report.sentence)
    return views


def _check(paths: Sequence[Path], covers: Sequence[Path | None]) -> None:
    if len(covers) != len(paths):
        raise InputError(f"{len(covers)} masks do not match {len(paths)} photos; give one for each, or none")
    for path in paths:
        check_file(path, "photo")
    if len(paths) < FEWEST + 1:
        raise InputError(
            f"too few photos to find cameras, {len(paths)} were given; take 20 to 60 around the object, each "
            "showing most of what the one before shows"
        )


def _find(
    paths: Sequence[Path],
    covers: Sequence[Path | None],
    folder: Path,
    key: str,
    seed: int,
    longest: int,
) -> None:
    """Estimate cameras and store them with a report."""
    names = unique_names(paths)
    remove_intermediate(folder)  # files of a killed process
    everything = prepare_photos(paths, names, covers, folder, longest)
    fault = photo_faults(everything)
    if fault is not None:
        raise InputError(fault)
    same = equal_photos(everything)
    usable = [photo for i, photo in enumerate(everything) if i not in same]
    if len(usable) <= FEWEST:
        raise InputError(
            f"too few photos to find cameras: of {len(everything)} only {len(usable)} are different, the "
            "others show the same; take 20 to 60 from different places around the object"
        )
    found = Search(usable, folder, seed).best()
    model = found.model
    reasons = {everything[i].name: f"the same as {everything[j].name}" for i, j in same.items()}
    where = [i for i, photo in enumerate(usable) if photo.work in model.names]
    reasons |= {usable[i].name: reason for i, reason in reasons_of(usable, found.matches, where).items()}
    report = PoseReport(
        photos=tuple(names),
        placed=tuple(usable[i].name for i in where),
        reasons=reasons,
        points=len(model.points),
        error=found.error,
        work_size=max(max(photo.work_size) for photo in usable),
        focal=tuple(float(lens[0] / max(size)) for lens, size in zip(model.lenses, model.sizes, strict=True)),
        notes=found.notes,
    )
    store(folder, key, report, usable, found.folder)
