"""`bozzetto demo`: all engines on synthetic subjects."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
