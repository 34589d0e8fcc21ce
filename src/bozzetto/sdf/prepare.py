"""A whole collection of meshes to a prepared folder: on all cores, resumable, whatever some meshes are like."""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import torch

from ..errors import InputError, Interrupted, require_most_usable
from ..files import make_folder
from ..geometry.launch import thread_count
from ..runs import Interruption, Progress, deferred_interruptions
from ..runs.results import lock_folder
from ..shapes import load_mesh
from .preparation import PreparedShape, Protocol, prepare_shape
from .prepared_folder import close_prepared, is_fresh, keep_shape, open_prepared
from .splits import as_split, check_name
from .variants import stretched

ANSWER_SECONDS = 0.2
"""How soon an interruption is noticed."""
DOUBTFUL = 0.02
"""The report names shapes with a larger share of ambiguous signs; the paper rejects meshes at this share of
double-sided views."""


def prepare_collection(
    meshes: Sequence[tuple[str, Path]],
    out: str | os.PathLike,
    count: int = 500_000,
    seed: int = 0,
    protocol: Protocol = "released",
    device: torch.device | str = "cpu",
    overwrite: bool = False,
    quiet: bool = False,
    variants: int = 0,
) -> dict:
    """Prepare every mesh and write the layout of the released code, see `collection`.

    Beside it: `split.json` with all shapes, and `report.json`. Shapes that an earlier call has finished stay
    as they are unless their mesh has changed since; a mesh that fails is left out with a
    warning and never stops the others, unless most do.
    What a shape gets depends on the seed and its name, not on the order or the other shapes.

    Args:
        meshes: Names (`dataset/class/name`) and files, see `find_meshes`.
        out: The prepared folder.
        count: Samples per shape.
        seed: Of the samples.
        protocol: Where samples are taken, see `prepare_shape`.
        device: Where distances are computed.
        overwrite: Replace what an earlier call has made there, when all of the new is there.
        quiet: Show no progress.
        variants: Of every mesh so many smoothly stretched ones are prepared too, see `stretched`; they are
            called name~1, name~2, ...

    Returns:
        What `report.json` holds: settings, `shapes` with samples, share inside, ambiguity and share of
        faces turned round, `doubtful` names, and `failed` names with reasons.

    Raises:
        InputError: A name is malformed, the folder holds shapes prepared with other settings, cannot be
            written to, or most meshes cannot be prepared; those that can are kept for the next call.
        Interrupted: With the number of shapes that are kept, also those at work when the signal came.
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
    """Name of a stretched variant; number 0 is the shape itself."""
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
    """One shape, and the seconds it took; runs in a thread."""
    begin = time.perf_counter()
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
    mesh = load_mesh(path)
    if stretch:
        mesh = stretched(mesh, generator)
    shape = prepare_shape(mesh.to(device), count, generator, protocol)
    return shape, time.perf_counter() - begin


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """Threads that load and sample shapes; kernels leave the interpreter to the others while they run."""
    pool = ThreadPoolExecutor(thread_count(), thread_name_prefix="bozzetto-prepare")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)  # after an interruption nothing new begins


def _completed(running: Iterable[Future], interruption: Interruption) -> Iterator[Future]:
    """Futures as they are done, the earlier first; after an interruption only those that have begun."""
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
