"""The handed-out failing cases, one by one: what is asked, what happens now, right or wrong.

    python -m benchmarks.robustness.cases [--cases FOLDER] [--only shapes,photos:G31] [--fast]

FOLDER holds `shapes/` and `photos/`, each with `cases.md` and inputs; without it, the folder `cases` beside
that of BOZZETTO_DATA. Inputs are copied to a scratch folder first. Every row is a function below, named after
its number, whose docstring is what is asked; it returns what happened and whether that is right. Command lines
run as processes of their own, with a limit of time. `--fast` leaves out what takes minutes. Rows that need root
(a full disk) say so where they cannot run.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.robustness.generators.captures import BALLS
from benchmarks.robustness.generators.judge import measures, positions

Outcome = tuple[str, bool | None]
SHAPES: dict[str, Callable] = {}
PHOTOS: dict[str, Callable] = {}
SLOW = {"photos:G1", "photos:G1b", "photos:G39", "photos:G38", "shapes:G20", "shapes:G31"}


def row(table: dict[str, Callable]) -> Callable:
    """Register a row by the name of its function."""

    def register(check: Callable) -> Callable:
        table[check.__name__] = check
        return check

    return register


# Running


@dataclass(frozen=True)
class Ran:
    """A finished command line: exit code, both streams, seconds, peak memory in MB."""

    code: int
    out: str
    err: str
    seconds: float
    megabytes: float

    @property
    def words(self) -> str:
        """The last line that says something."""
        lines = [line.strip() for line in (self.err + "\n" + self.out).splitlines() if line.strip()]
        told = [line for line in lines if line.startswith(("bozzetto:", "note:", "verdict:"))]
        return " / ".join((told or lines[-1:] or ["nothing"])[:3])

    def says(self, pattern: str) -> bool:
        """Whether it told this, without a traceback."""
        return self.clean and bool(re.search(pattern, self.err + self.out, re.I | re.S))

    @property
    def clean(self) -> bool:
        """Whether no traceback came."""
        return "Traceback" not in self.err and self.code in (0, 1, 2, 130)


def bozzetto(*words: object, limit: float = 600, **more: object) -> Ran:
    """Run a command line to its end."""
    line = [sys.executable, "-m", "bozzetto", *map(str, words)]
    return run(line, limit, **more)


def run(line: list[str], limit: float = 600, **more: object) -> Ran:
    """Run a process to its end, or kill it at the limit."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.monotonic()
        process = subprocess.Popen(
            line, **{"stdout": out, "stderr": err, "stdin": subprocess.DEVNULL, **more}
        )
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - start > limit:
                process.kill()
                _, status, usage = os.wait4(process.pid, 0)
                break
            time.sleep(0.02)
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
        return Ran(process.returncode, *texts, time.monotonic() - start, usage.ru_maxrss / 1024)


def load(name: str, path: Path) -> tuple[object, str]:
    """What a reader returns and what it said; the sentence if it refused."""
    from bozzetto import shapes
    from bozzetto.errors import InputError

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = getattr(shapes, name)(path)
        except InputError as error:
            return None, str(error)
    return value, "; ".join(str(w.message) for w in caught)


def mesh_is(
    path: Path,
    area: float | None,
    volume: float | None,
    vertices: int | None = None,
    faces: int | None = None,
    tolerance: float = 1e-4,
) -> Outcome:
    """Whether a mesh has these measures."""
    mesh, said = load("load_mesh", path)
    if mesh is None:
        return f"refused: {said}", False
    found = measures(positions(mesh), np.asarray(mesh.faces))
    counts = len(mesh.vertices), len(mesh.faces)
    right = all(
        want is None or abs(has - want) <= tolerance * abs(want)
        for has, want in zip(found, (area, volume), strict=True)
    )
    right &= all(want is None or has == want for has, want in zip(counts, (vertices, faces), strict=True))
    text = f"area {found[0]:.4g}, volume {found[1]:.4g}, {counts[0]} vertices, {counts[1]} triangles"
    return f"{text}; {said}" if said else text, right


def refused(value: object, said: str, pattern: str) -> Outcome:
    """Whether a reader refused with such words."""
    return f"{'refused' if value is None else 'read'}: {said}", value is None and bool(
        re.search(pattern, said, re.I)
    )


def report_of(folder: Path) -> dict:
    """report.json of a run."""
    import json

    return json.loads((folder / "report.json").read_text())


def sphere_or_said(ran: Ran, folder: Path, pattern: str, volume: float = 4.18879) -> Outcome:
    """Whether `surface` made a whole sphere, or refused with such words."""
    if ran.code == 2:
        return ran.words, ran.says(pattern)
    if not ran.clean:
        return ran.words, False
    mesh = report_of(folder)["figures"]["mesh"]
    right = mesh["watertight"] and abs(mesh["volume"] / volume - 1) < 0.05
    return f"volume {mesh['volume']}, watertight {mesh['watertight']}; {ran.words}", right


# Shapes


@row(SHAPES)
def G1(box: Path, out: Path) -> Outcome:
    """Colours are told from normals, or refused; never guessed in silence."""
    made = sphere_or_said(
        bozzetto("surface", box / "cloud_xyz_rgb255.xyz", "--out", out / "s"), out / "s", "colo|normal|column"
    )
    again = bozzetto("denoise", box / "cloud_xyz_rgb255.xyz", "--out", out / "d")
    kept = again.says("colo|column")
    if again.code == 0:
        cloud, _ = load("load_points", out / "d/points.ply")
        kept = kept or cloud.colors is not None
    return f"{made[0]}; denoise: {again.words}", bool(made[1] and kept and again.clean)


@row(SHAPES)
def G2(box: Path, out: Path) -> Outcome:
    """Decimal commas are read as such, or refused."""
    cloud, said = load("load_points", box / "cloud_decimal_comma.xyz")
    if cloud is None:
        return refused(cloud, said, "comma|column|separator")
    points = positions(cloud)
    return f"{len(points)} points within {points.min():.3g} to {points.max():.3g}; {said}", bool(
        np.abs(np.linalg.norm(points, axis=1) - 1).max() < 0.05
    )


@row(SHAPES)
def G3(box: Path, out: Path) -> Outcome:
    """Zero normals are treated as none, or refused."""
    return sphere_or_said(bozzetto("surface", box / "cloud_zero_normals.ply", "--out", out), out, "normal")


@row(SHAPES)
def G4(box: Path, out: Path) -> Outcome:
    """An extension that is required and unknown is named."""
    return refused(*load("load_mesh", box / "glb_undecodable_draco.glb"), "draco")


@row(SHAPES)
def G5(box: Path, out: Path) -> Outcome:
    """Both instances (volume 12), or refused."""
    mesh, said = load("load_mesh", box / "glb_required_instancing.glb")
    return (
        refused(mesh, said, "instanc")
        if mesh is None
        else mesh_is(box / "glb_required_instancing.glb", 44, 12)
    )


@row(SHAPES)
def G6(box: Path, out: Path) -> Outcome:
    """Sparse accessors: area 22, volume 6."""
    return mesh_is(box / "glb_sparse_one_vertex.glb", 22, 6)


@row(SHAPES)
def G7(box: Path, out: Path) -> Outcome:
    """Normalised positions: 2 x 1 x 3."""
    return mesh_is(box / "glb_normalised_int16.glb", 22, 6, tolerance=1e-3)


@row(SHAPES)
def G8(box: Path, out: Path) -> Outcome:
    """A fan: 3 triangles, area 3.5."""
    return mesh_is(box / "glb_triangle_fan.glb", 3.5, None, faces=3)


@row(SHAPES)
def G9(box: Path, out: Path) -> Outcome:
    """Colours of one of two meshes are kept (white for the other), or said."""
    mesh, said = load("load_mesh", box / "glb_colour_on_one_of_two.glb")
    kept = mesh is not None and mesh.colors is not None
    return f"colours {'kept' if kept else 'gone'}; {said}", kept or "colo" in said


@row(SHAPES)
def G10(box: Path, out: Path) -> Outcome:
    """Concave polygons are cut inside their outline: areas 30 (not 39) and .5; a mesh fits itself."""
    texts, right = [], True
    for name, area in (("obj_concave_L.obj", 30), ("off_concave_quad.off", 0.5)):
        text, fine = mesh_is(box / name, area, None)
        texts, right = [*texts, text], right and bool(fine)
    ran = bozzetto("evaluate", "surface", box / "obj_concave_L.obj", box / "obj_concave_L.obj", "--out", out)
    agreement = report_of(out)["figures"]["summary"]["normal_consistency"]["mean"] if ran.code == 0 else 0
    return f"{'; '.join(texts)}; normal consistency {agreement:.4f}", right and agreement > 0.99


@row(SHAPES)
def G11(box: Path, out: Path) -> Outcome:
    """Colours 0..255 become (1, .216, 0), or are refused."""
    texts, right = [], True
    for name in ("obj_colours_255.obj", "ply_colours_float255.ply"):
        mesh, said = load("load_mesh", box / name)
        if mesh is None:
            right &= "colo" in said
            texts.append(said)
            continue
        first = None if mesh.colors is None else np.asarray(mesh.colors[0]).round(3).tolist()
        right &= first is not None and np.abs(np.array(first) - [1, 0.216, 0]).max() < 0.01
        texts.append(f"{first}; {said}")
    return " / ".join(texts), right


@row(SHAPES)
def G12(box: Path, out: Path) -> Outcome:
    """diffuse_red and its like are colours, or it is said."""
    mesh, said = load("load_mesh", box / "ply_colours_diffuse.ply")
    kept = mesh is not None and mesh.colors is not None
    return f"colours {'kept' if kept else 'gone'}; {said}", kept or "colo" in said


@row(SHAPES)
def G13(box: Path, out: Path) -> Outcome:
    """A byte order mark is skipped: area 22, volume 6, 9 vertices."""
    return mesh_is(box / "obj_bom.obj", 22, 6, vertices=9)


@row(SHAPES)
def G14(box: Path, out: Path) -> Outcome:
    """4OFF: divided by w (volume 6), or refused."""
    mesh, said = load("load_mesh", box / "off_4off.off")
    return refused(mesh, said, "4OFF") if mesh is None else mesh_is(box / "off_4off.off", 22, 6)


@row(SHAPES)
def G15(box: Path, out: Path) -> Outcome:
    """Strips are read (4 triangles); never a cloud instead of a mesh."""
    text, right = mesh_is(box / "ply_tristrips.ply", None, None, faces=4)
    ran = bozzetto(
        "evaluate", "surface", box / "ply_tristrips.ply", box / "obj_comment_after_vertex.obj", "--out", out
    )
    as_cloud = ran.code == 0 and report_of(out)["figures"]["summary"]["normal_consistency"]["mean"] is None
    return f"{text}; evaluate: exit {ran.code}{', as a cloud' * as_cloud}", bool(
        right
    ) and not as_cloud and ran.clean


@row(SHAPES)
def G16(box: Path, out: Path) -> Outcome:
    """Unused vertices enter nothing: IoU .75 +- .01."""
    ran = bozzetto("evaluate", "surface", box / "stray_pred.obj", box / "stray_ref.obj", "--out", out)
    iou = report_of(out)["figures"]["summary"]["iou"]["mean"] if ran.code == 0 else None
    return f"IoU {iou}; {ran.words if ran.code else ''}", iou is not None and abs(iou - 0.751) < 0.011


@row(SHAPES)
def G17(box: Path, out: Path) -> Outcome:
    """Survey coordinates keep their millimetres: chamfer 0, F-score 1; or refused."""
    path = box / "mesh_utm80.obj"
    ran = bozzetto("evaluate", "surface", path, path, "--out", out)
    if ran.code == 2:
        return ran.words, ran.says("origin|offset|precision")
    summary = report_of(out)["figures"]["summary"]
    written = np.array(
        [line.split()[1:4] for line in path.read_text().splitlines() if line.startswith("v ")], float
    )
    mesh, _ = load("load_mesh", path)
    off = np.abs(positions(mesh) - written).max()
    chamfer, score = summary["chamfer_sum"]["mean"], summary["f_score"]["mean"]
    return (
        f"chamfer_sum {chamfer:.3g} m, f_score {score}, vertices {off:.3g} m off",
        chamfer < 1e-3 and score > 0.9999 and off < 1e-3,
    )


@row(SHAPES)
def G18(box: Path, out: Path) -> Outcome:
    """remesh keeps corners and creases."""
    from bozzetto.geometry import remesh
    from bozzetto.shapes import box as a_box

    before = a_box((2.0, 1.0, 3.0))
    after = remesh(before)
    ratio = (
        measures(positions(after), np.asarray(after.faces))[1]
        / measures(positions(before), np.asarray(before.faces))[1]
    )
    return f"volume x {ratio:.3f}", abs(ratio - 1) < 1e-3


@row(SHAPES)
def G19(box: Path, out: Path) -> Outcome:
    """The surface without the outlier, or a sentence about it."""
    return sphere_or_said(
        bozzetto("surface", box / "cloud_one_far_outlier.ply", "--out", out), out, "outlier|far|stray"
    )


@row(SHAPES)
def G20(box: Path, out: Path) -> Outcome:
    """As without duplicates."""
    return sphere_or_said(
        bozzetto("surface", box / "cloud_every_point_twice.ply", "--out", out), out, "duplicate|repeat|twice"
    )


@row(SHAPES)
def G21(box: Path, out: Path) -> Outcome:
    """A comment behind a vertex is a comment."""
    return mesh_is(box / "obj_comment_after_vertex.obj", 22, 6)


@row(SHAPES)
def G22(box: Path, out: Path) -> Outcome:
    """OFF8 6 0, as in ModelNet40, also in a folder that is prepared."""
    text, right = mesh_is(box / "off_glued_header.off", 22, 6)
    (out / "m").mkdir(parents=True)
    for i in range(2):
        shutil.copy(box / "off_glued_header.off", out / f"m/{i}.off")
    ran = bozzetto("prepare", "sdf", out / "m", "--samples", 2000, "--out", out / "p")
    return f"{text}; {ran.words}", bool(right) and "2 of 2" in ran.out


@row(SHAPES)
def G23(box: Path, out: Path) -> Outcome:
    """Colours behind faces are skipped, integers or not."""
    return mesh_is(box / "off_face_colour_float.off", 22, 6)


@row(SHAPES)
def G24(box: Path, out: Path) -> Outcome:
    """One bad face is dropped with a word, or its line is named."""
    mesh, said = load("load_mesh", box / "obj_face_with_two_corners.obj")
    return f"{'read' if mesh is not None else 'refused'}: {said}", bool(
        re.search("line|face|corner", said)
    ) and "damaged" not in said


@row(SHAPES)
def G25(box: Path, out: Path) -> Outcome:
    """Sizes decide, not counts; or a true sentence."""
    texts, right = [], True
    for name in ("stl_trailing_bytes.stl", "stl_count_zero.stl"):
        mesh, said = load("load_mesh", box / name)
        text, fine = (
            (said, bool(re.search("count|bytes|size", said))) if mesh is None else mesh_is(box / name, 22, 6)
        )
        texts, right = [*texts, text], right and bool(fine)
    return " / ".join(texts), right


@row(SHAPES)
def G26(box: Path, out: Path) -> Outcome:
    """ASCII STL without its end."""
    return mesh_is(box / "stl_ascii_without_end.stl", 22, 6)


@row(SHAPES)
def G27(box: Path, out: Path) -> Outcome:
    """A header line is skipped; the number of columns is named; not 'damaged'."""
    head, said = load("load_points", box / "xyz_header_line.xyz")
    seven, words = load("load_points", box / "xyz_seven_columns.xyz")
    fine = seven is not None or ("column" in words and "7" in words and "damaged" not in words)
    return (
        f"{'read' if head is not None else said}; seven columns: {words or 'read'}",
        head is not None and fine,
    )


@row(SHAPES)
def G28(box: Path, out: Path) -> Outcome:
    """A backslash with a blank behind it continues the line."""
    return mesh_is(box / "obj_continuation_space.obj", 22, 6)


@row(SHAPES)
def G29(box: Path, out: Path) -> Outcome:
    """Values exactly at the level leave no faces without area."""
    import torch

    from bozzetto.geometry import isosurface

    n = 64
    g = np.linspace(-1.5, 1.5, n)
    x = np.stack(np.meshgrid(g, g, g, indexing="ij"), -1)
    values = (np.abs(x) - np.abs(np.array([g[-3], g[-4], g[-5]]))).max(-1)
    mesh = isosurface(torch.from_numpy(values.astype(np.float32)), (-1.5,) * 3, (1.5,) * 3)
    a, b, c = (positions(mesh)[np.asarray(mesh.faces)[:, i]] for i in range(3))
    flat = int((np.linalg.norm(np.cross(b - a, c - a), axis=1) < 1e-12).sum())
    return f"{len(mesh.faces)} faces, {flat} without area", flat == 0


@row(SHAPES)
def G30(box: Path, out: Path) -> Outcome:
    """It is said that a sphere is no member of the prior's family."""
    points = np.random.default_rng(0).normal(size=(4000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    out.mkdir(parents=True, exist_ok=True)
    np.savetxt(out / "sphere.xyz", points)
    ran = bozzetto("complete", out / "sphere.xyz", "--resolution", 64, "--out", out / "o")
    return ran.words, ran.says("family|member|prior|fit")


@row(SHAPES)
def G31(box: Path, out: Path) -> Outcome:
    """Scan lines: one watertight piece, volume within 2 %."""
    return sphere_or_said(
        bozzetto("surface", box / "cloud_scanlines_sphere.ply", "--out", out), out, "line|spacing|uneven"
    )


# Photographs


def mean_sdf(folder: Path) -> float:
    """Mean distance of the vertices of mesh.ply from the three balls."""
    mesh, _ = load("load_mesh", folder / "mesh.ply")
    vertices = positions(mesh)
    sdf = np.min([np.linalg.norm(vertices - ball[:3], axis=1) - ball[3] for ball in BALLS], axis=0)
    return float(np.abs(sdf).mean())


def reconstruct(capture: Path, out: Path, pattern: str, good: float | None = None) -> Outcome:
    """Refused or noted with such words, or (if `good` is given) a result as exact as that."""
    ran = bozzetto("reconstruct", capture, "--preset", "fast", "--out", out)
    if not ran.clean:
        return ran.words, False
    if ran.code == 0:
        distance = mean_sdf(out)
        right = ran.says(pattern) or (good is not None and distance < good)
        return f"mean |sdf| {distance:.4f}; {ran.words}", right
    return ran.words, ran.says(pattern)


def doctor(capture: Path, out: Path, pattern: str, never: str = "$^") -> Outcome:
    """Told with such words, and without others."""
    ran = bozzetto("doctor", capture, "--out", out)
    return ran.words, ran.says(pattern) and not ran.says(never)


@row(PHOTOS)
def G1(box: Path, out: Path) -> Outcome:  # noqa: F811
    """EXIF turns that keep the size: photo, mask and camera agree (mean |sdf| .0017), or it is asked."""
    text, right = reconstruct(box / "G1_exif3", out / "r", "EXIF|orientation|upright", 0.003)
    told = bozzetto("doctor", box / "G1_exif3", "--out", out / "d")
    return f"{text}; doctor: {told.words}", right and told.clean


@row(PHOTOS)
def G1b(box: Path, out: Path) -> Outcome:
    """The same without masks: reconstruct shows what doctor finds."""
    shutil.copytree(box / "G1_exif3", out / "c")
    shutil.rmtree(out / "c/masks")
    return reconstruct(out / "c", out / "r", "EXIF|orientation|upright|contradict|fit", 0.003)


@row(PHOTOS)
def G2(box: Path, out: Path) -> Outcome:  # noqa: F811
    """Masks whose names fit no photograph are named."""
    return reconstruct(box / "G2_mask_names", out, r"masks.*(none|no|belong|fit)", 0.004)


@row(PHOTOS)
def G3(box: Path, out: Path) -> Outcome:  # noqa: F811
    """Most views contradict each other: the order is in doubt, in doctor and reconstruct."""
    pattern = "order|contradict"
    text, right = doctor(box / "G3_shuffled", out / "d", pattern)
    other, also = reconstruct(box / "G3_shuffled", out / "r", pattern)
    return f"{text}; reconstruct: {other}", right and also


@row(PHOTOS)
def G4(box: Path, out: Path) -> Outcome:  # noqa: F811
    """Masks that look inverted are called so."""
    text, right = doctor(box / "G4_inverted", out / "d", "invert")
    other, also = reconstruct(box / "G4_inverted", out / "r", "invert")
    return f"{text}; reconstruct: {other}", right and also


@row(PHOTOS)
def G5(box: Path, out: Path) -> Outcome:  # noqa: F811
    """Masks of 0 and 1 are read, or said to be that."""
    return doctor(box / "G5_01", out, "good|0 and 1", "all background")


@row(PHOTOS)
def G6(box: Path, out: Path) -> Outcome:  # noqa: F811
    """Palette masks are labels."""
    return doctor(box / "G6_voc", out, "good|palette|label", "all background")


@row(PHOTOS)
def G8(box: Path, out: Path) -> Outcome:  # noqa: F811
    """Endings in any case are found; no .png is named that nobody wrote."""
    return doctor(box / "G8_JPG", out, "verdict", r"000\.png")


@row(PHOTOS)
def G9(box: Path, out: Path) -> Outcome:  # noqa: F811
    """A principal point on the border: intrinsics belong to another size."""
    text, right = doctor(box / "G9_half", out / "d", "intrinsic|principal|another size|other size")
    other, also = reconstruct(box / "G9_half", out / "r", "intrinsic|principal|another size|other size")
    return f"{text}; reconstruct: {other}", right and also


@row(PHOTOS)
def G10(box: Path, out: Path) -> Outcome:  # noqa: F811
    """Poses of three decimals are tolerated, or called rounded."""
    return doctor(box / "G10_rounded", out, "verdict|round")


@row(PHOTOS)
def G11(box: Path, out: Path) -> Outcome:  # noqa: F811
    """Cameras on one side: the far side is unseen."""
    return doctor(box / "G11_one_side", out, "one side|unseen|degrees")


@row(PHOTOS)
def G12(box: Path, out: Path) -> Outcome:  # noqa: F811
    """One view cannot be reconstructed."""
    text, right = doctor(
        box / "G12_one", out / "d", "one (view|photo)|single|1 view|at least|two", "check its camera and mask"
    )
    other, also = reconstruct(box / "G12_one", out / "r", "one (view|photo)|single|1 view|at least|two")
    return f"{text}; reconstruct: {other}", right and also and "--hold-out" not in other


@row(PHOTOS)
def G13(box: Path, out: Path) -> Outcome:  # noqa: F811
    """A header of 60000 x 60000: a sentence."""
    return doctor(box / "G13_bomb", out, "60000|pixels|large|memory")


@row(PHOTOS)
def G14(box: Path, out: Path) -> Outcome:  # noqa: F811
    """Deep and infinite JSON: a sentence."""
    texts, right = [], True
    for name in ("G14_deep", "G14_winf"):
        ran = bozzetto("doctor", box / name, "--out", out)
        texts, right = [*texts, ran.words], right and ran.clean and ran.code == 2
    return " / ".join(texts), right


def height_pair(pred: Path, ref: Path, out: Path, at_least: float, pattern: str) -> Outcome:
    """The right correlation, or refused with such words."""
    ran = bozzetto("evaluate", "heightmap", pred, ref, "--out", out)
    if ran.code == 2:
        return ran.words, ran.says(pattern)
    r = report_of(out)["figures"]["summary"]["prediction"]["correlation"] if ran.code == 0 else None
    return f"correlation {r}", r is not None and r > at_least


@row(PHOTOS)
def G15(box: Path, out: Path) -> Outcome:  # noqa: F811
    """uint32 heights: correlation .99, or refused."""
    return height_pair(box / "h/G15_u32.tif", box / "h/truth.png", out, 0.98, "32")


@row(PHOTOS)
def G16(box: Path, out: Path) -> Outcome:  # noqa: F811
    """int16 heights: correlation .99, or refused."""
    return height_pair(box / "h/G16_i16.tif", box / "h/truth.png", out, 0.98, "sign")


@row(PHOTOS)
def G17(box: Path, out: Path) -> Outcome:  # noqa: F811
    """EXR with alpha and a layer: never the alpha."""
    return height_pair(box / "h/G17_layer.exr", box / "h/truth.png", out, 0.98, "channel|layer")


@row(PHOTOS)
def G18(box: Path, out: Path) -> Outcome:  # noqa: F811
    """Other proportions are refused."""
    return height_pair(box / "h/G18_crop.png", box / "h/truth.png", out, 2, "proportion|aspect|size|x 1")


@row(PHOTOS)
def G19(box: Path, out: Path) -> Outcome:  # noqa: F811
    """A constant reference is refused or has no figures."""
    ran = bozzetto("evaluate", "heightmap", box / "h/pred.png", box / "h/G19_const.png", "--out", out)
    figure = None if ran.code else report_of(out)["figures"]["summary"]["prediction"]["rmse_affine"]
    return f"{ran.words}; rmse_affine {figure}", ran.clean and figure is None and ran.says("flat|constant")


@row(PHOTOS)
def G20(box: Path, out: Path) -> Outcome:  # noqa: F811
    """A TIFF of float64 is read."""
    return height_pair(box / "h/G20_f64.tif", box / "h/truth.png", out, 0.98, "$^")


@row(PHOTOS)
def G21(box: Path, out: Path) -> Outcome:  # noqa: F811
    """The EXR comes before a blank PNG of the same name, or both are refused."""
    return height_pair(box / "h/G21/pred", box / "h/G21/truth", out, 0.98, "m0|two|both")


def pair_of(folder: Path) -> Outcome:
    """What a pair for training becomes: the correlation of colour and height, or the refusal."""
    from bozzetto.errors import InputError
    from bozzetto.heightmap.pairs import find_pairs, load_pair

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            pair = load_pair(find_pairs(folder)[0])
        except InputError as error:
            return str(error), True
    grey, height = (np.asarray(x, float) for x in (pair.photo, pair.height))
    grey = grey.mean(0 if grey.shape[0] == 3 else -1).reshape(height.squeeze().shape)
    r = float(np.corrcoef(grey.ravel(), height.ravel())[0, 1])
    return f"correlation of colour and height {r:.3f}; {'; '.join(str(w.message) for w in caught)}", r > 0.9


@row(PHOTOS)
def G22(box: Path, out: Path) -> Outcome:  # noqa: F811
    """Colours up to 4 are clamped or refused, never wrapped."""
    ran = bozzetto(
        "train", "heightmap", box / "G22_float_colour", "--procedural-samples", 0, "--steps", 2, "--out", out
    )
    if ran.code == 2:
        return ran.words, ran.says("range|white|value|colo|span")
    text, right = pair_of(box / "G22_float_colour")
    return f"{text}; train: {ran.words}", right and ran.clean


@row(PHOTOS)
def G23(box: Path, out: Path) -> Outcome:  # noqa: F811
    """Colour and height of other proportions are refused."""
    ran = bozzetto(
        "train", "heightmap", box / "G23_aspect", "--procedural-samples", 0, "--steps", 2, "--out", out
    )
    return ran.words, ran.code == 2 and ran.says("proportion|aspect|size|same surface|x 1")


@row(PHOTOS)
def G24(box: Path, out: Path) -> Outcome:  # noqa: F811
    """A manifest without slug: a sentence."""
    ran = bozzetto(
        "train", "heightmap", box / "G24_manifest", "--procedural-samples", 0, "--steps", 2, "--out", out
    )
    return ran.words, ran.says("manifest|slug")


def flat_map(photo: Path, out: Path, pattern: str) -> Outcome:
    """A map with relief, or such words; no advice to invert a flat one."""
    ran = bozzetto("heightmap", photo, "--faces", 0, "--out", out)
    if not ran.clean:
        return ran.words, False
    if ran.code == 2:
        return ran.words, ran.says(pattern)
    height, _ = load("load_height", next(out.rglob("height.exr")))
    spread = float(np.ptp(np.asarray(height.height)))
    return f"heights span {spread:.3f}; {ran.words}", spread > 0.01 or (
        ran.says(pattern) and not ran.says("--invert")
    )


@row(PHOTOS)
def G25(box: Path, out: Path) -> Outcome:  # noqa: F811
    """Floats from 0 to 255 are scaled or refused."""
    return flat_map(box / "t/G25_float255.tif", out, "255|range|values")


@row(PHOTOS)
def G26(box: Path, out: Path) -> Outcome:  # noqa: F811
    """16 bits with 300 grey levels are used, or called blank."""
    return flat_map(box / "t/G26_dark16.png", out, "blank|dark")


@row(PHOTOS)
def G27(box: Path, out: Path) -> Outcome:  # noqa: F811
    """A photo of one colour is called that."""
    return flat_map(box / "t/G27_grey.png", out, "one colour|flat|single")


@row(PHOTOS)
def G28(box: Path, out: Path) -> Outcome:  # noqa: F811
    """Maps beside a photo are no photos; what is skipped is named."""
    ran = bozzetto("heightmap", box / "t/G28_folder", "--faces", 0, "--out", out)
    made = sorted(path.parent.name for path in out.rglob("height.exr"))
    skipped = {"b", "c"} - set(made)
    named = all(re.search(rf"\b{name}\.", ran.err + ran.out) for name in skipped)
    return f"maps of {made}; {ran.words}", "a" in made and not any(
        "wall" in m.lower() for m in made
    ) and named and ran.clean


@row(PHOTOS)
def G29(box: Path, out: Path) -> Outcome:  # noqa: F811
    """A name that is no text."""
    path = Path(os.fsdecode(os.fsencode(box / "t") + b"/caf\xe9.png"))
    if not path.exists():
        path.write_bytes((box / "t/ref.png").read_bytes())
    ran = bozzetto(
        "heightmap", os.fsencode(path).decode("utf-8", "surrogateescape"), "--faces", 0, "--out", out
    )
    return ran.words.encode("ascii", "backslashreplace").decode(), ran.clean and (
        ran.code == 2 or bool(list(out.rglob("height.exr")))
    )


@row(PHOTOS)
def G30(box: Path, out: Path) -> Outcome:  # noqa: F811
    """A terminal that knows no Chinese."""
    path = box / "t/花.png"
    path.write_bytes((box / "t/ref.png").read_bytes())
    texts, right = [], True
    for encoding in ("ascii", "cp1252"):
        ran = bozzetto(
            "heightmap",
            path,
            "--faces",
            0,
            "--out",
            out / encoding,
            env={**os.environ, "PYTHONIOENCODING": encoding},
        )
        texts, right = [*texts, f"{encoding}: exit {ran.code}"], right and ran.code == 0
    return ", ".join(texts), right


@row(PHOTOS)
def G31(box: Path, out: Path) -> Outcome:  # noqa: F811
    """A full disk: one sentence, exit code 2, earlier results stay."""
    disk = out / "disk"
    disk.mkdir(parents=True)
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True
    ).returncode:
        return "no right to mount a small disk here", None
    texts, right = [], True
    try:
        for full in (225_000, 180_000, 100_000, 262_144):
            (disk / "filler").write_bytes(b"")
            with open(disk / "filler", "wb") as filler:
                try:
                    filler.write(bytes(full))
                    filler.flush()
                except OSError:
                    pass
            for words in (
                ["heightmap", box / "t/ref.png"],
                ["evaluate", "heightmap", box / "h/pred.png", box / "h/truth.png"],
            ):
                ran = bozzetto(*words, "--out", disk / "o")
                fine = ran.clean and (ran.code == 0 or (ran.code == 2 and ran.says("space|full|written")))
                texts, right = [*texts, f"{words[0]} with {full} B taken: exit {ran.code}"], right and fine
                shutil.rmtree(disk / "o", ignore_errors=True)
    finally:
        subprocess.run(["umount", disk], capture_output=True)
    return "; ".join(texts), right


@row(PHOTOS)
def G32(box: Path, out: Path) -> Outcome:
    """A zip that lies about its size: at most that size is read."""
    base = bozzetto("data", "list")
    ran = bozzetto("data", "get", "dino", "--from", box / "G32_liar.zip", "--out", out)
    more = ran.megabytes - base.megabytes
    return f"{ran.words}; {more:.0f} MB more than `data list`", ran.code == 2 and ran.clean and more < 60


@row(PHOTOS)
def G33(box: Path, out: Path) -> Outcome:
    """An encrypted zip: a sentence."""
    ran = bozzetto("data", "get", "dino", "--from", box / "G33_encrypted.zip", "--out", out)
    return ran.words, ran.code == 2 and ran.says("encrypt|password|read|checksum|no file|missing|damaged")


@row(PHOTOS)
def G34(box: Path, out: Path) -> Outcome:
    """A header of 1.2 TB: a sentence."""
    one = bozzetto("surface", box / "G34_hugehdr.npy", "--out", out / "a")
    other = bozzetto(
        "reconstruct", box / "G10_rounded", "--light", box / "G34_hugehdr.npy", "--out", out / "b"
    )
    return f"{one.words} / {other.words}", all(r.clean and r.code == 2 for r in (one, other))


@row(PHOTOS)
def G35(box: Path, out: Path) -> Outcome:
    """Results that cannot be written there: a sentence."""
    ref = box / "t/ref.png"
    out.mkdir(parents=True)
    for name, content in (("noise", b"\xff\xfe\x00"), ("folder", None), ("report", None)):
        (out / name).mkdir()
        if content is not None:
            (out / name / ".files").write_bytes(content)
        elif name == "folder":
            (out / name / ".files").mkdir()
        else:
            (out / name / "report.json").mkdir()
    runs = [bozzetto("heightmap", ref, "--faces", 0, "--out", out / ("n" * 300))]
    runs += [
        bozzetto("heightmap", ref, "--faces", 0, "--overwrite", "--out", out / name)
        for name in ("noise", "folder", "report")
    ]
    return " / ".join(f"exit {r.code}: {r.words[:90]}" for r in runs), all(
        r.clean and r.code in (0, 2) for r in runs
    ) and runs[0].code == 2


@row(PHOTOS)
def G36(box: Path, out: Path) -> Outcome:
    """A closed or full stdout: exit code 1, quietly."""
    line = f"{sys.executable} -m bozzetto doctor"
    runs = [run(["sh", "-c", f"{line} {end}"]) for end in ("> /dev/full", ">&-", "| head -c 5; exit 0")]
    return ", ".join(f"exit {r.code}{' with a traceback' * ('Traceback' in r.err)}" for r in runs), all(
        "Traceback" not in r.err and "Exception" not in r.err for r in runs
    )


def children(of: int) -> list[int]:
    """All processes below one."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, parent = int(status.parent.name), int(status.read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError):
            continue
        if parent == of:
            found += [pid, *children(pid)]
    return found


def _interruptible() -> None:
    """What shells start in the background ignores Ctrl-C, and hands that down."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@row(PHOTOS)
def G37(box: Path, out: Path) -> Outcome:
    """Ctrl-C before a checkpoint: one is written, or it is said that nothing was saved."""
    out.mkdir(parents=True, exist_ok=True)
    log = out / "log"
    line = [
        sys.executable,
        "-m",
        "bozzetto",
        "train",
        "heightmap",
        "procedural",
        "--procedural-samples",
        "4",
        "--out",
        str(out / "o"),
    ]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            line, stdout=stream, stderr=stream, start_new_session=True, preexec_fn=_interruptible
        )
        end = time.monotonic() + 240
        metrics = out / "o/metrics.jsonl"
        while (
            time.monotonic() < end
            and process.poll() is None
            and not (metrics.exists() and metrics.stat().st_size)
        ):
            time.sleep(0.5)
        time.sleep(5)
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return "does not end within a minute", False
    text = log.read_text(errors="replace").strip().splitlines()[-1:]
    saved = (out / "o/checkpoint.safetensors").exists()
    return f"exit {code}: {text}; checkpoint {'written' if saved else 'missing'}", code == 130 and (
        saved or "nothing" in str(text)
    )


@row(PHOTOS)
def G38(box: Path, out: Path) -> Outcome:
    """Workers end with their parent."""
    texts, right = [], True
    for name in ("TERM", "KILL"):
        line = [
            sys.executable,
            "-m",
            "bozzetto",
            "train",
            "heightmap",
            "procedural",
            "--procedural-samples",
            "400",
            "--out",
            str(out / name),
        ]
        process = subprocess.Popen(
            line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        workers: list[int] = []
        end = time.monotonic() + 120
        while time.monotonic() < end and len(workers) < 3 and process.poll() is None:
            time.sleep(0.5)
            workers = children(process.pid)
        time.sleep(4)
        workers = children(process.pid)
        process.send_signal(getattr(signal, f"SIG{name}"))
        code = process.wait(60)
        end = time.monotonic() + 20
        alive = workers
        while alive and time.monotonic() < end:
            time.sleep(0.5)
            alive = [pid for pid in workers if _lives(pid)]
        texts.append(f"{name}: exit {code}, {len(alive)} of {len(workers)} workers live on")
        right &= not alive and bool(workers)
        for pid in alive:
            os.kill(pid, signal.SIGKILL)
    return "; ".join(texts), right


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@row(PHOTOS)
def G39(box: Path, out: Path) -> Outcome:
    """Two runs in one folder: the second is refused."""
    line = [
        sys.executable,
        "-m",
        "bozzetto",
        "reconstruct",
        str(box / "G10_rounded"),
        "--preset",
        "fast",
        "--overwrite",
        "--out",
        str(out),
    ]
    first = subprocess.Popen([*line, "--seed", "0"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 120
        while (
            time.monotonic() < end
            and not (out / "config.json").exists()
            and not (out / ".lock").exists()
            and first.poll() is None
        ):
            time.sleep(0.2)
        time.sleep(1)
        second = run([*line, "--seed", "1"], 300)
    finally:
        first.kill()
        first.wait()
    return f"the second: exit {second.code}: {second.words}", second.code == 2 and second.clean


# The table


def scratch_copy(cases: Path, scratch: Path) -> dict[str, Path]:
    """Inputs that may be changed, and that can be made where they are missing."""
    shutil.copytree(cases / "shapes", scratch / "shapes")
    shutil.copytree(cases / "photos", scratch / "photos")
    subprocess.run(["chmod", "-R", "u+w", scratch], check=True)
    if not (scratch / "photos/in").is_dir():
        subprocess.run([sys.executable, "gen.py"], cwd=scratch / "photos", check=True)
    return {"shapes": scratch / "shapes", "photos": scratch / "photos/in"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=Path, default=None)
    parser.add_argument("--only", default="shapes,photos", help="shapes, photos, or rows as photos:G31")
    parser.add_argument("--fast", action="store_true", help="leave out rows that take minutes")
    parser.add_argument("--results", type=Path, default=None, help="JSON file; default benchmarks/results/")
    arguments = parser.parse_args()
    data = os.environ.get("BOZZETTO_DATA")
    cases = arguments.cases or (Path(data).parent / "cases" if data else None)
    if cases is None or not cases.is_dir():
        sys.exit("give the folder of the cases with --cases, or set BOZZETTO_DATA")
    wanted = arguments.only.split(",")
    rows = []
    with tempfile.TemporaryDirectory(prefix="cases-") as scratch:
        boxes = scratch_copy(cases, Path(scratch) / "in")
        for table, checks in (("shapes", SHAPES), ("photos", PHOTOS)):
            for name, check in checks.items():
                key = f"{table}:{name}"
                if not ({table, key} & set(wanted)) or (arguments.fast and key in SLOW):
                    continue
                try:
                    now, right = check(boxes[table], Path(scratch) / "out" / table / name)
                except Exception as error:
                    now, right = f"{type(error).__name__}: {error}", False
                now = now.replace(scratch, "").replace("/in/shapes/", "").replace("/in/photos/in/", "")
                verdict = "not run" if right is None else "right" if right else "WRONG"
                rows.append({"case": key, "asked": check.__doc__, "now": now[:600], "verdict": verdict})
                print(f"{key:12s} {verdict:10s} {check.__doc__}\n{'':24s}{now[:300]}", flush=True)
    right = sum(r["verdict"] == "right" for r in rows)
    print(f"\n{right} of {len(rows)} right")
    content = {"right": right, "rows": rows}
    if arguments.results is not None:
        import json

        arguments.results.write_text(json.dumps(content, indent=2) + "\n")
    else:
        from benchmarks.helpers.common import save_results

        save_results("cases", content)


if __name__ == "__main__":
    main()
