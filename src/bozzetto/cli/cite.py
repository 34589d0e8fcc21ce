"""`bozzetto cite [ENGINE]`: BibTeX entries of what a result rests on."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from .. import __version__
from ..citations import Engine, cited_by
from .common import Options


@dataclass(frozen=True, kw_only=True)
class Cite(Options):
    """Print BibTeX entries of the publications that an engine rests on.

    Which function rests on which part of them stands in docs/paper_map.md.
    """

    engine: Annotated[Engine | Literal["all"], tyro.conf.Positional] = "all"
    """What was used; all prints everything."""

    def run(self) -> dict[str, Any]:
        """Print them."""
        found = cited_by(None if self.engine == "all" else self.engine)
        title = "bozzetto: photographs, scans and shape collections to 3D shapes"
        own = f"@misc{{bozzetto,\n  title = {{{{{title}}}}},\n  note = {{Version {__version__}}},\n}}"
        entries = [own, *(reference.bibtex() for reference in found)]
        self.say("\n\n".join(entries))
        return {"engine": self.engine, "bibtex": entries}
