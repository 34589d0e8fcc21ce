"""Value types: frozen dataclasses of tensors with a one-line `repr`, compared by identity."""

from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar, dataclass_transform, get_args

T = TypeVar("T", bound=type)
_LONGEST = 24
"""Largest number of characters of a text in a `repr`."""


@dataclass_transform(frozen_default=True, eq_default=False)
def value_type(cls: T) -> T:
    """Class decorator for a frozen dataclass with a one-line `repr`, compared and hashed by identity.

    The `repr` of ordinary dataclasses prints whole tensors, and their `==` raises an error, because it compares
    tensors element by element.

    The line, for instance `Mesh(V=2562, F=5120, colors, cpu)`, has the sizes that jaxtyping names in the types
    of the fields, the names of further tensors, plain values that differ from their default, and the device.
    """
    made = dataclass(frozen=True, eq=False, repr=False)(cls)
    made.__repr__ = _line
    return made


def _line(self: Any) -> str:
    sizes: dict[str, int] = {}
    words: list[str] = []
    device = None
    for item in fields(self):
        held = getattr(self, item.name)
        shape = getattr(held, "shape", None)
        if isinstance(shape, tuple) and hasattr(held, "dtype"):
            found = dict(_named_sizes(item.type, shape))
            fresh = {name: size for name, size in found.items() if name not in sizes}
            words += [f"{name}={size}" for name, size in fresh.items()] or [item.name]
            sizes |= found
            device = device or getattr(held, "device", None)
        elif isinstance(held, bool | int | float) and held != item.default:
            words.append(f"{item.name}={held:g}" if isinstance(held, float) else f"{item.name}={held}")
        elif isinstance(held, str) and held and held != item.default:
            words.append(f"{item.name}={held if len(held) <= _LONGEST else held[: _LONGEST - 1] + '…'!r}")
        elif isinstance(held, tuple | list | dict) and len(held) and item.default is MISSING:
            words.append(f"{item.name}: {len(held)}")
        elif hasattr(held, "__dataclass_fields__"):
            words.append(f"{item.name}={held!r}")
    return f"{type(self).__name__}({', '.join([*words, *([] if device is None else [str(device)])])})"


def _named_sizes(kind: Any, shape: tuple[int, ...]) -> list[tuple[str, int]]:
    """Named axes of a jaxtyping annotation, or of a matching one of a union, with their sizes."""
    for one in (kind, *get_args(kind)):
        names = getattr(one, "dim_str", "").split()
        if len(names) == len(shape):
            return [(name, size) for name, size in zip(names, shape, strict=True) if name.isidentifier()]
    return []
