"""`bozzetto heightmap IMAGE...`: photos of surfaces to height maps, normals and reliefs."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
    """Predict height maps from photos of surfaces: files, or all photos in folders.

    Writes for every photo, in a folder of its name: height.png (16 bit), height.exr, normal.png, relief.glb
    with the photo on it, and preview.png (photo, height, lit relief, confidence).
    """

    images: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE...")]
    """Photos, seen from straight above, or folders of them."""
    out: Path = Path("bozzetto-out/heightmap")
    """Folder for the results."""
    size_mm: Annotated[float, Within(0, LONGEST, above=True)] = 1000.0
    """Width of what the photo shows, in millimetres."""
    depth_mm: Annotated[float | None, Within(0, LONGEST, above=True)] = None
    """From the lowest to the highest point, in millimetres; a twentieth of the width if not given."""
    strength: Annotated[float, Within(0, 10**6, above=True)] = 1.0
    """Factor on the depth."""
    invert: bool = False
    """Swap hills and hollows; one photo does not always show which is which."""
    tiles: Literal["auto", "yes", "no"] = "auto"
    """Whether the texture repeats; auto compares opposite borders."""
    normal_convention: Literal["gl", "dx"] = "gl"
    """Green up (OpenGL, Blender) or down (DirectX)."""
    wrap: Literal["plane", "cylinder"] = "plane"
    """Shape of the relief; the width goes around the cylinder."""
    faces: Annotated[int, Within(2, MANY, also=0)] = 100_000
    """Triangles of the relief at most; 0 writes none."""
    ao: bool = False
    """Also write ambient occlusion (ao.png)."""
    curvature: bool = False
    """Also write curvature (curvature.png)."""
    stereo: bool = False
    """The photos show one surface under different lights: photometric stereo."""
    lights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """With --stereo: JSON list of vectors towards the lights, x right, y up, z to the camera; else found."""
    weights: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = "auto"
    """Weights of the network: those that come with the program (auto takes `heights-imagenet` where
    `pip install 'bozzetto[imagenet]'` has run, else `heights`), or a file from training."""
    resume: bool = False
    """Continue an interrupted run over several photos in the same folder; those that are done stay."""

    def check(self) -> None:
        """Refuse also options that only --stereo, only single photos or only a relief use."""
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

    def run(self) -> dict:
        """Predict."""
        from ..heightmap.photos import find_photos
        from ..heightmap.run import safe_out, stereo_photos
        from ..runs import RunFolder, fingerprint, resolve_device, seed_everything

        device = resolve_device(self.device)
        seed_everything(self.seed)
        options = self.options()
        photos = find_photos(self.images)
        safe_out(self.out, [path for path, _ in photos])
        settings = {"verb": "heightmap", "options": options, "photos": [str(path) for path, _ in photos]}
        reads = [self.weights, *(path for path, _ in photos), *([self.lights] if self.lights else [])]
        if self.stereo:
            run = RunFolder.create(self.out, settings, self.overwrite, reads=reads)
            results = [stereo_photos(run, [path for path, _ in photos], self.lights, photos[0][1], options)]
            failed: list[str] = []
        else:
            predictor = open_predictor(self.weights).to(device)
            settings["weights"] = fingerprint(*predictor.network.state_dict().values())
            run = RunFolder.create(self.out, settings, self.overwrite, self.resume, reads)
            results, failed = self._each(run, photos, predictor, options)
        if not results:
            raise InputError(
                failed[0] if len(failed) == 1 else f"none of {len(failed)} photos can be used: {failed[0]}"
            )
        report = run.report({"photos": results, "failed": failed}, device, self.seed)
        self._print_results(results, failed)
        return report

    def _each(
        self,
        run: "RunFolder",
        photos: list[tuple[Path, str]],
        predictor: "Predictor",
        options: "MapOptions",
    ) -> tuple[list[dict], list[str]]:
        """Results of all photos that can be used, those of an interrupted run among them, and what failed."""
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
                except CannotWrite:  # nor could the maps of the next photo
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

    def _print_results(self, results: list[dict], failed: list[str]) -> None:
        for sentence in failed:
            sys.stderr.write(f"bozzetto: left out: {sentence}\n")
        for result in results[:10]:
            doubt = result.get("upright_probability", 1.0) < 0.6 and not result.get("flat")
            note = "; hills and hollows may be swapped, try --invert" if doubt else ""
            if result.get("sign_is_guessed"):
                note = "; lights are unknown, so depth and sign are guesses: --lights, --depth-mm, --invert"
            self.say(f"Height map: {result['folder']}{note}")
        if len(results) > 10:
            self.say(f"... and {len(results) - 10} more under {self.out}")

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
    """A short name for what is in a file; None if it cannot be read, which is an error later."""
    from ..runs import fingerprint

    try:
        return fingerprint(path)
    except OSError:
        return None


def open_predictor(name: str) -> "Predictor":
    """A network from a file, or one that comes with the program; `auto` takes the best that can be used.

    Raises:
        InputError: There is none of this name, or the file holds something else.
    """
    from ..heightmap.predictor import load_predictor

    path = Path(name)
    if path.suffix or path.is_file():
        return load_predictor(path)
    from ..heightmap.run import best_weights
    from ..weights import find

    return load_predictor(find(best_weights() if name == "auto" else name))
