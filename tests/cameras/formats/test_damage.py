"""Camera files with a few wrong bytes, cut off, or of another kind: one sentence or cameras, nothing else."""

import json
import random
import warnings

import numpy as np
import pytest

from bozzetto import InputError
from bozzetto.cameras.formats import read_cameras
from bozzetto.errors import InputWarning

from . import test_colmap as colmap
from . import test_photogrammetry_metashape as metashape
from . import test_photogrammetry_reality_capture as reality_capture
from . import test_projection_matrices as matrices
from . import test_reading as reading
from . import test_structure_from_motion_bundler as bundler
from . import test_structure_from_motion_sfm_json as sfm

MUTATIONS = 25
"""Per kind of file; a run of 40,000 found nothing more."""


def npz_files(folder, scene):
    scene.pictures(folder / "image")
    arrays = {
        f"world_mat_{i}": np.concatenate([P, [[0, 0, 0, 1]]])
        for i, P in enumerate(matrices.projections(scene, 0.5))
    }
    np.savez(folder / "cameras_sphere.npz", **arrays)


def npy_file(folder, scene):
    scene.pictures(folder / "images")
    np.save(folder / "poses_bounds.npy", matrices.poses_bounds(scene))


def matrix_files(folder, scene):
    scene.pictures(folder)
    matrices.write_strecha(folder, scene)


WRITERS = {
    "colmap binary": lambda folder, scene: colmap.write_binary(folder / "sparse"),
    "colmap text": lambda folder, scene: colmap.write_text(folder / "sparse"),
    "transforms": lambda folder, scene: reading.write(folder, scene, reading.transforms(scene)),
    "metashape": lambda folder, scene: metashape.write(folder, scene, metashape.document(scene)),
    "reality capture": lambda folder, scene: reality_capture.write(
        folder, scene, reality_capture.table(scene)
    ),
    "openmvg": lambda folder, scene: sfm.write(folder, scene, sfm.openmvg(scene, {}), "sfm_data.json"),
    "meshroom": lambda folder, scene: sfm.write(
        folder, scene, sfm.alicevision(scene, [1, 2, 8], "radial3"), "cameras.sfm"
    ),
    "bundler": lambda folder, scene: bundler.write(folder, scene, bundler.bundle(scene)),
    "idr": npz_files,
    "llff": npy_file,
    "matrices": matrix_files,
}


INTRUDERS = (b"\xff" * 8, b"nan", b"-1e999", b"\0" * 8, b"[" * 3, b"9" * 20)


def mutated(data, rng):
    """Bytes with one of the things that happen to files."""
    kind = rng.randrange(5)
    if kind == 0:
        return data[: rng.randrange(len(data) + 1)]
    if kind == 1:
        start = rng.randrange(len(data))
        return data[:start] + data[start + rng.randrange(1, 40) :]
    if kind == 2:
        start = rng.randrange(len(data))
        return (
            data[:start]
            + rng.choice([b"\xff" * 8, b"nan", b"-1e999", b"\0" * 8, b"[" * 3, b"9" * 20])
            + data[start:]
        )
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 3, 20])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


@pytest.mark.parametrize("kind", WRITERS)
def test_damaged_files_never_break_the_reader(tmp_path, scene, kind):
    made = scene(k=(0.1, -0.05, 0.02) if kind == "meshroom" else (0.1, -0.05))
    WRITERS[kind](tmp_path, made)
    files = [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".png"]
    intact = {path: path.read_bytes() for path in files}
    rng, refused = random.Random(kind), 0
    for _ in range(MUTATIONS):
        path = rng.choice(files)
        path.write_bytes(mutated(intact[path], rng))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)
            try:
                posed = read_cameras(tmp_path)
                assert all(view.T_cam_world.isfinite().all() for view in posed.views)
            except InputError as error:
                refused += 1
                assert "\n" not in str(error) and len(str(error)) < 600
        path.write_bytes(intact[path])
    assert refused > 0


@pytest.mark.parametrize("value", [None, True, 1e400, "x", [], {}, -1, 10**400, [[1]]])
def test_values_of_other_kinds_in_json_never_break_the_reader(tmp_path, scene, value):
    made = scene(k=(0.1, -0.05, 0.02))
    documents = [
        ("transforms.json", reading.transforms(made)),
        ("sfm_data.json", sfm.openmvg(made, {})),
        ("cameras.sfm", sfm.alicevision(made, [1, 2, 8], "radial3")),
    ]
    for name, document in documents:
        folder = tmp_path / name
        made.pictures(folder / "images")
        text = json.dumps(document)
        for place in places(document):
            changed = json.loads(text)
            inner = changed
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
            (folder / name).write_text(json.dumps(changed))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", InputWarning)
                try:
                    read_cameras(folder)
                except InputError as error:
                    assert "\n" not in str(error)


def places(value, place=()):
    """Keys that lead to every value of the first few members of a document."""
    inner = (
        value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    )
    for key, member in inner:
        yield (*place, key)
        yield from places(member, (*place, key))
