"""`bozzetto demo` and `bozzetto cite [ENGINE]`: all engines on synthetic subjects, and their literature."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from .. import __version__
from ..citations import Engine, cited_by
from .common import Options


@dataclass(frozen=True, kw_only=True)
class Demo(Options):
    """Run the engines on synthetic subjects and make a gallery of the results, index.html.

    Needs no network and no GPU. Cameras of the photos are estimated where pycolmap is installed
    (pip install 'bozzetto[poses]'), otherwise the true ones are used.
    """

    out: Path = Path("bozzetto-out/demo")
    """Folder for the gallery."""

    def run(self) -> dict[str, Any]:
        """Make the gallery."""
        from ..viewer import demo

        device = self.begin()
        return self.in_folder(
            {"verb": "demo", "seed": self.seed},
            lambda run: demo(run, device=device, seed=self.seed, quiet=self.quiet),
            f"Gallery: {self.out / 'index.html'}",
            device=device,
        )


@dataclass(frozen=True, kw_only=True)
class Cite(Options):
    """Print BibTeX entries of the publications that an engine is based on.

    docs/paper_map.md lists the functions that are based on each of them.
    """

    engine: Annotated[Engine | Literal["all"], tyro.conf.Positional] = "all"
    """The engine that was used; all prints all entries."""

    def run(self) -> dict[str, Any]:
        """Print them."""
        found = cited_by(None if self.engine == "all" else self.engine)
        title = "bozzetto: photographs, scans and shape collections to 3D shapes"
        own = f"@misc{{bozzetto,\n  title = {{{{{title}}}}},\n  note = {{Version {__version__}}},\n}}"
        entries = [own, *(reference.bibtex() for reference in found)]
        self.say("\n\n".join(entries))
        return {"engine": self.engine, "bibtex": entries}
