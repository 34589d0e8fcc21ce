"""EXR files, and the choice of the channels with the colours of a photo or with heights."""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError, join_names
from .stored_picture import MAX_PIXELS, check_size, damaged

ALPHA = ("a", "ar", "ag", "ab")
HEIGHT_WORDS = ("height", "displacement", "disp", "bump", "elevation", "heights")
_MOST_SAVED = 20_000
"""Upper bound of the compression factor of EXR."""
_LONGEST_HEADER = 1 << 20
_DEEP, _PARTS = 0x800, 0x1000  # flags in the version field


def read_exr(path: Path, kind: str = "image") -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Header of the first part, and all channels by name; with several parts, by PART:CHANNEL.

    Channels that cover more than the display window are cropped to it.

    Raises:
        InputError: The file is damaged, too large, deep, or covers only a part of its display window.
    """
    import OpenEXR

    try:
        headers = _headers(path)
    except (KeyError, ValueError, IndexError, struct.error) as error:
        raise damaged(path, f"its header cannot be read ({error})", kind) from None
    windows = [_window(path, header, kind) for header in headers]
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            found = {}
            for part, window in zip(file.parts, windows, strict=True):
                prefix = f"{part.header.get('name', '')}:" if len(windows) > 1 else ""
                for name, channel in part.channels.items():
                    # Copies: the library empties its own at the end.
                    found[prefix + name] = np.array(channel.pixels)[window]
            header = dict(file.parts[0].header)
    except Exception as error:  # the library raises errors of many kinds
        raise damaged(path, error, kind) from None
    return header, found


@dataclass(frozen=True)
class _Header:
    """Windows of a header: corners as x, y, both inclusive."""

    data: tuple[int, int, int, int]
    shown: tuple[int, int, int, int]
    channels: int
    deep: bool


def _headers(path: Path) -> list[_Header]:
    """The headers of all parts, parsed without trust in their contents (The OpenEXR File Layout,
    openexr.com)."""
    with path.open("rb") as file:
        data = file.read(_LONGEST_HEADER)
    flags = struct.unpack("<I", data[4:8])[0]
    place, headers = 8, []
    while True:
        attributes: dict[bytes, bytes] = {}
        while data[place] != 0:
            name_end = data.index(b"\0", place)
            type_end = data.index(b"\0", name_end + 1)
            size = struct.unpack("<I", data[type_end + 1 : type_end + 5])[0]
            attributes[data[place:name_end]] = data[type_end + 5 : type_end + 5 + size]
            place = type_end + 5 + size
        place += 1
        channels = attributes[b"channels"]
        headers.append(
            _Header(
                struct.unpack("<4i", attributes[b"dataWindow"]),
                struct.unpack("<4i", attributes[b"displayWindow"]),
                _count(channels),
                attributes.get(b"type", b"").startswith(b"deep") or bool(flags & _DEEP),
            )
        )
        if not flags & _PARTS or data[place] == 0:
            return headers


def _count(channels: bytes) -> int:
    """Number of channels in a channel list."""
    place = count = 0
    while channels[place] != 0:
        place, count = channels.index(b"\0", place) + 17, count + 1
    return count


def _window(path: Path, header: _Header, kind: str) -> tuple[slice, slice]:
    """The display window within the data window."""
    if header.deep:
        raise InputError(f"{path} is a deep EXR picture; flatten it")
    left, top, right, bottom = header.data
    x, y, x_end, y_end = header.shown
    rows, columns = bottom - top + 1, right - left + 1
    check_size(path, columns, rows, 0)
    if rows * columns * 2 * header.channels > _MOST_SAVED * os.path.getsize(path):
        raise damaged(path, f"its header says {columns} x {rows} pixels, more than the file can hold", kind)
    if rows * columns * header.channels > 4 * MAX_PIXELS:
        raise InputError(
            f"{path} holds {header.channels} channels of {columns} x {rows} pixels, which need too much "
            "memory; export the layer that is meant alone"
        )
    if left > x or top > y or right < x_end or bottom < y_end:
        raise InputError(
            f"{path} holds {columns} x {rows} pixels of a picture of {x_end - x + 1} x {y_end - y + 1} (its "
            "data window is smaller than its display window); crop it, or export the whole"
        )
    return slice(y - top, y_end + 1 - top), slice(x - left, x_end + 1 - left)


def height_channel(path: Path, channels: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """The channel with heights, which is never alpha.

    A single channel is used under any name, and R, G and B are used if they are equal. Of several channels, the
    one with a word for height in its name is used, or else Y.

    Raises:
        InputError: There is none, the channels are colours, or several could be meant.
    """
    named = {name: pixels for name, pixels in channels.items() if _last(name) not in ALPHA}
    if not named:
        raise InputError(f"{path} holds no channel but alpha; export the heights, for instance as Y")
    if any(pixels.ndim != 2 or pixels.shape != next(iter(named.values())).shape for pixels in named.values()):
        raise InputError(f"{path} holds channels of several sizes ({_few(named)}); export the heights alone")
    if len(named) == 1:
        return next(iter(named.values()))
    meant = [name for name in named if set(_words(name)) & set(HEIGHT_WORDS)]
    groups = {_layer(name) for name in (meant or named)}
    if len(groups) == 1 and {_last(name) for name in (meant or named)} <= {"r", "g", "b", "x", "y", "z", "v"}:
        layers = [named[name] for name in (meant or named)]
        if all(np.array_equal(layers[0], other, equal_nan=True) for other in layers[1:]):
            return layers[0]
        if not meant and {_last(name) for name in named} == {"r", "g", "b"}:
            raise colored(path)
    if len(meant) == 1:
        return named[meant[0]]
    raise InputError(
        f"{path} holds {len(named)} channels that could be heights ({_few(named)}); "
        "export the one that is meant"
    )


def color_channels(path: Path, channels: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """(H, W, C) of a photo: R, G, B of one layer, or one grey channel, and A if the layer has it.

    Raises:
        InputError: There is none of these, or several layers could be meant.
    """
    layers: dict[str, dict[str, npt.NDArray[Any]]] = {}
    for name, pixels in channels.items():
        layers.setdefault(_layer(name), {})[_last(name)] = pixels
    full = {name: layer for name, layer in layers.items() if {"r", "g", "b"} <= set(layer)}
    if "" in full:
        full = {"": full[""]}
    if len(full) == 1:
        ((_, layer),) = full.items()
        picked = [layer[key] for key in ("r", "g", "b", "a") if key in layer]
    else:
        grey = [name for name in channels if _last(name) not in ALPHA]
        if len(full) > 1 or len(grey) != 1:
            raise InputError(
                f"{path} holds {len(channels)} channels of which several could be the photo "
                f"({_few(channels)}); export it as R, G and B"
            )
        picked = [channels[grey[0]], *(p for name, p in channels.items() if name != grey[0])][:2]
    if any(pixels.ndim != 2 or pixels.shape != picked[0].shape for pixels in picked):
        raise InputError(f"{path} holds colours at several sizes; export it as R, G and B of one size")
    return np.stack([pixels.astype(np.float32) for pixels in picked], axis=-1)


def colored(path: Path) -> InputError:
    """The error for colours instead of heights."""
    return InputError(
        f"{path} is a colour picture; a height map has one channel (predict a height map from a photo first)"
    )


def _last(name: str) -> str:
    return name.replace(":", ".").split(".")[-1].lower()


def _layer(name: str) -> str:
    return ".".join(name.replace(":", ".").split(".")[:-1])


def _words(name: str) -> list[str]:
    return name.lower().replace(":", ".").replace("_", ".").replace(" ", ".").split(".")


def _few(names: dict[str, Any]) -> str:
    return join_names(list(names), 6)
