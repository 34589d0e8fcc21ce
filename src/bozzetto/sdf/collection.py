"""Folders of prepared shapes, in the layout of the released code.

    SdfSamples/<dataset>/<class>/<name>.npz               samples, see `load_sdf_samples`
    NormalizationParameters/<dataset>/<class>/<name>.npz  offset and scale, see `load_normalisation`

A shape is named by these three parts, `dataset/class/name`.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import InputError
from ..shapes import Similarity
from .samples import SdfSamples, load_normalisation, load_sdf_samples
from .splits import Split, split_names

SAMPLES, NORMALISATIONS = "SdfSamples", "NormalizationParameters"


@dataclass(frozen=True)
class Collection:
    """Prepared shapes.

    Attributes:
        names: `dataset/class/name` of every shape.
        samples: Their samples, each read when it is asked for.
        normalisations: From the frame of each mesh to the normalised frame of its samples; the identity
            where the folder has none, as folders of the released code for training.
    """

    names: tuple[str, ...]
    samples: "SampleFiles"
    normalisations: tuple[Similarity, ...]

    def __len__(self) -> int:
        return len(self.names)


class SampleFiles(Sequence[SdfSamples]):
    """Samples that are read from their files when asked for, and kept as long as all of them are small."""

    KEEP = 4 << 30

    def __init__(self, paths: Sequence[Path]) -> None:
        """Files in the released layout; nothing is read yet."""
        self.paths = tuple(paths)
        self._keep = sum(path.stat().st_size for path in self.paths) <= self.KEEP
        self._read: dict[int, SdfSamples] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> SdfSamples:  # type: ignore[override]  # no slices: they would read all
        """The samples of one shape.

        Raises:
            InputError: The file is damaged.
        """
        index = range(len(self))[index]
        samples = self._read.get(index)
        if samples is None:
            samples = load_sdf_samples(self.paths[index])
            if self._keep:
                self._read[index] = samples
        return samples


def is_prepared(path: str | os.PathLike) -> bool:
    """Whether a folder has samples in the released layout (and need not be prepared)."""
    return (Path(path) / SAMPLES).is_dir()


def load_collection(path: str | os.PathLike, split: str | os.PathLike | Split | None = None) -> Collection:
    """A prepared folder, ours or one of the released code.

    Args:
        path: The folder that holds `SdfSamples`.
        split: Which shapes, in this order: a split file or its content; all of them, by name, if None.

    Raises:
        InputError: The folder is none, has no samples, or lacks shapes of the split; or the split is none.
    """
    path = Path(path)
    if not is_prepared(path):
        raise InputError(
            f"{path} has no folder {SAMPLES}; prepare it first with: bozzetto prepare sdf MESHES --out {path}"
        )
    if split is None:
        files = sorted((path / SAMPLES).glob("*/*/*.npz"))
        names = tuple(f.relative_to(path / SAMPLES).with_suffix("").as_posix() for f in files)
    else:
        names = split_names(split)
        files = [sample_path(path, name) for name in names]
        missing = [name for name, file in zip(names, files, strict=True) if not file.is_file()]
        if missing:
            raise InputError(
                f"{path} lacks the samples of {len(missing)} of {len(names)} shapes of the split, "
                f"first {missing[0]}; prepare them or take them out of the split"
            )
    if not names:
        raise InputError(f"there is nothing to read: {path / SAMPLES} or the split has no shapes")
    return Collection(names, SampleFiles(files), tuple(_normalisation(path, name) for name in names))


def sample_path(folder: Path, name: str) -> Path:
    """Where the samples of a shape lie."""
    return folder / SAMPLES / f"{name}.npz"


def normalisation_path(folder: Path, name: str) -> Path:
    """Where the normalisation of a shape lies."""
    return folder / NORMALISATIONS / f"{name}.npz"


def _normalisation(folder: Path, name: str) -> Similarity:
    path = normalisation_path(folder, name)
    if not path.exists():
        return Similarity(1.0, torch.zeros(3, dtype=torch.float64))
    return load_normalisation(path)
