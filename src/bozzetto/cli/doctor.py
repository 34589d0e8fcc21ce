"""`bozzetto doctor [CAPTURE]`: what is installed and usable, and what is wrong with a capture."""

from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Annotated

import tyro

from .common import EXTRAS, Options


@dataclass(frozen=True, kw_only=True)
class Doctor(Options):
    """Show versions, device, threads and optional parts; with a capture, say whether it can be used."""

    capture: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[CAPTURE]")] = None
    """Folder or camera file of a capture to look at."""
    masks: str = "auto"
    """Where its masks come from: auto, alpha, or a folder."""
    out: Path = Path("bozzetto-out/doctor")
    """Folder for the sheet that shows the cameras and masks of the capture."""

    def run(self) -> dict:
        """Look at the installation and the capture."""
        from ..runs import environment, resolve_device

        device = resolve_device(self.device)
        report = {**environment(device), "optional": _optional_parts()}
        self._tell(report)
        if self.capture is None:
            return report
        return {**report, "capture": self._examine(self.capture)}

    def _tell(self, report: dict) -> None:
        self.say("\n".join(f"{name:14}{version}" for name, version in report["versions"].items()))
        self.say(f"{'device':14}{report['device']}, {report['threads']} threads on {report['cores']} cores")
        for name, version in report["optional"].items():
            missing = f"not installed (pip install 'bozzetto[{EXTRAS[name]}]')"
            self.say(f"{name:14}{version or missing}")


def _optional_parts() -> dict[str, str | None]:
    return {name: metadata.version(name) if util.find_spec(name) else None for name in EXTRAS}
