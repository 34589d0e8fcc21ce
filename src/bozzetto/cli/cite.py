"""`bozzetto cite [ENGINE]`: BibTeX entries of the publications that a result is based on."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from .. import __version__
from ..citations import Engine, cited_by
from .common import Options


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
