"""From the photographs of a user, with or without cameras, to a capture: cameras, picture size, masks."""

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from ..cameras import Cameras, Capture, save_colmap, save_transforms
from ..cameras.agreement import agreement, outlier_views, outlines
from ..cameras.consistency import Consistency
from ..cameras.formats import NoCameras, read_cameras
from ..cameras.formats.camera_files import PosedViews, View, whole_views
from ..cameras.formats.picture_paths import require_pictures
from ..cameras.formats.reading import about_foreign
from ..cameras.loading import load_views
from ..cameras.mask_files import find_masks
from ..cameras.poses import EstimatedViews, estimate_cameras, find_photographs
from ..cameras.poses.photo_files import unique_names
from ..cameras.poses.prepare import Photo, prepare_photos
from ..cameras.poses.verdicts import equal_photos, is_blurred, photo_faults
from ..cameras.segmentation import save_masks
from ..cameras.segmentation.edges import with_edges
from ..errors import InputError, collected_warnings, join_names, warn_input
from ..files import write_bytes, write_text
from ..rendering import rasterize
from ..runs import RunFolder, available_memory, fingerprint, release_freed_memory
from ..shapes import Mesh
from ..steps import report_progress
from . import ReconstructConfig, reconstruct_capture

ESTIMATED = "cameras/estimated"
"""Folder of the cameras estimated from the photographs, before refinement: a COLMAP text model and a report."""
MASKS, MADE = "masks", "masks/made.json"
"""Folder of the masks that were computed from the photographs, and the file of their hashes, from which edited
masks are recognised."""
COLMAP_FILES = ("sparse/0/cameras.txt", "sparse/0/images.txt", "sparse/0/points3D.txt")
EXACT = 1.0
"""Largest mean reprojection error of points, in pixels of the pictures used for pose estimation, at which
estimated cameras are not refined. Refinement would make them worse, because masks have errors too."""
DISAGREEING = 0.02
"""Smallest median fraction of a mask outside of the visual hull of all other views at which cameras count as
inexact, unless the masks are. With exact cameras it is up to .004; with cameras of a phone that are 2 to 16
pixels off, .055."""
SHARE_OF_MEMORY = 0.5
"""Largest fraction of the available memory for pictures and what is computed from them."""
BYTES_PER_PIXEL = 92
"""Memory of a reconstruction in bytes per pixel and view."""
SMALLEST = 400
"""Smallest longer side, in pixels, to which pictures are reduced to save memory."""
LARGEST = {"fast": 800, "default": 1200, "fine": 2000}
"""Longer side in pixels to which pictures are reduced, by preset. Time grows with their area."""
TOGETHER = {"fast": 16e6, "default": 32e6, "fine": 120e6}
"""Largest number of pixels of all pictures together, by preset. The more photographs there are, the smaller
they may be."""


@dataclass(frozen=True)
class PhotoSource:
    """Photographs, and their cameras if they are known.

    Attributes:
        path: What the user gave.
        posed: The cameras; None if they have to be estimated.
        photos: The photographs.
    """

    path: Path
    posed: PosedViews | None
    photos: tuple[Path, ...]

    def fingerprint(self) -> str:
        """Hash of the pictures and the poses."""
        poses = [] if self.posed is None else [view.T_cam_world for view in self.posed.views]
        return fingerprint(*self.photos, *poses)


def find_source(path: Path) -> PhotoSource:
    """Find the photographs at a path, and their cameras if there is a camera file.

    Raises:
        InputError: There are neither photographs nor a camera file, or the camera file cannot be used.
    """
    try:
        posed = read_cameras(path)
    except NoCameras:
        foreign = about_foreign(path)  # cameras in a format that cannot be read
        try:
            photos = tuple(find_photographs(path))
        except InputError as error:
            raise InputError(foreign) if foreign else error from None
        if foreign:
            warn_input(f"{foreign}; cameras are estimated from the photographs instead")
        return PhotoSource(path, None, photos)
    require_pictures(posed.views)
    return PhotoSource(path, posed, tuple(view.image for view in posed.views))


@dataclass(frozen=True)
class CaptureSettings:
    """Settings of the preparation of a capture from photographs.

    Attributes:
        masks: Source of the masks, see `load_views`.
        around: Pixels on the object: name of a photograph, column and row in it.
        max_size: Longer side of the pictures in pixels; None takes the largest that preset and memory allow.
        preset: Preset of the reconstruction.
        seed: Seed of all random choices.
    """

    masks: str = "auto"
    around: tuple[tuple[str, float, float], ...] = ()
    max_size: int | None = None
    preset: str = "default"
    seed: int = 0


@dataclass(frozen=True)
class PreparedCapture:
    """A capture and where its cameras come from.

    Attributes:
        capture: Photographs in the chosen size, without lens distortion, with masks.
        posed: The cameras of the photographs in their own size, with lens distortion.
    """

    capture: Capture
    posed: PosedViews

    def inexact(self, consistency: Consistency | None) -> bool:
        """Whether the cameras are inexact, so that masks and colours of the object may correct them.

        Estimated cameras are inexact if their mean reprojection error exceeds `EXACT`. Given cameras are
        inexact if the masks disagree, where masks were given with them or come from a plain background.

        Args:
            consistency: Consistency of the masks of the capture, as computed by `examine`.
        """
        if isinstance(self.posed, EstimatedViews):
            return self.posed.report is not None and self.posed.report.error > EXACT
        if consistency is None or (self.capture.masks_computed and self.capture.background is None):
            return False
        return float(consistency.missing.median()) > DISAGREEING


def prepare_capture(source: PhotoSource, settings: CaptureSettings, run: RunFolder) -> PreparedCapture:
    """Estimate cameras if there are none, choose the size of the pictures, read them and make masks.

    Writes `cameras/estimated/` if cameras were estimated, and `masks/` if masks were computed: a PNG per
    photograph in its own size, which may be edited. If an earlier run on the same photographs wrote to the same
    folder, its cameras are used again, and its masks as well if any of them were edited.

    Args:
        source: Photographs, with or without cameras.
        settings: Masks, picture size, preset and seed.
        run: Run folder of the results.

    Returns:
        The capture, and the cameras of the photographs.

    Raises:
        InputError: Cameras cannot be estimated, or a picture, mask or camera cannot be used.
    """
    posed = source.posed
    if posed is None:
        with run.stage("find cameras"):
            posed = _estimated(source, settings, run)
    with run.stage("read photos"):
        size = settings.max_size or fitting_size(posed.views, settings.preset)
        edited = _edited_masks(run.path) if settings.masks == "auto" and not settings.around else []
        if edited:
            warn_input(f"the masks in {run.path / MASKS} are used, of which {len(edited)} were edited")
        masks = str(run.path / MASKS) if edited else settings.masks
        capture = masked_capture(posed, masks, size, settings.around, settings.seed)
        release_freed_memory()
        if edited:
            _keep_masks(run)
        elif capture.masks_computed:
            _write_masks(capture, posed, run)
    return PreparedCapture(capture, posed)


def masked_capture(
    posed: PosedViews,
    masks: str = "auto",
    size: int | None = None,
    around: Sequence[tuple[str, float, float]] = (),
    seed: int = 0,
) -> Capture:
    """Load views as `load_views` does, and improve masks of `object` by a rough reconstruction."""
    capture = load_views(posed, masks, size, around)
    # Masks from a plain background or a network have outlines that no rough surface improves.
    if not capture.masks_computed or capture.background is not None or masks not in ("auto", "object"):
        return capture
    release_freed_memory()
    pictures = load_views(posed, "none", size)
    places = [pictures.names.index(name) for name in capture.names]
    return mended_by_surface(capture, pictures.subset(places), seed)


def _estimated(source: PhotoSource, settings: CaptureSettings, run: RunFolder) -> PosedViews:
    """Cameras estimated now, or those of an earlier run on the same photographs in the same folder."""
    with tempfile.TemporaryDirectory(prefix="bozzetto-") as name:
        folder, before = Path(name), run.path / ESTIMATED
        if (before / "report.json").is_file():
            shutil.copytree(before, folder, dirs_exist_ok=True)
        posed = estimate_cameras(source.photos, masks_of(source, settings.masks), folder, settings.seed)
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            inside = file.relative_to(folder).as_posix()
            write_bytes(run.file(f"{ESTIMATED}/{inside}"), file.read_bytes())
    return replace(posed, source=run.path / ESTIMATED)


def masks_of(source: PhotoSource, masks: str) -> list[Path] | None:
    """Mask files of photographs without cameras, or None; for `masks` see `load_views`."""
    nowhere = torch.eye(4, dtype=torch.float64)
    views = [View(photo.name, photo, nowhere) for photo in source.photos]
    folder = Path(masks)
    if folder.is_dir():
        return find_masks(views, folder)
    return find_masks(views) if masks == "auto" else None


def fitting_size(views: Sequence[View], preset: str) -> int:
    """Longer side, in pixels, to which pictures are reduced for preset and memory; a warning says so."""
    sides = [view.size or _picture_size(view.image) for view in views]
    longest = max(max(side) for side in sides)
    area = max(side[0] for side in sides) * max(side[1] for side in sides) / longest**2
    together = max(SMALLEST, int((TOGETHER[preset] / (len(views) * area)) ** 0.5))
    wanted = min(LARGEST[preset], together, longest)
    memory = SHARE_OF_MEMORY * available_memory()
    allowed = int((memory / (BYTES_PER_PIXEL * len(views) * area)) ** 0.5)
    size = min(wanted, max(allowed, SMALLEST))
    if size < longest:
        reason = "as much as memory allows" if size < wanted else f"as the preset {preset} does"
        warn_input(f"photos of {longest} pixels are used at {size}, {reason}; --max-size gives another size")
    return size


def _picture_size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as picture:
            return picture.size
    except Exception:  # the error is reported when the picture is read in full
        return (1, 1)


def write_cameras(run: RunFolder, posed: PosedViews, given: Capture, used: Cameras) -> None:
    """Write the final cameras, for the photographs in their own size, to `cameras/` of a run folder.

    Files are `transforms.json` and, in `sparse/0`, a COLMAP text model. A format that does not support a lens
    model is left out, with a warning.

    Args:
        run: The run folder.
        posed: The cameras that the run began with.
        given: The capture that was prepared with them.
        used: The final cameras of this capture, refined or unchanged.
    """
    refined = {name: i for i, name in enumerate(given.names)}
    views = []
    for view in posed.views:
        i = refined.get(view.name)
        if i is not None and used is not given.cameras:
            K = None if view.K is None else view.K.clone()
            if K is not None:
                K[:2, :2] *= used.K[i, 0, 0].cpu() / given.cameras.K[i, 0, 0].cpu()
            view = replace(view, T_cam_world=used.T_cam_world[i].cpu(), K=K)
        views.append(view)
    posed = replace(posed, views=tuple(views))
    files = [run.file(f"cameras/{name}") for name in ("transforms.json", *COLMAP_FILES)]
    # Paths are relative to the final position of the files, which may differ from where they are written.
    names = [view.name for view in whole_views(posed, None, run.path / "cameras")]
    try:
        save_transforms(posed, files[0], names)
        save_colmap(posed, files[1].parent)
    except InputError as error:
        warn_input(f"the cameras could not be written in all formats: {error}")
    if posed.points is not None:
        run.file("cameras/points.ply")  # is written with transforms.json


def _write_masks(capture: Capture, posed: PosedViews, run: RunFolder) -> None:
    """Write the masks as PNG files in the geometry of the photographs, and their hashes."""
    with tempfile.TemporaryDirectory(prefix="bozzetto-") as name:
        written = save_masks(capture, posed, Path(name))
        hashes = {}
        for path in written:
            data = path.read_bytes()
            inside = path.relative_to(name).as_posix()
            write_bytes(run.file(f"{MASKS}/{inside}"), data)
            hashes[inside] = hashlib.sha256(data).hexdigest()
    write_text(run.file(MADE), json.dumps(hashes, indent=1) + "\n")


def _edited_masks(folder: Path) -> list[str]:
    """Names of masks that an earlier run wrote to its folder and that were edited since."""
    try:
        made = json.loads((folder / MADE).read_text(encoding="utf-8"))
        files = {name: (folder / MASKS / name).read_bytes() for name in made}
    except (OSError, ValueError, TypeError):
        return []
    return [name for name, data in files.items() if hashlib.sha256(data).hexdigest() != made[name]]


def _keep_masks(run: RunFolder) -> None:
    """Copy the masks of an earlier run, including edited ones, into this one."""
    before = run.path / MASKS
    for path in sorted(before.rglob("*")):
        if path.is_file():
            write_bytes(run.file(f"{MASKS}/{path.relative_to(before).as_posix()}"), path.read_bytes())


LEVELS = 2
"""Number of coarse levels of the rough reconstruction."""
BLUR = 1.0
"""Expected error of the outlines of the surface, in pixels."""
TURNS = 2
"""Number of rounds: fit a surface to the masks, then correct the masks by the surface."""
AGREEING = 0.85
"""Smallest mean IoU of the surface's silhouettes with the masks at which masks are corrected."""


def mended_by_surface(
    capture: Capture, pictures: Capture, seed: int = 0, config: ReconstructConfig | None = None
) -> Capture:
    """Correct the masks of a capture by the silhouettes of a surface that is reconstructed from it.

    Masks of single views have independent errors. One shape cannot follow all of them, and smoothness and
    colours move it to where most views agree. Near its silhouettes, a minimum cut determines the outlines of
    the masks again. Better masks give a better surface, so there are `TURNS` rounds. Views that contradict most
    others are left out of the surface if the others fit without them, since a single one would cut away what
    all others show.

    Args:
        capture: Views with masks that were computed from the pictures.
        pictures: The same views without masks.
        seed: Seed of the reconstruction.
        config: Settings of the reconstruction; None takes the coarse levels of the default ones.

    Returns:
        The capture with corrected masks; views whose masks the surface does not fit keep the old ones.
    """
    config = config or ReconstructConfig(stages=ReconstructConfig().stages[:LEVELS])
    config = replace(config, seed=seed)
    total = TURNS * sum(stage.steps for stage in config.stages)
    done = 0

    def on_step(*_: object) -> None:
        nonlocal done
        done += 1
        report_progress("rough surface", done / total)

    for _ in range(TURNS):
        with collected_warnings():  # they concern a surface that is not a result
            try:
                mesh = reconstruct_capture(_agreeing_views(capture), config, on_step=on_step).mesh
            except InputError:  # the final reconstruction reports the error
                return capture
        shown = _silhouettes(mesh, capture)
        if not _fits(shown, capture):
            return capture
        mended = with_edges(replace(pictures, masks=None), shown, BLUR)
        capture = replace(capture, images=mended.images, masks=mended.masks)
    return capture


def _agreeing_views(capture: Capture) -> Capture:
    views = outlines(capture)
    few = outlier_views(views, agreement(views))
    return capture if few is None else capture.subset([i for i in range(len(capture)) if i not in few[0]])


def _silhouettes(mesh: Mesh, capture: Capture) -> Bool[Tensor, "N H W"]:
    cameras, vertices = capture.cameras.relative_to(mesh.offset), mesh.vertices.float()
    views = [rasterize(vertices, mesh.faces, cameras[[i]]).triangle[0] >= 0 for i in range(len(capture))]
    return torch.stack(views).cpu()


def _fits(shown: Bool[Tensor, "N H W"], capture: Capture) -> bool:
    """Whether the mean IoU of silhouettes with the masks is at least `AGREEING`."""
    masks, known = capture.require_masks().cpu() > 0.5, capture.known.cpu()
    common, either = (shown & masks & known).sum(dim=(1, 2)), ((shown | masks) & known).sum(dim=(1, 2))
    return float((common / either.clamp(min=1)).mean()) >= AGREEING and bool((common > 0).all())


LONGEST = 480
"""Longer side, in pixels, of the reduced photographs that are examined."""
RECOMMENDED = 20
"""Smallest recommended number of photographs."""


@dataclass(frozen=True)
class PhotoSurvey:
    """Findings of a survey of photographs.

    Attributes:
        sentence: Number of photographs, their sizes, lenses and masks, as a sentence.
        notes: Possible difficulties of pose estimation, one sentence each.
        fault: Why pose estimation is impossible; None if it is not.
    """

    sentence: str
    notes: tuple[str, ...]
    fault: str | None


def survey_photos(source: PhotoSource, masks: str = "auto") -> PhotoSurvey:
    """Examine reduced versions of photographs for problems of pose estimation.

    Args:
        source: Photographs without cameras.
        masks: Source of the masks, see `load_views`.

    Raises:
        InputError: A photograph cannot be read.
    """
    names = unique_names(source.photos)
    covers = masks_of(source, masks) or [None] * len(source.photos)
    with tempfile.TemporaryDirectory(prefix="bozzetto-") as folder:
        photos = prepare_photos(source.photos, names, covers, Path(folder), LONGEST)
    fault: str | None = None
    try:
        fault = photo_faults(photos)
    except InputError as error:
        fault = str(error)
    return PhotoSurvey(_sentence(photos), tuple(_notes(photos)), fault)


def _sentence(photos: list[Photo]) -> str:
    sizes = Counter(photo.size for photo in photos)
    width, height = sizes.most_common(1)[0][0]
    others = f" and {len(sizes) - 1} other sizes" if len(sizes) > 1 else ""
    lenses = sum(photo.focal is not None for photo in photos)
    masked = sum(photo.masked for photo in photos)
    return (
        f"{len(photos)} photographs of {width}x{height}{others}, without cameras; {lenses} say their focal "
        f"length, {masked} have masks"
    )


def _notes(photos: list[Photo]) -> list[str]:
    notes = []
    same = equal_photos(photos)
    if same:
        notes.append(f"{len(same)} photographs are the same as others: {_named(photos, list(same))}")
    blurred = [i for i, photo in enumerate(photos) if is_blurred(photo)]
    if blurred:
        notes.append(f"{len(blurred)} photographs are blurred: {_named(photos, blurred)}")
    if len(photos) - len(same) < RECOMMENDED:
        notes.append(f"{len(photos) - len(same)} photographs are few; 20 to 60 around the object are better")
    if not any(photo.focal for photo in photos):
        notes.append(
            "no photograph says its focal length (EXIF); a wrong model is harder to notice without it"
        )
    return notes


def _named(photos: list[Photo], index: list[int]) -> str:
    return join_names([photos[i].name for i in index])
