"""The folder of a run: what was asked, what happened, what came out."""

import dataclasses
import json
import math
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError, warnings_so_far
from ..files import make_folder, write_text
from .checkpoint import read_checkpoint, write_checkpoint
from .environment import environment
from .resources import Stopwatch, peak_memory

CONFIG, METRICS, REPORT, CHECKPOINT, FILES = (
    "config.json",
    "metrics.jsonl",
    "report.json",
    "checkpoint.safetensors",
    ".files",
)


class RunFolder:
    """A folder with the results of one run.

    | file | what |
    |---|---|
    | `config.json` | the resolved settings and what the run worked on, written at the beginning |
    | `metrics.jsonl` | a JSON object per logged step |
    | `checkpoint.safetensors` | the newest state to resume from |
    | `report.json` | seconds per stage, peak memory, device, seed, versions and figures, at the end |
    | `.files` | names of everything the run wrote, which is all that `overwrite` ever deletes |

    Attributes:
        path: The folder.
        config: The resolved settings as plain JSON values.
        stopwatch: Seconds per stage; carried on when a run is resumed.
    """

    def __init__(self, path: Path, config: dict) -> None:
        self.path = path
        self.config = config
        self.stopwatch = Stopwatch()
        self._written = set(_listed(path))
        self._begun = True

    @classmethod
    def create(
        cls,
        path: str | os.PathLike,
        config: object,
        overwrite: bool = False,
        resume: bool = False,
        reads: Iterable[str | os.PathLike] = (),
    ) -> "RunFolder":
        """A run in a folder that begins with its first file, or that continues the one that is there.

        Until then nothing is written or deleted: a run that fails before it has results loses nobody's.

        Args:
            path: A new or empty folder, or the folder of an earlier run.
            config: Settings: a dataclass or a dictionary. Whatever must not differ when the run is resumed
                belongs in it, also the `fingerprint` of the input.
            overwrite: Delete the results of an earlier run when this one begins (only files that it wrote).
            resume: Continue an earlier run; without one the run begins as usual.
            reads: Files and folders that the run works on, which `overwrite` must not delete.

        Raises:
            InputError: The folder holds an earlier run and neither flag is given, or results that this run
                reads; it holds files of others; the earlier run had other settings or input; or the folder
                cannot be read.
        """
        path, plain = Path(path), as_json(config)
        if overwrite and resume:
            raise InputError("--overwrite and --resume exclude each other; give one of them")
        _check_out(path, overwrite or resume)
        earlier = _earlier_config(path)
        if earlier is not None and resume:
            _require_same(path, earlier, plain)
            return cls(path, plain)
        if earlier is not None:
            _refuse_to_delete(path, reads)
        run = cls(path, plain)
        run._begun = False
        return run

    def begin(self) -> None:
        """Delete what this run replaces and write its settings, if that has not been done."""
        if self._begun:
            return
        self._begun, self._written = True, set()
        _delete_results(self.path)
        content = {"bozzetto": 1, "config": self.config}
        write_text(self.file(CONFIG), json.dumps(content, indent=2) + "\n")

    def file(self, name: str) -> Path:
        """The path of a file of this name in the folder; sub-folders are made, the name is remembered."""
        self.begin()
        path = self.path / name
        make_folder(path.parent)
        if name not in self._written:
            self._written.add(name)
            # Written anew and not appended, so that also the listing is never found half written.
            write_text(self.path / FILES, "".join(f"{entry}\n" for entry in sorted(self._written)))
        return path

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Count the time of a block under this name in the report."""
        return self.stopwatch.stage(name)

    def log(self, step: int, **values: Any) -> None:
        """Append a line to the metrics; values that are not finite become null."""
        line = json.dumps(as_json({"step": step, **values}))
        with self.file(METRICS).open("a", encoding="utf-8") as metrics:
            metrics.write(line + "\n")

    def save_checkpoint(self, step: int, tensors: dict[str, torch.Tensor], meta: dict | None = None) -> None:
        """Replace the checkpoint by the state after this step.

        Args:
            step: The last step whose effect is in the tensors, counted as in `log`.
            tensors: The state.
            meta: More state: anything that JSON can hold.
        """
        content = {"step": step, "seconds": self.stopwatch.seconds, "meta": as_json(meta or {})}
        write_checkpoint(self.file(CHECKPOINT), tensors, content)

    def load_checkpoint(self) -> tuple[int, dict[str, torch.Tensor], dict] | None:
        """Step, tensors and meta of the checkpoint, or None if there is none yet.

        Metrics logged after that step are dropped, since these steps will be done again.

        Raises:
            InputError: The checkpoint is damaged.
        """
        self.begin()
        path = self.path / CHECKPOINT
        if not path.exists():
            (self.path / METRICS).unlink(missing_ok=True)
            return None
        tensors, content = read_checkpoint(path)
        self.stopwatch = Stopwatch(content["seconds"])
        self._keep_metrics(content["step"])
        return content["step"], tensors, content["meta"]

    def metrics(self) -> list[dict]:
        """The logged lines; one cut short by a crash is left out."""
        path, lines = self.path / METRICS, []
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return lines

    def _keep_metrics(self, last_step: int) -> None:
        kept = [json.dumps(line) + "\n" for line in self.metrics() if line["step"] <= last_step]
        write_text(self.file(METRICS), "".join(kept))

    def report(
        self, figures: dict, device: torch.device | str = "cpu", seed: int | None = None, **more: Any
    ) -> dict:
        """Write `report.json` and return it.

        Args:
            figures: What the run found out, as numbers.
            device: Where it computed.
            seed: Its seed.
            more: Further entries, for instance the files that matter.
        """
        seconds = {name: round(value, 3) for name, value in self.stopwatch.seconds.items()}
        content = {
            "out": str(self.path),
            "figures": figures,
            "seconds": seconds,
            "peak_memory_bytes": peak_memory(),
            "seed": seed,
            **environment(device),
            "warnings": warnings_so_far(),
            **more,
        }
        content = as_json(content)
        write_text(self.file(REPORT), json.dumps(content, indent=2) + "\n")
        return content


def as_json(value: Any) -> Any:
    """Plain JSON values of dataclasses, paths, tensors and arrays; what is not finite becomes null."""
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


def _check_out(path: Path, goes_on: bool = False) -> None:
    """Refuse a folder that a run must not write to.

    Args:
        path: The folder; it need not exist.
        goes_on: Results of an earlier run are to be continued or replaced.

    Raises:
        InputError: It is a file, holds files of others, or results and `goes_on` is not said.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; --out needs a folder")
    earlier = _earlier_config(path)
    if earlier is not None and not goes_on:
        raise InputError(
            f"{path} holds the results of an earlier run; replace it with --overwrite, choose another --out, "
            "or continue a training or reconstruction with --resume"
        )
    if earlier is None and path.is_dir() and any(item.name != FILES for item in path.iterdir()):
        raise InputError(f"{path} holds files that are not from bozzetto; choose a new folder with --out")


def _refuse_to_delete(path: Path, reads: Iterable[str | os.PathLike]) -> None:
    root = path.resolve()
    own = [(path / name).resolve() for name in _listed(path)]
    for source in reads:
        place = Path(source).resolve()
        within = place == root or root in place.parents  # a folder around the run's is more than its results
        if place in own or (within and any(place in file.parents for file in own)):
            raise InputError(f"--overwrite would delete {source}, which this run reads; choose another --out")


def _earlier_config(path: Path) -> dict | None:
    try:
        content = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        return content["config"] if "bozzetto" in content else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _require_same(path: Path, earlier: Any, now: Any, key: str = "") -> None:
    """Compare settings; the first difference is named by where it is, such as `settings.stages.0.steps`."""
    pairs: dict = {}
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


def _listed(path: Path) -> list[str]:
    listing = path / FILES
    return listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []


def _delete_results(path: Path) -> None:
    root = path.resolve()
    for name in [*_listed(path), FILES]:
        file = path / name
        if root in file.resolve().parents and (file.is_file() or file.is_symlink()):
            file.unlink()
