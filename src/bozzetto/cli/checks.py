"""Which values an option may have, and what it is for: marks beside its type, looked at before any work.

epochs: Annotated[int | None, Within(1, MANY), For("sdf", "score")] = None
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_type_hints

from ..errors import InputError

MANY = 10**9
"""More steps or triangles than this nobody means."""
LARGEST = 1e30
"""The largest length whose square single precision still holds."""


@dataclass(frozen=True)
class Within:
    """A number lies between these, both included; each of several numbers does.

    Attributes:
        least, most: The bounds.
        above: `least` itself is excluded.
        also: A number that is taken as well, for instance 0 for "none".
    """

    least: float
    most: float
    above: bool = False
    also: float | None = None

    def holds(self, value: float) -> bool:
        """Whether the number may be used; NaN may not."""
        inside = self.least < value <= self.most if self.above else self.least <= value <= self.most
        return inside or value == self.also

    def __str__(self) -> str:
        least, most = (
            f"{end:,}".replace(",", " ") if isinstance(end, int) else f"{end:g}"
            for end in (self.least, self.most)
        )
        other = "" if self.also is None else f"be {self.also:g} or "
        return other + (
            f"exceed {least} and be at most {most}" if self.above else f"lie in {least} to {most}"
        )


@dataclass(frozen=True, init=False)
class For:
    """The option is for these works of the verb only, such as `sdf` of `train`."""

    works: tuple[str, ...]

    def __init__(self, *works: str) -> None:
        object.__setattr__(self, "works", works)


@dataclass(frozen=True)
class Option:
    """An option of a verb as it was given.

    Attributes:
        name: As it is written, with `--`; that of a positional argument in capitals.
        value: What was given, or the default.
        given: Whether it differs from the default.
        marks: What stands beside its type.
    """

    name: str
    value: Any
    given: bool
    marks: tuple[object, ...]

    def marks_of(self, kind: type) -> Iterator[Any]:
        """The marks of a kind."""
        return (mark for mark in self.marks if isinstance(mark, kind))


def options_of(verb: object) -> list[Option]:
    """All options of a verb."""
    hints, found = get_type_hints(type(verb), include_extras=True), []
    for field in dataclasses.fields(verb):  # type: ignore[arg-type]  # every verb is a dataclass
        marks = getattr(hints[field.name], "__metadata__", ())
        names = [name for mark in marks if isinstance(name := getattr(mark, "name", None), str)]
        value = getattr(verb, field.name)
        # Written so that NaN differs from every default.
        given = not (value is field.default or value == field.default)
        name = f"--{names[0] if names else field.name.replace('_', '-')}"
        found.append(Option(name, value, given, marks))
    return found


def check_options(verb: object, work: str) -> None:
    """Refuse numbers that are out of range, and options that are for another work of the verb.

    Raises:
        InputError: There is one.
    """
    name = type(verb).__name__.lower()
    for option in options_of(verb):
        for mark in option.marks_of(For):
            if option.given and work not in mark.works:
                works = " and ".join(f"{name} {other}" for other in mark.works)
                raise InputError(f"{option.name} is for {works}, not for {name} {work}; leave it out")
        values = option.value if isinstance(option.value, tuple) else (option.value,)
        for mark in option.marks_of(Within):
            for value in values:
                if value is not None and not mark.holds(value):
                    raise InputError(f"{option.name} must {mark}, got {value}")


def leave_out(verb: object, reason: str, *names: str) -> None:
    """Refuse options that are of no use with what else was given.

    Args:
        verb: The verb.
        reason: What the options are for, or why they do not apply: "--up `reason`; leave it out".
        names: Of the options, with `--`.

    Raises:
        InputError: One of them was given.
    """
    for option in options_of(verb):
        if option.given and option.name in names:
            raise InputError(f"{option.name} {reason}; leave it out")
