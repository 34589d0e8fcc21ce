"""`bozzetto cameras IN OUT`: cameras of any format as transforms.json and COLMAP model, and a drawing."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ..errors import InputError, warn_input
from .common import Options

if TYPE_CHECKING:
    from ..cameras.formats import PosedViews
    from ..runs import RunFolder


@dataclass(frozen=True, kw_only=True)
class CamerasVerb(Options):
    """Convert cameras between formats (docs/formats.md) and draw their positions.

    Writes transforms.json, a COLMAP model and rig.png, in the world frame of the file. Photographs are not
    copied.
    """

    cameras: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN")]
    """Camera file, or the folder that holds one."""
    to: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[OUT]")] = None
    """Folder for the results, instead of --out."""
    photos: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of the photographs, if they are not where the file says."""
    format: Literal["both", "transforms", "colmap"] = "both"
    """transforms: transforms.json; colmap: a COLMAP text model; both: where the lens model allows it."""
    out: Path = Path("bozzetto-out/cameras")
    """Folder for the results."""

    def __post_init__(self) -> None:
        """Use OUT as the folder of the results."""
        if self.to is not None:
            object.__setattr__(self, "out", self.to)

    def run(self) -> dict[str, Any]:
        """Read, write and draw."""
        from ..cameras import read_cameras
        from ..cameras.formats.camera_files import whole_views
        from ..cameras.sheets import as_batch, rig_sheet, rig_summary
        from ..images import save_image

        posed = read_cameras(self.cameras, self.photos)
        whole = whole_views(posed, None, self.out)
        cameras, summary = as_batch(whole), _summary(posed, rig_summary(whole))
        labels = [Path(view.name).stem for view in posed.views]

        def work(run: "RunFolder") -> dict[str, Any]:
            written = self._write(posed, [view.name for view in whole], run)
            save_image(run.file("rig.png"), rig_sheet(cameras, posed.points, labels))
            return {**summary, "files": written, "drawing": str(run.path / "rig.png")}

        config = {"verb": "cameras", "cameras": str(self.cameras), "format": self.format}
        report = self.in_folder(config, work, lambda report: _told(report["figures"]), [self.cameras])
        return report["figures"]

    def _write(self, posed: "PosedViews", names: list[str], run: "RunFolder") -> list[str]:
        from ..cameras import save_colmap, save_transforms

        written, refused = [], []
        if self.format in ("both", "transforms"):
            try:
                save_transforms(posed, run.file("transforms.json"), names)
                written.append("transforms.json")
                if posed.points is not None:
                    written.append(run.file("points.ply").name)
            except InputError as error:
                refused.append(error)
        if self.format in ("both", "colmap"):
            model = [f"sparse/0/{name}.txt" for name in ("cameras", "images", "points3D")]
            try:
                save_colmap(posed, [run.file(name) for name in model][0].parent)
                written += model
            except InputError as error:
                refused.append(error)
        if refused and not written:
            raise refused[0]
        for error in refused:
            warn_input(f"one of the two files is left out: {error}")
        return [str(run.path / name) for name in written]


def _summary(posed: "PosedViews", figures: dict[str, Any]) -> dict[str, Any]:
    return {
        "source": str(posed.source),
        "views": len(posed.views),
        **figures,
        "points": 0 if posed.points is None else len(posed.points),
        "missing_pictures": [view.name for view in posed.views if not view.image.is_file()],
    }


def _told(report: dict[str, Any]) -> str:
    sizes = [f"{width}x{height}" for width, height in report["sizes"]]
    lines = [
        f"{report['views']} cameras from {report['source']}, pictures of {_range([sizes[0], sizes[-1]])}",
        f"focal length {_range(report['focal'])} pixels, {_range(report['degrees_wide'])} degrees wide, "
        f"lens {' and '.join(report['lenses'])}, {report['points']} points",
        "they look at ({:.4g}, {:.4g}, {:.4g}) from {} units".format(
            *report["looked_at"], _range(report["distance"])
        ),
    ]
    if report["missing_pictures"]:
        lines.append(f"{len(report['missing_pictures'])} pictures are not where the file says")
    return "\n".join([*lines, *(f"wrote {file}" for file in [*report["files"], report["drawing"]])])


def _range(both: list[Any]) -> str:
    low, high = (value if isinstance(value, str) else f"{value:.4g}" for value in both)
    return low if low == high else f"{low} to {high}"
