"""Points with their signed distances, and the files of the released DeepSDF code that hold them."""

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..files import write_bytes
from ..shapes import Similarity
from ..shapes.readers import read_arrays


@dataclass(frozen=True)
class SdfSamples:
    """Where the signed distance to a shape is known.

    Attributes:
        points: Positions, usually in the normalised frame, where the shape fits into the unit sphere.
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
        """Some of the samples, by a mask, positions or a slice."""
        return SdfSamples(self.points[index], self.distances[index])

    @property
    def outside(self) -> "SdfSamples":
        """The samples outside the shape or on it."""
        return self[self.distances >= 0]

    @property
    def inside(self) -> "SdfSamples":
        """The samples inside the shape."""
        return self[self.distances < 0]


def save_sdf_samples(samples: SdfSamples, path: str | os.PathLike) -> None:
    """Write samples as the released code does: an NPZ of float32 arrays `pos` and `neg`, x y z distance.

    Source: Park et al. 2019, as released: the files.

    Raises:
        InputError: A value is NaN or infinite, or the file cannot be written.
    """
    rows = torch.cat([samples.points, samples.distances[:, None]], dim=1).detach().cpu().float()
    if not torch.isfinite(rows).all():
        raise InputError(f"the samples for {path} have NaN or infinite values; drop them first")
    outside = rows[:, 3] >= 0
    _write(path, pos=rows[outside].numpy(), neg=rows[~outside].numpy())


def load_sdf_samples(path: str | os.PathLike) -> SdfSamples:
    """Read samples in the released layout; rows with NaN or infinite values, which occur there, are dropped.

    Raises:
        InputError: The file is missing, damaged or laid out otherwise, or no row is left.
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


def save_normalisation(normalisation: Similarity, path: str | os.PathLike) -> None:
    """Write a similarity without rotation as the released code does: x_normalised = (x + offset) * scale.

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


def load_normalisation(path: str | os.PathLike) -> Similarity:
    """Read a normalisation in the released layout, as the map from a shape's own frame to the normalised one.

    Raises:
        InputError: The file is missing, damaged or laid out otherwise.
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


def _write(path: str | os.PathLike, **arrays: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub mixes up arrays and options
    write_bytes(path, buffer.getvalue())


def _read(path: str | os.PathLike, names: tuple[str, ...], what: str) -> dict[str, np.ndarray]:
    """The named arrays of an NPZ file."""
    arrays = read_arrays(Path(path), names)
    missing = [name for name in names if name not in arrays]
    if missing:
        raise InputError(f"{path} holds no {what}: it lacks the arrays {' and '.join(missing)}")
    return arrays
