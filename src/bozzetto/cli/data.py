"""`bozzetto data list` and `bozzetto data get NAME`: public sample sets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..steps import report_progress
from .common import Options


@dataclass(frozen=True, kw_only=True)
class DataList(Options):
    """List public sample sets with size, terms and credit."""

    def run(self) -> dict[str, Any]:
        """List."""
        from ..datasets import catalogue
        from ..datasets.fetch import about

        samples = catalogue()
        for sample in samples.values():
            self.say(f"{about(sample)}\nsize: {sample.size / 1e6:.1f} MB in {len(sample.files)} files\n")
        self.say("Get one with: bozzetto data get NAME")
        keys = ("title", "home", "url", "terms", "credit", "size")
        return {"samples": {name: {key: getattr(s, key) for key in keys} for name, s in samples.items()}}


@dataclass(frozen=True, kw_only=True)
class DataGet(Options):
    """Download a public sample set from its official home.

    Every file is verified against a checksum of what the authors published. An interrupted download
    continues the next time.
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """Name of the set, see: bozzetto data list."""
    out: Path = Path("data")
    """Folder in which the set gets a folder of its name."""
    source: Annotated[Path | None, tyro.conf.arg(name="from", metavar="DIR|ZIP")] = None
    """Take a local copy (folder or zip file) instead of downloading; it is verified likewise."""

    def interruption_advice(self) -> str:
        """The downloaded part is kept."""
        return "; the same command continues the download"

    def run(self) -> dict[str, Any]:
        """Download."""
        from ..datasets.fetch import about, fetch, find_sample

        sample = find_sample(self.name)
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
