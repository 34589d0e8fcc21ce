"""Survey and geographic coordinates: small objects far from the origin, in millimetres."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from .binary_clouds import ENCODINGS, npz, pcd, xyz
from .inputs import CloudTruth, Input, RunTruth, kind, pick
from .obj import lines_of
from .off_stl import off
from .ply import FORMATS, faces_of, ply, vertices_of
from .solids import Solid, any_solid, ball, sphere_cloud
from .text_clouds import rows_of
from .values import cloud_file, evaluate, even_sphere, figures

ORIGINS = {
    "UTM": np.array([448000.0, 5412000.0, 320.0]),
    "Gauss-Krueger": np.array([4468503.0, 5333317.0, 520.0]),
    "ECEF": np.array([4177000.0, 855000.0, 4728000.0]),
    "millimetres": np.array([1.2e8, -3.4e8, 5.0e5]),
    "degrees": np.array([11.575, 48.137, 0.0]),
}


def far(rng: np.random.Generator, index: int) -> tuple[str, np.ndarray, float]:
    """Name and place of an origin, and a size of what lies there."""
    name = list(ORIGINS)[index % len(ORIGINS)]
    size = 1e-4 * rng.uniform(0.5, 5) if name == "degrees" else 10.0 ** rng.uniform(0, 2)
    return name, ORIGINS[name] + rng.normal(size=3) * size, size * (1000 if name == "millimetres" else 1)


def far_solid(rng: np.random.Generator, index: int) -> tuple[str, Solid]:
    """A solid far away."""
    name, origin, size = far(rng, index)
    solid = any_solid(rng)
    unit = (solid.vertices - solid.vertices.mean(0)) / np.ptp(solid.vertices, axis=0).max()
    return name, replace(solid, vertices=unit * size + origin)


@kind("far", "meshes", 5)
def _(rng: np.random.Generator, index: int) -> Input:
    name, solid = far_solid(rng, index)
    truth = solid.truth(tolerance=1e-5)
    style = index // 5 % 4
    if style == 0:
        return Input(
            f"OBJ, {name}",
            "load_mesh",
            "a.obj",
            {"a.obj": "\n".join(lines_of(solid, "{:.12f}")).encode()},
            truth,
        )
    if style == 1:
        data = ply([vertices_of(solid, "double"), faces_of(solid)], FORMATS[index % 3])
        return Input(f"PLY, {name}", "load_mesh", "a.ply", {"a.ply": data}, truth)
    if style == 2:
        rows = off(replace(solid, vertices=solid.vertices))
        rows[2 : 2 + len(solid.vertices)] = [" ".join(f"{x:.12f}" for x in v) for v in solid.vertices]
        return Input(f"OFF, {name}", "load_mesh", "a.off", {"a.off": "\n".join(rows).encode()}, truth)
    solid = solid.triangulated()
    data = npz({"vertices": solid.vertices, "faces": np.array(solid.polygons)})
    return Input(f"NPZ, {name}", "load_mesh", "a.npz", {"a.npz": data}, solid.truth())


@kind("far", "clouds", 4)
def _(rng: np.random.Generator, index: int) -> Input:
    name, origin, size = far(rng, index)
    points, _, _ = sphere_cloud(rng)
    points = (points - points.mean(0)) * size + origin
    style = index // 5 % 4
    truth = CloudTruth(points)
    if style == 0:
        data = "\n".join(rows_of([points.tolist()], ["{:.12f}"])).encode()
        return Input(f"XYZ, {name}", "load_points", "a.xyz", {"a.xyz": data}, truth)
    if style == 1:
        return Input(f"PLY, {name}", "load_points", "a.ply", {"a.ply": cloud_file(points)}, truth)
    if style == 2:
        data = pcd(xyz(points, "f8"), ENCODINGS[index % 2 + 1])
        return Input(f"PCD, {name}", "load_points", "a.pcd", {"a.pcd": data}, truth)
    return Input(f"NPZ, {name}", "load_points", "a.npz", {"a.npz": npz({"points": points})}, truth)


@kind("far", "single precision, whose steps show", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    """The file itself has lost the shape: steps of half a metre on an object of a few metres."""
    name, solid = far_solid(rng, index % 4)
    unit = (solid.vertices - solid.vertices.mean(0)) / np.ptp(solid.vertices, axis=0).max()
    solid = replace(solid, vertices=unit * 2 + ORIGINS["Gauss-Krueger"])
    data = ply([vertices_of(solid, "float"), faces_of(solid)], FORMATS[1 + index % 2])
    return Input(
        "PLY of float32, 2 m at 5,333 km",
        "load_mesh",
        "a.ply",
        {"a.ply": data},
        None,
        say="precision|float|step|origin|far|offset",
    )


@kind("far", "saved and loaded again", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    name, solid = far_solid(rng, index)
    ending = str(pick(rng, [".ply", ".obj", ".off", ".npz"]))
    data = ply([vertices_of(solid, "double"), faces_of(solid)], "binary_little_endian")
    return Input(
        f"{name}: PLY to {ending}",
        "round_trip",
        "a.ply",
        {"a.ply": data},
        solid.truth(),
        options={"ending": ending},
    )


@kind("far", "in `evaluate surface`", 2, most=12)
def _(rng: np.random.Generator, index: int) -> Input:
    name, origin, size = far(rng, index)
    k = (1.0, 1.1)[index % 2]
    a, b = (Solid(ball(level=3).vertices * size * f + origin, ball(level=3).polygons) for f in (k, 1))
    gap = 2 * (k - 1) * size
    limits = (0.9 * gap, 1.05 * gap) if k > 1 else (0, 1e-3 * size)
    truth = figures(
        {"iou": (k**-3 - 0.015, k**-3 + 0.015), "chamfer_sum": limits, "normal_consistency": (0.97, 1.001)}
    )
    return evaluate(f"{name}: spheres of {k} and 1 times {size:.3g}", a, b, truth)


@kind("far", "in `surface` and `denoise`", 2, most=12)
def _(rng: np.random.Generator, index: int) -> Input:
    name, origin, size = far(rng, index)
    points, _, radius = even_sphere(rng)
    points = (points - points.mean(0)) / radius * size + origin
    verb = ("surface", "denoise")[index % 2]

    def check(report: dict, folder: Path) -> str:
        from bozzetto.shapes import load_mesh, load_points

        from .judge import positions

        result = (
            load_mesh(folder / "out/mesh.ply")
            if verb == "surface"
            else load_points(folder / "out/points.ply")
        )
        values = positions(result)
        distance = np.linalg.norm(values - origin, axis=1) / size
        return (
            ""
            if np.abs(distance - 1).max() < 0.05
            else f"distances from the middle {distance.min():.3f} to {distance.max():.3f} radii"
        )

    words = [
        verb,
        "@/a.ply",
        *(["--resolution", "24"] if verb == "surface" else []),
        "--out",
        "@/out",
        "--json",
    ]
    return Input(
        f"{verb}, {name}, {size:.3g}",
        "cli",
        words,
        {"a.ply": cloud_file(points)},
        RunTruth(check),
        seconds=30,
    )
