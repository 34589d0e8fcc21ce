"""Preparation of a collection of meshes for training: on all cores, resumable, robust to unusable meshes."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError, Interrupted, require_most_usable
from ..files import make_folder, remove_leftovers, write_text
from ..geometry.launch import thread_count
from ..runs import Interruption, Progress, deferred_interruptions
from ..runs.results import lock_folder
from ..shapes import load_mesh
from ..shapes.readers import ending_of
from .data import (
    NORMALISATIONS,
    SAMPLES,
    Split,
    as_split,
    check_name,
    is_prepared,
    normalisation_path,
    sample_path,
    save_normalisation,
    save_sdf_samples,
    split_names,
)
from .prepare_shape import PreparedShape, Protocol, prepare_shape, stretched_shape

MESH_ENDINGS = (".ply", ".obj", ".stl", ".off", ".glb", ".gltf")


def find_meshes(
    path: str | os.PathLike[str], split: str | os.PathLike[str] | Split | None = None
) -> list[tuple[str, Path]]:
    """Find the meshes of a folder and the names under which they are prepared.

    In a ShapeNet folder as unpacked (`<class>/<id>/models/model_normalized.obj`, or `<class>/<id>/model.obj`
    in version 1) the names are `ShapeNetV2/<class>/<id>` (or `ShapeNetV1`), so that split files of the released
    code fit; other files are ignored. In any other folder every mesh file is used: its class is the name of its
    folder, and its dataset is the path from `path` to that folder, or `meshes`. Every file is a separate mesh,
    also if files differ only in format.

    Args:
        path: The folder, or one mesh.
        split: The meshes to find, in this order; missing ones are included, so that the report names them. None
            finds all, sorted by name.

    Raises:
        InputError: There is no such folder, it has no mesh or none of the split, or two meshes have the same
            name.
    """
    path = Path(path)
    if path.is_file():
        return [(f"meshes/{path.resolve().parent.name or 'single'}/{path.stem}", path)]
    if not path.is_dir():
        raise InputError(f"{path} is no folder and no file; give a mesh or the folder that holds the meshes")
    found: dict[str, Path] = {}
    for name, file in _shapenet(path) or _plain(path):
        if name in found:
            raise InputError(f"{found[name]} and {file} would both be named {name}; rename one of them")
        found[name] = file
    if not found:
        raise InputError(f"{path} holds no mesh ({', '.join(MESH_ENDINGS)}); check the path")
    if split is None:
        return sorted(found.items())
    wanted = split_names(split)
    if not set(wanted) & set(found):
        raise InputError(
            f"{path} holds none of the {len(wanted)} shapes of the split; "
            f"it has {next(iter(found))}, the split {', '.join(wanted[:1]) or 'nothing'}"
        )
    return [(name, found.get(name, path / name)) for name in wanted]


def _shapenet(path: Path) -> list[tuple[str, Path]]:
    root = path.resolve()
    shapes = [(file.parents[1], file) for file in root.rglob("models/model_normalized.obj")]
    version = "ShapeNetV2"
    if not shapes:
        shapes = [(file.parent, file) for file in root.rglob("model.obj")]
        version = "ShapeNetV1"
    return [(f"{version}/{shape.parent.name}/{shape.name}", file) for shape, file in shapes]


def _plain(path: Path) -> Iterator[tuple[str, Path]]:
    root = path.resolve()
    for file in sorted(root.rglob("*")):
        if ending_of(file) in MESH_ENDINGS and not file.name.startswith(".") and file.is_file():
            above = [root.name, *file.parent.relative_to(root).parts]
            yield f"{'-'.join(above[:-1]) or 'meshes'}/{above[-1]}/{file.stem}", file


ANSWER_SECONDS = 0.2
"""Seconds within which an interruption is noticed."""
DOUBTFUL = 0.02
"""Largest fraction of ambiguous signs of a shape that the report does not name as doubtful. The paper rejects
meshes with this fraction of double-sided views."""


def prepare_collection(
    meshes: Sequence[tuple[str, Path]],
    out: str | os.PathLike[str],
    count: int = 500_000,
    seed: int = 0,
    protocol: Protocol = "released",
    device: torch.device | str = "cpu",
    overwrite: bool = False,
    quiet: bool = False,
    variants: int = 0,
) -> dict[str, Any]:
    """Prepare all meshes and write their samples in the folder structure of the released code.

    Also writes `split.json` with all shapes, and `report.json`. Shapes that an earlier call has prepared are
    not prepared again unless their mesh has changed since. A mesh that fails is left out with a warning; only
    if most meshes fail there is an error. The samples of a shape depend on the seed and its name, not on the
    order or the other shapes.

    Args:
        meshes: Names (`dataset/class/name`) and files, see `find_meshes`.
        out: The folder to write.
        count: Number of samples per shape.
        seed: Seed of the samples.
        protocol: Distribution of the samples, see `prepare_shape`.
        device: Device on which distances are computed.
        overwrite: Whether to replace the results of an earlier call, once all new ones are complete.
        quiet: Whether to hide the progress bar.
        variants: Number of smoothly stretched variants of every mesh that are prepared as well, see
            `stretched_shape`; they are named name~1, name~2, ...

    Returns:
        The content of `report.json`: settings, `shapes` with number of samples, fraction inside, ambiguity and
        fraction of flipped faces, `doubtful` names, and `failed` names with reasons.

    Raises:
        InputError: A name is malformed, the folder contains shapes prepared with other settings, the folder
            cannot be written to, or most meshes cannot be prepared; the prepared ones are kept for the next
            call.
        Interrupted: A signal arrived; the message has the number of shapes that are kept, which includes those
            in progress.
    """
    originals = {name for name, _ in meshes}
    wanted = {variant_name(name, i): Path(path) for i in range(variants + 1) for name, path in meshes}
    for name in wanted:
        check_name(name)
    if not wanted or len(wanted) < len(meshes) * (variants + 1):
        raise InputError(
            f"{len(meshes)} meshes with {variants} variants have {len(wanted)} names; "
            "every mesh needs one of its own, and variants end with ~ and a number"
        )
    out = make_folder(out)
    begin, settings = time.perf_counter(), {"count": count, "seed": seed, "protocol": protocol}
    lock = lock_folder(out)
    place, kept = open_prepared(out, settings, overwrite)
    done = {name: kept[name] for name, path in wanted.items() if name in kept and is_fresh(place, name, path)}
    failed: dict[str, str] = {}
    with (
        deferred_interruptions() as interruption,
        Progress(len(wanted), "prepare", quiet, unit="shape", done=len(done)) as progress,
        _pool() as pool,
    ):
        running = {
            pool.submit(_work, name, path, name not in originals, count, seed, protocol, device): name
            for name, path in wanted.items()
            if name not in done
        }
        for future in _completed(running, interruption):
            name = running.pop(future)
            if (reason := _failure(future)) is not None:
                failed[name] = reason
            else:
                done[name] = keep_shape(place, name, *future.result())
            progress.advance(failed=len(failed))
    if interruption:
        raise Interrupted(
            f"interrupted while shapes were prepared; {len(done)} of {len(wanted)} are kept",
            exit_code=interruption.exit_code,
        )
    require_most_usable(failed, len(wanted), "meshes")
    report = {
        "settings": settings,
        "seconds": round(time.perf_counter() - begin, 3),
        "shapes": {name: done[name] for name in wanted if name in done},
        "doubtful": [name for name in wanted if name in done and done[name]["ambiguity"] > DOUBTFUL],
        "failed": failed,
    }
    close_prepared(place, report, as_split(list(report["shapes"])))
    lock.release()
    return report


def variant_name(name: str, number: int) -> str:
    """Name of a stretched variant of a shape; number 0 is the shape itself."""
    return f"{name}~{number}" if number else name


def _work(
    name: str,
    path: Path,
    stretch: bool,
    count: int,
    seed: int,
    protocol: Protocol,
    device: torch.device | str,
) -> tuple[PreparedShape, float]:
    """Prepare one shape and measure the seconds; runs in a thread."""
    begin = time.perf_counter()
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
    mesh = load_mesh(path)
    if stretch:
        mesh = stretched_shape(mesh, generator)
    shape = prepare_shape(mesh.to(device), count, generator, protocol)
    return shape, time.perf_counter() - begin


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """Threads that load and sample shapes; kernels release the interpreter lock while they run."""
    pool = ThreadPoolExecutor(thread_count(), thread_name_prefix="bozzetto-prepare")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)  # after an interruption no further shape is started


def _completed(running: Iterable[Future], interruption: Interruption) -> Iterator[Future]:
    """Futures in the order of completion; after an interruption only those that have started."""
    order = {future: place for place, future in enumerate(running)}
    pending = set(order)
    while pending:
        done, pending = wait(pending, ANSWER_SECONDS, FIRST_COMPLETED)
        if interruption:
            done |= {future for future in pending if not future.cancel()}
            pending = set()
        yield from sorted(done, key=order.__getitem__)


def _failure(future: Future) -> str | None:
    error = future.exception()
    if error is None or isinstance(error, InputError):
        return None if error is None else str(error)
    if isinstance(error, Exception):
        return f"{type(error).__name__}: {error}"
    raise error


SETTINGS, RECORDS, REPORT, SPLIT = "preparation.json", "preparation.jsonl", "report.json", "split.json"
UNFINISHED, FINISHED = ".unfinished", ".finished"


def open_prepared(
    out: Path, settings: dict[str, Any], overwrite: bool
) -> tuple[Path, dict[str, dict[str, Any]]]:
    """The folder in which shapes are prepared, and the records of those that are already finished.

    Raises:
        InputError: The folder contains samples that were not prepared here, or that were prepared with other
            settings.
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
    # Rewritten, because a crash may have left half a line to which the next would be appended.
    lines = (json.dumps({"name": name, **record}) + "\n" for name, record in records.items())
    write_text(place / RECORDS, "".join(lines))
    return place, records


def close_prepared(place: Path, report: dict[str, Any], split: dict[str, Any]) -> None:
    """Write report and split, and replace earlier samples if this was requested."""
    write_text(place / SPLIT, json.dumps(split, indent=2) + "\n")
    write_text(place / REPORT, json.dumps(report, indent=2) + "\n")
    if place.name == UNFINISHED:
        os.replace(place, place.with_name(FINISHED))
        replace_earlier(place.parent)


def replace_earlier(out: Path) -> None:
    """Move complete new samples to their final folder, and delete the ones that they replace."""
    new = out / FINISHED
    if not (new / REPORT).is_file():
        shutil.rmtree(new, ignore_errors=True)
        return
    (out / REPORT).unlink(missing_ok=True)  # so that a folder with a report contains shapes of one set
    _delete(out, records_of(out).keys() - records_of(new).keys())
    kinds = (SAMPLES, NORMALISATIONS)
    for source in (path for kind in kinds for path in (new / kind).rglob("*") if path.is_file()):
        target = out / source.relative_to(new)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)
    for name in (SPLIT, SETTINGS, RECORDS, REPORT):  # in this order: records list the shapes
        if (new / name).exists():
            os.replace(new / name, out / name)
    shutil.rmtree(new, ignore_errors=True)


def _delete(out: Path, names: Iterable[str]) -> None:
    for name in names:
        sample_path(out, name).unlink(missing_ok=True)
        normalisation_path(out, name).unlink(missing_ok=True)


def keep_shape(out: Path, name: str, shape: PreparedShape, seconds: float) -> dict[str, Any]:
    """Write a shape; its record is written last, so that a shape with a record is complete."""
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
    """Whether the samples of a shape exist and are not older than their mesh (which may have been deleted)."""
    samples = sample_path(out, name)
    if not samples.is_file():
        return False
    return not mesh.exists() or samples.stat().st_mtime >= mesh.stat().st_mtime


def settings_of(out: Path) -> dict[str, Any] | None:
    """Settings with which the shapes in a folder were prepared; None if there are none."""
    try:
        return json.loads((out / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def records_of(out: Path) -> dict[str, dict[str, Any]]:
    """Records of the finished shapes in a folder, by name."""
    path, records = out / RECORDS, {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
            records[record.pop("name")] = record
        except (ValueError, KeyError, AttributeError):
            continue
    return records
