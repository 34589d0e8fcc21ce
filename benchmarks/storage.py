"""Bytes per shape: a code and its share of the decoder, against meshes and distance grids of equal error.

    python -m benchmarks.storage [--family bodies --prior FILE] [--shapes 6]

The error is the mean distance between two surfaces, both ways, in the normalised frame (radius 1 / 1.03).
For shapes that the prior was trained on: 16-bit code plus the prior's 16-bit weights divided by the number of
shapes, meshed at 256^3. The same error is then sought among coarser and coarser meshes of the original
(isotropic remeshing; 16-bit positions and indices, deflated) and among grids of 16-bit distances (meshed by
marching cubes; deflated). The original mesh and the grid of 64^3 are counted as well.
"""

import argparse
import statistics
import zlib
from collections.abc import Callable

import numpy as np
import torch

import bozzetto
from benchmarks.helpers.common import RESULTS, save_results
from benchmarks.helpers.shape_families import FAMILIES, Family, Path, normalisation_of
from bozzetto import InputError, Mesh
from bozzetto.geometry import isosurface, largest_component, remesh, signed_distance
from bozzetto.metrics import surface_distance
from bozzetto.sdf import ShapePrior, extract_mesh, load_prior

SHIPPED = Path(bozzetto.__file__).parent / "weights" / "bodies.safetensors"
SIDES = (12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96)


def error(a: Mesh, b: Mesh) -> float:
    """Mean distance between two surfaces."""
    distance = surface_distance(a, b, samples=20_000)
    return (distance.mean_ab + distance.mean_ba) / 2


def deflated(*arrays: torch.Tensor) -> int:
    """Bytes after compression."""
    return len(zlib.compress(b"".join(a.contiguous().numpy().tobytes() for a in arrays), 9))


def mesh_bytes(mesh: Mesh) -> dict[str, int]:
    """Of a mesh as binary PLY holds it (32 bits), and with 16-bit positions and indices, deflated."""
    positions = ((mesh.vertices + 1) * 32767.5).round().clamp(0, 65535).to(torch.int32).numpy()
    index = np.uint16 if len(mesh.vertices) < 65536 else np.uint32
    packed = zlib.compress(
        positions.astype(np.uint16).tobytes() + mesh.faces.numpy().astype(index).tobytes(), 9
    )
    return {"plain": 12 * len(mesh.vertices) + 12 * len(mesh.faces), "packed": len(packed)}


def grid_mesh(mesh: Mesh, side: int) -> tuple[Mesh, int]:
    """The mesh that a grid of 16-bit distances gives, and the bytes of that grid."""
    axis = torch.linspace(-1, 1, side)
    values = signed_distance(mesh, torch.cartesian_prod(axis, axis, axis)).half()
    return isosurface(values.float().reshape(side, side, side), (-1, -1, -1), (1, 1, 1)), deflated(values)


def equal_grid(mesh: Mesh, wanted: float) -> dict:
    """The smallest grid whose error is no larger than wanted; the largest tried if none is."""
    row: dict = {}
    for side in SIDES:
        try:
            candidate, count = grid_mesh(mesh, side)
        except InputError:
            continue
        row = {"side": side, "plain": 2 * side**3, "packed": count, "error": error(candidate, mesh)}
        if row["error"] <= wanted:
            break
    return row


def equal_mesh(mesh: Mesh, wanted: float) -> dict:
    """The coarsest remeshed copy whose error is no larger than wanted, by bisection on the edge length."""

    def coarse(length: float) -> Mesh:
        return remesh(mesh, length, iterations=8, crease_angle=None, tolerance=None)

    return bisect(lambda length: described(coarse(length), mesh), wanted)


def described(candidate: Mesh, mesh: Mesh) -> dict:
    """Size and error of a mesh."""
    return {"vertices": len(candidate.vertices), **mesh_bytes(candidate), "error": error(candidate, mesh)}


def bisect(describe: Callable[[float], dict], wanted: float, low: float = 0.01, high: float = 0.4) -> dict:
    """What the largest length gives whose error is no larger than wanted."""
    best = describe(low)
    for _ in range(6):
        middle = (low * high) ** 0.5
        row = describe(middle)
        if row["error"] <= wanted:
            low, best = middle, row
        else:
            high = middle
    return best


def examine(prior: ShapePrior, index: int, mesh: Mesh, share: float) -> dict:
    """All figures of one shape."""
    code = prior.codes[index].half()
    ours = largest_component(extract_mesh(prior, code.float(), 256))
    wanted, (_, grid_64) = error(ours, mesh), grid_mesh(mesh, 64)
    row = {
        "error": wanted,
        "code_bytes": 2 * len(code),
        "code_and_share_bytes": 2 * len(code) + share,
        "original": mesh_bytes(mesh),
        "grid_64_packed_bytes": grid_64,
        "grid_64_error": error(grid_mesh(mesh, 64)[0], mesh),
        "equal_grid": equal_grid(mesh, wanted),
    }
    try:
        row["equal_mesh"] = equal_mesh(mesh, wanted)
    except InputError:  # only manifold meshes can be made coarser here
        row["equal_mesh"] = None
    return row


def main() -> None:
    """Count bytes at equal error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--family", choices=FAMILIES, default="bodies")
    parser.add_argument("--prior", type=Path, default=SHIPPED)
    parser.add_argument("--shapes", type=int, default=6)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    family, prior = Family(options.family), load_prior(options.prior)
    share = 2 * sum(weight.numel() for weight in prior.decoder.parameters()) / len(prior.names)
    rows: dict = {}
    for index in torch.linspace(0, len(prior.names) - 1, options.shapes).round().long().tolist():
        mesh = family[family.key_of(prior.names[index])]
        mesh = mesh.with_vertices(normalisation_of(mesh).apply(mesh.vertices.double()).float())
        rows[prior.names[index]] = row = examine(prior, index, mesh, share)
        print(prior.names[index], row, flush=True)
    meshes = [row["equal_mesh"] for row in rows.values() if row["equal_mesh"]]
    summary = {
        "error": statistics.median(row["error"] for row in rows.values()),
        "code_bytes": 2 * prior.codes.shape[1],
        "decoder_share_bytes": share,
        "original_plain_bytes": statistics.median(row["original"]["plain"] for row in rows.values()),
        "original_packed_bytes": statistics.median(row["original"]["packed"] for row in rows.values()),
        "equal_mesh_packed_bytes": statistics.median(m["packed"] for m in meshes) if meshes else None,
        "equal_grid_packed_bytes": statistics.median(r["equal_grid"]["packed"] for r in rows.values()),
        "grid_64_plain_bytes": 2 * 64**3,
        "grid_64_packed_bytes": statistics.median(row["grid_64_packed_bytes"] for row in rows.values()),
    }
    print(summary)
    save_results(
        f"storage_{options.family}",
        {"training_shapes": len(prior.names), "summary": summary, "shapes": rows},
        options.out,
    )


if __name__ == "__main__":
    main()
