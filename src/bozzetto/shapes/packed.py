"""Reading regular files, also from gzip and zip, without unpacking more than a real shape would fill."""

import io
import os
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from ..errors import InputError
from .arrays import Unsupported

_STEP = 1 << 20
_FREE = 1 << 26  # bytes to which anything may unpack
_RATIO = 100  # times its packed size to which more may unpack; shapes shrink by less than 50 times


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """The bytes of a regular file, or the first so many of them.

    Raises:
        InputError: It does not exist, is a folder, a pipe or a device, or may not be read.
    """
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            with open(path, "rb") as file:
                return file.read() if most is None else file.read(most)
        reason = "a folder" if stat.S_ISDIR(mode) else "no regular file"
    except PermissionError as error:
        reason = error.strerror
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    raise InputError(f"{str(path)[:300]} does not exist or is not a file ({reason}); check the path")


def gunzipped(data: bytes) -> bytes:
    """What gzip packed, all of its members.

    Raises:
        ValueError: It ends early or is damaged.
        Unsupported: It unpacks to far more than a shape would.
    """
    parts, total = [], 0
    while data:
        stream = zlib.decompressobj(wbits=31)
        rest = data
        while rest and not stream.eof:
            try:
                parts.append(stream.decompress(rest, _STEP))
            except zlib.error as error:
                raise ValueError(f"gzip: {error}") from None
            rest = stream.unconsumed_tail
            total += len(parts[-1])
            _check(total, len(data) - len(rest))
        if not stream.eof:
            raise ValueError("gzip: it ends too early")
        data = stream.unused_data.lstrip(b"\0")
    return b"".join(parts)


def _check(unpacked: int, packed: int) -> None:
    if unpacked > max(_FREE, _RATIO * packed):
        raise Unsupported(
            f"{packed} bytes unpack to more than {unpacked}, as no shape does; unpack it if you trust it"
        )


class Zip:
    """The files of a zip archive, read with a bound on their size."""

    def __init__(self, data: bytes) -> None:
        self.packed = len(data)
        self.unpacked = 0
        try:
            self.archive = zipfile.ZipFile(io.BytesIO(data))
        except zipfile.BadZipFile as error:
            raise ValueError(f"zip: {error}") from None
        self.names = [
            info.filename
            for info in self.archive.infolist()
            if not info.is_dir()
            and not info.filename.startswith("__MACOSX/")
            and not PurePosixPath(info.filename).name.startswith(".")
        ]

    def read(self, name: str, most: int | None = None) -> bytes:
        """One file, or the first so many bytes of it.

        Raises:
            ValueError: It is damaged or encrypted.
            Unsupported: It unpacks to far more than a shape would.
        """
        parts = []
        try:
            with self.archive.open(name) as file:
                left = self.archive.getinfo(name).file_size if most is None else most
                while left > 0 and (part := file.read(min(left, _STEP))):
                    parts.append(part)
                    left -= len(part)
                    self.unpacked += len(part)
                    _check(self.unpacked, self.packed)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise ValueError(f"zip: {error}") from None
        return b"".join(parts)
