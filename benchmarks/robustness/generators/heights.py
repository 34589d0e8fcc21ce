"""Height maps, and `evaluate heightmap` on them; pairs for `train heightmap`."""

from pathlib import Path

import numpy as np

from .inputs import HeightTruth, Input, RunTruth, kind
from .pictures import png, smooth, with_openexr, with_pillow, with_tifffile


def exr(channels: dict[str, np.ndarray]) -> object:
    """A maker of an EXR file."""
    return lambda path: with_openexr(channels, path)


def rough(rng: np.random.Generator, height: int = 48, width: int = 60) -> np.ndarray:
    """Heights that fill [0, 1], (H, W)."""
    return smooth(rng, height, width)[..., 0]


def grey_png(values: np.ndarray, bits: int = 16) -> bytes:
    """A grey PNG of heights in [0, 1]."""
    return png(np.round(values * (2**bits - 1)).astype(np.uint32)[..., None], bits, "grey")


@kind("heights", "of all types, read", 4)
def _(rng: np.random.Generator, index: int) -> Input:
    h = rough(rng)
    style = index % 14
    unsigned = lambda t: np.round(h * np.iinfo(t).max).astype(t)  # noqa: E731
    if style == 0:
        return _read("PNG, 16 bits", "a.png", grey_png(h), HeightTruth(h, tolerance=1e-4))
    if style == 1:
        return _read("PNG, 8 bits", "a.png", grey_png(h, 8), HeightTruth(h, tolerance=0.003))
    if style == 2:
        return _read(
            "PNG, RGB of equal channels, 16 bits",
            "a.png",
            png(np.repeat(np.round(h * 65535).astype(np.uint32)[..., None], 3, 2), 16, "rgb"),
            HeightTruth(h, tolerance=1e-3),
        )
    if style in (3, 4, 5):
        t = ("u1", "u2", "u4")[style - 3]
        return _read(f"TIFF, {t}", "a.tif", with_tifffile(unsigned(t)), HeightTruth(h, tolerance=0.003))
    if style in (6, 7):
        t = ("i2", "i4")[style - 6]
        low, high = float(np.iinfo(t).min), float(np.iinfo(t).max)
        stored = np.round(h * (high - low) + low).clip(low, high).astype(t)
        return _read(f"TIFF, {t}", "a.tif", with_tifffile(stored), HeightTruth(h, exact=False), say="sign")
    if style in (8, 9, 10):
        t = ("f4", "f8", "f2")[style - 8]
        scale = (1, 300, 1)[style - 8]
        return _read(
            f"TIFF, {t}, to {scale}",
            "a.tif",
            with_tifffile((h * scale).astype(t)),
            HeightTruth(h * scale, tolerance=2e-3 * scale),
        )
    layers = (
        {"Y": h},
        {"Displacement.V": h, "A": np.ones_like(h)},
        {"height.Y": h, "normal.X": h * 0, "normal.Y": h * 0 + 0.5, "normal.Z": h * 0 + 1},
    )[style - 11]
    layers = {k: v.astype("f4") for k, v in layers.items()}
    return Input(
        f"EXR {sorted(layers)}",
        "load_height",
        "a.exr",
        {"a.exr": exr(layers)},
        HeightTruth(h),
        say=None if style == 11 else "channel|layer",
    )


def _read(about: str, name: str, data: bytes, truth: HeightTruth | None, **more) -> Input:
    return Input(about, "load_height", name, {name: data}, truth, **more)


@kind("heights", "elevation models with missing heights", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    h = rough(rng) * 400 + 200
    hole = rng.random(h.shape) < 0.05
    missing, t = (
        (-9999.0, "f4"),
        (np.nan, "f4"),
        (-32768, "i2"),
        (-3.4028235e38, "f4"),
        (-99999, "f4"),
        (1e20, "f4"),
    )[index % 6]
    stored = np.where(hole, missing, h).astype(t)
    tags = [(42113, "s", 0, str(missing), False)] if index // 6 % 2 else []  # GDAL_NODATA
    return _read(
        f"{t}, {hole.sum()} pixels are {missing}",
        "a.tif",
        with_tifffile(stored, extratags=tags),
        None,
        say="NaN|missing|no height|without height|nodata|hole|sign|infinit",
    )


@kind("heights", "coloured, transparent, paletted", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    h = rough(rng)
    style = index % 6
    grey = np.round(h * 255).astype(np.uint32)[..., None]
    if style == 0:
        color = np.round(smooth(rng, 40, 40, 3) * 255).astype(np.uint32)
        return _read("a photo", "a.png", png(color, 8, "rgb"), None, say="colo")
    if style == 1:
        return _read(
            "grey with alpha of 1",
            "a.png",
            png(np.concatenate([grey, grey * 0 + 255], -1), 8, "grey alpha"),
            HeightTruth(h, tolerance=0.003),
        )
    if style == 2:
        alpha = np.where(h > 0.5, 255, 0)[..., None]
        return _read(
            "grey with holes in alpha",
            "a.png",
            png(np.concatenate([grey, alpha], -1), 8, "grey alpha"),
            None,
            say="alpha|transparent",
        )
    if style == 3:
        palette = rng.integers(0, 256, (256, 3)).astype(np.uint8)
        return _read(
            "a colour map as palette",
            "a.png",
            png(grey, 8, "palette", [(b"PLTE", palette.tobytes())]),
            None,
            say="colo|palette",
        )
    if style == 4:
        palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
        return _read(
            "a grey palette",
            "a.png",
            png(grey, 8, "palette", [(b"PLTE", palette.tobytes())]),
            HeightTruth(h, tolerance=0.003),
        )
    return _read(
        "a grey JPEG",
        "a.jpg",
        with_pillow(grey.astype(np.uint8), "JPEG", quality=98),
        HeightTruth(h, tolerance=0.05),
    )


def scores(pred: np.ndarray, truth: np.ndarray, tolerance: float = 0.02) -> RunTruth:
    """The correlation that numpy finds, after the same averaging (none, for maps are compared as they are)."""
    r = float(np.corrcoef(pred.ravel(), truth.ravel())[0, 1])

    def check(report: dict, folder: Path) -> str:
        found = report["figures"]["summary"]["prediction"]["correlation"]
        return "" if found is not None and abs(found - r) < tolerance else f"correlation {found}, not {r:.4f}"

    return RunTruth(check)


def evaluate(
    about: str, files: dict, truth: RunTruth | None, pred: str = "p.png", ref: str = "r.png", **more
) -> Input:
    """A run of `evaluate heightmap`, of maps as they are."""
    words = f"evaluate heightmap @/{pred} @/{ref} --resolution 0 --out @/out --json".split()
    return Input(about, "cli", words, files, truth, seconds=30, **more)


@kind("heights", "in `evaluate heightmap`", 3, most=45)
def _(rng: np.random.Generator, index: int) -> Input:
    truth, noise = rough(rng), rough(rng)
    pred = np.clip(truth * 0.7 + 0.3 * noise, 0, 1)
    style = index % 11
    ref = {"r.png": grey_png(truth)}
    sign = (-1) ** int(rng.integers(2))
    if style == 0:
        return evaluate("two PNG of 16 bits", {"p.png": grey_png(pred), **ref}, scores(pred, truth))
    if style == 1:
        return evaluate(
            "prediction uint32",
            {"p.tif": with_tifffile(np.round(pred * (2**32 - 1)).astype("u4")), **ref},
            scores(pred, truth),
            "p.tif",
        )
    if style == 2:
        return evaluate(
            "prediction int16",
            {"p.tif": with_tifffile(np.round(pred * 65535 - 32768).astype("i2")), **ref},
            scores(pred, truth),
            "p.tif",
            say="sign",
        )
    if style == 3:
        return evaluate(
            "prediction float64 in metres",
            {"p.tif": with_tifffile(pred * 0.3 - 0.1), **ref},
            scores(pred, truth),
            "p.tif",
        )
    if style == 4:
        layers = {"disp.Y": pred.astype("f4"), "A": np.ones(pred.shape, "f4")}
        return evaluate(
            "prediction EXR with a layer and alpha",
            {"p.exr": exr(layers), **ref},
            scores(pred, truth),
            "p.exr",
            say="channel|layer",
        )
    if style == 5:
        return evaluate(
            "prediction cropped",
            {"p.png": grey_png(pred[:, :40]), **ref},
            None,
            say="size|aspect|shape|crop|pixels",
        )
    if style == 6:
        return evaluate(
            "constant reference",
            {"p.png": grey_png(pred), "r.png": grey_png(pred * 0 + 0.5)},
            None,
            say="constant|flat|same height|one height",
        )
    if style == 7:
        return evaluate("constant prediction", {"p.png": grey_png(pred * 0 + 0.5), **ref}, None)
    if style == 8:
        blank = {
            "pred/m.png": grey_png(pred * 0),
            "pred/m.exr": exr({"Y": pred.astype("f4")}),
            "ref/m.png": grey_png(truth),
        }
        return evaluate(
            "a blank PNG beside the EXR",
            blank,
            scores(pred, truth),
            "pred",
            "ref",
            say="two|both|m.png|several",
        )
    if style == 9:
        return evaluate(
            "negated prediction",
            {"p.exr": exr({"Y": (sign * pred).astype("f4")}), **ref},
            scores(sign * pred, truth),
            "p.exr",
        )
    files = {"pred/a.png": grey_png(pred), "pred/b.png": grey_png(truth), "ref/a.png": grey_png(truth)}
    return evaluate(
        "a prediction without reference", files, scores(pred, truth), "pred", "ref", say="b|reference|more"
    )


@kind("heights", "in `evaluate heightmap`, at the protocol's size", most=10)
def _(rng: np.random.Generator, index: int) -> Input:
    truth = rough(rng, 64, 80)
    pred = np.clip(truth * 0.8 + 0.2 * rough(rng, 64, 80), 0, 1)
    style = index % 4
    if style == 0:
        files, truth_of = {"p.png": grey_png(pred), "r.png": grey_png(truth)}, scores(pred, truth, 0.03)
    elif style == 1:
        files, truth_of = (
            {"p.png": grey_png(np.kron(pred, np.ones((2, 2)))), "r.png": grey_png(truth)},
            scores(pred, truth, 0.03),
        )
    elif style == 2:
        files, truth_of = {"p.png": grey_png(pred[:, :64]), "r.png": grey_png(truth)}, None
    else:
        files, truth_of = {"p.png": grey_png(pred.T), "r.png": grey_png(truth)}, None
    about = ("same size", "twice the size", "cropped", "turned")[style]
    say = "size|aspect|shape|crop|pixels" if truth_of is None else None
    words = ["evaluate", "heightmap", "@/p.png", "@/r.png", "--out", "@/out", "--json"]
    return Input(about, "cli", words, files, truth_of, say=say, seconds=30)


@kind("materials", "pairs for `train heightmap`", 2, most=24)
def _(rng: np.random.Generator, index: int) -> Input:
    height = rough(rng, 96, 96)
    color = np.clip(height[..., None] * np.array([0.5, 0.4, 0.3]) + 0.2, 0, 1)
    png8 = png(np.round(color * 255).astype(np.uint32), 8, "rgb")
    style = index % 10
    good = {"d/a/color.png": png8, "d/a/height.png": grey_png(height)}
    cases: list[tuple[str, dict, str | None]] = [
        ("a good pair", good, None),
        (
            "colours as floats up to 4",
            {
                "d/a/color.tif": with_tifffile((color * 4).astype("f4"), photometric="rgb"),
                "d/a/height.png": good["d/a/height.png"],
            },
            "range|colo|bright|values|span|white",
        ),
        (
            "another aspect",
            {
                "d/a/color.png": png(np.round(color[:, :48] * 255).astype(np.uint32), 8, "rgb"),
                "d/a/height.png": good["d/a/height.png"],
            },
            "aspect|size|pixels|shape",
        ),
        (
            "a flat height",
            {"d/a/color.png": png8, "d/a/height.png": grey_png(height * 0 + 0.5)},
            "flat|constant|height",
        ),
        ("no height", {"d/a/color.png": png8}, "height|pair|nothing"),
        ("a manifest without slug", {**good, "d/manifest.csv": b"name,foo\na,1\n"}, "manifest|slug|column"),
        ("a manifest of noise", {**good, "d/manifest.csv": rng.bytes(300)}, "manifest"),
        ("an empty manifest", {**good, "d/manifest.csv": b""}, "manifest"),
        ("a damaged colour", {"d/a/color.png": png8[:100], "d/a/height.png": good["d/a/height.png"]}, "."),
        (
            "a height of signed numbers",
            {
                "d/a/color.png": png8,
                "d/a/height.tif": with_tifffile(np.round(height * 65535 - 32768).astype("i2")),
            },
            None,
        ),
    ]
    about, files, say = cases[style]
    words = "train heightmap @/d --steps 1 --procedural-samples 0 --out @/out --json".split()
    return Input(about, "cli", words, files, None, say=say, seconds=60, megabytes=2500)
