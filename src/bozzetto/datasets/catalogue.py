"""The sample sets that can be fetched. Nothing of them is contained in this package but their checksums."""

import json
from dataclasses import dataclass
from importlib.resources import files

from ..errors import InputError


@dataclass(frozen=True)
class Sample:
    """A public data set.

    Attributes:
        name: How it is called here.
        title: What it is, in one line.
        home: Page of its authors.
        url: Archive at its official home.
        terms: Licence or terms of use as stated there.
        credit: Whom to name.
        files: Size in bytes and SHA-256 of every file, by name. Each file is checked on its own, so that a
            repacked archive or a folder of the same files is as good as the original archive.
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
        """Bytes of all files together, unpacked."""
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
        InputError: There is none.
    """
    samples = catalogue()
    if name not in samples:
        raise InputError(f"there is no sample set {name!r}; known are {', '.join(samples)}")
    return samples[name]
