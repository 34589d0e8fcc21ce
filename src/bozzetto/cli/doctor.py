"""`bozzetto doctor [CAPTURE]`: checks of the installation and of a capture."""

from dataclasses import asdict, dataclass
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ..errors import InputError, warn_input
from .checks import refuse_options
from .common import EXTRAS, Options

if TYPE_CHECKING:
    from ..inverse.photo_source import PhotoSource
    from ..runs import RunFolder

EXAMINED = 480
"""Longer side, in pixels, to which photographs are reduced here."""


@dataclass(frozen=True, kw_only=True)
class Doctor(Options):
    """Show versions, device and optional packages; with a capture, check whether it can be reconstructed.

    Of a capture it writes sheet.png: its photographs with cameras and masks.
    """

    capture: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[CAPTURE]")] = None
    """Folder of photographs, or cameras with photographs, as for reconstruct."""
    masks: str = "auto"
    """Source of the masks, as for reconstruct: auto, alpha, background, or a folder."""
    out: Path = Path("bozzetto-out/doctor")
    """Folder for the sheet that shows the cameras and masks of the capture."""

    def check(self) -> None:
        """Check options, including those that need a capture."""
        super().check()
        if self.capture is None:
            refuse_options(self, "is for a CAPTURE, and none is given", "--masks")

    def run(self) -> dict[str, Any]:
        """Examine the installation and the capture."""
        from ..runs import environment

        report = {**environment(self.begin()), "optional": _optional_parts()}
        self._tell(report)
        if self.capture is not None:
            report["capture"] = self._examine(self.capture)
        return report

    def _tell(self, report: dict[str, Any]) -> None:
        self.say("\n".join(f"{name:14}{version}" for name, version in report["versions"].items()))
        self.say(f"{'device':14}{report['device']}, {report['threads']} threads on {report['cores']} cores")
        for name, version in report["optional"].items():
            missing = f"not installed (pip install 'bozzetto[{EXTRAS[name]}]')"
            self.say(f"{name:13} {version or missing}")

    def _examine(self, path: Path) -> dict[str, Any]:
        from ..inverse.photo_source import find_source

        if self.masks == "none":
            raise InputError("doctor judges masks; leave out --masks none")
        source = find_source(path)
        return self._examine_photos(source) if source.posed is None else self._examine_capture(source)

    def _examine_photos(self, source: "PhotoSource") -> dict[str, Any]:
        """Examine photographs without cameras: whether cameras can be estimated."""
        from ..inverse.photo_source import survey_photos

        found = survey_photos(source, self.masks)
        self.say(f"\n{source.path}: {found.sentence}")
        for note in found.notes:
            warn_input(note)
        verdict = f"cannot be reconstructed: {found.fault}" if found.fault else "cameras can be looked for"
        if found.fault is None and util.find_spec("pycolmap") is None:
            verdict = "cameras can be looked for after: pip install 'bozzetto[poses]'"
        self.say(f"verdict: {verdict}")
        return {"path": str(source.path), "photos": len(source.photos), "verdict": verdict, **asdict(found)}

    def _examine_capture(self, source: "PhotoSource") -> dict[str, Any]:
        from ..cameras import capture_sheet, examine
        from ..cameras.loading import load_views
        from ..images import save_image

        assert source.posed is not None
        path = source.path
        capture = load_views(source.posed, self.masks, EXAMINED)
        self.say(f"\n{path}: {len(capture)} photographs, cameras from {capture.source}")
        examination = examine(capture)
        for finding in examination.findings:
            if finding.sentence != examination.fatal:
                warn_input(finding.sentence)
        consistency, bounds = examination.consistency, examination.bounds
        labels = list(capture.names)
        if consistency is not None:
            rows = zip(capture.names, consistency.verdicts, strict=True)
            labels = [name if verdict == "good" else f"{name}: {verdict}" for name, verdict in rows]
        sheet = capture_sheet(capture, bounds, labels=labels)
        verdict = _verdict(examination.fatal, len(examination.findings))
        place = "" if bounds is None else "object within {} to {}\n".format(*bounds.tolist())
        found = {
            "path": str(path),
            "views": len(capture),
            "examined_at": [capture.cameras.width, capture.cameras.height],
            "bounds": None if bounds is None else bounds.tolist(),
            "verdict": verdict,
            "findings": [asdict(finding) for finding in examination.findings],
            "verdicts": {}
            if consistency is None
            else dict(zip(consistency.names, consistency.verdicts, strict=True)),
            "mask_iou": {}
            if consistency is None
            else dict(zip(consistency.names, consistency.iou.tolist(), strict=True)),
            "sheet": str(self.out / "sheet.png"),
        }

        def work(run: "RunFolder") -> dict[str, Any]:
            save_image(run.file("sheet.png"), sheet)
            return found

        told = f"verdict: {verdict}\n{place}sheet: {self.out / 'sheet.png'}"
        self.in_folder({"verb": "doctor", "capture": str(path)}, work, told, [path])
        return found


def _verdict(fatal: str | None, findings: int) -> str:
    if fatal is not None:
        return f"cannot be reconstructed: {fatal}"
    return "good, all masks fit each other" if findings == 0 else "can be reconstructed, but read the notes"


def _optional_parts() -> dict[str, str | None]:
    return {name: metadata.version(name) if util.find_spec(name) else None for name in EXTRAS}
