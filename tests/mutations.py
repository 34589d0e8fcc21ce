"""Faults that the tests must find, one at a time.

    python tests/mutations.py                # all of them
    python tests/mutations.py langevin clamp # those whose names hold one of these words

Each changes one place of the package in a copy, and runs the tests named with it against the copy. A fault that
the tests do not see is a hole in them: the script ends with exit code 1. `tests/test_mutations.py` checks that
every place is still there.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Mutation:
    """A fault: in `file` of the package `old` becomes `new`, and `tests` must see it."""

    name: str
    file: str
    old: str
    new: str
    tests: str


MUTATIONS = (
    Mutation(
        "gradient of the first of two samples on a ray",
        "inverse/volume_kernels.py",
        "waiting[3] = waiting[3] - by_ratio * slope_before",
        "waiting[3] = waiting[3]",
        "inverse/test_volume.py",
    ),
    Mutation(
        "opacity where a ray leaves a surface",
        "inverse/volume_kernels.py",
        "left = transmittance * wp.min(now / before, 1.0)",
        "left = transmittance * now / before",
        "inverse/test_volume.py",
    ),
    Mutation(
        "distances of a finer grid in coarse cells",
        "inverse/volume.py",
        "fine[0] * (self.cell / cell)",
        "fine[0] * 1.0",
        "inverse/test_volume.py",
    ),
    Mutation(
        "a pass of remeshing that lets faces cross",
        "geometry/remesh.py",
        "    if len(places) == 0:\n",
        "    if len(places) >= 0:\n",
        "geometry/test_remesh_pass.py",
    ),
    Mutation(
        "moments that do not know how triangles shrink",
        "inverse/optimize.py",
        "return area * carried(per_area * value)",
        "return carried(value)",
        "inverse/test_optimize.py",
    ),
    Mutation(
        "crossing faces that are not looked for between passes of remeshing",
        "inverse/optimize.py",
        "self.config.check_crossings if remeshing is None else remeshing.every",
        "self.config.check_crossings",
        "inverse/test_optimize.py",
    ),
    Mutation(
        "Langevin noise without sqrt 2",
        "score/solvers.py",
        "math.sqrt(2) * sigma * noise",
        "sigma * noise",
        "score/test_solvers.py",
    ),
    Mutation(
        "Langevin noise from small to large",
        "score/solvers.py",
        "high * (low / high)",
        "low * (high / low)",
        "score/test_solvers.py",
    ),
    Mutation(
        "weight of noise levels",
        "score/model.py",
        "/ (sigma * self.config.data_std) ** 2",
        "/ (sigma * self.config.data_std)",
        "score/test_model.py",
    ),
    Mutation(
        "rays accept medial axes",
        "score/raycast.py",
        "STEEP = -0.5",
        "STEEP = 9.0",
        "score/test_raycast.py",
    ),
    Mutation(
        "rays accept wires and saddles",
        "score/raycast.py",
        "    -0.8,\n    1.2,",
        "    -99.0,\n    99.0,",
        "score/test_raycast.py",
    ),
    Mutation(
        "step size of the released fit",
        "sdf/fit_code.py",
        "5e-3 if step < steps // 2",
        "5e-2 if step < steps // 2",
        "sdf/test_fit_code.py",
    ),
    Mutation(
        "step size of the reference",
        "sdf/config.py",
        "    lr=5e-4,",
        "    lr=5e-3,",
        "sdf/test_train.py",
    ),
    Mutation(
        "code penalty of the fit",
        "sdf/fit_code.py",
        "PENALTY = 1e-4",
        "PENALTY = 1e-2",
        "sdf/test_fit_code.py",
    ),
    Mutation(
        "code penalty of the training",
        "sdf/config.py",
        "prior_weight: float = 1e-4",
        "prior_weight: float = 1e-2",
        "sdf/test_train.py",
    ),
    Mutation(
        "code penalty without its warm-up",
        "sdf/train.py",
        "min(1.0, self.epoch / WARM_UP_EPOCHS)",
        "1.0",
        "sdf/test_train.py",
    ),
    Mutation(
        "longest code",
        "sdf/train.py",
        "self.config.max_code_norm / codes.norm",
        "1e9 / codes.norm",
        "sdf/test_train.py",
    ),
    Mutation(
        "clamp of the published loss",
        "sdf/fit_code.py",
        "clamped_l1(found, distances, prior.clamp)",
        "clamped_l1(found, distances, 0.1)",
        "sdf/test_fit_code.py",
    ),
    Mutation(
        "clamp of the second-order fit",
        "sdf/fit_code.py",
        "self.clamp: float = prior.clamp",
        "self.clamp: float = 0.1",
        "sdf/test_fit_code.py",
    ),
    Mutation(
        "damping that never shrinks",
        "sdf/objective.py",
        "damping * max(1 / 3, 1 - (2 * ratio - 1) ** 3), 2.0",
        "damping, 2.0",
        "sdf/test_objective.py",
    ),
    Mutation(
        "published loss without its perceptual half",
        "heightmap/losses.py",
        "return difference + distance, figures",
        "return difference, figures",
        "heightmap/test_losses.py",
    ),
    Mutation(
        "structure loss without normals",
        "heightmap/losses.py",
        '"normal": 0.3',
        '"normal": 0.0',
        "heightmap/test_losses.py",
    ),
    Mutation(
        "mean of the weights off",
        "runs/training.py",
        "now = min(decay,",
        "now = min(0.0,",
        "runs/test_training.py",
    ),
    Mutation(
        "gradients never cut",
        "runs/training.py",
        "if math.isfinite(self.max_grad_norm):",
        "if False:",
        "runs/test_training.py",
    ),
    Mutation(
        "albedo stored without encoding",
        "heightmap/run.py",
        "linear_to_srgb(albedo.clamp(0, 1))",
        "albedo.clamp(0, 1)",
        "cli/test_heightmap.py",
    ),
    Mutation(
        "gain of outlines ignored",
        "rendering/antialiasing.py",
        "crossings, fragments, edge_gain)",
        "crossings, fragments, 1.0)",
        "rendering/test_antialiasing.py",
    ),
    Mutation(
        "exposures without geometric mean 1",
        "inverse/model.py",
        "(self.log_exposure[index] - self.log_exposure.mean())",
        "self.log_exposure[index]",
        "inverse/test_model.py",
    ),
    Mutation(
        "solver stops early",
        "geometry/solve.py",
        "goal = self.tolerance * rhs",
        "goal = 1000 * self.tolerance * rhs",
        "geometry/test_solve.py",
    ),
    Mutation(
        "remeshing that takes noise for shape",
        "geometry/remeshing/sizing.py",
        "ROUGH = 0.2",
        "ROUGH = 2.0",
        "geometry/test_remesh_rough.py",
    ),
    Mutation(
        "remeshing that knows an edge among its surroundings",
        "geometry/remeshing/sizing.py",
        "- 4 * own",
        "+ 4 * own",
        "geometry/test_remesh_rough.py",
    ),
    Mutation(
        "remeshing that cuts facets",
        "geometry/remeshing/sizing.py",
        "LOSS = 0.05",
        "LOSS = 50.0",
        "geometry/test_remesh_creases.py",
    ),
    Mutation(
        "remeshing that leaves narrow facets to needles",
        "geometry/remeshing/sizing.py",
        "SLIMMEST = 0.6, 2.0",
        "SLIMMEST = 99.0, 99.0",
        "geometry/test_remesh_creases.py",
    ),
    Mutation(
        "denoiser that learns nothing",
        "points/fit_training.py",
        "for step in counted(range(1, steps + 1), name):",
        "for step in counted(range(0), name):",
        "points/test_fit_training.py",
    ),
    Mutation(
        "a room that is no name of the package",
        "__init__.pyi",
        "from . import geometry as geometry\n",
        "",
        "test_house.py",
    ),
)


def survives(mutation: Mutation) -> bool:
    """Whether the tests pass although the package has this fault."""
    with TemporaryDirectory() as folder:
        package = Path(folder) / "bozzetto"
        shutil.copytree(ROOT / "src" / "bozzetto", package, ignore=shutil.ignore_patterns("__pycache__"))
        file = package / mutation.file
        text = file.read_text(encoding="utf-8")
        assert text.count(mutation.old) == 1, f"{mutation.file} does not hold {mutation.old!r} once"
        file.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
        words = ["-x", "-q", "-p", "no:cacheprovider", f"tests/{mutation.tests}"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *words],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode not in (0, 1):
        sys.exit(f"{mutation.name}: the tests did not run\n{done.stdout}{done.stderr}")
    return done.returncode == 0


def main() -> None:
    """Apply the faults, print what became of each."""
    words = sys.argv[1:]
    chosen = [m for m in MUTATIONS if not words or any(w.lower() in m.name.lower() for w in words)]
    alive = []
    for mutation in chosen:
        found = survives(mutation)
        alive += [mutation.name] * found
        print(f"{'SURVIVES' if found else 'killed  '} {mutation.name}", flush=True)
    print(f"{len(chosen) - len(alive)} of {len(chosen)} killed")
    sys.exit(1 if alive else 0)


if __name__ == "__main__":
    main()
