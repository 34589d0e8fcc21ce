"""`bozzetto data list|get NAME`: public sample sets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..errors import InputError
from ..steps import report_progress
from .checks import OnlyFor
from .common import Options


@dataclass(frozen=True, kw_only=True)
class Data(Options):
    """List public sample sets, or get one from its official home.

    Every file is checked against the checksum of what its authors published. Nothing is sent anywhere, and
    an interrupted download continues the next time.
    """

    action: Annotated[Literal["list", "get"], tyro.conf.Positional] = "list"
    """list: show names, sizes, terms and credit; get: fetch one."""
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")] = ""
    """Which one to get."""
    out: Path = Path("data")
    """Folder in which the set gets a folder of its name."""
    source: Annotated[Path | None, tyro.conf.arg(name="from", metavar="DIR|ZIP"), OnlyFor("get")] = None
    """Take a local copy (folder or zip file), with the same checks, instead of the network."""

    @property
    def task(self) -> str:
        """Whether to list or to get."""
        return self.action

    def interruption_advice(self) -> str:
        """What has come is kept."""
        return "; the same command continues the download"

    def run(self) -> dict:
        """List or get."""
        return self._list() if self.action == "list" else self._get()

    def _list(self) -> dict:
        from ..datasets import catalogue
        from ..datasets.fetch import about

        if self.name:
            raise InputError(f"data list takes no name, got {self.name!r}; to fetch it: data get {self.name}")
        samples = catalogue()
        for sample in samples.values():
            self.say(f"{about(sample)}\nsize: {sample.size / 1e6:.1f} MB in {len(sample.files)} files\n")
        self.say("Get one with: bozzetto data get NAME")
        keys = ("title", "home", "url", "terms", "credit", "size")
        return {"samples": {name: {key: getattr(s, key) for key in keys} for name, s in samples.items()}}

    def _get(self) -> dict:
        from ..datasets.catalogue import find
        from ..datasets.fetch import about, fetch

        if not self.name:
            raise InputError("data get needs the name of a sample set; see: bozzetto data list")
        sample = find(self.name)
        self.say(about(sample))
        folder = fetch(
            sample,
            self.out,
            self.source,
            self.overwrite,
            lambda done, total: report_progress("download", min(done / (total or sample.size), 1.0)),
        )
        self.say(f"checked: {len(sample.files)} files, {sample.size / 1e6:.1f} MB in {folder}")
        return {"name": sample.name, "path": str(folder), "files": len(sample.files), "bytes": sample.size}
