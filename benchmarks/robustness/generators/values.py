"""Values that are legal and cannot be meant (normals, outliers, unused vertices), and what verbs make of it."""

from pathlib import Path

import numpy as np

from .inputs import CloudTruth, Input, RunTruth, kind, pick
from .obj import lines_of
from .ply import Element, ply, with_columns
from .solids import Solid, ball, linear, sphere_cloud
from .text_clouds import rows_of


def cloud_file(points: np.ndarray, normals: np.ndarray | None = None, ending: str = ".ply") -> bytes:
    """A cloud as PLY or XYZ."""
    if ending == ".xyz":
        columns = [points.tolist()] + ([] if normals is None else [normals.tolist()])
        return "\n".join(rows_of(columns, ["{:.9f}"] * len(columns))).encode()
    element: Element = ("vertex", [("double", c) for c in "xyz"], points.tolist())
    if normals is not None:
        element = with_columns(element, [("float", n) for n in ("nx", "ny", "nz")], normals.T.tolist())
    return ply([element], "binary_little_endian")


def sphere_mesh(volume: float, area: float, tolerance: float = 0.04) -> RunTruth:
    """A closed mesh of this volume and area."""

    def check(report: dict, folder: Path) -> str:
        mesh = report["figures"]["mesh"]
        wanted = {"volume": volume, "area": area}
        found = {name: abs(mesh[name]) if mesh[name] is not None else float("nan") for name in wanted}
        far = [
            f"{k} {found[k]:.4g}, not {v:.4g}"
            for k, v in wanted.items()
            if not abs(found[k] / v - 1) < tolerance
        ]
        return "; ".join(far + ([] if mesh["watertight"] else ["not watertight"]))

    return RunTruth(check)


def surface(about: str, data: bytes, truth: RunTruth | None, ending: str = ".ply", **more) -> Input:
    """A run of `surface`, coarse."""
    name = "a" + ending
    words = ["surface", f"@/{name}", "--resolution", "24", "--out", "@/out", "--json", *more.pop("words", [])]
    return Input(about, "cli", words, {name: data}, truth, seconds=30, **more)


def even_sphere(rng: np.random.Generator, count: int = 900) -> tuple[np.ndarray, np.ndarray, float]:
    """Even points (a golden spiral) of a sphere of random place and radius, normals, radius."""
    i = np.arange(count) + 0.5
    z, angle = 1 - 2 * i / count, i * np.pi * (3 - np.sqrt(5))
    normals = np.column_stack([np.sqrt(1 - z * z) * np.cos(angle), np.sqrt(1 - z * z) * np.sin(angle), z])
    radius = 10.0 ** rng.uniform(-1, 1)
    return normals * radius + rng.normal(size=3) * radius, normals, radius


@kind("values", "normals that cannot be, in `surface`", 4, most=40)
def _(rng: np.random.Generator, index: int) -> Input:
    points, normals, radius = even_sphere(rng)
    n = len(points)
    style = index % 8
    flip = np.where(rng.random((n, 1)) < 0.5, -1, 1)
    values = (
        normals * 0,
        normals * flip,
        rng.normal(size=(n, 3)),
        normals * 255,
        normals * np.where(rng.random((n, 1)) < 0.3, 0, 1),
        np.full((n, 3), [0.0, 0, 1]),
        normals * rng.uniform(0.1, 4, (n, 1)),
        np.roll(normals, 1, axis=1),
    )[style]
    about = (
        "all zero",
        "half inward",
        "random",
        "of length 255",
        "a third zero",
        "all upward",
        "of any length",
        "axes swapped",
    )[style]
    ending = (".ply", ".xyz")[index // 8 % 2]
    truth = sphere_mesh(4 / 3 * np.pi * radius**3, 4 * np.pi * radius**2)
    return surface(f"normals {about}", cloud_file(points, values, ending), truth, ending, say="normal")


@kind("values", "all normals inward, in `surface`", most=6)
def _(rng: np.random.Generator, index: int) -> Input:
    points, normals, radius = even_sphere(rng)
    truth = sphere_mesh(4 / 3 * np.pi * radius**3, 4 * np.pi * radius**2)
    return surface(
        "normals inward", cloud_file(points, -normals), truth, say="normal|inside|inward|volume|negative"
    )


@kind("values", "colours without names, in `surface`", most=8)
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, radius = even_sphere(rng)
    colors = rng.integers(0, 256, (len(points), 3))
    values = colors.tolist() if index % 2 else (colors / 255).round(4).tolist()
    data = "\n".join(rows_of([points.tolist(), values], ["{:.9f}", "{}"])).encode()
    truth = sphere_mesh(4 / 3 * np.pi * radius**3, 4 * np.pi * radius**2)
    return surface("x y z r g b", data, truth, ".xyz", say="colo|normal|column")


@kind("values", "far outliers, repeated points, clean clouds, in `surface`", 3, most=30)
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, radius = even_sphere(rng)
    truth = sphere_mesh(4 / 3 * np.pi * radius**3, 4 * np.pi * radius**2)
    style = index % 5
    if style == 0:
        return surface("clean", cloud_file(points), truth)
    if style == 1:
        far = 10.0 ** rng.integers(1, 6)
        points = np.vstack(
            [points, points.mean(0) + radius * far * rng.normal(size=(int(rng.integers(1, 4)), 3))]
        )
        return surface(
            f"outliers {far:g} radii away", cloud_file(points), truth, say="outlier|far|stray|point"
        )
    if style == 2:
        points = np.repeat(points, 2, axis=0)
        return surface("every point twice", cloud_file(points), truth, say="twice|repeat|duplicate|same")
    if style == 3:
        points = np.vstack([points, np.tile(points[:1], (300, 1))])
        return surface("one point 300 times", cloud_file(points), truth, say="repeat|duplicate|same|times")
    points = np.vstack([points, np.zeros((200, 3)) + points.mean(0) + 30 * radius])
    return surface(
        "200 times the same far point",
        cloud_file(points),
        truth,
        say="repeat|duplicate|same|times|outlier|far|stray",
    )


@kind("values", "flat, straight, tiny, huge clouds, in `surface` and `denoise`", 2, most=24)
def _(rng: np.random.Generator, index: int) -> Input:
    style = index % 8
    u, v = rng.random((2, 800))
    points = (
        np.column_stack([u, v, 0 * u]),
        np.column_stack([u, u, u]),
        np.column_stack([u, u, u]) * 0 + 3,
        np.column_stack([u, v, 1e-9 * v]),
        even_sphere(rng)[0] * 1e-12,
        even_sphere(rng)[0] * 1e15,
        even_sphere(rng)[0][:5],
        even_sphere(rng)[0] * 1e-40,
    )[style]
    about = (
        "a plane",
        "a line",
        "one point",
        "nearly a plane",
        "of 1e-12",
        "of 1e15",
        "five points",
        "of 1e-40",
    )[style]
    words = ["denoise", "@/a.ply", "--out", "@/out", "--json"]
    if index // 8 % 2:
        return Input(f"denoise {about}", "cli", words, {"a.ply": cloud_file(points)}, None, seconds=30)
    say = "." if style in (1, 2, 6) else None
    return surface(about, cloud_file(points), None, say=say)


@kind("values", "what `denoise` keeps", most=8)
def _(rng: np.random.Generator, index: int) -> Input:
    points, normals, radius = even_sphere(rng)
    noisy = points + rng.normal(size=points.shape) * 0.01 * radius

    def check(report: dict, folder: Path) -> str:
        from bozzetto.shapes import load_points

        from .judge import positions

        cloud = load_points(folder / "out/points.ply")
        far = np.abs(np.linalg.norm(positions(cloud) - points.mean(0), axis=1) / radius - 1).mean()
        before = np.abs(np.linalg.norm(noisy - points.mean(0), axis=1) / radius - 1).mean()
        turned = (np.asarray(cloud.normals) * normals).sum(1) if cloud.normals is not None else np.ones(1)
        return "; ".join(
            ([f"error {far:.4f} after, {before:.4f} before"] if far > before else [])
            + (
                [f"{(turned < 0).mean():.0%} of the normals point inward"]
                if (turned < 0).mean() > 0.01
                else []
            )
        )

    given = (None, normals, normals * 0)[index % 3]
    words = ["denoise", "@/a.ply", "--out", "@/out", "--json"]
    return Input(
        "a noisy sphere",
        "cli",
        words,
        {"a.ply": cloud_file(noisy, given)},
        RunTruth(check),
        seconds=30,
        say="normal" if index % 3 == 2 else None,
    )


def figures(wanted: dict[str, tuple[float, float]]) -> RunTruth:
    """Means of `evaluate surface` or `points` within these limits."""

    def check(report: dict, folder: Path) -> str:
        summary = report["figures"]["summary"]
        found = {k: summary[k]["mean"] for k in wanted}
        return "; ".join(
            f"{k} {v}" for k, v in found.items() if v is None or not wanted[k][0] <= v <= wanted[k][1]
        )

    return RunTruth(check)


def evaluate(about: str, pred: Solid, ref: Solid, truth: RunTruth, **more) -> Input:
    """A run of `evaluate surface` on two OBJ files."""
    files = {
        name: "\n".join(lines_of(s, "{:.12g}")).encode() for name, s in (("p.obj", pred), ("r.obj", ref))
    }
    words = ["evaluate", "surface", "@/p.obj", "@/r.obj", "--samples", "20000", "--out", "@/out", "--json"]
    return Input(about, "cli", words, files, truth, seconds=30, **more)


@kind("values", "unused far vertices, in `evaluate surface`", 2, most=20)
def _(rng: np.random.Generator, index: int) -> Input:
    a, b = ball(level=3), ball(level=3)
    scale = rng.uniform(1.02, 1.2)
    a = Solid(a.vertices * scale, a.polygons)
    far = 10.0 ** rng.integers(0, 6)
    if index % 3:
        a = Solid(np.vstack([a.vertices, [[far, 0, 0]]]), a.polygons)
    if index % 3 == 2:
        b = Solid(np.vstack([b.vertices, [[0, -far, 0]]]), b.polygons)
    iou, gap = scale**-3, 2 * (scale - 1)
    truth = figures({"iou": (iou - 0.015, iou + 0.015), "chamfer_sum": (0.9 * gap, 1.05 * gap)})
    return evaluate(f"spheres of {scale:.3f} and 1, unused vertices at {far:g}", a, b, truth)


@kind("values", "known distances, in `evaluate surface`", 2, most=20)
def _(rng: np.random.Generator, index: int) -> Input:
    a, scale = ball(level=3), 10.0 ** rng.uniform(-3, 3)
    shift = rng.normal(size=3) * scale * 3
    place = lambda s, k: Solid(s.vertices * scale * k + shift, s.polygons)  # noqa: E731
    k = rng.uniform(1.02, 1.3)
    gap = 2 * (k - 1) * scale
    truth = figures(
        {
            "iou": (k**-3 - 0.015, k**-3 + 0.015),
            "chamfer_sum": (0.9 * gap, 1.05 * gap),
            "normal_consistency": (0.97, 1.001),
        }
    )
    return evaluate(f"concentric spheres, {k:.3f}", place(a, k), place(a, 1), truth)


@kind("values", "known distances, in `evaluate points`", 2, most=20)
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, radius = even_sphere(rng, 300)
    shift = rng.normal(size=3)
    shift *= 0.002 * radius / np.linalg.norm(shift)
    length = float(np.linalg.norm(shift))
    files = {"p.xyz": cloud_file(points + shift, None, ".xyz"), "r.ply": cloud_file(points)}
    truth = figures(
        {"pred_to_ref": (0.98 * length, 1.02 * length), "hausdorff": (0.98 * length, 1.02 * length)}
    )
    words = ["evaluate", "points", "@/p.xyz", "@/r.ply", "--points", "128", "--out", "@/out", "--json"]
    return Input("a cloud and itself, moved a little", "cli", words, files, truth, seconds=30)


@kind("values", "shapes that no surface score fits", 2, most=16)
def _(rng: np.random.Generator, index: int) -> Input:
    a = ball(level=2)
    style = index % 6
    empty = b"v 0 0 0\nv 1 0 0\nv 0 1 0\n"
    good = "\n".join(lines_of(a)).encode()
    others = {
        0: empty,
        1: b"v 0 0 0\nv 1 0 0\nv 0 0 0\nf 1 2 3\n",
        2: b"v 0 0 0\nv 0 0 0\nv 0 0 0\nf 1 2 3\n",
        3: b"v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        4: b"",
        5: b"v 0 0 0\nv 1 1 1\nv 2 2 2\nf 1 2 3\n",
    }
    files = {"p.obj": others[style], "r.obj": good} if index % 2 else {"p.obj": good, "r.obj": others[style]}
    words = ["evaluate", "surface", "@/p.obj", "@/r.obj", "--samples", "500", "--out", "@/out", "--json"]
    return Input(
        f"{'prediction' if index % 2 else 'reference'} {others[style]!r}",
        "cli",
        words,
        files,
        None,
        say=".",
        seconds=30,
    )


@kind("values", "clouds saved and loaded again", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    points, normals, colors = sphere_cloud(rng)
    element: Element = ("vertex", [("double", c) for c in "xyz"], points.tolist())
    element = with_columns(element, [("float", n) for n in ("nx", "ny", "nz")], normals.T.tolist())
    element = with_columns(element, [("uchar", n) for n in ("red", "green", "blue")], colors.T.tolist())
    other = str(pick(rng, [".ply", ".npz", ".xyz"]))
    truth = CloudTruth(points, normals, linear(colors / 255))
    return Input(
        f"PLY to {other}",
        "round_trip",
        "a.ply",
        {"a.ply": ply([element], "binary_little_endian")},
        truth,
        options={"ending": other},
    )
