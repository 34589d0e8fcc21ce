"""Fetching a sample set: from its home or from a local copy, checked either way, resumable and atomic."""

import hashlib
import shutil
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ..errors import InputError
from ..files import make_folder, write_text
from .catalogue import Sample

SOURCE = "SOURCE.txt"
CHUNK = 1 << 16
TIMEOUT = 30.0  # seconds without an answer

# Told with (bytes so far, bytes in all or 0 when unknown) after every chunk.
OnBytes = Callable[[int, int], None]


def fetch(
    sample: Sample,
    folder: Path,
    source: Path | None = None,
    overwrite: bool = False,
    on_bytes: OnBytes | None = None,
) -> Path:
    """Put a sample set into `folder / sample.name`.

    An interrupted download is continued the next time. The set appears under its name only when every file of
    it has been checked. If it is already there and intact, nothing is done.

    Args:
        sample: What to fetch.
        folder: Where sample sets are kept.
        source: A local copy instead of the network: a folder that holds the files or the archive, at any
            depth, or the archive itself.
        overwrite: Replace an earlier fetch of the set that is no longer intact.
        on_bytes: Told about progress.

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
    make_folder(folder)
    staging = folder / f".{sample.name}.staging"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        if source is not None:
            _collect(sample, source, staging)
        else:
            _collect_download(sample, folder, staging, on_bytes)
        write_text(staging / SOURCE, about(sample) + "\n")
        if target.exists():
            shutil.rmtree(target)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def about(sample: Sample) -> str:
    """Home, terms and credit of a sample set, for people."""
    return (
        f"{sample.name}: {sample.title}\nhome: {sample.home}\nterms: {sample.terms}\ncredit: {sample.credit}"
    )


def _intact(sample: Sample, folder: Path) -> bool:
    return all((folder / name).is_file() for name in sample.files) and all(
        _digest((folder / name).read_bytes()) == checksum for name, (_, checksum) in sample.files.items()
    )


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _collect_download(sample: Sample, folder: Path, staging: Path, on_bytes: OnBytes | None) -> None:
    archive = folder / f".{sample.name}.zip.part"
    download(sample.url, archive, on_bytes)
    try:
        _collect(sample, archive, staging)
    finally:
        archive.unlink()  # done with, or wrong: then the next try must not continue it


def _collect(sample: Sample, source: Path, staging: Path) -> None:
    """Copy the files of the set, each checked, from a folder or archive."""
    if not source.exists():
        raise InputError(f"{source} does not exist; --from needs a folder or a zip file with the sample set")
    missing = dict(sample.files)
    for name, data in _contents(source, sample):
        size, checksum = missing.get(name, (0, ""))
        if _digest(data) == checksum:
            (staging / name).write_bytes(data)
            del missing[name]
        elif name in missing and not source.is_dir():
            raise InputError(
                f"{name} from {_called(sample, source)} has a wrong checksum "
                f"({len(data)} bytes, expected {size}); it was changed or damaged on the way, fetch it again"
            )
    if missing:
        raise InputError(
            f"{_called(sample, source)} lacks {len(missing)} of {len(sample.files)} files of {sample.name}, "
            f"or has them with other content, first {min(missing)}; give an unchanged copy"
        )


def _called(sample: Sample, source: Path) -> str:
    return sample.url if source.suffix == ".part" else str(source)


def _contents(source: Path, sample: Sample) -> Iterator[tuple[str, bytes]]:
    """Name without folders, and content, of whatever could be a file of the set."""
    if source.is_dir():
        for name in sample.files:
            for path in sorted(source.rglob(name)):
                yield name, path.read_bytes()
        for path in sorted(source.rglob(PurePosixPath(sample.url).name)):
            yield from _contents(path, sample)
        return
    try:
        with zipfile.ZipFile(source) as archive:
            for entry in archive.infolist():
                name = PurePosixPath(entry.filename).name
                # The announced size is a bound, so that a hostile archive cannot fill the memory.
                if name in sample.files and entry.file_size <= max(sample.files[name][0], CHUNK):
                    yield name, archive.read(entry)
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise InputError(
            f"{_called(sample, source)} is not an intact zip file ({error}); fetch it again"
        ) from None


def download(url: str, path: Path, on_bytes: OnBytes | None = None) -> None:
    """Download to a path, continuing what is there.

    Raises:
        InputError: The server cannot be reached, refuses, or breaks off; what came stays for the next try.
    """
    have = path.stat().st_size if path.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "bozzetto"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            continued = answer.status == 206
            total = int(answer.headers.get("Content-Length") or 0) + (have if continued else 0)
            with path.open("ab" if continued else "wb") as file:
                _copy(answer, file, total, on_bytes)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing behind what is there: it is complete
            return
        raise InputError(f"{url} answers {error.code} {error.reason}; use a local copy with --from") from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise InputError(
            f"{url} cannot be reached ({reason}); try again to continue the download, "
            "or use a local copy with --from"
        ) from None


def _copy(answer: HTTPResponse, file: BinaryIO, total: int, on_bytes: OnBytes | None) -> None:
    while chunk := answer.read(CHUNK):
        file.write(chunk)
        if on_bytes is not None:
            on_bytes(file.tell(), total)
    if total and file.tell() < total:
        raise ConnectionError(f"broke off after {file.tell()} of {total} bytes")
