"""Reconstruction of a mesh from photographs, with or without cameras, in one call."""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from ..cameras import Capture, examine
from ..cameras.examination import Examination
from ..errors import InputError, warn_input
from ..runs import RunFolder
from .coarse_to_fine import Reconstruction, reconstruct_capture
from .config import PRESETS, ReconstructConfig
from .photo_source import CaptureSettings, find_source, prepare_capture
from .silhouette_alignment import align_silhouettes


def reconstruct(
    photos: str | os.PathLike[str] | Capture,
    preset: str | ReconstructConfig = "default",
    masks: str = "auto",
    device: torch.device | str = "cpu",
    seed: int | None = None,
) -> Reconstruction:
    """Reconstruct a mesh from photographs of an object, watertight unless much of it was not photographed.

    Cameras are read from a file if there is one. Otherwise they are estimated, which needs the extra `poses`.
    Inexact cameras are refined. No files are written; `reconstruct_photographs` writes textures and pictures,
    and can resume.

    Args:
        photos: Folder of photographs, a camera file of any format that `read_cameras` knows, or a `Capture`
            with masks, whose cameras stay as they are.
        preset: `fast`, `default` or `fine`; or a `ReconstructConfig`, with pictures of the size of `default`.
        masks: Source of the masks, see `load_views`: `auto`, `alpha`, `background`, `object`, a folder or an
            ONNX file. A
            `Capture` has its own, so only `auto` goes with it.
        device: Device of the computation.
        seed: Seed of all random choices; None takes that of the settings, which is 0 in the presets.

    Returns:
        The mesh with linear albedo as colours, the cameras that it fits and the light on it, in the frame and
        unit of the cameras.

    Raises:
        InputError: The preset is unknown, a picture, mask or camera cannot be used, cameras cannot be
            estimated, cameras and masks contradict each other so much that a reconstruction would be wrong, or
            `masks` is given for a `Capture`.
    """
    config = preset_config(preset) if isinstance(preset, str) else preset
    config = config if seed is None else replace(config, seed=seed)
    if isinstance(photos, Capture):
        if masks != "auto":
            raise InputError(f"a Capture has masks of its own; leave out masks={masks!r}")
        require_sound(photos, "the capture")
        return reconstruct_capture(replace(photos, uncorrected=None), config, device)
    source, level = find_source(Path(photos)), preset if isinstance(preset, str) else "default"
    with tempfile.TemporaryDirectory(prefix="bozzetto-") as folder:
        run = RunFolder.create(Path(folder) / "run", {"verb": "reconstruct"})
        prepared = prepare_capture(source, CaptureSettings(masks, preset=level, seed=config.seed), run)
        del run  # release its lock before its folder is deleted
    consistency = require_sound(prepared.capture, str(photos)).consistency
    if prepared.inexact(consistency):
        warn_input("the cameras do not fit exactly; they are refined")
        config = replace(config, refine_cameras=True)
    return reconstruct_capture(replace(prepared.capture, uncorrected=None), config, device)


def preset_config(preset: str) -> ReconstructConfig:
    """The settings of a preset.

    Raises:
        InputError: No preset has this name.
    """
    if preset not in PRESETS:
        raise InputError(f"there is no preset {preset!r}; expected one of {', '.join(PRESETS)}")
    return PRESETS[preset]


def require_sound(capture: Capture, name: str, align: bool = False) -> Examination:
    """Warn of the findings of `examine` in a capture, and raise an error if a reconstruction would be wrong.

    Args:
        capture: Photographs with cameras and masks.
        name: Name of the capture in messages.
        align: Whether cameras may be changed. If they are only roughly right, the capture is examined again
            with cameras that fit the outlines of the masks.

    Raises:
        InputError: A reconstruction would be wrong.
    """
    examination = examine(capture)
    tried = examination.rough and align
    if tried:
        aligned = align_silhouettes(capture)
        raw = capture.uncorrected and replace(capture.uncorrected, cameras=aligned)
        moved = examine(replace(capture, cameras=aligned, uncorrected=raw))
        if moved.fatal is None:
            warn_input(
                "most views contradict each other; with cameras moved to fit the outlines, they do not"
            )
            examination = moved
    for finding in examination.findings:
        if not finding.fatal:
            warn_input(finding.sentence)
    if examination.fatal is not None:
        more = " Moving the cameras to fit the outlines was not enough." if tried else ""
        raise InputError(f"{name} cannot be reconstructed: {examination.fatal}{more}")
    return examination
