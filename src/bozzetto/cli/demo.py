"""`bozzetto demo`: everything at work on a subject of our own making."""

from dataclasses import dataclass
from pathlib import Path

from .common import Options


@dataclass(frozen=True, kw_only=True)
class Demo(Options):
    """Reconstruct a bust from phone photos of our own making, and more; a gallery that opens from disk.

    Needs no network and no GPU. With the extra `poses` nothing but the photos is used, else their true cameras.
    """

    out: Path = Path("bozzetto-out/demo")
    """Folder for the gallery."""

    def run(self) -> dict:
        """Make the gallery."""
        from ..runs import RunFolder, resolve_device, seed_everything
        from ..viewer import demo

        device = resolve_device(self.device)
        seed_everything(self.seed)
        run = RunFolder.create(self.out, {"verb": "demo", "seed": self.seed}, self.overwrite)
        figures = demo(run, device=device, seed=self.seed, quiet=self.quiet)
        report = run.report(figures, device, self.seed)
        self.say(f"Gallery: {run.path / 'index.html'}")
        return report
