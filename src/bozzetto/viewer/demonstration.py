"""Everything at work on subjects of our own, on one page."""

import torch

from ..runs import RunFolder
from .body_demonstration import demonstrate_body
from .gallery import Gallery
from .photo_demonstration import demonstrate_photographs
from .surface_demonstration import demonstrate_surfaces


def demo(run: RunFolder, device: torch.device | str = "cpu", seed: int = 0, quiet: bool = False) -> dict:
    """Reconstruct a bust from phone photos, complete half a scan of a person, read heights from photos.

    Writes `index.html` and a folder per engine; see `demonstrate_photographs`, `demonstrate_body` and
    `demonstrate_surfaces`.

    Args:
        run: Where everything goes.
        device: Where to compute.
        seed: Of everything random.
        quiet: Show no progress.

    Returns:
        The figures of all parts.
    """
    page = Gallery("bozzetto", "From what people have to shapes: photographs, half a scan, a photo.")
    figures = demonstrate_photographs(run, page, seed, device, quiet)
    figures["completion"] = demonstrate_body(run, page, seed, device)
    figures["surfaces"] = demonstrate_surfaces(run, page, device)
    seconds = {name: f"{value:.1f} s" for name, value in run.stopwatch.seconds.items()}
    page.text("", heading="Time").figures(seconds, f"Seed and settings: {run.path.name}/config.json")
    page.save(run.file("index.html"))
    return figures
