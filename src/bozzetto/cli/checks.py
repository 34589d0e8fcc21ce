"""Which values an option may have, and which task it is for: annotations of its type, checked before any work.

epochs: Annotated[int | None, Within(1, MANY), OnlyFor("sdf", "score")] = None
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_type_hints

from ..errors import InputError

MANY = 10**9
"""Upper limit of steps, epochs and triangles."""
LARGEST = 1e30
"""The largest length whose square single precision still holds."""


@dataclass(frozen=True)
class Within:
    """A number, or each of several, lies between these bounds, both included.

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
class OnlyFor:
    """The option is for these tasks of the verb only, such as `sdf` of `train`."""

    tasks: tuple[str, ...]

    def __init__(self, *tasks: str) -> None:
        object.__setattr__(self, "tasks", tasks)


@dataclass(frozen=True)
class Option:
    """An option of a verb as it was given.

    Attributes:
        name: As it is written, with `--`; that of a positional argument in capitals.
        value: What was given, or the default.
        given: Whether it differs from the default.
        annotations: Of its type.
    """

    name: str
    value: Any
    given: bool
    annotations: tuple[object, ...]

    def annotations_of(self, kind: type) -> Iterator[Any]:
        """The annotations of a kind."""
        return (one for one in self.annotations if isinstance(one, kind))


def options_of(verb: object) -> list[Option]:
    """All options of a verb."""
    hints, found = get_type_hints(type(verb), include_extras=True), []
    for field in dataclasses.fields(verb):  # type: ignore[arg-type]  # every verb is a dataclass
        annotations = getattr(hints[field.name], "__metadata__", ())
        names = [name for one in annotations if isinstance(name := getattr(one, "name", None), str)]
        value = getattr(verb, field.name)
        # Written so that NaN differs from every default.
        given = not (value is field.default or value == field.default)
        name = f"--{names[0] if names else field.name.replace('_', '-')}"
        found.append(Option(name, value, given, annotations))
    return found


def check_options(verb: object, task: str) -> None:
    """Refuse numbers that are out of range, and options that are for another task of the verb.

    Raises:
        InputError: There is one.
    """
    name = type(verb).__name__.lower()
    for option in options_of(verb):
        for only in option.annotations_of(OnlyFor):
            if option.given and task not in only.tasks:
                tasks = " and ".join(f"{name} {other}" for other in only.tasks)
                raise InputError(f"{option.name} is for {tasks}, not for {name} {task}; leave it out")
        values = option.value if isinstance(option.value, tuple) else (option.value,)
        for bounds in option.annotations_of(Within):
            for value in values:
                if value is not None and not bounds.holds(value):
                    raise InputError(f"{option.name} must {bounds}, got {value}")


def refuse_options(verb: object, reason: str, *names: str) -> None:
    """Refuse options that do not apply to what else was given.

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
