"""`bozzetto doctor [CAPTURE]`: what is installed and usable, and what is wrong with a capture."""

from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Annotated

import tyro

from ..errors import InputError
from .checks import leave_out
from .common import EXTRAS, Options


@dataclass(frozen=True, kw_only=True)
class Doctor(Options):
    """Show versions, device, threads and optional parts; with a capture, say whether it can be used."""

    capture: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[CAPTURE]")] = None
    """Folder or camera file of a capture to look at."""
    masks: str = "auto"
    """Where its masks come from: auto, alpha, background, or a folder."""
    out: Path = Path("bozzetto-out/doctor")
    """Folder for the sheet that shows the cameras and masks of the capture."""

    def check(self) -> None:
        """Refuse also what only a capture needs."""
        super().check()
        if self.capture is None:
            leave_out(self, "is for a CAPTURE, and none is given", "--masks")

    def run(self) -> dict:
        """Look at the installation and the capture."""
        from ..runs import environment, resolve_device

        device = resolve_device(self.device)
        report = {**environment(device), "optional": _optional_parts()}
        self._tell(report)
        if self.capture is not None:
            report["capture"] = self._examine(self.capture)
        return report

    def _tell(self, report: dict) -> None:
        self.say("\n".join(f"{name:14}{version}" for name, version in report["versions"].items()))
        self.say(f"{'device':14}{report['device']}, {report['threads']} threads on {report['cores']} cores")
        for name, version in report["optional"].items():
            missing = f"not installed (pip install 'bozzetto[{EXTRAS[name]}]')"
            self.say(f"{name:13} {version or missing}")

    def _examine(self, path: Path) -> dict:
        from ..runs import RunFolder
        from ..views import capture_sheet, load_capture, mask_consistency, object_bounds, save_image

        capture = load_capture(path, masks=self.masks)
        size = f"{capture.cameras.width}x{capture.cameras.height}"
        self.say(f"\n{path}: {len(capture)} photographs of {size}, cameras from {capture.source}")
        for note in capture.notes:
            self.say(f"note: {note}")
        if capture.masks is None:
            raise InputError("doctor judges masks; leave out --masks none")
        consistency = mask_consistency(capture)
        bounds = object_bounds(capture.cameras, capture.masks, capture.known)
        verdicts = dict(zip(consistency.names, consistency.verdicts, strict=True))
        for name in consistency.bad:
            self.say(f"{name} {verdicts[name]}")
        count = len(consistency.bad)
        verdict = f"{count} of {len(capture)} views do not fit" if count else "good, all masks fit each other"
        run = RunFolder.create(
            self.out, {"verb": "doctor", "capture": str(path)}, self.overwrite, reads=[path]
        )
        labels = [name if verdicts[name] == "good" else f"{name}: {verdicts[name]}" for name in capture.names]
        save_image(run.file("sheet.png"), capture_sheet(capture, bounds, labels=labels))
        low, high = bounds.tolist()
        found = {
            "path": str(path),
            "views": len(capture),
            "size": [capture.cameras.width, capture.cameras.height],
            "bounds": [low, high],
            "verdict": verdict,
            "verdicts": verdicts,
            "mask_iou": dict(zip(consistency.names, consistency.iou.tolist(), strict=True)),
            "sheet": str(run.path / "sheet.png"),
        }
        run.report(found, seed=self.seed)
        self.say(f"verdict: {verdict}\nobject within {low} to {high}\nsheet: {run.path / 'sheet.png'}")
        return found


def _optional_parts() -> dict[str, str | None]:
    return {name: metadata.version(name) if util.find_spec(name) else None for name in EXTRAS}
