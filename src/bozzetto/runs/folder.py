"""Run folders: settings, metrics, checkpoints and results of a run."""

import dataclasses
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

from .. import steps
from ..errors import InputError, warn_input, warnings_so_far
from ..files import CannotWrite, NoSpace, is_leftover, make_folder, write_error, write_text, writing
from ..locks import Lock
from . import results
from .checkpoint import read_checkpoint, write_checkpoint
from .environment import Stopwatch, environment, peak_memory
from .results import CHECKPOINT, CONFIG, FILES, FINISHED, LOCK, METRICS, REPORT, UNFINISHED


class RunFolder:
    """A folder with the results of one run.

    | file | content |
    |---|---|
    | `config.json` | the resolved settings and the input of the run, written at the beginning |
    | `metrics.jsonl` | a JSON object per logged step |
    | `checkpoint.safetensors` | the newest state to resume from |
    | `report.json` | seconds per stage, peak memory, device, seed, versions and metrics, at the end |
    | `.files` | names of all files that the run wrote; `overwrite` deletes only these |
    | `.lock` | exists during a run, so that no other can begin |
    | `.unfinished/` | files of a run with `overwrite` until all are complete |

    Every file is written under a temporary name and renamed, so a file with its final name is complete. Files
    of a run that replaces an earlier one are in `.unfinished` until its report is written, and are then moved
    to the folder. Until then the earlier results do not change, for whatever reason the run ends, and `resume`
    continues in `.unfinished`. If the process crashes while files are moved, the next run moves the rest. A
    folder with a report always contains the results of exactly one run.

    Attributes:
        path: The folder.
        config: The resolved settings as plain JSON values.
        stopwatch: Seconds per stage, which continue when a run is resumed.
    """

    def __init__(self, path: Path, config: dict[str, Any], lock: Lock, replaces: bool, goes_on: bool) -> None:
        self.path = path
        self.config = config
        self.stopwatch: Stopwatch = Stopwatch()
        self._lock: Lock | None = lock  # held for the lifetime of this object, or until the report
        unfinished = path / UNFINISHED
        staged = replaces or (goes_on and (unfinished / CONFIG).exists())
        self._place = unfinished if staged else path  # where files are written
        self._begun = goes_on
        self._written = set(results.listed_files(self._place)) if goes_on else set()
        self._list_is_whole = False
        self._warned_of_space = False
        if goes_on:
            results.remove_unfinished_files(self._place)
        lock.on_failure(lambda: _discard(path))

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        config: object,
        overwrite: bool = False,
        resume: bool = False,
        reads: Iterable[str | os.PathLike[str]] = (),
    ) -> "RunFolder":
        """Begin a run in a folder, or continue the one that is there.

        Nothing is written or deleted before the first file of the run is written, so a run that fails earlier
        destroys no results. The folder is locked until the report is written or the object is deleted.

        Args:
            path: A new or empty folder, or the folder of an earlier run.
            config: Settings: a dataclass or a dictionary. It must contain everything that must not differ when
                the run is resumed, also the `fingerprint` of the input.
            overwrite: Whether to replace the results of an earlier run (only files that it wrote), once those
                of this one are complete, when its report is written.
            resume: Whether to continue an earlier run; if there is none, a new run begins.
            reads: Files and folders that the run reads, which `overwrite` must not delete.

        Raises:
            InputError: The folder contains an earlier run and neither flag is given, or results that this run
                reads, or other files; another run is writing to it; the earlier run had other settings or
                input; or the folder cannot be read or written.
        """
        path, plain = Path(path), as_json(config)
        if overwrite and resume:
            raise InputError("--overwrite and --resume exclude each other; give one of them")
        try:
            _check_place(path)
            lock = results.lock_folder(path)
            results.finish(path)
            earlier = _is_result(path) or (resume and (path / UNFINISHED / CONFIG).is_file())
            if earlier and not (overwrite or resume):
                state = "" if (path / REPORT).exists() else " that did not end"
                raise InputError(
                    f"{path} holds the results of an earlier run{state}; replace it with --overwrite, choose "
                    "another --out, or continue a training or reconstruction with --resume"
                )
            if earlier and resume:
                place = path / UNFINISHED
                before = _earlier_config(place if (place / CONFIG).exists() else path)
                if before is None:
                    raise InputError(
                        f"{path} cannot be resumed: its {CONFIG} is damaged; start again with --overwrite"
                    )
                _require_same(path, renamed(before), renamed(plain))
            if earlier and overwrite:
                _refuse_to_delete(path, reads)
        except OSError as error:
            raise write_error(error, path) from None
        return cls(path, plain, lock, replaces=earlier and overwrite, goes_on=earlier and resume)

    def begin(self) -> None:
        """Write the settings, unless they are already written."""
        if self._begun:
            return
        results.clear(self.path)
        self._begun = True
        content = {"bozzetto": 1, "config": self.config}
        write_text(self._register(CONFIG), json.dumps(content, indent=2) + "\n")

    def file(self, name: str) -> Path:
        """The path to write a result of this name to; sub-folders are created, and the name is registered.

        Raises:
            InputError: There is a folder of this name, the name is reserved for the run itself, or the folder
                was deleted since the run began.
        """
        self.begin()
        if not (self._place / CONFIG).exists():
            raise CannotWrite(
                f"{self._place} was deleted or moved while the run was writing to it; start again"
            )
        return self._register(name)

    def _register(self, name: str) -> Path:
        path = self._place / name
        if PurePath(name).parts[0] in (FILES, LOCK, UNFINISHED, FINISHED):
            raise InputError(f"no result can be called {name}; give the input another name")
        if (self.path / name).is_dir():
            raise InputError(f"{self.path / name} is a folder, and a result has this name; move it away")
        make_folder(path.parent)
        if name not in self._written:
            self._written.add(name)
            whole, self._list_is_whole = self._list_is_whole, False
            if whole:
                results.add_to_list(self._place, name)
            else:
                results.write_list(self._place, self._written)
            self._list_is_whole = True
        return path

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the time of a block under this name for the report, and use the name for progress."""
        with self.stopwatch.stage(name), steps.stage(name):
            yield

    def log(self, step: int, **values: Any) -> None:
        """Append a line to the metrics; values that are not finite become null.

        If the disk is full there is one warning and the run continues, since its results may still fit.
        """
        line, path = json.dumps(as_json({"step": step, **values})), self.file(METRICS)
        try:
            with writing(path), path.open("a", encoding="utf-8") as metrics:
                metrics.write(line + "\n")
        except NoSpace as error:
            self._warn_of_full_disk(error)

    def save_checkpoint(
        self, step: int, tensors: dict[str, torch.Tensor], meta: dict[str, Any] | None = None
    ) -> None:
        """Replace the checkpoint by the state after this step.

        If the disk is full there is one warning; the earlier checkpoint is kept and the run continues.

        Args:
            step: The last step whose effect is in the tensors, counted as in `log`.
            tensors: The state.
            meta: Further state as JSON values.
        """
        content = {"step": step, "seconds": self.stopwatch.seconds, "meta": as_json(meta or {})}
        try:
            write_checkpoint(self.file(CHECKPOINT), tensors, content)
        except NoSpace as error:
            self._warn_of_full_disk(error)

    def _warn_of_full_disk(self, error: NoSpace) -> None:
        if not self._warned_of_space:
            self._warned_of_space = True
            warn_input(f"{error}; the run goes on, but may not be resumable")

    def load_checkpoint(self) -> tuple[int, dict[str, torch.Tensor], dict[str, Any]] | None:
        """Read step, tensors and meta of the checkpoint; None if there is no checkpoint.

        Metrics logged after that step are deleted, since these steps will be repeated.

        Raises:
            InputError: The checkpoint is damaged.
        """
        self.begin()
        path = self._place / CHECKPOINT
        if not path.exists():
            with writing(path):
                (self._place / METRICS).unlink(missing_ok=True)
            return None
        tensors, content = read_checkpoint(path)
        if not {"step", "seconds", "meta"} <= content.keys():
            raise InputError(f"{path} is a model and no checkpoint of a run; start again with --overwrite")
        self.stopwatch = Stopwatch(content["seconds"])
        self._keep_metrics(content["step"])
        return content["step"], tensors, content["meta"]

    def metrics(self) -> list[dict[str, Any]]:
        """The logged lines; invalid ones, such as a line truncated by a crash, are left out."""
        path, lines = self._place / METRICS, []
        for text in path.read_bytes().splitlines() if path.exists() else []:
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(line, dict) and isinstance(line.get("step"), int):
                lines.append(line)
        return lines

    def _keep_metrics(self, last_step: int) -> None:
        if (self._place / METRICS).exists():
            kept = [json.dumps(line) + "\n" for line in self.metrics() if line["step"] <= last_step]
            write_text(self.file(METRICS), "".join(kept))

    def report(
        self,
        metrics: dict[str, Any],
        device: torch.device | str = "cpu",
        seed: int | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Write and return the report; this ends the run, and its results replace earlier ones.

        Args:
            metrics: Metrics of the result.
            device: Device of the computation.
            seed: Seed of the run.
            more: Further entries, for instance the most important files.
        """
        seconds = {name: round(value, 3) for name, value in self.stopwatch.seconds.items()}
        content = {
            "out": str(self.path),
            "figures": metrics,
            "seconds": seconds,
            "peak_memory_bytes": peak_memory(),
            "seed": seed,
            **environment(device),
            "warnings": warnings_so_far(),
            **more,
        }
        content = as_json(content)
        write_text(self.file(REPORT), json.dumps(content, indent=2) + "\n")
        if self._place != self.path:
            results.move_into_place(self.path)
            self._place = self.path
        self._lock = None
        return content


def as_json(value: Any) -> Any:
    """Convert dataclasses, paths, tensors and arrays to JSON values; numbers that are not finite become
    null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(item) for item in value]
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        return as_json(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


FORMER_NAMES = {
    "average": "ema_decay",
    "code_step_size": "code_lr",
    "ends": "boundary",
    "longest_code": "max_code_norm",
    "step_size": "lr",
}
"""Former names of settings in runs and models of earlier versions, and their current names."""


def renamed(settings: Any) -> Any:
    """Rename settings (JSON values) from former to current names; a current name that exists is kept."""
    if isinstance(settings, list):
        return [renamed(value) for value in settings]
    if not isinstance(settings, dict):
        return settings
    names = {name: FORMER_NAMES.get(name, name) for name in settings}
    return {
        name if new != name and new in settings else new: renamed(settings[name])
        for name, new in names.items()
    }


def _check_place(path: Path) -> None:
    """Raise an error for a path that a run must not write to.

    Raises:
        InputError: The path is a file, below a file, a dangling link, or a folder with files that are not from
            a run.
    """
    for place in (path, *path.parents):
        if place.exists() and not place.is_dir():
            raise InputError(f"{place} is a file; --out needs a folder")
        if place.is_symlink() and not place.exists():
            raise InputError(f"{place} is a link to a folder that does not exist; make that folder")
    if path.is_dir() and not _is_result(path):
        own = (FILES, LOCK, UNFINISHED, FINISHED)
        if any(item.name not in own and not is_leftover(item.name) for item in path.iterdir()):
            raise InputError(f"{path} holds files that are not from bozzetto; choose a new folder with --out")


def _is_result(path: Path) -> bool:
    """Whether a folder contains results of a run, complete or not, or complete ones that are not yet moved."""
    return (
        _earlier_config(path) is not None
        or ((path / CONFIG).is_file() and (path / FILES).is_file() and CONFIG in results.listed_files(path))
        or (path / FINISHED / CONFIG).is_file()
    )


def _refuse_to_delete(path: Path, reads: Iterable[str | os.PathLike[str]]) -> None:
    root = path.resolve()
    own = [(path / name).resolve() for name in results.listed_files(path)]
    for source in reads:
        place = Path(source).resolve()
        within = place == root or root in place.parents  # `reads` may contain the run folder
        if place in own or (within and any(place in file.parents for file in own)):
            raise InputError(f"--overwrite would delete {source}, which this run reads; choose another --out")


def _earlier_config(path: Path) -> dict[str, Any] | None:
    """The settings of the run in a folder; None if there is none or they are damaged."""
    try:
        content = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        config = content["config"] if "bozzetto" in content else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return config if isinstance(config, dict) else None


def _require_same(path: Path, earlier: Any, now: Any, key: str = "") -> None:
    """Compare settings and raise an error with the path of the first difference, as
    `settings.stages.0.steps`."""
    pairs: dict[Any, Any] = {}
    if isinstance(earlier, dict) and isinstance(now, dict):
        pairs = {name: (earlier.get(name), now.get(name)) for name in sorted(earlier.keys() | now.keys())}
    elif isinstance(earlier, list) and isinstance(now, list) and len(earlier) == len(now):
        pairs = dict(enumerate(zip(earlier, now, strict=True)))
    elif earlier != now:
        old, new = (json.dumps(value)[:60] for value in (earlier, now))
        raise InputError(
            f"{path} cannot be resumed: {key} was {old} and is now {new}; "
            "give the same input and settings as before, or start again with --overwrite"
        )
    for name, (old, new) in pairs.items():
        _require_same(path, old, new, f"{key}.{name}" if key else str(name))


def _discard(path: Path) -> None:
    """Delete the unfinished replacement of a failed run, unless it can be resumed."""
    if not (path / UNFINISHED / CHECKPOINT).exists():
        shutil.rmtree(path / UNFINISHED, ignore_errors=True)
