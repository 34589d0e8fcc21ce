"""What a generated input is: files, what is done with them, and what must come of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class MeshTruth:
    """What `load_mesh` must return.

    Attributes:
        vertices: (V, 3) in the order of the file, or None where the order is free.
        triangles: How many, or None if only the surface counts.
        area: Of the whole surface.
        volume: Signed, of a closed surface; None for an open one.
        bounds: (2, 3) of the vertices that faces use.
        colors: (V, 3) linear RGB in [0, 1].
        tolerance: Of a position, in units of the longest side.
    """

    area: float
    volume: float | None
    bounds: np.ndarray
    vertices: np.ndarray | None = None
    triangles: int | None = None
    colors: np.ndarray | None = None
    tolerance: float = 1e-5


@dataclass(frozen=True)
class CloudTruth:
    """What `load_points` must return: positions (N, 3), unit normals (N, 3), linear colours (N, 3)."""

    points: np.ndarray
    normals: np.ndarray | None = None
    colors: np.ndarray | None = None
    no_normals: bool = False
    """Whether returning normals would be wrong."""
    tolerance: float = 1e-5


@dataclass(frozen=True)
class PictureTruth:
    """What `load_image` or `load_photo` must return: (H, W, C) sRGB-encoded in [0, 1]."""

    values: np.ndarray
    tolerance: float = 0.6 / 255


@dataclass(frozen=True)
class HeightTruth:
    """What `load_height` must return: (H, W), exactly or up to scale and offset."""

    values: np.ndarray
    exact: bool = True
    tolerance: float = 1e-3


@dataclass(frozen=True)
class CaptureTruth:
    """What `load_capture` must return.

    Attributes:
        T_cam_world: (N, 4, 4), OpenCV axes.
        K: (N, 3, 3) in pixels.
        size: Width and height.
        masks: (N, H, W) coverage.
        images: (N, H, W, 3) linear.
    """

    T_cam_world: np.ndarray
    K: np.ndarray
    size: tuple[int, int]
    masks: np.ndarray | None = None
    images: np.ndarray | None = None


@dataclass(frozen=True)
class RunTruth:
    """What a verb must have written: the check gets report and folder and returns what is wrong, or ''."""

    check: Callable[[dict, Path], str]


Truth = MeshTruth | CloudTruth | PictureTruth | HeightTruth | CaptureTruth | RunTruth
Make = Callable[[Path], object]


@dataclass(frozen=True)
class Input:
    """A generated input.

    What must come of it:

    | truth | say | right is |
    |---|---|---|
    | given | - | the truth; or other values with a warning; a refusal is listed, for the input is legal |
    | given | words | the truth; or other values with such a warning; or such a refusal |
    | - | words | a refusal or a warning with such words |
    | - | - | anything but a traceback, a hang or a lot of memory |

    Attributes:
        about: One line for a person.
        read: Function of bozzetto, `cli`, or `cli until it optimises`.
        path: File that is read, below the scratch folder; the words of the command line for `cli`, in which
            `@` is the scratch folder.
        files: Content by path below the scratch folder: bytes, or a function that makes something else there.
        truth: What must come of it.
        say: Regular expression, without regard to case, of what a warning or refusal must be about.
        always: Whether the words must come even where the values are right.
        seconds: Limit.
        megabytes: Limit of the memory beyond what the process held before.
    """

    about: str
    read: str
    path: str | list[str]
    files: dict[str, bytes | Make]
    truth: Truth | None = None
    say: str | None = None
    always: bool = False
    seconds: float = 10.0
    megabytes: float = 600.0
    options: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """A maker of inputs of one kind.

    Attributes:
        family: Chapter it belongs to.
        name: What is special about these inputs.
        make: From a generator and the number of the input to the input.
        owner: Part of the code that is asked.
        weight: How often it is drawn, relative to others.
        most: How many at most; None without bound.
    """

    family: str
    name: str
    make: Callable[[np.random.Generator, int], Input]
    weight: float = 1.0
    most: int | None = None


KINDS: dict[str, Kind] = {}


def kind(family: str, name: str, weight: float = 1.0, most: int | None = None) -> Callable:
    """Register a maker of inputs."""

    def register(make: Callable[[np.random.Generator, int], Input]) -> Callable:
        key = f"{family}: {name}"
        assert key not in KINDS, key
        KINDS[key] = Kind(family, name, make, weight, most)
        return make

    return register


def pick(rng: np.random.Generator, options: list | tuple) -> object:
    """One of the options, as it is."""
    return options[int(rng.integers(len(options)))]
