"""Captures of three balls by a ray tracer of our own, written as NeRF tools and Middlebury write them."""

import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .inputs import CaptureTruth, Input, RunTruth, kind
from .pictures import chunk, png
from .solids import encoded, linear, rotation

BALLS = np.array([[0.1, 0, 0, 0.5], [0.5, 0.35, 0.2, 0.25], [-0.3, 0.1, 0.55, 0.18]])
COLORS = np.array([[0.8, 0.3, 0.2], [0.2, 0.6, 0.3], [0.2, 0.3, 0.8]])
LIGHT = np.array([0.4, 0.5, 0.77])
FLIP = np.diag([1.0, -1, -1, 1])


@dataclass
class View:
    """A photograph as it is in the file, and its true camera.

    Attributes:
        T: (4, 4), camera to world, OpenCV axes, of the stored pixels.
        K: (3, 3) of the stored pixels.
        rgb: (H, W, 3) sRGB as stored.
        mask: (H, W) coverage as stored.
    """

    T: np.ndarray
    K: np.ndarray
    rgb: np.ndarray
    mask: np.ndarray
    color: np.ndarray = field(repr=False)


def trace(
    T: np.ndarray, K: np.ndarray, width: int, height: int, fine: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Linear colour over black (H, W, 3) and coverage (H, W), by fine x fine rays per pixel."""
    u, v = np.meshgrid((np.arange(width * fine) + 0.5) / fine, (np.arange(height * fine) + 0.5) / fine)
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)], -1) @ T[:3, :3].T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    origin, nearest = T[:3, 3], np.full(u.shape, np.inf)
    color = np.zeros((*u.shape, 3))
    for ball, albedo in zip(BALLS, COLORS, strict=True):
        to = origin - ball[:3]
        along = rays @ to
        inside = along**2 - (to @ to - ball[3] ** 2)
        t = np.where(inside > 0, -along - np.sqrt(np.maximum(inside, 0)), np.inf)
        normal = (origin + np.clip(t, 0, 1e3)[..., None] * rays - ball[:3]) / ball[3]
        lit = albedo * (0.35 + 0.65 * np.maximum(normal @ LIGHT, 0))[..., None]
        color = np.where((t < nearest)[..., None], lit, color)
        nearest = np.minimum(nearest, t)
    covered = np.isfinite(nearest).astype(float)
    average = lambda a: a.reshape(height, fine, width, fine, -1).mean((1, 3))  # noqa: E731
    return average(color * covered[..., None]), average(covered)[..., 0]


def look_at(center: np.ndarray) -> np.ndarray:
    """Camera to world, looking at the origin, OpenCV axes."""
    forward = -center / np.linalg.norm(center)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    T = np.eye(4)
    T[:3, 0], T[:3, 1], T[:3, 2], T[:3, 3] = right, np.cross(forward, right), forward, center
    return T


def poses(
    count: int, low: float = -0.5, high: float = 0.85, turn: float = 1.0, distance: float = 3.2
) -> list[np.ndarray]:
    """Cameras on a spiral between two heights."""
    found = []
    for i in range(count):
        z, angle = low + (high - low) * (i + 0.5) / count, i * 2.399963 * turn
        r = math.sqrt(1 - z * z)
        found.append(look_at(distance * np.array([r * math.cos(angle), r * math.sin(angle), z])))
    return found


def capture(
    rng: np.random.Generator,
    count: int = 9,
    width: int = 96,
    height: int = 72,
    busy: bool = False,
    **where: float,
) -> list[View]:
    """Photographs before a dark plain background, or before a busy one."""
    K = np.array([[1.25 * width, 0, width / 2], [0, 1.25 * width, height / 2], [0, 0, 1]])
    views = []
    for T in poses(count, **where):
        color, mask = trace(T, K, width, height)
        behind = (
            0.02
            if not busy
            else np.kron(rng.random((height // 6 + 1, width // 6 + 1, 3)), np.ones((6, 6, 1)))[
                :height, :width
            ]
        )
        views.append(View(T, K, encoded(color + (1 - mask[..., None]) * behind), mask, color))
    return views


def truth_of(views: list[View], images: bool = True, masks: bool = True) -> CaptureTruth:
    """What `load_capture` must return."""
    height, width = views[0].mask.shape
    return CaptureTruth(
        np.stack([np.linalg.inv(v.T) for v in views]),
        np.stack([v.K for v in views]),
        (width, height),
        np.stack([v.mask for v in views]) if masks else None,
        linear(np.stack([v.rgb for v in views])) if images else None,
    )


# Files


def u8(values: np.ndarray) -> np.ndarray:
    """To 8 bits."""
    return np.round(np.clip(values, 0, 1) * 255).astype(np.uint32)


def rgb_png(view: View) -> bytes:
    """The photograph."""
    return png(u8(view.rgb), 8, "rgb")


def rgba_png(view: View) -> bytes:
    """The object with straight alpha, as Blender writes it."""
    straight = encoded(view.color / np.maximum(view.mask, 1e-6)[..., None]) * (view.mask > 0)[..., None]
    return png(u8(np.concatenate([straight, view.mask[..., None]], -1)), 8, "rgba")


def jpeg(view: View, orientation: int = 0, quality: int = 96) -> bytes:
    """The photograph as JPEG, perhaps with an EXIF orientation."""
    from PIL import Image

    out, exif = io.BytesIO(), Image.Exif()
    if orientation:
        exif[0x112] = orientation
    Image.fromarray(u8(view.rgb).astype(np.uint8)).save(
        out, "JPEG", quality=quality, subsampling=0, exif=exif.tobytes()
    )
    return out.getvalue()


def mask_png(view: View) -> bytes:
    """White is object."""
    return png(u8(view.mask)[..., None], 8, "grey")


def transforms(views: list[View], names: list[str], **changes: object) -> dict:
    """`transforms.json` with `fl_x` and so on."""
    K, (h, w) = views[0].K, views[0].mask.shape
    frames = [
        {"file_path": n, "transform_matrix": (v.T @ FLIP).tolist()} for v, n in zip(views, names, strict=True)
    ]
    shared = {"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2], "cy": K[1, 2], "w": w, "h": h}
    return {**shared, "frames": frames, **changes}


def files_of(
    views: list[View],
    name: str = "images/{:03d}.png",
    save: Callable[[View], bytes] = rgb_png,
    mask: Callable[[View], bytes] | None = None,
    mask_name: str = "masks/{:03d}.png",
    change: Callable[[dict], object] | None = None,
) -> dict[str, bytes]:
    """All files of a capture; `change` alters the camera file."""
    names = [name.format(i) for i in range(len(views))]
    data = transforms(views, names)
    if change is not None:
        result = change(data)
        data = result if isinstance(result, (dict, bytes)) else data
    files = {f"c/{n}": save(v) for n, v in zip(names, views, strict=True)}
    if mask is not None:
        files |= {f"c/{mask_name.format(i)}": mask(v) for i, v in enumerate(views)}
    return {**files, "c/transforms.json": json.dumps(data).encode() if isinstance(data, dict) else data}


def loaded(about: str, files: dict, truth: CaptureTruth | None, **more) -> Input:
    """An input for `load_capture`."""
    return Input(about, "load_capture", "c", files, truth, seconds=20, **more)


def reconstructed(about: str, files: dict, say: str | None, truth: RunTruth | None = None, **more) -> Input:
    """`reconstruct` until the optimisation begins, which is when all must have been said."""
    return Input(
        about,
        "cli until it optimises",
        ["reconstruct", "@/c", "--preset", "fast", "--out", "@/out"],
        files,
        truth,
        say=say,
        seconds=30,
        **more,
    )


def fine(report: dict, folder: Path) -> str:
    """Whatever a run returns is right."""
    return ""


# Good captures


@kind("captures", "good, with intrinsics and names of many kinds", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    views = capture(rng, 6, 64, 48)
    K, truth = views[0].K, truth_of(views)
    style = index % 15
    angle = 2 * math.atan(64 / 2 / K[0, 0])

    def per_frame(d: dict) -> None:
        keys = ("fl_x", "fl_y", "cx", "cy", "w", "h")
        shared = {k: d.pop(k) for k in keys}
        for frame in d["frames"]:
            frame.update(shared)

    changes: list[tuple[str, dict]] = [
        ("fl_x and so on", {}),
        ("camera_angle_x alone", {"change": lambda d: {"camera_angle_x": angle, "frames": d["frames"]}}),
        ("per frame", {"change": per_frame}),
        (
            "nerfstudio's, OPENCV, k of zero",
            {
                "change": lambda d: d.update(
                    camera_model="OPENCV",
                    k1=0.0,
                    k2=0.0,
                    p1=0.0,
                    p2=0.0,
                    applied_transform=np.eye(4)[:3].tolist(),
                )
            },
        ),
        (
            "w and h as floats",
            {"change": lambda d: d.update(w=64.0, h=48.0, aabb_scale=4, integer_depth_scale=0.001)},
        ),
        ("without w and h", {"change": lambda d: (d.pop("w"), d.pop("h"))[2:]}),
        ("fl_x and no fl_y", {"change": lambda d: d.pop("fl_y") and None}),
        (
            "names without ending",
            {
                "change": lambda d: (
                    [f.update(file_path="./" + f["file_path"][:-4]) for f in d["frames"]] and None
                )
            },
        ),
        (
            "endings in capitals, not named",
            {
                "name": "images/{:03d}.PNG",
                "change": lambda d: [f.update(file_path=f["file_path"][:-4]) for f in d["frames"]] and None,
            },
        ),
        ("names with umlauts and blanks", {"name": "my images/Bild {:d} ä.png"}),
        (
            "backslashes",
            {
                "change": lambda d: (
                    [f.update(file_path=f["file_path"].replace("/", "\\")) for f in d["frames"]] and None
                )
            },
        ),
        (
            "matrices of three rows",
            {
                "change": lambda d: (
                    [f.update(transform_matrix=f["transform_matrix"][:3]) for f in d["frames"]] and None
                )
            },
        ),
        ("JPEG", {"name": "images/{:03d}.jpg", "save": jpeg}),
        ("a byte order mark", {"change": lambda d: b"\xef\xbb\xbf" + json.dumps(d, indent=1).encode()}),
        (
            "frames out of order",
            {"change": lambda d: d["frames"].sort(key=lambda f: f["file_path"], reverse=True)},
        ),
    ]
    about, options = changes[style]
    if style == 14:
        truth = truth_of(views[::-1])
    return loaded(about, files_of(views, **options), truth, say="background|shadow|mask")


@kind("captures", "good, with masks of all kinds", 4)
def _(rng: np.random.Generator, index: int) -> Input:
    views = capture(rng, 6, 64, 48, busy=True)
    hard = lambda v: (v.mask > 0.5).astype(np.uint32)[..., None]  # noqa: E731
    black_red = [(b"PLTE", bytes([0, 0, 0, 128, 0, 0]))]

    def voc(v: View) -> bytes:
        return png(hard(v), 8, "palette", black_red)

    def small_jpeg(v: View) -> bytes:
        from PIL import Image

        out = io.BytesIO()
        Image.fromarray(u8(v.mask).astype(np.uint8)).save(out, "JPEG", quality=90)
        return out.getvalue()

    styles: list[tuple[str, dict]] = [
        ("8 bits", {"mask": mask_png}),
        ("0 and 1", {"mask": lambda v: png(hard(v), 8, "grey")}),
        ("palette of VOC", {"mask": voc}),
        (
            "16 bits",
            {"mask": lambda v: png(np.round(v.mask * 65535).astype(np.uint32)[..., None], 16, "grey")},
        ),
        ("1 bit", {"mask": lambda v: png(hard(v), 1, "grey")}),
        ("white on black, RGB", {"mask": lambda v: png(np.repeat(u8(v.mask)[..., None], 3, 2), 8, "rgb")}),
        ("red on black, RGB", {"mask": lambda v: png(hard(v) * np.array([255, 0, 0], np.uint32), 8, "rgb")}),
        (
            "in the alpha of white",
            {
                "mask": lambda v: png(
                    np.concatenate([np.full((48, 64, 3), 255), u8(v.mask)[..., None]], -1), 8, "rgba"
                )
            },
        ),
        ("named image.png.png, as COLMAP does", {"mask": mask_png, "mask_name": "masks/{:03d}.png.png"}),
        (
            "named by mask_path",
            {
                "mask": mask_png,
                "mask_name": "other/{:03d}_seg.png",
                "change": lambda d: (
                    [f.update(mask_path=f"other/{i:03d}_seg.png") for i, f in enumerate(d["frames"])] and None
                ),
            },
        ),
        ("JPEG", {"mask": small_jpeg, "mask_name": "masks/{:03d}.jpg"}),
        ("label 7 of 8 bits", {"mask": lambda v: png(hard(v) * 7, 8, "grey")}),
        ("label 300 of 16 bits", {"mask": lambda v: png(hard(v) * 300, 16, "grey")}),
        (
            "twice the size",
            {"mask": lambda v: png(np.kron(u8(v.mask), np.ones((2, 2), np.uint32))[..., None], 8, "grey")},
        ),
    ]
    about, options = styles[index % len(styles)]
    return loaded(f"masks: {about}", files_of(views, **options), truth_of(views), say="mask")


@kind("captures", "good, with alpha", 1)
def _(rng: np.random.Generator, index: int) -> Input:
    views = capture(rng, 6, 64, 48)
    straight = [replace(v, rgb=encoded(v.color)) for v in views]
    change = (
        (lambda d: [f.update(file_path="./train/r_" + str(i)) for i, f in enumerate(d["frames"])] and None)
        if index % 2
        else None
    )
    name = "train/r_{:d}.png" if index % 2 else "images/{:03d}.png"
    return loaded("RGBA as of Blender", files_of(views, name, rgba_png, change=change), truth_of(straight))


@kind("captures", "good, in `reconstruct` and `doctor`", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    views = capture(rng, 12, 96, 72, busy=index % 3 == 1)
    options = ({}, {"mask": mask_png}, {"save": rgba_png})[index % 3]
    files = files_of(views, **options)
    about = ("plain background", "masks", "alpha")[index % 3]
    if index % 2:
        return reconstructed(f"good, {about}", files, None, RunTruth(fine))

    def verdict(report: dict, folder: Path) -> str:
        found = report["capture"]["verdict"]
        return "" if "good" in found else found

    return Input(
        f"doctor: good, {about}",
        "cli",
        ["doctor", "@/c", "--out", "@/out", "--json"],
        files,
        RunTruth(verdict),
        seconds=30,
    )


@kind("captures", "Middlebury's cameras", 1)
def _(rng: np.random.Generator, index: int) -> Input:
    views = capture(rng, 6, 64, 48)
    lines = [str(len(views))]
    for i, v in enumerate(views):
        inverse = np.linalg.inv(v.T)
        K = v.K.copy()
        K[:2, 2] -= 0.5  # integers are centres of pixels there
        numbers = [*K.ravel(), *inverse[:3, :3].ravel(), *inverse[:3, 3]]
        lines.append(f"x{i}.png " + " ".join(f"{x:.9f}" for x in numbers))
    files = {f"c/x{i}.png": rgb_png(v) for i, v in enumerate(views)}
    truth: CaptureTruth | None = truth_of(views)
    style = index % 5
    about, say = "as documented", "background|mask|shadow"
    if style == 1:
        lines[0], truth, say, about = "7", None, "7|images", "a count that lies"
    if style == 2:
        lines[2], truth, say, about = lines[2].rsplit(" ", 1)[0], None, ".", "a number missing"
    if style == 3:
        lines[2], truth, say, about = lines[2].replace("0.", "nan.", 1), None, ".", "no number"
    if style == 4:
        files.pop("c/x3.png")
        truth, say, about = None, "x3", "a picture missing"
    return loaded(f"Middlebury: {about}", {**files, "c/x_par.txt": "\n".join(lines).encode()}, truth, say=say)


@kind("captures", "poses rounded, scaled, mirrored, broken", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    views = capture(rng, 6, 64, 48)
    style = index % 10
    digits = 4 - style if style < 3 else 9

    def change(d: dict) -> None:
        for i, f in enumerate(d["frames"]):
            M = np.array(f["transform_matrix"])
            if style < 3:
                M = M.round(digits)
            if style == 3:
                M[:3, :3] *= 2.5
            if style == 4:
                M[:3, 0] *= -1
            if style == 5 and i == 2:
                M[0, 3] = np.nan
            if style == 6 and i == 2:
                M[:3, :3] = 0
            if style == 7:
                M[3] = [0, 0, 1, 1]
            f["transform_matrix"] = M.tolist()
            if style == 8 and i == 2:
                f["transform_matrix"] = M[:2].tolist()
            if style == 9 and i == 2:
                f["transform_matrix"][0][0] = "0.5"

    about = (
        f"{digits} decimals",
        f"{digits} decimals",
        f"{digits} decimals",
        "scaled by 2.5",
        "mirrored",
        "NaN in one",
        "zero rotation",
        "last row wrong",
        "two rows",
        "text among numbers",
    )[style]
    files = files_of(views, change=change)
    if style < 3:
        truth = replace(truth_of(views, images=style < 2, masks=style < 2))
        tolerant = replace(truth) if style else truth
        say = None if style < 2 else "round|rotation|decimal"
        rounded = [replace(v, T=(np.array((v.T @ FLIP).round(digits)) @ FLIP)) for v in views]
        tolerant = replace(tolerant, T_cam_world=np.stack([np.linalg.inv(v.T) for v in rounded]))
        return loaded(
            f"poses of {about}", files, tolerant, say=say or "round|rotation|decimal|background|mask|shadow"
        )
    return loaded(about, files, truth_of(views) if style in (3, 9) else None, say=".")


# Camera files that are no good


@kind("captures", "camera files that are no good", 4)
def _(rng: np.random.Generator, index: int) -> Input:
    views = capture(rng, 4, 32, 24)
    texts: dict[str, Callable[[dict], object]] = {
        "no frames": lambda d: d.update(frames=[]),
        "frames that are a dictionary": lambda d: d.update(frames={"0": d["frames"][0]}),
        "frames that are null": lambda d: d.update(frames=None),
        "frames of numbers": lambda d: d.update(frames=[1, 2]),
        "no transform_matrix": lambda d: d["frames"][1].pop("transform_matrix") and None,
        "no file_path": lambda d: d["frames"][1].pop("file_path") and None,
        "file_path of a number": lambda d: d["frames"][1].update(file_path=3),
        "file_path empty": lambda d: d["frames"][1].update(file_path=""),
        "file_path of 5,000 letters": lambda d: d["frames"][1].update(file_path="a" * 5000),
        "file_path with NUL": lambda d: d["frames"][1].update(file_path="a\0b.png"),
        "the same picture twice": lambda d: d["frames"][1].update(file_path=d["frames"][0]["file_path"]),
        "no intrinsics": lambda d: {"frames": d["frames"]},
        "fl_x 0": lambda d: d.update(fl_x=0, fl_y=0),
        "fl_x negative": lambda d: d.update(fl_x=-40),
        "fl_x NaN": lambda d: d.update(fl_x=float("nan")),
        "fl_x of text": lambda d: d.update(fl_x="wide"),
        "fl_x true": lambda d: d.update(fl_x=True),
        "camera_angle_x 0": lambda d: {"camera_angle_x": 0, "frames": d["frames"]},
        "camera_angle_x in degrees": lambda d: {"camera_angle_x": 43.6, "frames": d["frames"]},
        "w infinite": lambda d: json.dumps(d).replace('"w": 32', '"w": 1e999').encode(),
        "w negative": lambda d: d.update(w=-32),
        "w a billion": lambda d: d.update(w=10**9, h=10**9),
        "a fisheye": lambda d: d.update(camera_model="OPENCV_FISHEYE", k1=0.1),
        "k1 of 1e30": lambda d: d.update(k1=1e30),
        "100,000 brackets": lambda d: b"[" * 100_000,
        "a number of 10,000 digits": lambda d: (
            json.dumps(d).replace('"w": 32', '"w": ' + "9" * 10_000).encode()
        ),
        "cut": lambda d: json.dumps(d).encode()[:-40],
        "nothing": lambda d: b"",
        "noise": lambda d: rng.bytes(500),
        "a list": lambda d: b"[1, 2, 3]",
        "UTF-16": lambda d: json.dumps(d).encode("utf-16"),
        "a comma too many": lambda d: json.dumps(d).encode().replace(b"}]", b"},]"),
        "a frame that is null": lambda d: d["frames"].append(None),
        "the point at infinity": lambda d: d["frames"][0]["transform_matrix"].__setitem__(
            0, [1, 0, 0, 1e308]
        ),
    }
    name = list(texts)[index % len(texts)]
    return loaded(
        name, files_of(views, change=texts[name]), truth_of(views) if name == "UTF-16" else None, say="."
    )


@kind("captures", "pictures that are no good", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    import struct
    import zlib

    views = capture(rng, 6, 64, 48)
    files = files_of(views)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )
    changes = [
        ("one is missing", None),
        ("one is empty", b""),
        ("one is noise", rng.bytes(500)),
        ("one is cut", files["c/images/002.png"][:300]),
        ("one is a bomb", bomb),
        ("one is white", png(np.full((48, 64, 3), 255, np.uint32), 8, "rgb")),
        ("one has another size", png(u8(views[2].rgb)[:40], 8, "rgb")),
        ("one is a text", b"hello"),
    ]
    about, data = changes[index % len(changes)]
    files.pop("c/images/002.png")
    if data is not None:
        files["c/images/002.png"] = data
    return reconstructed(about, files, "002", megabytes=800)


# Captures that contradict themselves


def turned(view: View, orientation: int) -> View:
    """The stored pixels of a view whose upright picture is this one, with the camera of the stored pixels.

    EXIF 2.3: a viewer applies the turn to the stored pixels to make them upright; here it is undone.
    """
    h, w = view.mask.shape
    K = view.K
    # Pixel coordinates (u, v) of the upright picture, from (s, t) of the stored one, as a matrix.
    place = {
        1: [[1, 0, 0], [0, 1, 0]],
        2: [[-1, 0, w], [0, 1, 0]],
        3: [[-1, 0, w], [0, -1, h]],
        4: [[1, 0, 0], [0, -1, h]],
        5: [[0, 1, 0], [1, 0, 0]],
        6: [[0, -1, w], [1, 0, 0]],
        7: [[0, -1, w], [-1, 0, h]],
        8: [[0, 1, 0], [-1, 0, h]],
    }[orientation]
    A = np.vstack([place, [0, 0, 1]]).astype(float)
    take = lambda a: {  # noqa: E731
        1: a,
        2: a[:, ::-1],
        3: a[::-1, ::-1],
        4: a[::-1],
        5: a.swapaxes(0, 1),
        6: a.swapaxes(0, 1)[::-1],
        7: a.swapaxes(0, 1)[::-1, ::-1],
        8: a.swapaxes(0, 1)[:, ::-1],
    }[orientation]
    # K_upright x = A (K_stored R x): the turn moves into the rotation, focal lengths stay positive.
    linear_part = A[:2, :2]
    R = np.eye(3)
    R[:2, :2] = np.linalg.inv(linear_part)
    stored = np.linalg.inv(A) @ K
    new_K = stored @ np.linalg.inv(R)
    T = view.T.copy()
    T[:3, :3] = view.T[:3, :3] @ np.linalg.inv(R)
    return View(T, new_K, take(view.rgb), take(view.mask), take(view.color))


@kind("captures", "EXIF turns, cameras of the stored pixels", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    """As COLMAP makes them, which looks at no EXIF. Mirrors (2, 4, 5, 7) never come from cameras."""
    orientation = (1, 3, 6, 8)[index % 4]
    busy = index % 3 == 1
    views = [turned(v, orientation) for v in capture(rng, 8, 80, 60, busy=busy)]
    files = files_of(
        views,
        "images/{:03d}.jpg",
        lambda v: jpeg(v, orientation),
        mask_png if busy or index % 3 == 2 else None,
    )
    if index % 2 == 0:
        return loaded(
            f"orientation {orientation}, {'masks' if busy or index % 3 == 2 else 'no masks'}",
            files,
            truth_of(views),
            say="EXIF|orientation|turn|upright|mask",
        )
    return reconstructed(
        f"orientation {orientation}, in reconstruct",
        files,
        "EXIF|orientation|turn|upright|stored" if orientation == 3 else None,
        None if orientation == 3 else RunTruth(fine),
    )


@kind("captures", "EXIF turns, cameras of the upright pixels", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    orientation = (1, 3, 6, 8)[index % 4]
    upright = capture(rng, 8, 80, 60, busy=index % 3 == 1)
    stored = [turned(v, orientation) for v in upright]
    with_masks = index % 3 > 0
    data = files_of(upright, "images/{:03d}.jpg", rgb_png, mask_png if with_masks else None)
    data |= {f"c/images/{i:03d}.jpg": jpeg(v, orientation) for i, v in enumerate(stored)}
    return loaded(
        f"orientation {orientation}, {'upright masks' if with_masks else 'no masks'}",
        data,
        truth_of(upright),
        say="EXIF|orientation|turn|upright|mask",
    )


@kind("captures", "that contradict themselves", 6)
def _(rng: np.random.Generator, index: int) -> Input:
    style = index % 16
    good = capture(rng, 10, 96, 72, busy=style in (2, 3))
    mixed = lambda order: [replace(good[j], T=good[i].T) for i, j in enumerate(order)]  # noqa: E731
    n = len(good)
    inverted = lambda v: png(255 - u8(v.mask)[..., None], 8, "grey")  # noqa: E731
    shifted = lambda d: d.update(cx=d["cx"] + 30)  # noqa: E731

    def as_opencv(d: dict) -> None:
        for f in d["frames"]:
            f["transform_matrix"] = (np.array(f["transform_matrix"]) @ FLIP).tolist()

    def inverse(d: dict) -> None:
        for f in d["frames"]:
            f["transform_matrix"] = np.linalg.inv(np.array(f["transform_matrix"])).tolist()

    def same(d: dict) -> None:
        for f in d["frames"]:
            f["transform_matrix"] = d["frames"][0]["transform_matrix"]

    def half(v: View) -> bytes:
        return png(u8(v.rgb)[::2, ::2], 8, "rgb")

    def no_size(d: dict) -> dict:
        return {k: v for k, v in d.items() if k not in ("w", "h")}

    blank = png(np.zeros((72, 96, 1), np.uint32), 8, "grey")
    cases: list[tuple[str, dict, str]] = [
        (
            "order shifted by one",
            files_of(mixed([(i + 1) % n for i in range(n)])),
            "order|contradict|shuffl|do not fit|belong",
        ),
        (
            "order at random",
            files_of(mixed(np.roll(rng.permutation(n), 1).tolist()), mask=mask_png),
            "order|contradict|shuffl|do not fit|belong",
        ),
        ("masks inverted", files_of(good, mask=inverted), "invert"),
        (
            "masks whose names fit nothing",
            files_of(good, "images/frame_{:05d}.png", mask=mask_png, mask_name="masks/mask_{:05d}.png"),
            "mask",
        ),
        (
            "masks in a folder called segmentation",
            files_of(good, mask=mask_png, mask_name="segmentation/{:03d}.png"),
            "segmentation",
        ),
        (
            "cameras on one side",
            files_of(capture(rng, 8, 96, 72, low=0.75, high=0.98, turn=0.1)),
            "side|far side|unseen|degrees|cone",
        ),
        ("one view", files_of(good[:1]), "one view|1 view|single|two|more"),
        ("two views", files_of(good[:2]), "two view|2 view|few|side|unseen"),
        (
            "half the size, intrinsics of the full",
            files_of(good, save=half, change=no_size),
            "size|intrinsic|principal",
        ),
        (
            "axes of OpenCV instead of OpenGL",
            files_of(good, change=as_opencv),
            "axes|contradict|fit|behind|look|OpenGL|OpenCV|camera",
        ),
        (
            "world to camera instead of camera to world",
            files_of(good, change=inverse),
            "contradict|fit|camera|pose|inver|side|same",
        ),
        ("all cameras the same", files_of(good, change=same), "same|contradict|fit|side|camera|place"),
        (
            "principal point 30 pixels off",
            files_of(good, change=shifted),
            "principal|contradict|fit|camera|intrinsic|cx",
        ),
        (
            "one mask of another view",
            files_of(good, mask=mask_png) | {"c/masks/003.png": mask_png(good[7])},
            "003",
        ),
        ("one mask black", files_of(good, mask=mask_png) | {"c/masks/003.png": blank}, "003"),
        (
            "a mask missing",
            {k: v for k, v in files_of(good, mask=mask_png).items() if k != "c/masks/003.png"},
            "003|mask",
        ),
    ]
    about, files, say = cases[style]
    if index // 16 % 2 and style not in (7,):
        words = ["doctor", "@/c", "--out", "@/out"]
        return Input(f"doctor: {about}", "cli", words, files, None, say=say, seconds=30)
    return reconstructed(about, files, say)


@kind("captures", "reconstructed to the end", most=2)
def _(rng: np.random.Generator, index: int) -> Input:
    views = capture(rng, 12, 64, 48)
    turn = rotation(rng) if index % 2 else np.eye(3)
    far = np.array([4000.0, -2000, 700]) * (index % 2)

    def moved(v: View) -> View:
        T = v.T.copy()
        T[:3, :3], T[:3, 3] = turn @ v.T[:3, :3], turn @ v.T[:3, 3] + far
        return replace(v, T=T)

    def check(report: dict, folder: Path) -> str:
        from bozzetto.shapes import load_mesh

        from .judge import positions

        vertices = (positions(load_mesh(folder / "out/mesh.ply")) - far) @ turn
        sdf = np.min([np.linalg.norm(vertices - b[:3], axis=1) - b[3] for b in BALLS], axis=0)
        return "" if np.abs(sdf).mean() < 0.02 else f"mean distance {np.abs(sdf).mean():.3f}"

    words = ["reconstruct", "@/c", "--preset", "fast", "--out", "@/out", "--json", "--quiet"]
    return Input(
        "12 small views",
        "cli",
        words,
        files_of([moved(v) for v in views]),
        RunTruth(check),
        seconds=240,
        megabytes=3000,
    )
