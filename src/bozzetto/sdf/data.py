"""Samples of signed distances: of one shape, of a collection, and in random batches for training.

A split lists the shapes of a collection that are for training or held out for tests. A split file of the
released code is JSON: {dataset: {class: [name, ...]}}.
"""

import hashlib
import io
import json
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..errors import InputError
from ..files import write_bytes
from ..shapes import Mesh, Similarity
from ..shapes.readers import read_arrays
from ..values import value_type

Split = Mapping[str, Mapping[str, Sequence[str]]]


def load_split(path: str | os.PathLike[str]) -> dict[str, dict[str, list[str]]]:
    """Read a split file of the released code.

    Raises:
        InputError: The file is missing, is not JSON, or has another structure.
    """
    path = Path(path)
    try:
        split = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the split {path} ({error}); give a JSON file") from None
    if not _is_split(split):
        raise InputError(f"{path} is no split file; expected {{dataset: {{class: [name, ...]}}}}")
    return split


def _is_split(content: object) -> bool:
    if not isinstance(content, dict) or not all(isinstance(classes, dict) for classes in content.values()):
        return False
    lists = [names for classes in content.values() for names in classes.values()]
    return all(isinstance(names, list) and all(isinstance(n, str) for n in names) for names in lists)


def split_names(split: str | os.PathLike[str] | Split) -> tuple[str, ...]:
    """Names of the shapes of a split file or its content, as `dataset/class/name`.

    Raises:
        InputError: The file cannot be read, or a name would lead out of the folder.
    """
    content: Split = split if isinstance(split, Mapping) else load_split(split)
    names = tuple(f"{d}/{c}/{n}" for d, classes in content.items() for c, ids in classes.items() for n in ids)
    for name in names:
        check_name(name)
    return names


def as_split(names: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """The content of a split file for shapes with names `dataset/class/name`."""
    split: dict[str, dict[str, list[str]]] = {}
    for name in names:
        dataset, kind, shape = check_name(name)
        split.setdefault(dataset, {}).setdefault(kind, []).append(shape)
    return split


def check_name(name: str) -> tuple[str, str, str]:
    """Split the name of a shape into dataset, class and name.

    Raises:
        InputError: There are not three parts, or one of them is not a plain file name.
    """
    parts = name.split("/")
    if len(parts) != 3 or any(part in ("", ".", "..") or "\\" in part for part in parts):
        raise InputError(f"{name!r} cannot name a shape; expected dataset/class/name")
    return parts[0], parts[1], parts[2]


def near_copies(meshes: Sequence[Mesh]) -> list[list[int]]:
    """Group meshes with the same list of faces, which are deformed copies of each other.

    Returns:
        Positions of the meshes of each group. Every mesh is in exactly one group; without copies it is the only
        one.
    """
    groups: dict[bytes, list[int]] = {}
    for index, mesh in enumerate(meshes):
        key = hashlib.sha256(mesh.faces.cpu().contiguous().numpy().tobytes()).digest()
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def split_collection(
    names: Sequence[str], groups: Sequence[Sequence[int]], fraction: float = 0.8, seed: int = 0
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split shapes into training and test sets, with near-copies always in the same set.

    Groups are assigned to the test set in random order as long as they fit.

    Args:
        names: Names of the shapes.
        groups: Positions of shapes that belong together, see `near_copies`.
        fraction: Fraction of the shapes in the training set, in (0, 1).
        seed: Seed of the order.

    Returns:
        The names of the training set and those of the test set, each in the given order.

    Raises:
        InputError: The fraction is not between 0 and 1, the groups are not a partition of the shapes, or one
            set would be empty.
    """
    if not 0 < fraction < 1:
        raise InputError(f"the fraction to learn from must lie between 0 and 1, got {fraction}")
    if sorted(index for group in groups for index in group) != list(range(len(names))):
        raise InputError(f"every one of {len(names)} shapes must be in exactly one group; group them again")
    room = round(len(names) * (1 - fraction))
    test: set[int] = set()
    for group in random.Random(seed).sample(list(groups), len(groups)):
        if len(test) + len(group) <= room:
            test.update(group)
    if not test:
        raise InputError(
            f"{len(names)} shapes in {len(groups)} groups leave nothing to test on at fraction {fraction}; "
            "take more shapes or a smaller fraction"
        )
    return (
        tuple(name for i, name in enumerate(names) if i not in test),
        tuple(name for i, name in enumerate(names) if i in test),
    )


@value_type
class SdfSamples:
    """Points with their signed distances to a shape.

    Attributes:
        points: Positions, usually in the normalised frame, in which the shape fits into the unit sphere.
        distances: Signed distances in the unit of the points, negative inside.
    """

    points: Float[Tensor, "N 3"]
    distances: Float[Tensor, " N"]

    def __post_init__(self) -> None:
        if self.points.shape != (len(self.distances), 3) or self.distances.ndim != 1:
            raise InputError(
                "samples need points of shape (N, 3) and distances of shape (N,), "
                f"got {tuple(self.points.shape)} and {tuple(self.distances.shape)}"
            )

    def __len__(self) -> int:
        return len(self.distances)

    def __getitem__(self, index: Tensor | slice) -> "SdfSamples":
        """Select samples by a mask, positions or a slice."""
        return SdfSamples(self.points[index], self.distances[index])

    @property
    def outside(self) -> "SdfSamples":
        """The samples outside of the shape or on its surface."""
        return self[self.distances >= 0]

    @property
    def inside(self) -> "SdfSamples":
        """The samples inside the shape."""
        return self[self.distances < 0]


def save_sdf_samples(samples: SdfSamples, path: str | os.PathLike[str]) -> None:
    """Write samples in the format of the released code.

    The file is an NPZ of float32 arrays `pos` and `neg` with rows x, y, z, distance.

    Source: Park et al. 2019, as released: the files.

    Raises:
        InputError: A value is NaN or infinite, or the file cannot be written.
    """
    rows = torch.cat([samples.points, samples.distances[:, None]], dim=1).detach().cpu().float()
    if not torch.isfinite(rows).all():
        raise InputError(f"the samples for {path} have NaN or infinite values; drop them first")
    outside = rows[:, 3] >= 0
    _write(path, pos=rows[outside].numpy(), neg=rows[~outside].numpy())


def load_sdf_samples(path: str | os.PathLike[str]) -> SdfSamples:
    """Read samples in the released layout; rows with NaN or infinite values, which occur there, are dropped.

    Raises:
        InputError: The file is missing, damaged or in another format, or no row is left.
    """
    arrays = _read(path, ("pos", "neg"), "SDF samples")
    for name, array in arrays.items():
        if array.dtype.kind != "f" or array.ndim != 2 or array.shape[1] != 4:
            raise InputError(
                f"{path} holds {name!r} as {array.dtype} of shape {array.shape}, "
                "expected floats of shape (N, 4): x, y, z, signed distance"
            )
    with np.errstate(over="ignore"):
        rows = np.concatenate([arrays["pos"], arrays["neg"]]).astype(np.float32, copy=False)
    rows = rows[np.isfinite(rows).all(axis=1)]
    if len(rows) == 0:
        raise InputError(f"{path} holds no finite samples; prepare the shape again")
    table = torch.from_numpy(rows)
    return SdfSamples(table[:, :3].contiguous(), table[:, 3].contiguous())


def save_normalisation(normalisation: Similarity, path: str | os.PathLike[str]) -> None:
    """Write a similarity without rotation in the format of the released code.

    Its numbers are those of x_normalised = (x + offset) * scale.

    The offset is float32, or float64 for shapes so far from the origin that float32 cannot hold it.

    Raises:
        InputError: The similarity rotates, or the file cannot be written.
    """
    if normalisation.rotation is not None:
        raise InputError(f"the normalisation for {path} rotates, which its file cannot hold; leave it out")
    offset = (normalisation.translation / normalisation.scale).cpu().numpy()
    if np.allclose(offset.astype(np.float32), offset, rtol=0, atol=1e-6 / normalisation.scale):
        offset = offset.astype(np.float32)
    _write(path, offset=offset, scale=np.array([normalisation.scale], np.float32))


def load_normalisation(path: str | os.PathLike[str]) -> Similarity:
    """Read a normalisation in the released layout, as the map from a shape's own frame to the normalised one.

    Raises:
        InputError: The file is missing, damaged or in another format.
    """
    arrays = _read(path, ("offset", "scale"), "normalisation")
    offset, scale = (np.asarray(arrays[name]) for name in ("offset", "scale"))
    good = offset.dtype.kind == scale.dtype.kind == "f" and offset.size == 3 and scale.size == 1
    if not good or not np.isfinite(offset).all() or not 0 < scale.item() < np.inf:
        raise InputError(
            f"{path} holds no normalisation: expected three finite numbers `offset` and a positive `scale`"
        )
    factor = float(scale.item())
    return Similarity(factor, torch.from_numpy(offset.reshape(3).astype(np.float64)) * factor)


def _write(path: str | os.PathLike[str], **arrays: npt.NDArray[Any]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub mixes up arrays and options
    write_bytes(path, buffer.getvalue())


def _read(path: str | os.PathLike[str], names: tuple[str, ...], what: str) -> dict[str, npt.NDArray[Any]]:
    """The named arrays of an NPZ file."""
    arrays = read_arrays(Path(path), names)
    missing = [name for name in names if name not in arrays]
    if missing:
        raise InputError(f"{path} holds no {what}: it lacks the arrays {' and '.join(missing)}")
    return arrays


@value_type
class SampleTable:
    """Samples of all shapes in one table, shape after shape, with outside samples before inside samples.

    Attributes:
        rows: x, y, z and signed distance, in the shapes' normalised frames.
        starts: First row of the outside samples and first row of the inside samples of each shape; the last row
            of `starts` is the end of the table, twice.
        names: Names of the shapes.
    """

    rows: Float[Tensor, "P 4"]
    starts: Int[Tensor, "S1 2"]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def draw(
        self, shapes: Int[Tensor, " B"], count: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "B N 3"], Float[Tensor, "B N"]]:
        """Random samples of some shapes, with replacement, half of them outside and half inside."""
        first, middle = self.starts[shapes].unbind(dim=1)
        end = self.starts[shapes + 1, 0]
        half = count // 2
        random = torch.rand(len(shapes), count, generator=generator, dtype=torch.float64)
        outside = first[:, None] + (random[:, :half] * (middle - first)[:, None]).long()
        inside = middle[:, None] + (random[:, half:] * (end - middle)[:, None]).long()
        rows = self.rows[torch.cat([outside, inside], dim=1)]
        return rows[..., :3], rows[..., 3]

    def split(self, fraction: float, seed: int = 0) -> tuple["SampleTable", "SampleTable"]:
        """Split off a random fraction of the samples of every shape; return the rest and the fraction.

        Raises:
            InputError: A shape has only one sample inside or outside.
        """
        held = torch.zeros(len(self.rows), dtype=torch.bool)
        generator, bounds = torch.Generator().manual_seed(seed), self.starts.flatten()[:-1]
        for start, size in zip(bounds[:-1], bounds.diff().tolist(), strict=True):
            if size < 2:
                raise InputError("a shape has one sample inside or outside: too few to hold some out")
            count = min(max(1, round(fraction * size)), size - 1)
            held[start + torch.randperm(size, generator=generator)[:count]] = True
        moved = nn.functional.pad(held.cumsum(0), (1, 0))[self.starts]
        kept = SampleTable(self.rows[~held], self.starts - moved, self.names)
        return kept, SampleTable(self.rows[held], moved, self.names)


def sample_table(samples: Sequence[SdfSamples], names: Sequence[str]) -> SampleTable:
    """Build the table of the samples of several shapes.

    Raises:
        InputError: There are no shapes, or a shape has no samples inside or outside.
    """
    if not samples:
        raise InputError("there are no shapes to learn from")
    parts, starts, total = [], [], 0
    for sample, name in zip(samples, names, strict=True):
        rows = torch.cat([sample.points, sample.distances[:, None]], dim=1)
        inside = sample.distances < 0
        if bool(inside.all()) or not bool(inside.any()):
            side = "inside" if not bool(inside.any()) else "outside"
            raise InputError(f"{name} has no samples {side} its surface; leave it out or prepare it again")
        starts.append((total, total + int((~inside).sum())))
        parts += [rows[~inside], rows[inside]]
        total += len(rows)
    return SampleTable(torch.cat(parts), torch.tensor([*starts, (total, total)]), tuple(names))


SAMPLES, NORMALISATIONS = "SdfSamples", "NormalizationParameters"


@dataclass(frozen=True)
class Collection:
    """A collection of prepared shapes.

    Attributes:
        names: Name of every shape, as `dataset/class/name`.
        samples: Samples of every shape, read from their file on access.
        normalisations: Similarity from the frame of each mesh to the normalised frame of its samples. It is the
            identity if the folder has no normalisations, as training folders of the released code.
    """

    names: tuple[str, ...]
    samples: "SampleFiles"
    normalisations: tuple[Similarity, ...]

    def __len__(self) -> int:
        return len(self.names)


class SampleFiles(Sequence[SdfSamples]):
    """Sequence of samples that are read from their files on access, and kept in memory if all of them are
    small."""

    KEEP = 4 << 30

    def __init__(self, paths: Sequence[Path]) -> None:
        """Files in the released layout; nothing is read yet."""
        self.paths: tuple[Path, ...] = tuple(paths)
        self._keep = sum(path.stat().st_size for path in self.paths) <= self.KEEP
        self._read: dict[int, SdfSamples] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> SdfSamples:  # type: ignore[override]  # no slices: too much to read
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


def is_prepared(path: str | os.PathLike[str]) -> bool:
    """Whether a folder has samples in the format of the released code, so that it need not be prepared."""
    return (Path(path) / SAMPLES).is_dir()


def load_collection(
    path: str | os.PathLike[str], split: str | os.PathLike[str] | Split | None = None
) -> Collection:
    """Open a prepared folder, written by `prepare_collection` or by the released code.

    Args:
        path: The folder that contains `SdfSamples`.
        split: The shapes to open, in this order: a split file or its content; None opens all, sorted by name.

    Raises:
        InputError: The folder does not exist, has no samples or lacks shapes of the split; or the split is
            invalid.
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
    """Path of the file with the samples of a shape."""
    return folder / SAMPLES / f"{name}.npz"


def normalisation_path(folder: Path, name: str) -> Path:
    """Path of the file with the normalisation of a shape."""
    return folder / NORMALISATIONS / f"{name}.npz"


def _normalisation(folder: Path, name: str) -> Similarity:
    path = normalisation_path(folder, name)
    if not path.exists():
        return Similarity(1.0, torch.zeros(3, dtype=torch.float64))
    return load_normalisation(path)
