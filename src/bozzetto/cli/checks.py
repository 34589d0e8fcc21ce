"""Annotations of the options of verbs, and checks before any work.

epochs: Annotated[int | None, Within(1, MANY)] = None
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tyro

from ..errors import InputError

MANY = 10**9
"""Upper limit of steps, epochs and triangles."""
LARGEST = 1e30
"""Largest length whose square is finite in single precision."""


@dataclass(frozen=True)
class Within:
    """Annotation: a number, or each of several, lies between these bounds, inclusive.

    Attributes:
        least, most: The bounds.
        above: Whether `least` itself is excluded.
        also: A further valid number, for instance 0 for "none".
    """

    least: float
    most: float
    above: bool = False
    also: float | None = None

    def holds(self, value: float) -> bool:
        """Whether the number is valid; NaN is not."""
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


@dataclass(frozen=True)
class Formerly:
    """Annotation: a former name of the option, with `--`, which is still accepted."""

    name: str


@dataclass(frozen=True)
class Option:
    """An option or positional argument of a verb.

    Attributes:
        name: Name on the command line, with `--`.
        field: Name of its attribute.
        default: Default value.
        kind: Type without annotations.
        annotations: Annotations of the type.
    """

    name: str
    field: str
    default: Any
    kind: Any
    annotations: tuple[object, ...]

    @property
    def is_flag(self) -> bool:
        """Whether the option takes no value."""
        return self.kind is bool

    @property
    def number(self) -> type | None:
        """int or float if the option takes one number, otherwise None."""
        kinds = {one for one in (self.kind, *get_args(self.kind)) if one in (int, float)}
        return kinds.pop() if get_origin(self.kind) is not tuple and kinds else None

    @property
    def choices(self) -> tuple[str, ...]:
        """The choices of the option; empty if it is not a choice of words."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    def is_given(self, verb: object) -> bool:
        """Whether the value differs from the default, which is true for NaN."""
        value = getattr(verb, self.field)
        return not (value is self.default or value == self.default)


@cache
def options_of(verb: type) -> tuple[Option, ...]:
    """All options and positional arguments of a verb."""
    hints, found = get_type_hints(verb, include_extras=True), []
    for field in dataclasses.fields(verb):
        kind, annotations = hints[field.name], ()
        if get_origin(kind) is Annotated:
            kind, *annotations = get_args(kind)
        names = [getattr(one, "name", None) for one in annotations if not isinstance(one, Formerly)]
        name = next((name for name in names if isinstance(name, str)), field.name)
        found.append(
            Option(f"--{name.replace('_', '-')}", field.name, field.default, kind, tuple(annotations))
        )
    return tuple(found)


def check_options(verb: object) -> None:
    """Raise an error for numbers that are out of range.

    Raises:
        InputError: A number is out of range.
    """
    for option in options_of(type(verb)):
        value = getattr(verb, option.field)
        for bounds in (one for one in option.annotations if isinstance(one, Within)):
            for number in value if isinstance(value, tuple) else (value,):
                if number is not None and not bounds.holds(number):
                    raise InputError(f"{option.name} must {bounds}, got {number}")


def refuse_options(verb: object, reason: str, *names: str) -> None:
    """Raise an error for options that do not apply to the other arguments.

    Args:
        verb: The verb.
        reason: End of the message, what the options are for or why they do not apply: "--up `reason`; leave it
            out".
        names: Names of the options, with `--`.

    Raises:
        InputError: One of them was given.
    """
    for option in options_of(type(verb)):
        if option.name in names and option.is_given(verb):
            raise InputError(f"{option.name} {reason}; leave it out")


def checked_words(words: Sequence[str], name: str, verbs: Mapping[str, type]) -> list[str]:
    """Check the arguments of a verb, and replace former names of options by current ones.

    Args:
        words: Options and positional arguments.
        name: Name of the verb, such as `train sdf`.
        verbs: All verbs by name.

    Raises:
        InputError: The verb has no such option, or the option no such value.
    """
    options = _named(verbs[name])
    former = {
        one.name: option.name
        for option in options.values()
        for one in option.annotations
        if isinstance(one, Formerly)
    }
    result = list(words)
    for index, word in enumerate(words):
        if not word.startswith("--") or word in ("--", "--help"):
            continue
        written, equals, value = word.partition("=")
        written = written.replace("_", "-")
        option = options.get(former.get(written, written))
        if option is None:
            raise InputError(_unknown(written, name, verbs))
        result[index] = option.name + equals + value
        if equals or index + 1 < len(words):
            _check_value(option, value if equals else words[index + 1], name)
    return result


def _check_value(option: Option, value: str, name: str) -> None:
    if option.choices and value not in option.choices:
        *most, last = option.choices
        raise InputError(f"{name} has no {option.name} {value}; choose {', '.join(most)} or {last}")
    if option.number is not None:
        try:
            option.number(value)
        except ValueError:
            kind = "a whole number" if option.number is int else "a number"
            raise InputError(f"{option.name} must be {kind}, got {value!r}") from None


def positional_names(verb: type) -> list[str]:
    """Positional arguments of a verb as in its help; optional ones are in brackets."""
    found = [one for one in options_of(verb) if tyro.conf.Positional in one.annotations]
    names = ((option, [getattr(one, "metavar", None) for one in option.annotations]) for option in found)
    return [next((name for name in all_names if name), option.field) for option, all_names in names]


def _named(verb: type) -> dict[str, Option]:
    """Options of a verb by their names, without positional arguments."""
    return {one.name: one for one in options_of(verb) if tyro.conf.Positional not in one.annotations}


def _unknown(option: str, name: str, verbs: Mapping[str, type]) -> str:
    """The error message for an option that a verb does not have."""
    family = [other for other in verbs if other.split()[0] == name.split()[0]]
    owners = [other for other in family if option in _named(verbs[other])]
    if owners:
        return f"{option} is for {' and '.join(owners)}, not for {name}; leave it out"
    close = get_close_matches(option, _named(verbs[name]), 1)
    hint = f"did you mean {close[0]}? All are listed by" if close else "see"
    return f"{name} has no option {option}; {hint} bozzetto {name} --help"
