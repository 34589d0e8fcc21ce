"""Messages for the user: errors, which end a command, and warnings, which do not."""

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import PurePath

SHOWN, REASONS = 10, 3
"""Largest numbers of reasons in messages if members of a collection are left out, and if it is refused."""


class InputError(ValueError):
    """Input of the user cannot be used.

    The message is one sentence for that user: what, what was found, what was expected, what to do.
    It is raised for external data (files, options, arguments of public functions); any other exception is a bug
    and keeps its traceback.
    """


class Interrupted(KeyboardInterrupt):
    """A computation was interrupted with intermediate results, so that it can be resumed.

    Attributes:
        exit_code: Exit code by the convention of shells: 128 plus the number of the signal.
    """

    def __init__(self, kept: str, cause: BaseException | None = None, exit_code: int = 130) -> None:
        """`kept` says what was interrupted and what is kept; `exit_code` is that of the cause if it has one."""
        super().__init__(kept)
        self.exit_code: int = getattr(cause, "exit_code", exit_code)


class InputWarning(UserWarning):
    """Input of the user is used, but only partly or with changes.

    The message is one sentence for the user: what, what was found, what is done about it. In Python it is an
    ordinary warning; the command line shows it as a line on stderr and lists it in the report.
    """


def require_most_usable(refused: Mapping[str, str], total: int, what: str) -> None:
    """Warn of members of a collection that cannot be used, and raise an error if these are more than half.

    Members with the same reason, except for names and numbers in it, are counted together.

    Args:
        refused: Reason as a sentence, by name of the member.
        total: Number of all members of the collection.
        what: Word for the members, in the plural.

    Raises:
        InputError: More than half of the members cannot be used. The message has the most common reasons.
    """
    reasons = same_reasons(refused)
    if 2 * len(refused) > total:
        told = [f"{len(names)} like {names[0]}: {refused[names[0]]}" for names in reasons[:REASONS]]
        more = sum(len(names) for names in reasons[REASONS:])
        rest = f"; {more} for other reasons" if more else ""
        raise InputError(
            f"{len(refused)} of {total} {what} cannot be used, more than half ({'; '.join(told)}{rest}); "
            "mend them or take them out"
        )
    for names in reasons[:SHOWN]:
        sentence = f"{len(names)} of {total} {what}, {join_names(names, SHOWN)}: {refused[names[0]]}"
        warn_input(f"left out: {sentence}")
    if (more := sum(len(names) for names in reasons[SHOWN:])) > 0:
        warn_input(f"left out: {more} more of {total} {what}, for other reasons")


def same_reasons(refused: Mapping[str, str]) -> list[list[str]]:
    """Names of refused members grouped by reason, the most common reason first."""
    groups: dict[str, list[str]] = {}
    for name, sentence in refused.items():
        for part in (name, PurePath(name).name, PurePath(name).stem):
            sentence = re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", "", sentence)
        plain = [re.sub(r"[\d.,]*\d", "0", word) for word in sentence.split() if "/" not in word]
        groups.setdefault(" ".join(plain), []).append(name)
    return sorted(groups.values(), key=len, reverse=True)


_collected: ContextVar[list[str] | None] = ContextVar("collected", default=None)


def warn_input(sentence: str) -> None:
    """Issue an `InputWarning` with this sentence."""
    warnings.warn(sentence, InputWarning, stacklevel=3)


@contextmanager
def collected_warnings(show: Callable[[str], object] | None = None) -> Iterator[list[str]]:
    """Collect the input warnings of a block, each sentence once, instead of showing them as Python does.

    Args:
        show: Function that is called with every new sentence when it is issued; None collects only.
    """
    sentences: list[str] = []
    token = _collected.set(sentences)
    with warnings.catch_warnings():
        warnings.simplefilter("always", InputWarning)
        others = warnings.showwarning

        def collect(message: Warning | str, category: type[Warning], *where: object, **more: object) -> None:
            if not issubclass(category, InputWarning):
                others(message, category, *where, **more)  # type: ignore[arg-type]
            elif str(message) not in sentences:
                sentences.append(str(message))
                if show is not None:
                    show(str(message))

        warnings.showwarning = collect
        try:
            yield sentences
        finally:
            _collected.reset(token)


def warnings_so_far() -> list[str]:
    """The sentences that the enclosing `collected_warnings` has collected; empty without one."""
    return list(_collected.get() or [])


def join_names(names: Sequence[str], most: int = 3) -> str:
    """The first few names, and the number of the others, as text."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
