"""Decoding text files: their encoding and line ends."""

import codecs

from .arrays import Unsupported

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_HEAD = 4096


def decoded(data: bytes) -> str:
    """The text of a file with line ends of any system made to newlines.

    A byte order mark gives the encoding. Without one it is UTF-8, or UTF-16 if every other byte is zero; bytes
    that are no UTF-8 (names in an older encoding) are replaced.

    Raises:
        Unsupported: The bytes are no text.
    """
    mark = next((mark for mark in _MARKS if data.startswith(mark)), b"")
    encoding = _MARKS[mark] if mark else _unmarked(data[:_HEAD])
    if encoding == "utf-8" and b"\0" in data:  # seen before a second copy is made
        raise _no_text()
    text = data[len(mark) :].decode(encoding, "replace")
    if "\0" in text:
        raise _no_text()
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _no_text() -> Unsupported:
    return Unsupported("it holds zero bytes and is no text; check the ending of its name")


def _unmarked(head: bytes) -> str:
    if b"\0" not in head:
        return "utf-8"
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if max(even, odd) > 0.8 * half and min(even, odd) < 0.1 * half:
        return "utf-16-be" if even > odd else "utf-16-le"
    return "utf-8"
