"""What became of each photograph when cameras were looked for."""

from dataclasses import dataclass

from ...errors import join_names


@dataclass(frozen=True)
class PoseReport:
    """How cameras were found.

    Attributes:
        photos: Names of all photographs that were given.
        placed: Names of those that have a camera now.
        reasons: For each of the others, why it has none.
        points: Points of the scene that were placed with the cameras.
        error: Mean distance between where points were seen and where they project, in pixels of the pictures
            that were looked at (`work_size`).
        work_size: Longer side of these pictures, in pixels.
        focal: Focal length of each camera, as a share of the longer side of its photographs.
        notes: Sentences about what is unusual.
    """

    photos: tuple[str, ...]
    placed: tuple[str, ...]
    reasons: dict[str, str]
    points: int
    error: float
    work_size: int
    focal: tuple[float, ...]
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """How many photographs were placed, and why others were not."""
        text = f"{len(self.placed)} of {len(self.photos)} photos were placed, with {self.points} points"
        kinds: dict[str, list[str]] = {}
        for name, reason in self.reasons.items():
            kinds.setdefault(reason, []).append(name)
        return "; ".join([text, *(f"{join_names(names)}: {reason}" for reason, names in kinds.items())])
