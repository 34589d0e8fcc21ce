"""Downloads of sample sets from their official home or a local copy: verified, resumable and atomic.

This package contains only the checksums of the sets.
"""

import hashlib
import json
import os
import shutil
import stat
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ..errors import InputError
from ..files import make_folder, write_bytes, write_text, writing
from ..locks import acquire_lock


@dataclass(frozen=True)
class Sample:
    """A public data set.

    Attributes:
        name: Name of the set in this package.
        title: Description in one line.
        home: Web page of its authors.
        url: URL of the archive at its official home.
        terms: Licence or terms of use as stated there.
        credit: Authors to credit.
        files: Size in bytes and SHA-256 of every file, by name. Each file is verified separately, so that a
            repacked archive or a folder of the same files can replace the original archive.
    """

    name: str
    title: str
    home: str
    url: str
    terms: str
    credit: str
    files: dict[str, tuple[int, str]]

    @property
    def size(self) -> int:
        """Size of all files in bytes, unpacked."""
        return sum(size for size, _ in self.files.values())


def catalogue() -> dict[str, Sample]:
    """All known sample sets by name."""
    entries = json.loads((files("bozzetto.datasets") / "catalogue.json").read_text(encoding="utf-8"))
    samples = {}
    for name, entry in entries.items():
        listed = {file: (info["bytes"], info["sha256"]) for file, info in entry.pop("files").items()}
        samples[name] = Sample(name=name, files=listed, **entry)
    return samples


def find_sample(name: str) -> Sample:
    """The sample set of that name.

    Raises:
        InputError: There is no sample set of that name.
    """
    samples = catalogue()
    if name not in samples:
        raise InputError(f"there is no sample set {name!r}; known are {', '.join(samples)}")
    return samples[name]


SOURCE = "SOURCE.txt"
CHUNK = 1 << 16
TIMEOUT = 30.0  # seconds without an answer
MOST_FILES = 1_000_000  # that are looked through in a local copy
SPARE = 64 << 20  # bytes by which an archive may exceed what it is to hold

# Called with (bytes so far, bytes in total or 0 if unknown) after every chunk.
OnBytes = Callable[[int, int], None]


def fetch(
    sample: Sample,
    folder: Path,
    source: Path | None = None,
    overwrite: bool = False,
    on_bytes: OnBytes | None = None,
) -> Path:
    """Put a sample set into `folder / sample.name`.

    An interrupted download is resumed by the next call. The set appears under its name only after all its files
    have been verified. If it already exists and is intact, nothing is done.

    Args:
        sample: The sample set.
        folder: Folder of all sample sets.
        source: A local copy to use instead of the network: the archive, or a folder that contains the files or
            the archive at any depth.
        overwrite: Replace an earlier fetch of the set that is no longer intact.
        on_bytes: Callback with the bytes so far and the bytes in total (0 if unknown), after every chunk.

    Returns:
        The folder of the set, which also holds `SOURCE.txt` with home, terms and credit.

    Raises:
        InputError: The home cannot be reached, a file is missing or differs from what its authors
            published, or the folder holds something else under this name.
    """
    target = folder / sample.name
    if _intact(sample, target):
        return target
    if target.exists() and not (target / SOURCE).is_file():
        raise InputError(f"{target} exists and was not fetched by bozzetto; choose another --out")
    if target.exists() and not overwrite:
        raise InputError(f"{target} exists but is not intact; replace it with --overwrite")
    lock = acquire_lock(
        folder / f".{sample.name}.lock", f"another run is fetching {target}; wait until it ends"
    )
    staging = folder / f".{sample.name}.staging"
    shutil.rmtree(staging, ignore_errors=True)
    make_folder(staging)
    try:
        if source is not None:
            _collect(sample, source, staging)
        else:
            _collect_download(sample, folder, staging, on_bytes)
        write_text(staging / SOURCE, about(sample) + "\n")
        _move(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        lock.release()
    return target


def _move(staging: Path, target: Path) -> None:
    """Move the set to its folder; files of an earlier fetch are replaced and other files are kept."""
    with writing(target):
        if not target.exists():
            staging.rename(target)
            return
        for file in staging.iterdir():
            os.replace(file, target / file.name)


def about(sample: Sample) -> str:
    """Home, terms and credit of a sample set, as text."""
    return (
        f"{sample.name}: {sample.title}\nhome: {sample.home}\nterms: {sample.terms}\ncredit: {sample.credit}"
    )


def _intact(sample: Sample, folder: Path) -> bool:
    found = ((_read(folder / name, size), checksum) for name, (size, checksum) in sample.files.items())
    return all(data is not None and _digest(data) == checksum for data, checksum in found)


def _read(path: Path, size: int) -> bytes | None:
    """Contents of a file of the given size; None if its size differs or it is not a regular file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return path.read_bytes() if stat.S_ISREG(status.st_mode) and status.st_size == size else None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _collect_download(sample: Sample, folder: Path, staging: Path, on_bytes: OnBytes | None) -> None:
    archive = folder / f".{sample.name}.zip.part"
    download(sample.url, archive, on_bytes, sample.size + SPARE)
    try:
        _collect(sample, archive, staging)
    finally:
        archive.unlink()  # done with, or wrong: then the next try must not continue it


def _collect(sample: Sample, source: Path, staging: Path) -> None:
    """Copy the files of the set from a folder or archive and verify each."""
    if not source.exists():
        raise InputError(f"{source} does not exist; --from needs a folder or a zip file with the sample set")
    missing = dict(sample.files)
    for name, data in _contents(source, sample):
        size, checksum = missing.get(name, (0, ""))
        if _digest(data) == checksum:
            write_bytes(staging / name, data)
            del missing[name]
        elif name in missing and not source.is_dir():
            raise InputError(
                f"{name} from {_called(sample, source)} has a wrong checksum "
                f"({_counted(data, size)} bytes, expected {size}); it was changed or damaged on the way, "
                "fetch it again"
            )
    if missing:
        raise InputError(
            f"{_called(sample, source)} lacks {len(missing)} of {len(sample.files)} files of {sample.name}, "
            f"or has them with other content, first {min(missing)}; give an unchanged copy"
        )


def _counted(data: bytes, size: int) -> str:
    return str(len(data)) if len(data) <= size else f"more than {size}"


def _called(sample: Sample, source: Path) -> str:
    return sample.url if source.suffix == ".part" else str(source)


def _contents(source: Path, sample: Sample) -> Iterator[tuple[str, bytes]]:
    """Name without folders, and contents, of all files that may belong to the set; at most one byte too
    many."""
    if not source.is_dir():
        yield from _unpacked(source, sample)
        return
    archive, count = PurePosixPath(sample.url).name, 0
    for folder, _, names in os.walk(source):
        count += len(names)
        if count > MOST_FILES:
            raise InputError(
                f"{source} holds more than {MOST_FILES:,} files; give the folder of the sample set itself"
            )
        for name in names:
            path = Path(folder, name)
            if name in sample.files and (data := _read(path, sample.files[name][0])) is not None:
                yield name, data
            elif name == archive and path.is_file():
                yield from _unpacked(path, sample)


def _unpacked(source: Path, sample: Sample) -> Iterator[tuple[str, bytes]]:
    called = _called(sample, source)
    if not source.is_file():
        raise InputError(f"{called} is neither a folder nor a file; give a folder or a zip file")
    try:
        with zipfile.ZipFile(source) as archive:
            for entry in archive.infolist():
                name = PurePosixPath(entry.filename).name
                if name not in sample.files or entry.file_size > max(sample.files[name][0], CHUNK):
                    continue
                if entry.flag_bits & 1:
                    raise InputError(f"{called} is encrypted; unpack it and give the folder")
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise InputError(f"{called} is packed in an unusual way; unpack it and give the folder")
                with archive.open(entry) as file:  # what an archive says of sizes is no bound
                    yield name, file.read(sample.files[name][0] + 1)
    except _DAMAGED as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{called} is not an intact zip file ({error}); fetch it again") from None


# What zipfile raises for files that are damaged in one place or another.
_DAMAGED = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError)


def download(url: str, path: Path, on_bytes: OnBytes | None = None, most: int = 1 << 40) -> None:
    """Download to a path, or resume an interrupted download there.

    Args:
        url: The URL.
        path: The file to write.
        on_bytes: Callback with the bytes so far and the bytes in total (0 if unknown), after every chunk.
        most: Largest number of bytes; longer responses are rejected.

    Raises:
        InputError: The server cannot be reached, refuses, or closes the connection; then the partial file is
            kept for the next attempt. Or the response is longer than `most`; then it is deleted.
    """
    have = path.stat().st_size if path.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "bozzetto"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            continued = answer.status == 206
            length = answer.headers.get("Content-Length") or ""
            known = length.isdecimal() and len(length) < 16
            total = int(length) + (have if continued else 0) if known else 0
            with writing(path):
                file = path.open("ab" if continued else "wb")
            with file:
                ended = total <= most and _copy(answer, file, total, on_bytes, most)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing behind what is there: it is complete
            return
        raise InputError(f"{url} answers {error.code} {error.reason}; use a local copy with --from") from None
    except (OSError, HTTPException, UnicodeError) as error:
        reason = getattr(error, "reason", error)
        raise InputError(
            f"{url} cannot be reached ({reason}); try again to continue the download, "
            "or use a local copy with --from"
        ) from None
    if not ended:
        path.unlink()
        raise InputError(
            f"{url} sends more than {most} bytes, which cannot be the set; use a local copy with --from"
        )


def _copy(answer: HTTPResponse, file: BinaryIO, total: int, on_bytes: OnBytes | None, most: int) -> bool:
    """Write a response to a file; return whether it ended within `most` bytes."""
    while chunk := answer.read(CHUNK):
        with writing(file.name):
            file.write(chunk)
            file.flush()
        if file.tell() > most:
            return False
        if on_bytes is not None:
            on_bytes(file.tell(), total)
    if total and file.tell() < total:
        raise ConnectionError(f"broke off after {file.tell()} of {total} bytes")
    return True
