"""Examination of a capture for errors and oddities, reported as sentences for the user."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import binary_erosion
from torch import Tensor

from ..errors import InputError, join_names
from ..steps import stage
from ..values import value_type
from .agreement import CONTRADICTION, DOUBTFUL, EXACT, agreement, explanation, outlier_views, outlines
from .camera import Cameras, doubtful_intrinsics
from .capture import Capture
from .consistency import TRACE_SIZE, Consistency, mask_consistency
from .hull import object_bounds
from .rigs import fibonacci_directions

FEW = 4
"""Number of views below which much of the shape is undetermined."""
INVERTED = 0.9
"""Fraction of the picture's border above which a mask that covers it counts as inverted."""
MISPLACED = 0.15
"""Fraction of a mask outside of the hull of the others above which a view does not fit them."""
SEEN_WITHIN = math.radians(75)
"""Largest angle between normal and viewing direction at which a surface counts as visible, in radians."""
UNSEEN = 0.2
"""Smallest fraction of directions without a camera nearby at which one side was possibly not photographed;
`FAR_SIDE` is a further condition."""
FAR_SIDE = math.radians(100)
"""Smallest angle, in radians, of a direction from all cameras at which one side was not photographed. Below it,
the cameras are around the object, but few."""


@dataclass(frozen=True)
class Finding:
    """A finding about a capture.

    Attributes:
        sentence: Description of the finding and advice.
        fatal: Whether a reconstruction would be wrong.
        rough: Whether cameras that are only roughly right would explain it.
    """

    sentence: str
    fatal: bool = False
    rough: bool = False


@value_type
class Examination:
    """Result of the examination of a capture.

    Attributes:
        findings: All findings, the most severe first.
        consistency: Consistency of each view with the others; None if there is no common hull.
        bounds: Low and high corner of a box around the object in the world; None if there is no common hull.
    """

    findings: tuple[Finding, ...]
    consistency: Consistency | None = None
    bounds: Float[Tensor, "2 3"] | None = None

    @property
    def fatal(self) -> str | None:
        """The reason why a reconstruction would be wrong; None if it would not."""
        return next((f.sentence for f in self.findings if f.fatal), None)

    @property
    def rough(self) -> bool:
        """Whether cameras that are only roughly right would explain all fatal findings."""
        return any(f.rough for f in self.findings) and all(f.rough for f in self.findings if f.fatal)


def examine(capture: Capture) -> Examination:
    """Examine a capture for contradictions between photographs, cameras and masks.

    Contradictions between most views are tested with the original masks of each single picture, single views
    with the corrected masks.

    Raises:
        InputError: The capture has no masks.
    """
    capture.require_masks()
    with stage("examine the capture"):
        return _examine(capture)


def _examine(capture: Capture) -> Examination:
    findings = [*_too_little(capture.cameras), *_pictures(capture)]
    if any(f.fatal for f in findings):
        return Examination(tuple(findings))
    findings += _inverted(capture) or _contradictions(capture)
    fatal = any(f.fatal for f in findings)
    try:
        small = _small(capture)
        consistency = mask_consistency(small)
        bounds = object_bounds(small.cameras, small.require_masks(), small.known)
    except InputError as error:
        found = (
            findings if fatal else [Finding(f"the views have no common hull: {error}", fatal=True), *findings]
        )
        return Examination(tuple(found))
    if not fatal:
        findings += [*_verdicts(consistency), *_one_sided(capture.cameras, bounds)]
    findings.sort(key=lambda f: not f.fatal)
    return Examination(tuple(findings), consistency, bounds)


def _small(capture: Capture) -> Capture:
    scale = TRACE_SIZE / max(capture.cameras.width, capture.cameras.height)
    return capture.resized(scale) if scale < 1 else capture


def _too_little(cameras: Cameras) -> list[Finding]:
    count = len(cameras)
    if count == 1:
        sentence = "one view cannot be reconstructed; give photographs from several sides, eight or more"
        return [Finding(sentence, fatal=True)]
    places = cameras.forward if cameras.orthographic else cameras.centers
    spread = float((places - places[0]).abs().max())
    if spread <= 1e-9 * float(places.abs().max()):
        turned = float((cameras.T_cam_world - cameras.T_cam_world[0]).abs().max()) > 1e-6
        advice = "are they inverted (world to camera for camera to world)" if turned else "check them"
        sentence = f"by their poses all {count} cameras stand at the same place; {advice}?"
        return [Finding(sentence, fatal=True)]
    if count < FEW:
        sentence = (
            f"{count} views are few: the result fits their outlines and is thicker than the object where no "
            "view looks; eight or more around it are better"
        )
        return [Finding(sentence)]
    return []


def _pictures(capture: Capture) -> list[Finding]:
    """Findings: uniform pictures, and pictures that occur twice."""
    findings = []
    flat = [
        n for n, i, k in zip(capture.names, capture.images, capture.known, strict=True) if _of_one_color(i[k])
    ]
    if flat:
        findings.append(
            Finding(
                f"{len(flat)} photographs are of one colour all over: {join_names(flat)}; are these the right "
                "files?"
            )
        )
    first: dict[bytes, int] = {}
    twice = []
    for i, image in enumerate(capture.images):
        if capture.names[i] not in flat:
            j = first.setdefault(image.cpu().numpy().tobytes()[:: max(1, image.numel() // 4096)], i)
            if j != i and torch.equal(image, capture.images[j]):
                twice.append(f"{capture.names[j]} and {capture.names[i]}")
    # If many pictures are equal, they show something rotationally symmetric.
    if 0 < len(twice) <= max(1, len(capture) // 3):
        findings.append(
            Finding(f"the same picture is there twice: {join_names(twice)}; is one of them misnamed?")
        )
    return findings


def _of_one_color(colors: Float[Tensor, "P 3"]) -> bool:
    low, high = colors.aminmax(dim=0)
    return float((high - low).max()) < 1e-3


def _inverted(capture: Capture) -> list[Finding]:
    assert capture.masks is not None
    names = [
        name
        for name, mask, known in zip(capture.names, capture.masks, capture.known, strict=True)
        if _share_of_border(mask.cpu().numpy() > 0.5, known.cpu().numpy()) > INVERTED
    ]
    if len(names) > 0.9 * len(capture):
        sentence = (
            f"the masks look inverted: they cover the border of {len(names)} of {len(capture)} photographs "
            "all around; white must be the object, so exchange black and white"
        )
        return [Finding(sentence, fatal=True)]
    if names:
        sentence = (
            f"{len(names)} of {len(capture)} masks cover the border of their photograph all around: "
            f"{join_names(names)}; are they inverted?"
        )
        return [Finding(sentence), *_contradictions(capture)]
    return []


def _share_of_border(inside: Bool[np.ndarray, "H W"], known: Bool[np.ndarray, "H W"]) -> float:
    """Fraction of the outermost known pixels that are object."""
    border = known & ~np.asarray(binary_erosion(known), dtype=bool)
    return float(inside[border].mean()) if border.any() else 0.0


def _contradictions(capture: Capture) -> list[Finding]:
    views = outlines(capture.uncorrected or capture)
    found = agreement(views)
    if found.misfit <= DOUBTFUL:
        shares = zip(views.names, found.missing.tolist(), strict=True)
        return _misplaced([name for name, share in shares if share > MISPLACED])
    few = outlier_views(views, found)
    why = None if few is not None and few[1] < EXACT else explanation(views, found)
    if why is None and few is not None:
        return _misplaced([views.names[i] for i in few[0]])
    share = f"half of them have {100 * found.misfit:.0f} % or more of their mask where the others see nothing"
    if why is None and found.misfit <= CONTRADICTION:
        return [Finding(f"the views fit each other only roughly: {share}; {_suspicions(capture)}")]
    sentence = f"most views contradict each other: {share}; {why or _suspicions(capture)}"
    return [Finding(sentence, fatal=True, rough=why is None)]


def _misplaced(names: list[str]) -> list[Finding]:
    if not names:
        return []
    verb = "contradicts" if len(names) == 1 else "contradict"
    return [Finding(f"{join_names(names)} {verb} the other views; check camera and mask, or leave it out")]


def _suspicions(capture: Capture) -> str:
    """Possible reasons of a contradiction that no single mistake explains, as questions."""
    causes = []
    if capture.uncorrected is not None:
        causes.append("is the background plain (masks were made from it; a masks folder is better)")
    causes += doubtful_intrinsics(capture.cameras)
    causes += [
        "are the pictures in another order than the cameras",
        "are the poses of another convention (camera to world, axes of OpenGL or OpenCV)",
        "are the masks right",
        "or are the cameras only roughly right (--refine-cameras yes moves them)",
    ]
    return ", ".join(causes) + "?"


def _verdicts(consistency: Consistency) -> list[Finding]:
    findings = []
    for verdict in dict.fromkeys(consistency.verdicts):
        if verdict != "good":
            names = [n for n, v in zip(consistency.names, consistency.verdicts, strict=True) if v == verdict]
            findings.append(Finding(f"{join_names(names)}: {verdict}"))
    return findings


def _one_sided(cameras: Cameras, bounds: Float[Tensor, "2 3"]) -> list[Finding]:
    directions = fibonacci_directions(2000)
    towards = (
        -cameras.forward if cameras.orthographic else cameras.centers - bounds.mean(dim=0).to(cameras.centers)
    )
    towards = torch.nn.functional.normalize(towards.cpu(), dim=1)
    nearest = (directions @ towards.T).amax(dim=1)
    unseen = float((nearest < math.cos(SEEN_WITHIN)).float().mean())
    if unseen <= UNSEEN or float(nearest.min()) > math.cos(FAR_SIDE) or len(cameras) < FEW:
        return []
    return [
        Finding(
            f"the cameras look from one side only, {100 * unseen:.0f} % of all directions have none near "
            "them: the far side and the depth are guessed there; add photographs from there if they matter"
        )
    ]
