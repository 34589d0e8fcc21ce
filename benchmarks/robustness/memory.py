"""Peak memory of every verb on an input and on one ten times as large.

    python -m benchmarks.robustness.memory [--only surface,heightmap] [--markdown]

Each verb runs as a process of its own; its peak, with its workers, is what the system counted (VmHWM, Linux),
less the peak of the same command line on a smallest input: Python, PyTorch and the weights. Where the smallest
input takes more than the next, less that of `bozzetto doctor`: `surface` has a fixed grid for few points.
What is freed before hides small inputs (`HIDDEN`). A ratio above ten is worse than linear. Runs are ended at
`--limit`. With `--only` the others stay as stored, each with the commit that it was measured at.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.helpers.common import RESULTS, commit, save_results
from benchmarks.robustness.generators.captures import capture, files_of
from benchmarks.robustness.generators.pictures import png, smooth
from benchmarks.robustness.generators.solids import ball
from benchmarks.robustness.generators.values import even_sphere

HIDDEN = 0.1
"""Share of the smallest peak below which an input does not show: imports and fixed grids free that much."""
CEILING = 10.5
"""Largest ratio that counts as linear: ten, and what a measurement scatters by."""


def cloud(path: Path, count: int) -> None:
    """Points of a sphere, slightly noisy."""
    rng = np.random.default_rng(0)
    points, _, _ = even_sphere(rng, count)
    np.save(path, (points + 1e-3 * rng.normal(size=points.shape)).astype(np.float32))


def mesh(path: Path, faces: int) -> None:
    """A band of triangles around a torus, as PLY."""
    m = max(8, round((faces / 2) ** 0.5))
    u, v = np.meshgrid(2 * np.pi * np.arange(m) / m, 2 * np.pi * np.arange(m) / m, indexing="ij")
    far = 1 + 0.4 * np.cos(v)
    points = np.stack([far * np.cos(u), far * np.sin(u), 0.4 * np.sin(v)], -1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(m), np.arange(m), indexing="ij")
    at = lambda a, b: ((a % m) * m + b % m).ravel()  # noqa: E731
    quad = at(i, j), at(i + 1, j), at(i + 1, j + 1), at(i, j + 1)
    triangles = np.concatenate(
        [np.stack([quad[0], quad[1], quad[2]], 1), np.stack([quad[0], quad[2], quad[3]], 1)]
    )
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}"]
    lines += [*(f"property float {c}" for c in "xyz"), f"element face {len(triangles)}"]
    head = "\n".join([*lines, "property list uchar int vertex_indices", "end_header", ""])
    rows = np.empty(len(triangles), [("n", "u1"), ("c", "<i4", 3)])
    rows["n"], rows["c"] = 3, triangles
    path.write_bytes(head.encode() + points.astype("<f4").tobytes() + rows.tobytes())


def photo(path: Path, pixels: int) -> None:
    """A smooth colour picture."""
    rng, side = np.random.default_rng(0), max(16, round(pixels**0.5))
    path.write_bytes(png(np.round(smooth(rng, side, side, 3) * 255).astype(np.uint32), 8, "rgb"))


def heights(path: Path, pixels: int) -> None:
    """A smooth height map of 16 bits."""
    rng, side = np.random.default_rng(len(path.name)), max(16, round(pixels**0.5))
    path.write_bytes(png(np.round(smooth(rng, side, side) * 65535).astype(np.uint32), 16, "grey"))


def views(folder: Path, count: int) -> None:
    """A capture of small photographs."""
    for name, data in files_of(capture(np.random.default_rng(0), count, 96, 72)).items():
        path = folder / name.removeprefix("c/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def clouds(path: Path, count: int) -> None:
    """A set of clouds of 512 points, as an array."""
    rng = np.random.default_rng(len(path.name))
    points = rng.normal(size=(count, 512, 3))
    points /= np.linalg.norm(points, axis=2, keepdims=True)
    np.save(path, (points * rng.uniform(0.5, 1, (count, 1, 3))).astype(np.float32))


def meshes(folder: Path, count: int) -> None:
    """A collection of stretched spheres, as OBJ."""
    folder.mkdir(parents=True)
    rng, solid = np.random.default_rng(0), ball(level=4)
    faces = "".join(f"f {a + 1} {b + 1} {c + 1}\n" for a, b, c in solid.polygons)
    for i in range(count):
        vertices = solid.vertices * rng.uniform(0.5, 1, 3)
        text = "".join(f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in vertices)
        (folder / f"{i:03d}.obj").write_text(text + faces)


def materials(folder: Path, count: int) -> None:
    """Pairs of photo and height map."""
    for i in range(count):
        (folder / f"{i:03d}").mkdir(parents=True)
        photo(folder / f"{i:03d}/color.png", 256 * 256)
        heights(folder / f"{i:03d}/height.png", 256 * 256)


@dataclass(frozen=True)
class Measured:
    """A verb with its inputs.

    Attributes:
        name: What is shown.
        words: The command line; `@` is the folder of inputs.
        make: By the name of an input: its maker.
        sizes: Smallest, once, ten times.
        unit: Of the sizes.
    """

    name: str
    words: str
    make: dict[str, Callable[[Path, int], None]]
    sizes: tuple[int, int, int]
    unit: str


VERBS = [
    Measured(
        "surface", "surface @/a.npy --resolution 64", {"a.npy": cloud}, (300, 100_000, 1_000_000), "points"
    ),
    Measured(
        "denoise", "denoise @/a.npy --iterations 1", {"a.npy": cloud}, (300, 100_000, 1_000_000), "points"
    ),
    Measured(
        "autoencode",
        "autoencode @/a.npy --points 1000",
        {"a.npy": cloud},
        (300, 100_000, 1_000_000),
        "points",
    ),
    Measured(
        "complete",
        "complete @/a.ply --yaw-starts 1 --resolution 32",
        {"a.ply": mesh},
        (300, 100_000, 1_000_000),
        "faces",
    ),
    Measured(
        "evaluate surface",
        "evaluate surface @/a.ply @/a.ply",
        {"a.ply": mesh},
        (300, 100_000, 1_000_000),
        "faces",
    ),
    Measured(
        "evaluate points",
        "evaluate points @/a.npy @/a.npy --points 256",
        {"a.npy": cloud},
        (300, 100_000, 1_000_000),
        "points",
    ),
    Measured(
        "evaluate generation",
        "evaluate generation @/a.npy @/bb.npy --points 256",
        {"a.npy": clouds, "bb.npy": clouds},
        (3, 10, 100),
        "clouds",
    ),
    Measured(
        "evaluate heightmap",
        "evaluate heightmap @/a.png @/bb.png",
        {"a.png": heights, "bb.png": heights},
        (1000, 1_000_000, 10_000_000),
        "pixels",
    ),
    Measured("heightmap", "heightmap @/a.png", {"a.png": photo}, (1000, 1_000_000, 10_000_000), "pixels"),
    Measured("doctor", "doctor @/c", {"c": views}, (4, 8, 80), "views"),
    Measured("reconstruct", "reconstruct @/c --preset fast", {"c": views}, (4, 8, 80), "views"),
    Measured("prepare sdf", "prepare sdf @/m --samples 5000", {"m": meshes}, (1, 10, 100), "meshes"),
    Measured("train sdf", "train sdf @/m --samples 5000 --epochs 1", {"m": meshes}, (1, 10, 100), "meshes"),
    Measured("train score", "train score @/a.npy --epochs 1", {"a.npy": clouds}, (3, 10, 100), "clouds"),
    Measured(
        "train heightmap",
        "train heightmap @/d --procedural-samples 0 --steps 1",
        {"d": materials},
        (1, 4, 40),
        "materials",
    ),
]


def peak_of(words: list[str], limit: float) -> tuple[float, float, int]:
    """Peak in MB, seconds, and exit code of a command line (124 if it was ended at the limit)."""
    peaks: dict[int, float] = {}
    with tempfile.TemporaryFile() as said:
        start = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", "bozzetto", *words], stdout=said, stderr=said)
        while process.poll() is None and time.monotonic() - start < limit:
            for pid in (process.pid, *below(process.pid)):
                if found := high_water(
                    pid
                ):  # the last one counts: before it begins, a process is this script
                    peaks[pid] = found
            time.sleep(0.05)
        ended = process.poll() is None
        process.kill()
        process.wait()
        if process.returncode and not ended:
            said.seek(0)
            print("   ", said.read().decode(errors="replace").strip()[-300:])
    return sum(peaks.values()), time.monotonic() - start, 124 if ended else process.returncode


def high_water(pid: int) -> float:
    """Largest resident memory so far, in MB (ru_maxrss would begin with that of this script)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


def below(pid: int) -> list[int]:
    """Worker processes, and theirs."""
    try:
        children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [*children, *(one for child in children for one in below(child))]


def measure(verb: Measured, limit: float, imports: float) -> dict:
    """Peaks of a verb on its three inputs.

    Args:
        verb: What is measured.
        limit: Seconds per run.
        imports: Peak in MB of a verb that does nothing.
    """
    found: dict = {"verb": verb.name, "unit": verb.unit, "sizes": list(verb.sizes)}
    with tempfile.TemporaryDirectory() as scratch:
        peaks, seconds, codes = [], [], []
        for size in verb.sizes:
            folder = Path(scratch) / "in"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for name, make in verb.make.items():
                make(folder / name, size)
            out = Path(scratch) / f"out-{size}"
            line = [word.replace("@", str(folder)) for word in verb.words.split(" ")]
            peak, took, code = peak_of([*line, "--quiet", "--out", str(out)], limit)
            peaks.append(peak)
            seconds.append(took)
            codes.append(code)
            shutil.rmtree(out, ignore_errors=True)
    base = peaks[0] if peaks[0] <= peaks[1] else imports
    once, ten = peaks[1] - base, peaks[2] - base
    ratio = ten / max(once, HIDDEN * base)
    return found | {
        "peak_mb": [round(p) for p in peaks],
        "seconds": [round(s, 1) for s in seconds],
        "exit_codes": codes,
        "more_than_base_mb": [round(once), round(ten)],
        "ratio": round(ratio, 2),
        "linear": ratio <= CEILING and all(code in (0, 124) for code in codes),
        "ended_at_limit": 124 in codes,
    }


def markdown(rows: list[dict]) -> str:
    """The table of the docs."""
    lines = [
        "| verb | input | peak | ten times the input | peak | beyond imports and weights |",
        "|---|---|---|---|---|---|",
    ]
    for r in rows:
        _, one, ten = r["sizes"]
        grown = f"{r['more_than_base_mb'][0]:,} to {r['more_than_base_mb'][1]:,} MB"
        lines.append(
            f"| `{r['verb']}` | {one:,} {r['unit']} | {r['peak_mb'][1]:,} MB "
            f"| {ten:,} | {r['peak_mb'][2]:,} MB | {grown} |"
        )
    return "\n".join(lines)


def merged(rows: list[dict], path: Path) -> list[dict]:
    """Rows that were measured and those stored of other verbs, in the order of `VERBS`."""
    before = json.loads(path.read_text()) if path.exists() else {"verbs": []}
    stored = [{"commit": before.get("commit"), **row} for row in before["verbs"]]
    found = {row["verb"]: row for row in [*stored, *rows]}
    return [found[verb.name] for verb in VERBS if verb.name in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="verbs, comma-separated")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds per run")
    parser.add_argument("--markdown", action="store_true", help="print the table of the docs")
    parser.add_argument("--results", type=Path, default=None, help="JSON file; default benchmarks/results/")
    arguments = parser.parse_args()
    wanted = {word for word in arguments.only.split(",") if word}
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        imports = peak_of(["doctor", "--quiet", "--out", f"{scratch}/out"], arguments.limit)[0]
    for verb in VERBS:
        if wanted and verb.name not in wanted:
            continue
        rows.append(measure(verb, arguments.limit, imports) | {"commit": commit()})
        print(rows[-1], flush=True)
    if wanted:
        rows = merged(rows, arguments.results or RESULTS / "memory.json")
    print(f"\n{markdown(rows)}" if arguments.markdown else "")
    content = {
        "imports_mb": round(imports),
        "verbs": rows,
        "worse_than_linear": [r["verb"] for r in rows if not r["linear"]],
    }
    if arguments.results is not None:
        arguments.results.write_text(json.dumps(content, indent=2) + "\n")
    else:
        save_results("memory", content)


if __name__ == "__main__":
    main()
