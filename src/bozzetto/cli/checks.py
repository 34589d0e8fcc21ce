"""What may be given to a verb: annotations of its options, and checks before any work.

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


@dataclass(frozen=True)
class Formerly:
    """The option had this name, with `--`, which is still taken."""

    name: str


@dataclass(frozen=True)
class Option:
    """An option or positional argument of a verb.

    Attributes:
        name: As it is written, with `--`.
        field: Its attribute.
        default: Its value if it is not given.
        kind: Its type, without annotations.
        annotations: Of the type.
    """

    name: str
    field: str
    default: Any
    kind: Any
    annotations: tuple[object, ...]

    @property
    def is_flag(self) -> bool:
        """Whether it takes no value."""
        return self.kind is bool

    @property
    def number(self) -> type | None:
        """int or float if it takes one number."""
        kinds = {one for one in (self.kind, *get_args(self.kind)) if one in (int, float)}
        return kinds.pop() if get_origin(self.kind) is not tuple and kinds else None

    @property
    def choices(self) -> tuple[str, ...]:
        """The words it may be; none if it is no choice of words."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    def is_given(self, verb: object) -> bool:
        """Whether it differs from the default; written so that NaN does."""
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
    """Refuse numbers that are out of range.

    Raises:
        InputError: There is one.
    """
    for option in options_of(type(verb)):
        value = getattr(verb, option.field)
        for bounds in (one for one in option.annotations if isinstance(one, Within)):
            for number in value if isinstance(value, tuple) else (value,):
                if number is not None and not bounds.holds(number):
                    raise InputError(f"{option.name} must {bounds}, got {number}")


def refuse_options(verb: object, reason: str, *names: str) -> None:
    """Refuse options that do not apply to what else was given.

    Args:
        verb: The verb.
        reason: What the options are for, or why they do not apply: "--up `reason`; leave it out".
        names: Of the options, with `--`.

    Raises:
        InputError: One of them was given.
    """
    for option in options_of(type(verb)):
        if option.name in names and option.is_given(verb):
            raise InputError(f"{option.name} {reason}; leave it out")


def checked_words(words: Sequence[str], name: str, verbs: Mapping[str, type]) -> list[str]:
    """The words behind a verb, with former names of options replaced by those of today.

    Args:
        words: Options and positional arguments.
        name: Of the verb, such as `train sdf`.
        verbs: All of them.

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
    """Positional arguments of a verb as its help writes them; in brackets where they may be left out."""
    found = [one for one in options_of(verb) if tyro.conf.Positional in one.annotations]
    names = ((option, [getattr(one, "metavar", None) for one in option.annotations]) for option in found)
    return [next((name for name in all_names if name), option.field) for option, all_names in names]


def _named(verb: type) -> dict[str, Option]:
    """Options of a verb by their names, without positional arguments."""
    return {one.name: one for one in options_of(verb) if tyro.conf.Positional not in one.annotations}


def _unknown(option: str, name: str, verbs: Mapping[str, type]) -> str:
    """The sentence about an option that a verb does not have."""
    family = [other for other in verbs if other.split()[0] == name.split()[0]]
    owners = [other for other in family if option in _named(verbs[other])]
    if owners:
        return f"{option} is for {' and '.join(owners)}, not for {name}; leave it out"
    close = get_close_matches(option, _named(verbs[name]), 1)
    hint = f"did you mean {close[0]}? All are listed by" if close else "see"
    return f"{name} has no option {option}; {hint} bozzetto {name} --help"
