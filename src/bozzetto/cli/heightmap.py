"""`bozzetto heightmap IMAGE...`: photos of surfaces to height maps, normals and reliefs."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ..errors import InputError, Interrupted, warn_input
from ..files import CannotWrite
from .checks import MANY, Within, refuse_options
from .common import Options

if TYPE_CHECKING:
    from ..heightmap.predictor import Predictor
    from ..heightmap.run import MapOptions
    from ..runs import RunFolder

LONGEST = 1e9
"""Largest size in millimetres."""


@dataclass(frozen=True, kw_only=True)
class Heightmap(Options):
    """Predict height maps, normal maps and reliefs from photos of textures.

    Writes a folder per photo: height.png (16 bit), height.exr, normal.png, relief.glb textured with the
    photo, and preview.png (photo, height, lit relief, confidence).
    """

    images: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE...")]
    """Photos taken from straight above, or folders of them."""
    out: Path = Path("bozzetto-out/heightmap")
    """Folder for the results."""
    size_mm: Annotated[float, tyro.conf.arg(metavar="MM"), Within(0, LONGEST, above=True)] = 1000.0
    """Width of the surface in the photo, in millimetres."""
    depth_mm: Annotated[float | None, tyro.conf.arg(metavar="MM"), Within(0, LONGEST, above=True)] = None
    """Height difference between the lowest and the highest point, in millimetres; by default a twentieth of the
    width."""
    strength: Annotated[float, Within(0, 10**6, above=True)] = 1.0
    """Factor on the depth."""
    invert: bool = False
    """Invert the height: hills become hollows. One photo does not always show which is which."""
    tiles: Literal["auto", "yes", "no"] = "auto"
    """Whether the texture is tileable; auto compares opposite borders."""
    normal_convention: Literal["gl", "dx"] = "gl"
    """gl: green points up (OpenGL, Blender); dx: green points down (DirectX)."""
    wrap: Literal["plane", "cylinder"] = "plane"
    """Shape of the relief mesh; the width of the photo goes around the cylinder."""
    faces: Annotated[int, Within(2, MANY, also=0)] = 100_000
    """Largest number of triangles of the relief mesh; 0 writes no mesh."""
    ao: bool = False
    """Also write ambient occlusion (ao.png)."""
    curvature: bool = False
    """Also write curvature (curvature.png)."""
    stereo: bool = False
    """Photometric stereo: all photos show one surface under different lights."""
    lights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """With --stereo: JSON list of vectors to the lights (x right, y up, z to the camera); else estimated."""
    weights: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = "auto"
    """heights, heights-imagenet (pip install 'bozzetto[imagenet]'), auto, or a file from training."""
    resume: bool = False
    """Continue an interrupted run over several photos in the same folder; finished photos are kept."""

    def check(self) -> None:
        """Check options, including those that only --stereo, only single photos or only a relief use."""
        super().check()
        if self.stereo and self.weights != "auto":
            warn_input("--weights is not used with --stereo, which measures instead of predicting")
        if self.stereo:
            refuse_options(
                self, "is for photos of several surfaces, and --stereo takes all for one", "--resume"
            )
        else:
            refuse_options(self, "needs --stereo, which takes all photos for one surface", "--lights")
        if self.faces == 0:
            refuse_options(self, "is the shape of the relief, and --faces 0 writes none", "--wrap")

    def run(self) -> dict[str, Any]:
        """Predict."""
        from ..heightmap import find_photos, open_predictor, stereo_photos
        from ..heightmap.run import safe_out
        from ..runs import fingerprint

        device = self.begin()
        options = self.options()
        photos = find_photos(self.images)
        paths = [path for path, _ in photos]
        safe_out(self.out, paths)
        settings = {"verb": "heightmap", "options": options, "photos": [str(path) for path in paths]}
        predictor = None if self.stereo else open_predictor(self.weights).to(device)
        if predictor is not None:
            settings["weights"] = fingerprint(*predictor.network.state_dict().values())

        def work(run: "RunFolder") -> dict[str, Any]:
            if predictor is None:
                result = stereo_photos(run, paths, self.lights, photos[0][1], options)
                return {"photos": [result], "failed": []}
            results, failed = self._each(run, photos, predictor, options)
            if not results:
                several = f"none of {len(failed)} photos can be used: {failed[0]}"
                raise InputError(failed[0] if len(failed) == 1 else several)
            return {"photos": results, "failed": failed}

        reads = [self.weights, *paths, *([self.lights] if self.lights else [])]
        return self.in_folder(settings, work, self._told, reads, device)

    def _each(
        self,
        run: "RunFolder",
        photos: list[tuple[Path, str]],
        predictor: "Predictor",
        options: "MapOptions",
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Results of all usable photos, including those of an interrupted run, and messages of failed ones."""
        from ..heightmap.run import map_photo
        from ..runs import Progress

        saved = run.load_checkpoint() if self.resume else None
        done = {} if saved is None else {entry["name"]: entry for entry in saved[2]["photos"]}
        results, failed, several = [], [], len(photos) > 1
        with Progress(len(photos), "heightmap", self.quiet or not several, "photo") as progress:
            for path, name in photos:
                content = _content(path) if several else None
                try:
                    if done.get(name, {}).get("content", "") != content:
                        result = map_photo(run, path, name, predictor, options)
                        done[name] = {"name": name, "content": content, "result": result}
                        if several:
                            run.save_checkpoint(len(done), {}, {"photos": list(done.values())})
                    results.append(done[name]["result"])
                except CannotWrite:  # the maps of the next photo could not be written either
                    raise
                except InputError as error:
                    failed.append(str(error))
                except KeyboardInterrupt as error:
                    if not several:
                        raise
                    raise Interrupted(
                        f"interrupted; {len(results)} of {len(photos)} photos are done", error
                    ) from None
                progress.advance()
        return results, failed

    def _told(self, report: dict[str, Any]) -> str:
        results, lines = report["figures"]["photos"], []
        for sentence in report["figures"]["failed"]:
            sys.stderr.write(f"bozzetto: left out: {sentence}\n")
        for result in results[:10]:
            doubt = result.get("upright_probability", 1.0) < 0.6 and not result.get("flat")
            note = "; hills and hollows may be swapped, try --invert" if doubt else ""
            if result.get("sign_is_guessed"):
                note = "; lights are unknown, so depth and sign are guesses: --lights, --depth-mm, --invert"
            lines.append(f"Height map: {result['folder']}{note}")
        if len(results) > 10:
            lines.append(f"... and {len(results) - 10} more under {self.out}")
        return "\n".join(lines)

    def options(self) -> "MapOptions":
        """The options of the library."""
        from ..heightmap.run import MapOptions

        return MapOptions(
            size_mm=self.size_mm,
            depth_mm=self.depth_mm,
            strength=self.strength,
            invert=self.invert,
            tiles={"auto": None, "yes": True, "no": False}[self.tiles],
            normals=self.normal_convention,
            wrap=self.wrap,
            occlusion=self.ao,
            curvature=self.curvature,
            faces=self.faces,
        )


def _content(path: Path) -> str | None:
    """Fingerprint of the content of a file; None if it cannot be read, which is an error later."""
    from ..runs import fingerprint

    try:
        return fingerprint(path)
    except OSError:
        return None
