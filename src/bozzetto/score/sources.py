"""Readers of collections of clouds: folders of meshes and clouds, arrays, voxels, pictures, PC15k.

| collection | how it is recognised |
|---|---|
| ShapeNetCore.v2.PC15k | a folder `<class>/train/*.npy`, or its parent folder; clouds of 15,000 points |
| meshes and clouds | any other folder: every file that `load_shape` reads; meshes are sampled by area |
| clouds in one file | `.npy` of shape (shapes, points, 2 or 3) |
| outlines | `.npz` with `points` and `offsets`: closed polygons, sampled by length |
| pictures | `.npz` with `train_images` and `test_images`: contours at half brightness |
| voxels | `.npz` with `bits` and `shape`, one bit per cell: uniform points in the occupied cells |
| morphs of a mesh | `.npz` with `mean`, `step`, `offsets` and `faces`: vertices = mean + step * offsets |
| `procedural` | this word instead of a path: procedurally generated chairs |
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..datasets.synthetic.solids import chairs
from ..errors import InputError, require_most_usable
from ..points.cloud_cleaning import clean_points
from ..shapes import Mesh, load_shape, sample_surface
from ..shapes.offsets import in_world, points_tensor
from ..shapes.readers import ending_of, read_array, read_arrays
from ..values import value_type

Split = Literal["train", "val", "test", "all"]
ENDINGS = (".ply", ".obj", ".stl", ".off", ".glb", ".gltf", ".xyz", ".pcd", ".las", ".laz", ".npz")
PC15K_TRAIN, PC15K_POINTS = 10_000, 15_000
PROCEDURAL = 2000
HELD_OUT = 5
"""In collections without their own split, every fifth shape is a test shape."""
MESH_POINTS = 8192
"""Number of points that are sampled from a single mesh."""


@value_type
class Clouds:
    """Clouds of a collection, in the frames of its files.

    Attributes:
        points: Points of every shape; float64 if float32 is not precise enough.
        names: Names of the shapes.
    """

    points: list[Float[Tensor, "_ D"]]
    names: list[str]


def load_clouds(path: str | Path, count: int = 2048, split: Split = "train", seed: int = 0) -> Clouds:
    """Read the clouds of a collection; the docstring of the module lists the supported collections.

    Args:
        path: File or folder, or the word `procedural`.
        count: Number of random points per shape, for collections of meshes, voxels or contours.
        split: `train`, `val`, `test` or `all`. In collections without their own split, every fifth shape is a
            test shape. For PC15k, training takes the first 10,000 points of a shape and testing the last 5,000.
        seed: Seed of the random points.

    Raises:
        InputError: The collection does not exist, cannot be read, or has no usable shapes in the split.
    """
    path = Path(path)
    generator = torch.Generator().manual_seed(seed)
    if str(path) == "procedural":
        ranges = {
            "train": (0, PROCEDURAL),
            "val": (10**6, 200),
            "test": (2 * 10**6, 400),
            "all": (0, PROCEDURAL),
        }
        first, shapes = ranges[split]
        names = [f"chair{index}" for index in range(first, first + shapes)]
        return Clouds(list(chairs(shapes, count, 0, first)), names)
    if not path.exists():
        raise InputError(f"{path} does not exist; give a folder of meshes or clouds, or an array of clouds")
    if path.is_dir():
        found = _pc15k(path, split) or _picked(_folder(path, count, generator), split)
    else:
        found = _file(path, count, split, generator)
    if not found.points:
        raise InputError(f"{path} holds no shapes for split {split}; check the path")
    return found


def load_cloud(path: str | Path) -> Float[Tensor, "P D"]:
    """Read one 2D or 3D cloud in the frame of its file, without invalid points.

    A mesh is read as random points of its faces, as in training, since vertices are dense where a mesh is fine.

    Args:
        path: A file that `load_shape` reads, or an .npy array of shape (points, 2 or 3).

    Returns:
        The points; float64 if float32 is not precise enough.

    Raises:
        InputError: The file cannot be read or has no points.
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        if not path.is_file():
            raise InputError(f"{path} does not exist or is not a file; check the path")
        cloud = _array(path)
        if cloud.ndim != 2 or cloud.shape[1] not in (2, 3):
            raise InputError(f"{path} has shape {tuple(cloud.shape)}, expected (points, 2 or 3)")
        return clean_points(cloud, str(path))
    shape = load_shape(path)
    if isinstance(shape, Mesh):
        shape.check(str(path))
        points = sample_surface(shape, MESH_POINTS, torch.Generator().manual_seed(0))[0]
        return clean_points(in_world(points, shape.offset), str(path))
    return clean_points(shape.world_points, str(path))


def _picked(shapes: Iterator[tuple[str, Callable[[], Tensor]]], split: Split) -> Clouds:
    """Read the shapes of a split; a warning names those that cannot be used."""
    clouds, refused = Clouds([], []), {}
    for index, (name, read) in enumerate(shapes):
        held_out = index % HELD_OUT == HELD_OUT - 1
        if split == "all" or held_out == (split != "train"):
            try:
                clouds.points.append(read())
                clouds.names.append(name)
            except InputError as error:
                refused[name] = str(error)
    require_most_usable(refused, len(refused) + len(clouds.names), "shapes")
    return clouds


def _pc15k(path: Path, split: Split) -> Clouds | None:
    wanted = ("train", "val", "test") if split == "all" else (split,)
    files = [
        f for part in wanted for f in sorted([*path.glob(f"{part}/*.npy"), *path.glob(f"*/{part}/*.npy")])
    ]
    if not files:
        return None
    clouds = Clouds([], [])
    for file in files:
        cloud = _array(file)
        if cloud.shape != (PC15K_POINTS, 3):
            raise InputError(
                f"{file} has shape {tuple(cloud.shape)}, expected ({PC15K_POINTS}, 3) as in PC15k"
            )
        part = cloud[:PC15K_TRAIN] if file.parent.name == "train" else cloud[PC15K_TRAIN:]
        clouds.points.append(part)
        clouds.names.append(f"{file.parents[1].name}/{file.stem}")
    return clouds


def _folder(path: Path, count: int, generator: torch.Generator) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    files = [f for f in sorted(path.rglob("*")) if ending_of(f) in ENDINGS and not f.name.startswith(".")]
    if not files:
        raise InputError(f"{path} holds no shapes; files must end in {', '.join(ENDINGS)}")
    for file in files:

        def read(file: Path = file) -> Tensor:
            shape = load_shape(file)
            if isinstance(shape, Mesh):
                return in_world(sample_surface(shape, count, generator)[0], shape.offset)
            return clean_points(shape.world_points, str(file))

        yield file.relative_to(path).with_suffix("").as_posix(), read


def _file(path: Path, count: int, split: Split, generator: torch.Generator) -> Clouds:
    if path.suffix == ".npy":
        clouds = _array(path)
        if clouds.ndim != 3 or clouds.shape[2] not in (2, 3):
            raise InputError(f"{path} has shape {tuple(clouds.shape)}, expected (shapes, points, 2 or 3)")
        return _picked(((str(i), lambda i=i: clouds[i]) for i in range(len(clouds))), split)
    if path.suffix != ".npz":
        raise InputError(f"{path} is no collection; give a folder, an .npy with many clouds or an .npz")
    content = read_arrays(path)
    if {"train_images", "test_images"} <= content.keys():
        images = torch.from_numpy(content["test_images" if split in ("val", "test") else "train_images"])
        points = contour_points(images.float() / 255, count, generator=generator)
        return Clouds(list(points), [str(i) for i in range(len(points))])
    for keys, shapes in _ARCHIVES.items():
        if set(keys) <= content.keys():
            return _picked(shapes(content, count, generator), split)
    raise InputError(f"{path} holds {', '.join(content)}; none of the known collections has these arrays")


Archive = dict[str, np.ndarray]
Shapes = Iterator[tuple[str, Callable[[], Tensor]]]


def _voxels(content: Archive, count: int, generator: torch.Generator) -> Shapes:
    shape = tuple(int(side) for side in content["shape"][1:])
    for index, row in enumerate(content["bits"]):
        cells = torch.from_numpy(np.argwhere(np.unpackbits(row)[: np.prod(shape)].reshape(shape)))

        def read(cells: Tensor = cells) -> Tensor:
            chosen = torch.randint(len(cells), (count,), generator=generator)
            points = cells[chosen] + torch.rand(count, 3, generator=generator)
            # Width, depth (back at high index) and up become x, -z and y: a chair faces +z.
            return torch.stack([points[:, 0], points[:, 2], -points[:, 1]], dim=1)

        if len(cells):
            yield str(index), read


def _morphs(content: Archive, count: int, generator: torch.Generator) -> Shapes:
    faces = torch.from_numpy(content["faces"].astype(np.int64))
    for index, offset in enumerate(content["offsets"]):

        def read(offset: npt.NDArray[Any] = offset) -> Tensor:
            vertices = content["mean"] + content["step"] * offset.T
            mesh = Mesh(torch.from_numpy(vertices.astype(np.float32)), faces)
            return sample_surface(mesh, count, generator)[0]

        yield f"{index:03d}", read


def _outlines(content: Archive, count: int, generator: torch.Generator) -> Shapes:
    ends = content["offsets"]
    names = content.get("names", np.arange(len(ends) - 1))
    for name, first, last in zip(names, ends[:-1], ends[1:], strict=True):
        ring = torch.from_numpy(content["points"][first:last]).float()

        def read(ring: Tensor = ring) -> Tensor:
            following = ring.roll(-1, dims=0)
            lengths = (following - ring).norm(dim=1).double()
            edge = torch.multinomial(lengths, count, replacement=True, generator=generator)
            return torch.lerp(ring[edge], following[edge], torch.rand(count, 1, generator=generator))

        yield str(name), read


_ARCHIVES: dict[tuple[str, ...], Callable[[Archive, int, torch.Generator], Shapes]] = {
    ("bits", "shape"): _voxels,
    ("mean", "step", "offsets", "faces"): _morphs,
    ("points", "offsets"): _outlines,
}


def _array(path: Path) -> Tensor:
    return points_tensor(read_array(path), str(path))


# Corners of a cell: (0, 0), (0, 1), (1, 1), (1, 0) as (row, column); edge k joins corners k and k + 1. For each
# pattern of corners above the level (bit k: corner k), the pairs of edges that the contour joins. Two opposite
# corners that are above are kept apart.
_PAIRS: dict[int, list[tuple[int, int]]] = {
    1: [(3, 0)],
    2: [(0, 1)],
    3: [(3, 1)],
    4: [(1, 2)],
    5: [(3, 0), (1, 2)],
    6: [(0, 2)],
    7: [(3, 2)],
    8: [(2, 3)],
    9: [(2, 0)],
    10: [(0, 1), (2, 3)],
    11: [(2, 1)],
    12: [(1, 3)],
    13: [(1, 0)],
    14: [(0, 3)],
}


def contour_segments(
    pictures: Float[Tensor, "B H W"], level: float = 0.5
) -> tuple[Float[Tensor, "B S 2 2"], Bool[Tensor, "B S"]]:
    """Segments of the contours at a level by marching squares; pictures are padded with zeros.

    Returns:
        Ends of the segments as (x to the right, y up) in pixels, and whether each segment exists.
    """
    values = torch.nn.functional.pad(pictures, (1, 1, 1, 1))
    b, h, w = values.shape
    corners = torch.stack(
        [values[:, :-1, :-1], values[:, :-1, 1:], values[:, 1:, 1:], values[:, 1:, :-1]], -1
    )
    following = corners.roll(-1, dims=-1)
    difference = following - corners
    share = (level - corners) / torch.where(difference == 0, 1.0, difference)
    place = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    rows, columns = torch.meshgrid(torch.arange(h - 1.0), torch.arange(w - 1.0), indexing="ij")
    base = torch.stack([rows, columns], dim=-1)[:, :, None]
    crossing = base + place + share[..., None] * (place.roll(-1, dims=0) - place)
    table = torch.zeros(16, 2, 2, dtype=torch.int64)
    exists = torch.zeros(16, 2, dtype=torch.bool)
    for pattern, pairs in _PAIRS.items():
        for slot, pair in enumerate(pairs):
            table[pattern, slot], exists[pattern, slot] = torch.tensor(pair), True
    pattern = ((corners > level) * (2 ** torch.arange(4))).sum(dim=-1)
    edges = table[pattern].flatten(3)[..., None].expand(*pattern.shape, 4, 2)
    ends = crossing.gather(3, edges).view(b, -1, 2, 2)
    return torch.stack([ends[..., 1], -ends[..., 0]], dim=-1), exists[pattern].view(b, -1)


def contour_points(
    pictures: Float[Tensor, "B H W"],
    count: int = 800,
    level: float = 0.5,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "B {count} 2"]:
    """Random points on contours, uniform by length; the contours of each picture are scaled to [-1, 1]^2.

    Args:
        pictures: Brightness, for MNIST from 0 to 1.
        count: Number of points per picture; 800 in the paper (section 5).
        level: Brightness of the contour, an assumption, since the paper does not specify it.
        generator: Source of randomness.

    Raises:
        InputError: A picture has no contour.
    """
    parts = [_some_points(part, count, level, generator) for part in pictures.split(1000)]
    return torch.cat(parts) if parts else pictures.new_zeros(0, count, 2)


def _some_points(
    pictures: Float[Tensor, "B H W"], count: int, level: float, generator: torch.Generator | None
) -> Float[Tensor, "B {count} 2"]:
    ends, exists = contour_segments(pictures, level)
    empty = (~exists.any(dim=1)).nonzero()[:, 0].tolist()
    if empty:
        raise InputError(
            f"picture {empty[0]} has no contour at {level}: all of it is brighter or darker; leave it out"
        )
    lengths = torch.where(exists, (ends[:, :, 1] - ends[:, :, 0]).norm(dim=-1), 0.0).double().cumsum(dim=1)
    random = torch.rand(2, len(pictures), count, dtype=torch.float64, generator=generator)
    chosen = torch.searchsorted(lengths, random[0] * lengths[:, -1:], right=True)
    picture = torch.arange(len(pictures))[:, None]
    ends_chosen = ends[picture, chosen.clamp(max=ends.shape[1] - 1)]
    points = torch.lerp(ends_chosen[:, :, 0], ends_chosen[:, :, 1], random[1][..., None].float())
    inside = exists[..., None, None]
    low = torch.where(inside, ends, torch.inf).amin(dim=(1, 2))[:, None]
    high = torch.where(inside, ends, -torch.inf).amax(dim=(1, 2))[:, None]
    return (points - (low + high) / 2) * 2 / (high - low).amax(dim=2, keepdim=True)
