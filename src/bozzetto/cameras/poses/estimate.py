"""Cameras from photographs by structure from motion (COLMAP, Schoenberger and Frahm 2016)."""

from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError, warn_input
from ...files import make_folder
from ...images.stored_picture import check_file
from ...runs.fingerprint import fingerprint
from ...steps import stage
from .photo_files import unique_names
from .photo_verdicts import FEWEST, equal_photos, photo_faults, reasons_of
from .prepare import LONGEST, prepare_photos
from .process import require_pycolmap
from .report import PoseReport
from .search import Search
from .stored import EstimatedViews, read_stored_poses, remove_intermediate, store

VERSION = 2
"""Of the method; results of others are not read back."""


def estimate_cameras(
    photos: Sequence[Path],
    masks: Sequence[Path | None] | None,
    folder: Path,
    seed: int = 0,
    longest: int = LONGEST,
) -> EstimatedViews:
    """Find where photographs were taken from, and with what lens.

    Features are found in pictures of at most `longest` pixels, only inside the masks where there are masks, and
    matched; photographs of equal size, device and EXIF focal length share a lens: portraits and landscapes too,
    where EXIF says how the sensor was held. A focal length by EXIF is held until all photographs have a place.
    Every lens has a focal length and a coefficient of radial distortion; where many photographs have it, a
    second one, and a principal point that need not be in the middle, if that can be told for certain. What
    pycolmap finds is then judged: by how many photographs have a camera, by the lens, the shape of the scene
    and the silhouettes.

    Where a camera stood still and the object turned before it, matches that stay in place are left out.

    The world is arbitrary, as photographs tell neither scale nor place: the origin is what the cameras look
    at, their median distance from it is 1, and +Z is up in most photographs.

    Source: Schoenberger and Frahm 2016, COLMAP.

    Args:
        photos: Picture files, at least three.
        masks: One for each, or None; white is the object.
        folder: Where intermediate files and the result go. A result for the same photographs, masks and
            settings that is found there is read back.
        seed: Of everything random. Equal results are likely, but pycolmap does not promise them.
        longest: Longer side of the pictures that are looked at.

    Returns:
        The photographs that were placed, with cameras for their upright full-size pictures, points, and a
        report. A warning names photographs that were not placed.

    Raises:
        InputError: pycolmap is missing, photographs cannot be read, fewer than 80 % can be placed, or what was
            found cannot be right; the sentence says what to do.
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
    """Find cameras and store them with a report."""
    names = unique_names(paths)
    remove_intermediate(folder)  # of a process that was killed
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
