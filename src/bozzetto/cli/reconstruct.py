"""`bozzetto reconstruct PHOTOS`: photographs to a textured mesh."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ..errors import InputError, warn_input
from .checks import MANY, Formerly, Within
from .common import Options

if TYPE_CHECKING:
    from torch import Tensor

    from ..inverse.config import ReconstructConfig
    from ..inverse.photo_source import CaptureSettings, PhotoSource
    from ..inverse.run import MeshFiles
    from ..runs import RunFolder

LARGEST_LIGHT = 1 << 16  # bytes, more than 9 x 3 numbers need
FORMATS = ("obj", "stl", "3mf")


@dataclass(frozen=True, kw_only=True)
class Reconstruct(Options):
    """Reconstruct a textured mesh from photographs of an object.

    Cameras are read from a file if there is one, otherwise estimated (pip install 'bozzetto[poses]'). Writes
    mesh.glb (textured, +Y up, metres), mesh.ply (all faces, in the frame and unit of the cameras), cameras/
    (as used), masks/ (if they were computed; edit them and run again) and renders/ (photo, render,
    difference, and a turntable).
    """

    photos: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS")]
    """Folder of photographs, or cameras with photographs (COLMAP, transforms.json, ...: docs/formats.md)."""
    out: Path = Path("bozzetto-out/reconstruct")
    """Folder for the results."""
    preset: Literal["fast", "default", "fine"] = "default"
    """About 1, 3 or 8 minutes for 16 photographs of 640x480 on two cores, after the cameras."""
    masks: Annotated[str, tyro.conf.arg(metavar="auto|alpha|background|object|DIR|ONNX")] = "auto"
    """Source of masks: alpha channel, plain background, the object that all photographs show, a folder, or a
    segmentation network (pip install 'bozzetto[onnx]'). auto takes mask files or the first of these."""
    around: Annotated[
        tyro.conf.UseAppendAction[tuple[tuple[str, str, str], ...]], tyro.conf.arg(metavar="PHOTO X Y")
    ] = ()
    """A pixel of the object, for --masks object: photograph, column, row. May be repeated."""
    max_size: Annotated[int | None, tyro.conf.arg(metavar="PIXELS"), Within(64, 20_000)] = None
    """Longer side to which photographs are downscaled; by default what preset and memory allow."""
    refine_cameras: Literal["auto", "yes", "no"] = "auto"
    """Optimise poses and focal lengths as well; auto: if estimated cameras have a reprojection error above
    one pixel, or if masks contradict given cameras."""
    boundary: Annotated[Literal["auto", "closed", "open"], Formerly("--ends")] = "auto"
    """Surface that no photograph shows: closed keeps the guess, for a watertight mesh; open leaves it out;
    auto leaves it out where much of it was seen from one side only or lies outside the pictures."""
    faces: Annotated[int | None, tyro.conf.arg(metavar="N"), Within(100, MANY)] = None
    """Faces of the textured mesh, mesh.glb; by default at most 30000. mesh.ply keeps all."""
    also: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="obj|stl|3mf")] = ()
    """Write mesh.obj (with texture), mesh.stl or mesh.3mf (millimetres) as well."""
    size_mm: Annotated[float | None, tyro.conf.arg(metavar="MM"), Within(0, 1e9, above=True)] = None
    """Longest side of the object, for all files but mesh.ply; by default a unit of the cameras is a
    metre."""
    up: Annotated[str, tyro.conf.arg(metavar="auto|x|y|z|-x|-y|-z")] = "auto"
    """Axis of the world frame that points up; auto: the direction that is up in most photographs."""
    init: Annotated[str, tyro.conf.arg(metavar="auto|hull|volume|sphere|MESH")] = "auto"
    """Initial surface: the visual hull of the masks; a volume fitted to masks and colours, for holes and
    hollows that no outline shows; a sphere; or a mesh file. auto takes the volume where it clearly differs
    from the hull, and the hull where cameras are refined."""
    hold_out: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME,...|COUNT")
    ] = ()
    """Photographs held out for evaluation: their names, or how many."""
    light: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Known light: a .npy file of 9 x 3 spherical-harmonics coefficients; by default light is estimated."""
    resume: bool = False
    """Continue an interrupted run in the same folder."""

    def check(self) -> None:
        """Check options, including formats and directions."""
        super().check()
        for name in self.also:
            if name not in FORMATS:
                raise InputError(f"--also {name} is not known; expected one of {', '.join(FORMATS)}")
        if self.up not in ("auto", "x", "y", "z", "-x", "-y", "-z"):
            raise InputError(f"--up must be auto, x, y, z, -x, -y or -z, got {self.up}")
        object_pixels(self.around)
        if self.masks == "none":
            raise InputError("reconstruct needs masks of the object; leave out --masks none")

    def run(self) -> dict[str, Any]:
        """Reconstruct."""
        from ..inverse import reconstruct_photographs
        from ..inverse.photo_source import find_source, prepare_capture, write_cameras
        from ..inverse.reconstruct import require_sound

        device = self.begin()
        light = None if self.light is None else load_known_light(self.light)
        source = find_source(self.photos)

        def work(run: "RunFolder") -> dict[str, Any]:
            prepared = prepare_capture(source, self._capture_settings(), run)
            align = self.refine_cameras == "yes"
            consistency = require_sound(prepared.capture, str(self.photos), align).consistency
            config = self.settings(inexact=prepared.inexact(consistency))
            if config.refine_cameras and self.refine_cameras == "auto":
                warn_input(
                    "the cameras do not fit exactly; they are refined (--refine-cameras no keeps them)"
                )
            capture, posed = replace(prepared.capture, uncorrected=None), prepared.posed
            used, held_out = capture.split(choose_held_out(list(capture.names), self.hold_out))
            del prepared, capture  # the pictures are large
            figures, cameras = reconstruct_photographs(
                run, used, config, held_out, light, device, self.quiet, self._output_settings()
            )
            write_cameras(run, posed, used, cameras)
            return figures

        settings = self._identity(source, light)
        return self.in_folder(settings, work, self._told, [self.photos, self.init], device)

    def _told(self, report: dict[str, Any]) -> str:
        mesh, pictures = self.out / "mesh.glb", self.out / "renders"
        return f"{metrics_summary(report)}\nMesh: {mesh} (textured) and mesh.ply; pictures: {pictures}"

    def _identity(self, source: "PhotoSource", light: "Tensor | None") -> dict[str, Any]:
        """Settings and input that must be the same when the run is resumed."""
        from ..runs import fingerprint
        from ..shapes import load_mesh

        content: list[object] = [source.fingerprint()]
        if self.init not in ("auto", "hull", "volume", "sphere"):  # an invalid file is reported at once
            content.append(load_mesh(self.init).world_vertices)
        return {
            "verb": "reconstruct",
            "settings": self.settings(),
            "refine_cameras": self.refine_cameras,
            "capture": self._capture_settings(),
            "output": self._output_settings(),
            "held_out": self.hold_out,
            "light": None if light is None else light.tolist(),
            "input": fingerprint(*content),
        }

    def _capture_settings(self) -> "CaptureSettings":
        from ..inverse.photo_source import CaptureSettings

        return CaptureSettings(self.masks, object_pixels(self.around), self.max_size, self.preset, self.seed)

    def _output_settings(self) -> "MeshFiles":
        from ..inverse.run import MeshFiles

        return MeshFiles(self.faces, self.also, self.size_mm, self.up)

    def settings(self, inexact: bool = False) -> "ReconstructConfig":
        """The settings of the preset, changed by the options.

        Args:
            inexact: Whether the cameras are inexact, so that masks and colours may correct them.
        """
        from ..inverse.config import PRESETS

        refine = inexact if self.refine_cameras == "auto" else self.refine_cameras == "yes"
        config = replace(PRESETS[self.preset], init=self.init, refine_cameras=refine)
        return replace(config, seed=self.seed, boundary=self.boundary)


def object_pixels(around: tuple[tuple[str, str, str], ...]) -> tuple[tuple[str, float, float], ...]:
    """Names of photographs with columns and rows, from the words of --around.

    Raises:
        InputError: A column or row is not a number, or negative.
    """
    pixels = []
    for name, *words in around:
        try:
            column, row = (float(word) for word in words)
        except ValueError:
            column = row = -1.0
        if not (0 <= column < MANY and 0 <= row < MANY):
            raise InputError(
                f"--around {name} {' '.join(words)} names no pixel; expected a photograph, a column and a row"
            )
        pixels.append((name, column, row))
    return tuple(pixels)


def metrics_summary(report: dict[str, Any]) -> str:
    """The most important metrics, one per line."""
    figures = report["figures"]
    held_out, learned, mesh = figures.get("held_out"), figures["learned"], figures["mesh"]
    measured, kind = (learned, "learned") if held_out is None else (held_out, "held out")
    seconds = sum(report["seconds"].values())
    rows = [
        ("photos", f"{figures['views']} used" + (f", {len(held_out['views'])} held out" if held_out else "")),
        (f"silhouettes ({kind})", _listed(measured["silhouette_iou"], "IoU {:.3f}")),
        (f"colours ({kind})", _listed(measured["psnr"], "PSNR {:.1f} dB")),
        ("first surface", figures["init"]),
        ("mesh", f"{mesh['faces']} faces, {mesh['components']} pieces"),
        ("crossing faces", str(mesh["self_intersecting_faces"])),
        ("time", f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"),
        ("memory", f"{report['peak_memory_bytes']['host'] / 2**30:.1f} GiB"),
    ]
    return "\n".join(f"{name:24}{value}" for name, value in rows)


def _listed(values: list[float], form: str) -> str:
    """Mean and worst of metrics per view."""
    known = [value for value in values if value is not None]
    if not known:
        return "not measured"
    mean = form.format(sum(known) / len(known))
    return mean if len(known) == 1 else f"{mean}, worst {form.split()[1].format(min(known))}"


def load_known_light(path: Path) -> "Tensor":
    """Spherical-harmonics coefficients from a NumPy file.

    Raises:
        InputError: The file cannot be read or does not contain nine finite RGB rows.
    """
    import numpy as np
    import torch

    from ..images.stored_picture import check_file
    from ..shapes.packed import numbers_of

    check_file(path, "light")
    try:
        values = numbers_of(path.read_bytes()) if path.stat().st_size < LARGEST_LIGHT else np.zeros(0)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise InputError(
            f"cannot read the light {path} ({error}); give a .npy file of 9 x 3 numbers"
        ) from None
    if values.shape != (9, 3) or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise InputError(
            f"{path} holds {values.dtype} of shape {values.shape}, expected 9 x 3 finite numbers: "
            "one RGB row of radiance per spherical harmonic"
        )
    return torch.from_numpy(values.astype(np.float32))


def choose_held_out(names: list[str], wanted: tuple[str, ...]) -> list[int]:
    """Positions of the photographs to hold out.

    Args:
        names: All photographs.
        wanted: Names, with or without extension, also several in one word separated by commas; or a number of
            photographs, which are spread evenly over the list.

    Raises:
        InputError: A name is unknown, or fewer than two photographs would remain.
    """
    words = [word for group in wanted for word in group.split(",") if word]
    if len(words) == 1 and words[0].isdecimal() and words[0] not in names:
        count = min(int(words[0][:9]), len(names))
        chosen = sorted({(2 * i + 1) * len(names) // (2 * count) for i in range(count)})
    else:
        known = {key: i for i, name in enumerate(names) for key in (Path(name).stem, Path(name).name, name)}
        unknown = [word for word in words if word not in known]
        if unknown:
            raise InputError(
                f"--hold-out {unknown[0]}: there is no such photograph; names are {names[0]} to {names[-1]}"
            )
        chosen = sorted({known[word] for word in words})
    if chosen and len(names) - len(chosen) < 2:
        raise InputError(
            f"--hold-out keeps {len(chosen)} of {len(names)} photographs aside; at least two must remain"
        )
    return chosen
