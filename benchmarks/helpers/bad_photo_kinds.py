"""Kinds of bad input for `bad_photos.py`, each made from good photographs."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps
from scipy.ndimage import gaussian_filter, uniform_filter1d

from bozzetto.datasets.synthetic import phone_photos

COUNT = 16


@dataclass(frozen=True)
class Base:
    """Good photographs: files, and the same upright with the true masks of the subject."""

    files: list[Path]
    pictures: list[Image.Image]
    masks: list[Image.Image]


Kind = Callable[[Base, Path], list[str]]
KINDS: dict[str, Kind] = {}


def take_photos(folder: Path) -> Base:
    """Photographs of the furnished room, taken or found in the folder."""
    if not (folder / "photos").is_dir():
        phone_photos(folder, COUNT, (640, 480), samples=1)
    files = sorted((folder / "photos").glob("*.jpg"))
    pictures = [ImageOps.exif_transpose(Image.open(file)).convert("RGB") for file in files]
    masks = [Image.open(folder / "truth" / "masks" / f"{file.stem}.png").convert("L") for file in files]
    return Base(files, pictures, masks)


def kind(make: Kind) -> Kind:
    """Register a kind; it writes into a folder and returns the arguments of the command."""
    KINDS[make.__name__] = make
    return make


def save_all(pictures: list[Image.Image], folder: Path, ending: str = "jpg") -> list[str]:
    """Write pictures with numbers as names; the folder is the argument."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures):
        picture.save(folder / f"{number:03d}.{ending}")
    return [str(folder)]


def copied(base: Base, folder: Path, count: int = COUNT) -> list[str]:
    """Copy good photographs."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in base.files[:count]:
        shutil.copy(file, folder)
    return [str(folder)]


def changed(base: Base, folder: Path, change: Callable[[Image.Image], Image.Image]) -> list[str]:
    """Write all photographs, changed."""
    return save_all([change(picture) for picture in base.pictures], folder)


def blobs(seed: int, size: tuple[int, int] = (640, 480)) -> Image.Image:
    """A picture full of detail that shows nothing."""
    noise = np.random.default_rng(seed)
    layers = [
        gaussian_filter(noise.standard_normal((size[1], size[0], 3)), (s, s, 0)) * s for s in (2, 6, 15)
    ]
    values = sum(layers)
    return Image.fromarray((128 + 45 * values / values.std()).clip(0, 255).astype(np.uint8))


def warped(picture: Image.Image, matrix: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """The picture seen through a homography from new to old pixels."""
    numbers = (matrix / matrix[2, 2]).reshape(-1)[:8].tolist()
    return picture.transform(size, Image.Transform.PERSPECTIVE, numbers, Image.Resampling.BICUBIC)


# What is in the folder.


@kind
def empty_folder(base: Base, folder: Path) -> list[str]:
    """Nothing."""
    return [str(folder)]


@kind
def no_such_folder(base: Base, folder: Path) -> list[str]:
    """A path with a typing mistake."""
    return [str(folder / "fotos")]


@kind
def a_single_photo(base: Base, folder: Path) -> list[str]:
    """The path of a photograph, not of a folder."""
    copied(base, folder)
    return [str(folder / base.files[0].name)]


@kind
def folder_of_one(base: Base, folder: Path) -> list[str]:
    """One photograph in a folder."""
    return copied(base, folder, 1)


@kind
def three_photos(base: Base, folder: Path) -> list[str]:
    """Too few."""
    return copied(base, folder, 3)


@kind
def two_folders(base: Base, folder: Path) -> list[str]:
    """Photographs in two folders; which is meant?"""
    copied(base, folder / "first")
    copied(base, folder / "second")
    return [str(folder)]


@kind
def only_masks(base: Base, folder: Path) -> list[str]:
    """Masks without their photographs."""
    for number, mask in enumerate(base.masks):
        mask.save(folder / f"{number}_mask.png")
    return [str(folder)]


@kind
def raw_files(base: Base, folder: Path) -> list[str]:
    """Undeveloped photographs."""
    for number in range(12):
        (folder / f"DSC{number}.NEF").write_bytes(b"MM\0*" + bytes(2000))
    return [str(folder)]


@kind
def leftovers_of_live_photos(base: Base, folder: Path) -> list[str]:
    """What is left when the pictures were not copied."""
    for number in range(12):
        (folder / f"IMG_{number}.MOV").write_bytes(b"\0\0\0\x14ftypqt  " + bytes(500))
        (folder / f"IMG_{number}.AAE").write_text("<plist/>")
    return [str(folder)]


# Files that are damaged or something else.


@kind
def empty_file(base: Base, folder: Path) -> list[str]:
    """A file of no bytes among good ones."""
    words = copied(base, folder)
    (folder / base.files[3].name).write_bytes(b"")
    return words


@kind
def truncated_file(base: Base, folder: Path) -> list[str]:
    """A copy that was interrupted."""
    words = copied(base, folder)
    data = base.files[4].read_bytes()
    (folder / base.files[4].name).write_bytes(data[: len(data) // 3])
    return words


@kind
def text_as_photo(base: Base, folder: Path) -> list[str]:
    """A web page that was saved as a picture."""
    words = copied(base, folder)
    (folder / "a.jpg").write_text("<!DOCTYPE html><html>not found</html>")
    return words


@kind
def damaged_heic(base: Base, folder: Path) -> list[str]:
    """The beginning of a HEIC file."""
    for number in range(12):
        (folder / f"IMG_{number}.HEIC").write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(300))
    return [str(folder)]


@kind
def text_as_video(base: Base, folder: Path) -> list[str]:
    """A file that only has the name of a video."""
    (folder / "film.mp4").write_text("no video")
    return [str(folder / "film.mp4")]


@kind
def enormous_picture(base: Base, folder: Path) -> list[str]:
    """A header that asks for 40 gigapixels."""
    words = copied(base, folder)
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\x03\r\x40\0\x03\r\x40\x08\x02\0\0\0\x8e\xd0\x5a\x2c"
    (folder / "a.png").write_bytes(header + bytes(100))
    return words


@kind
def thumbnails(base: Base, folder: Path) -> list[str]:
    """Pictures from a web page."""
    return changed(base, folder, lambda picture: picture.resize((picture.width // 6, picture.height // 6)))


# What the photographs show.


@kind
def same_photo(base: Base, folder: Path) -> list[str]:
    """One photograph many times."""
    for number in range(12):
        shutil.copy(base.files[0], folder / f"copy-{number}.jpg")
    return [str(folder)]


@kind
def saved_again(base: Base, folder: Path) -> list[str]:
    """One photograph many times, compressed otherwise."""
    for number in range(12):
        base.pictures[0].save(folder / f"{number}.jpg", quality=70 + 2 * number)
    return [str(folder)]


@kind
def blurred(base: Base, folder: Path) -> list[str]:
    """Out of focus."""
    return changed(base, folder, lambda picture: picture.filter(ImageFilter.GaussianBlur(7)))


@kind
def shaken(base: Base, folder: Path) -> list[str]:
    """The camera moved while the shutter was open."""
    return changed(
        base,
        folder,
        lambda picture: Image.fromarray(
            uniform_filter1d(np.asarray(picture, np.float32), 60, 1).astype("u1")
        ),
    )


@kind
def lens_cap(base: Base, folder: Path) -> list[str]:
    """Black, with noise."""
    noise = np.random.default_rng(0)
    return changed(
        base, folder, lambda p: Image.fromarray(noise.integers(0, 6, (p.height, p.width, 3)).astype(np.uint8))
    )


@kind
def overexposed(base: Base, folder: Path) -> list[str]:
    """Nearly white."""
    return changed(base, folder, lambda picture: picture.point(lambda value: 250 + value // 60))


@kind
def plain_wall(base: Base, folder: Path) -> list[str]:
    """A white wall in soft light."""
    light = np.linspace(180, 220, 640)[None, :, None] + np.random.default_rng(0).normal(
        0, 3, (12, 480, 640, 3)
    )
    return save_all([Image.fromarray(values.clip(0, 255).astype(np.uint8)) for values in light], folder)


@kind
def nothing_in_common(base: Base, folder: Path) -> list[str]:
    """Every photograph shows something else."""
    return save_all([blobs(number) for number in range(12)], folder)


@kind
def no_overlap(base: Base, folder: Path) -> list[str]:
    """Every photograph shows another piece of one large picture."""
    large = np.asarray(blobs(7, (2600, 1500)))
    pieces = [large[500 * row :, 650 * column :][:480, :640] for row in range(3) for column in range(4)]
    return save_all([Image.fromarray(piece) for piece in pieces], folder)


@kind
def panorama(base: Base, folder: Path) -> list[str]:
    """The camera turns on its place."""
    large = blobs(3, (3200, 1600))
    focal = 550.0
    K = np.array([[focal, 0, 320], [0, focal, 240], [0, 0, 1]])
    wide = np.array([[focal, 0, 1600], [0, focal, 800], [0, 0, 1]])
    pictures = []
    for number in range(14):
        angle, tilt = np.radians(-35 + 5 * number), np.radians(6 * np.sin(number))
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        nod = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
        pictures.append(warped(large, wide @ turn @ nod @ np.linalg.inv(K), (640, 480)))
    return save_all(pictures, folder)


@kind
def screen_recording(base: Base, folder: Path) -> list[str]:
    """A page scrolls under bars that stay."""
    page = np.concatenate([np.asarray(picture.resize((480, 360))) for picture in base.pictures], axis=0)
    bar = np.asarray(blobs(1, (480, 60)))
    frames = [np.concatenate([bar, page[90 * k : 90 * k + 600], bar]) for k in range(14)]
    return save_all([Image.fromarray(frame) for frame in frames], folder, "png")


@kind
def poster(base: Base, folder: Path) -> list[str]:
    """A flat thing from several sides."""
    large, pictures = blobs(5, (1400, 1000)), []
    for number in range(14):
        angle = np.radians(-40 + 6 * number)
        ahead = np.array([np.sin(angle), 0.1 * np.cos(number), np.cos(angle)])
        right = np.cross([0, 1, 0], ahead)
        right /= np.linalg.norm(right)
        turn = np.stack([right, np.cross(ahead, right), ahead]) / np.linalg.norm(ahead)
        K = np.array([[600, 0, 320], [0, 600, 240], [0, 0, 1.0]])
        eye = np.array([700.0, 500.0, 0]) - 900 * ahead / np.linalg.norm(ahead)
        to_picture = K @ np.column_stack([turn[:, 0], turn[:, 1], -turn @ eye])
        pictures.append(warped(large, np.linalg.inv(to_picture), (640, 480)))
    return save_all(pictures, folder)


@kind
def two_places(base: Base, folder: Path) -> list[str]:
    """Half of the photographs are of another place; mirrored rooms have nothing in common."""
    half = len(base.pictures) // 2
    mirrored = [ImageOps.mirror(picture) for picture in base.pictures]
    return save_all(base.pictures[: half + 1] + mirrored[half - 1 :], folder)


@kind
def mirrored_half(base: Base, folder: Path) -> list[str]:
    """Every second photograph is mirrored, as by a front camera."""
    rows = enumerate(base.pictures)
    return save_all([ImageOps.mirror(p) if number % 2 else p for number, p in rows], folder)


@kind
def mostly_others(base: Base, folder: Path) -> list[str]:
    """A few good photographs among many of other things."""
    return save_all(base.pictures[:6] + [blobs(number) for number in range(12)], folder)


@kind
def turned_by_hand(base: Base, folder: Path) -> list[str]:
    """The object turns before a camera that moves a little while the room rests."""
    room = base.pictures[0].resize((1000, 750))
    noise, pictures = np.random.default_rng(0), []
    for picture, mask in zip(base.pictures, base.masks, strict=True):
        u, v = noise.integers(40, 200, 2)
        behind = room.crop((u, v, u + picture.width, v + picture.height))
        pictures.append(Image.composite(picture, behind, mask))
    return save_all(pictures, folder)


@kind
def wrong_exif(base: Base, folder: Path) -> list[str]:
    """EXIF data of a telephoto lens on photographs of a wide one."""
    for number, picture in enumerate(base.pictures):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0xA405] = 200
        picture.save(folder / f"{number:03d}.jpg", exif=exif)
    return [str(folder)]


# Masks.


def with_masks(base: Base, folder: Path, masks: list[Image.Image], count: int = COUNT) -> list[str]:
    """Good photographs and a folder of masks."""
    save_all(base.pictures, folder / "photos")
    save_all(masks[:count], folder / "masks", "png")
    return [str(folder / "photos"), "--masks", str(folder / "masks")]


@kind
def masks_of_another_size(base: Base, folder: Path) -> list[str]:
    """Masks that were cropped."""
    return with_masks(base, folder, [mask.crop((0, 0, 300, 300)) for mask in base.masks])


@kind
def masks_for_some(base: Base, folder: Path) -> list[str]:
    """Masks for a part of the photographs."""
    return with_masks(base, folder, base.masks, 5)


@kind
def black_masks(base: Base, folder: Path) -> list[str]:
    """Masks without an object."""
    return with_masks(base, folder, [mask.point(lambda _: 0) for mask in base.masks])


@kind
def no_masks_folder(base: Base, folder: Path) -> list[str]:
    """A folder that does not exist."""
    return [*copied(base, folder), "--masks", str(folder / "masken")]


# Cameras.


def colmap(base: Base, folder: Path) -> Path:
    """A COLMAP folder, two of three files of its model."""
    copied(base, folder / "images")
    model = folder / "sparse" / "0"
    model.mkdir(parents=True)
    (model / "cameras.txt").write_text("1 SIMPLE_PINHOLE 640 480 500 320 240\n")
    lines = [f"{i + 1} 1 0 0 0 0 0 {i} 1 {file.name}\n\n" for i, file in enumerate(base.files)]
    (model / "images.txt").write_text("".join(lines))
    return model


@kind
def half_a_colmap_folder(base: Base, folder: Path) -> list[str]:
    """The poses are missing."""
    (colmap(base, folder) / "images.txt").unlink()
    return [str(folder)]


@kind
def colmap_of_zero_bytes(base: Base, folder: Path) -> list[str]:
    """Files of a disk that was full."""
    model = colmap(base, folder)
    for file in list(model.iterdir()):
        file.unlink()
        file.with_suffix(".bin").write_bytes(b"")
    (model / "points3D.bin").write_bytes(b"")
    return [str(folder)]


@kind
def colmap_without_photos(base: Base, folder: Path) -> list[str]:
    """The pictures were not copied."""
    colmap(base, folder)
    shutil.rmtree(folder / "images")
    return [str(folder)]


@kind
def transforms_of_other_photos(base: Base, folder: Path) -> list[str]:
    """A camera file beside photographs that it does not name."""
    copied(base, folder)
    frames = [{"file_path": f"other/{i}.png", "transform_matrix": np.eye(4).tolist()} for i in range(5)]
    (folder / "transforms.json").write_text(json.dumps({"camera_angle_x": 0.8, "frames": frames}))
    return [str(folder)]


@kind
def empty_transforms(base: Base, folder: Path) -> list[str]:
    """A camera file with no cameras."""
    copied(base, folder)
    (folder / "transforms.json").write_text("{}")
    return [str(folder)]
