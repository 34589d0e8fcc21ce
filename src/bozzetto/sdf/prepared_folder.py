"""The folder of `prepare_collection`: which shapes are finished, and how new ones replace earlier ones.

Samples that are to replace others are made in `.unfinished` below the folder. When all are there, it is
called `.finished`, and its files are moved to their places; after a crash the next call moves the rest.
"""

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError
from ..files import remove_leftovers, write_text
from .collection import NORMALISATIONS, SAMPLES, is_prepared, normalisation_path, sample_path
from .preparation import PreparedShape
from .samples import save_normalisation, save_sdf_samples

SETTINGS, RECORDS, REPORT, SPLIT = "preparation.json", "preparation.jsonl", "report.json", "split.json"
UNFINISHED, FINISHED = ".unfinished", ".finished"


def open_prepared(out: Path, settings: dict, overwrite: bool) -> tuple[Path, dict[str, dict]]:
    """Where shapes are to be prepared, and the records of those that are finished there.

    Raises:
        InputError: The folder holds samples of others, or some prepared with other settings.
    """
    replace_earlier(out)
    if not (out / SETTINGS).exists() and is_prepared(out):
        raise InputError(f"{out} holds samples that were not prepared here; choose a new folder with --out")
    records, place = records_of(out), out
    if overwrite and records:
        place = out / UNFINISHED
        if settings_of(place) != settings:
            shutil.rmtree(place, ignore_errors=True)
        records = records_of(place)
    elif records and (before := settings_of(out)) != settings:
        raise InputError(
            f"{out} was prepared with {before}, now asked for is {settings}; "
            "replace it with --overwrite or choose another --out"
        )
    for folder in [place, *(path for path in place.glob("*/*/*") if path.is_dir())]:
        remove_leftovers(folder)
    write_text(place / SETTINGS, json.dumps(settings) + "\n")
    # Anew, because a crash may have left half a line to which the next would be appended.
    lines = (json.dumps({"name": name, **record}) + "\n" for name, record in records.items())
    write_text(place / RECORDS, "".join(lines))
    return place, records


def close_prepared(place: Path, report: dict, split: dict) -> None:
    """Write what comes last; what was to replace earlier samples does so."""
    write_text(place / SPLIT, json.dumps(split, indent=2) + "\n")
    write_text(place / REPORT, json.dumps(report, indent=2) + "\n")
    if place.name == UNFINISHED:
        os.replace(place, place.with_name(FINISHED))
        replace_earlier(place.parent)


def replace_earlier(out: Path) -> None:
    """Move what is complete to its place, and delete what it replaces."""
    new = out / FINISHED
    if not (new / REPORT).is_file():
        shutil.rmtree(new, ignore_errors=True)
        return
    (out / REPORT).unlink(missing_ok=True)  # so that a folder with a report holds shapes of one set
    _delete(out, records_of(out).keys() - records_of(new).keys())
    kinds = (SAMPLES, NORMALISATIONS)
    for source in (path for kind in kinds for path in (new / kind).rglob("*") if path.is_file()):
        target = out / source.relative_to(new)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)
    for name in (SPLIT, SETTINGS, RECORDS, REPORT):  # in this order: the records tell what is here
        if (new / name).exists():
            os.replace(new / name, out / name)
    shutil.rmtree(new, ignore_errors=True)


def _delete(out: Path, names: Iterable[str]) -> None:
    for name in names:
        sample_path(out, name).unlink(missing_ok=True)
        normalisation_path(out, name).unlink(missing_ok=True)


def keep_shape(out: Path, name: str, shape: PreparedShape, seconds: float) -> dict:
    """Write a shape; its record comes last, so that a shape with a record is whole."""
    save_normalisation(shape.normalisation, normalisation_path(out, name))
    save_sdf_samples(shape.samples, sample_path(out, name))
    record = {
        "samples": len(shape.samples),
        "inside": round(len(shape.samples.inside) / len(shape.samples), 6),
        "ambiguity": round(shape.ambiguity, 6),
        "turned": round(shape.turned, 6),
        "seconds": round(seconds, 3),
    }
    with (out / RECORDS).open("a", encoding="utf-8") as records:
        records.write(json.dumps({"name": name, **record}) + "\n")
    return record


def is_fresh(out: Path, name: str, mesh: Path) -> bool:
    """Whether samples are there and no older than their mesh (which may be gone by now)."""
    samples = sample_path(out, name)
    if not samples.is_file():
        return False
    return not mesh.exists() or samples.stat().st_mtime >= mesh.stat().st_mtime


def settings_of(out: Path) -> dict | None:
    """What the shapes in a folder were prepared with; None if there is none."""
    try:
        return json.loads((out / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def records_of(out: Path) -> dict[str, dict]:
    """Of the shapes in a folder that are finished, by name."""
    path, records = out / RECORDS, {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
            records[record.pop("name")] = record
        except (ValueError, KeyError, AttributeError):
            continue
    return records
