"""SIGKILL at random moments of every verb that works for long, and what is left and comes of going on.

    python -m benchmarks.robustness.kill --kills 50 --at-writing 10

Each verb first runs to its end on a small input of our own; that is the reference. Then it is killed again and
again at a random moment, in every other run while it replaces earlier results with `--overwrite`; and some more
times within a tenth of a second after it has begun to write its results, which takes little time. After a kill:

- no file with its final name may differ from that of the reference or, where it replaces others, of the earlier
  results; files that grow or depend on the moment must be whole JSON or safetensors;
- earlier results must be there as long as not all of the new ones are;
- none of the processes that the run has started may be alive two seconds later.

Then the run goes on (`--resume`, or the same command where that continues), and all results must have the same
bytes as the reference. Left out of the comparison, because time and place are in them: of reports seconds,
memory, threads and paths; of metrics, checkpoints and records of prepared shapes seconds; the order of those
records, which threads decide; and the checkpoint of `reconstruct`, whose step depends on the time.

To have many moments in little time, networks, steps and pictures are small, checkpoints are written every 0.2
seconds instead of every 20 or 60, and runs are forks of a process that has imported everything.
"""

import argparse
import json
import os
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # a fork must not inherit threads

import numpy as np

from benchmarks.helpers.common import RESULTS, save_results

ORPHAN_SECONDS = 2.0
CHECKPOINT_SECONDS = 0.2
HIDDEN = re.compile(
    r"(^|/)(\.lock|\.files|\.unfinished/.*|\.finished/.*|\..*\.part[^/]*|prepared/procedural-.*)$"
)
"""Files of runs that are at work, and procedural materials that are kept for further trainings."""


@dataclass(frozen=True)
class Verb:
    """A verb that is killed.

    Attributes:
        name: In the table.
        words: Its command line, less --out; `{in}` stands for the folder of inputs.
        resume: What is added to go on.
        last: One of the files that are written at the end of the work; None if writing takes no time.
        differs: Files that no two runs have in common.
    """

    name: str
    words: str
    last: str | None
    resume: tuple[str, ...] = ("--resume",)
    differs: tuple[str, ...] = ()


VERBS = [
    Verb(
        "reconstruct",
        "reconstruct {in}/capture --preset fast",
        "mesh.ply",
        differs=("checkpoint.safetensors",),
    ),
    Verb("heightmap folder", "heightmap {in}/photos --weights {in}/weights.safetensors", "5/height.png"),
    Verb("prepare", "prepare sdf {in}/meshes --samples 20000", "split.json", ()),
    Verb("train sdf", "train sdf {in}/meshes --samples 4000 --epochs 150", "prior.safetensors"),
    Verb("train score", "train score {in}/clouds.npy --epochs 30", "model.safetensors"),
    Verb(
        "train heightmap",
        "train heightmap procedural --procedural-samples 24 --steps 40",
        "heights.safetensors",
    ),
    Verb("evaluate generation", "evaluate generation {in}/made.npy {in}/clouds.npy", None, ()),
]


@dataclass
class Tally:
    """What happened to a verb."""

    seconds: float = 0.0
    kills: int = 0
    at_start: int = 0
    at_work: int = 0
    at_writing: int = 0
    replacing: int = 0
    from_checkpoint: int = 0
    same_bytes: int = 0
    orphans: int = 0
    half_files: int = 0
    earlier_lost: int = 0
    leftovers: int = 0
    failures: list[str] = field(default_factory=list)


def import_everything() -> None:
    """Import what verbs import when they run, and make what they learn small."""
    import importlib
    import pkgutil

    import bozzetto
    from bozzetto.heightmap import config as heights
    from bozzetto.inverse import run as photographs
    from bozzetto.inverse.config import PRESETS
    from bozzetto.runs import training as training_run
    from bozzetto.score import config as score
    from bozzetto.score import run as clouds
    from bozzetto.sdf import config as sdf
    from bozzetto.sdf import run as shapes

    for name in (
        "torch",
        "warp",
        "scipy.spatial",
        "skimage.measure",
        "OpenEXR",
        "imageio",
    ):
        importlib.import_module(name)
    for module in pkgutil.walk_packages(bozzetto.__path__, "bozzetto."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    training_run.CHECKPOINT_SECONDS = photographs.CHECKPOINT_SECONDS = CHECKPOINT_SECONDS
    training_run.LOG_EVERY = 5
    few = [replace(stage, steps=max(1, stage.steps // 20)) for stage in PRESETS["fast"].stages]
    PRESETS["fast"] = replace(PRESETS["fast"], stages=tuple(few))
    plain_turntable = photographs.turntable
    photographs.turntable = lambda *where, **how: plain_turntable(*where, **how, frames=2, size=48)
    shapes.PREVIEW_RESOLUTION, shapes.PREVIEWS, clouds.PREVIEWS = 24, 2, 2
    network = heights.NetworkConfig(widths=(8, 8, 8, 8), blocks=(0, 1, 1, 1))
    heights.PRESETS["default"] = heights.TrainConfig(network=network, side=64, precision="float32")
    decoder = sdf.DecoderConfig(hidden=32, grid=4, code_size=16)
    sdf.PRESETS["default"] = sdf.TrainConfig(decoder=decoder, samples_per_shape=256, precision="float32")
    model = score.ModelConfig(code_size=64, hidden=16, channels=8, features=4)
    latent = score.LatentConfig(hidden=32)
    score.PRESETS["default"] = score.TrainConfig(
        model=model, latent=latent, points=128, inputs=(32, 128), precision="float32"
    )


def make_inputs(folder: Path) -> None:
    """A capture, photos and weights, meshes, and two sets of clouds."""
    import torch

    from bozzetto.cameras import fibonacci_cameras, save_transforms
    from bozzetto.datasets.synthetic.materials import make_sample
    from bozzetto.heightmap import NetworkConfig, Predictor, save_predictor
    from bozzetto.heightmap.model import build_network
    from bozzetto.images import linear_to_srgb, save_image
    from bozzetto.rendering import render
    from bozzetto.shapes import box, icosphere, save_mesh, torus

    cameras = fibonacci_cameras(8, distance=5.0, size=48)
    light = torch.zeros(9, 3)
    light[0], light[2] = 2.0, 0.6
    names = [f"images/{i}.png" for i in range(8)]
    for name, picture in zip(names, render(torus(1.0, 0.4, 48, 24), cameras, light), strict=True):
        (folder / "capture" / name).parent.mkdir(parents=True, exist_ok=True)
        color = linear_to_srgb((picture[..., :3] / picture[..., 3:].clamp(min=1e-6)).clamp(0, 1))
        save_image(folder / "capture" / name, torch.cat([color, picture[..., 3:]], dim=-1))
    save_transforms(cameras, folder / "capture" / "transforms.json", names)

    (folder / "photos").mkdir()
    for number in range(6):
        color = torch.from_numpy(make_sample(0, number, 96).color.copy())
        save_image(folder / "photos" / f"{number}.png", color / 255.0)
    torch.manual_seed(0)
    config = NetworkConfig(widths=(8, 8, 8, 8), blocks=(0, 1, 1, 1))
    save_predictor(Predictor(build_network(config), config, {}), folder / "weights.safetensors")

    (folder / "meshes").mkdir()
    for number in range(3):
        for name, mesh in (
            ("ball", icosphere(2, 1.0 + number)),
            ("box", box([1.0, 0.6, 0.4 + 0.2 * number])),
            ("ring", torus(0.7, 0.2 + 0.05 * number)),
        ):
            save_mesh(mesh, folder / "meshes" / f"{name}{number}.ply")

    rng = np.random.default_rng(0)
    for name in ("clouds", "made"):
        sides = rng.uniform(0.3, 1, (24, 1, 3))
        np.save(folder / f"{name}.npy", (rng.random((24, 256, 3)) * sides).astype(np.float32))


def fork(action: Callable[[], object], log: Path) -> int:
    """Run something in a process that leads a session of its own; its number."""
    number = os.fork()
    if number:
        return number
    code = 1
    try:
        os.setsid()
        stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(stream, 1)
        os.dup2(stream, 2)
        code = action() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)  # type: ignore[arg-type]


def run_command(words: list[str]) -> int:
    """The command line, as the program `bozzetto` runs it."""
    import bozzetto.__main__ as program

    sys.argv = ["bozzetto", *words]
    sys.modules["__main__"] = program  # what workers import
    return program.main()


def begin(words: list[str], log: Path) -> int:
    """Run a command line in a fork."""
    return fork(lambda: run_command(words), log)


def finish(words: list[str], log: Path) -> tuple[int, float]:
    """Run a command line to its end: exit code and seconds."""
    began = time.monotonic()
    _, status = os.waitpid(begin(words, log), 0)
    return os.waitstatus_to_exitcode(status), time.monotonic() - began


def alive_in_session(leader: int) -> list[int]:
    """Processes that a killed leader of a session has left."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            if int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(folder.name))
    return found


def orphans_after(leader: int) -> int:
    """How many are still alive when their time is up; they are ended then."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    while (left := alive_in_session(leader)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for number in left:
        with suppress(OSError):
            os.kill(number, signal.SIGKILL)
    return len(left)


def content(path: Path, out: Path) -> Any:
    """A file without what time and place put into it; None if it is not whole."""
    data, name = path.read_bytes(), path.name
    try:
        if name == "report.json":
            return timeless(json.loads(data.decode().replace(str(out), "OUT")))
        if name in ("metrics.jsonl", "preparation.jsonl"):
            lines = data.decode().split("\n")[:-1]  # a crash may cut the last one, which readers know
            entries = [json.dumps(timeless(json.loads(line)), sort_keys=True) for line in lines]
            return sorted(entries) if name == "preparation.jsonl" else entries
        if path.suffix == ".safetensors":
            size = int.from_bytes(data[:8], "little")
            header = json.loads(data[8 : 8 + size])
            meta = header.pop("__metadata__")
            if len(data) != 8 + size + max(
                (entry["data_offsets"][1] for entry in header.values()), default=0
            ):
                return None
            if name == "checkpoint.safetensors":
                return header, timeless(json.loads(meta["bozzetto"])), data[8 + size :]
        return data
    except (ValueError, KeyError):
        return None


def timeless(value: Any) -> Any:
    """JSON values without seconds, memory and the state of the machine."""
    if isinstance(value, dict):
        gone = ("seconds", "elapsed", "peak_memory_bytes", "threads")
        return {key: timeless(item) for key, item in value.items() if key not in gone}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def results_in(verb: Verb, out: Path) -> dict[str, Any]:
    """What stands in a folder under final names."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_file() and not HIDDEN.search(name) and name not in verb.differs:
            found[name] = content(path, out)
    return found


GROWING = ("metrics.jsonl", "preparation.jsonl", "checkpoint.safetensors", "preparation.json", "split.json")


def half_files(found: dict[str, Any], *complete: dict[str, Any]) -> list[str]:
    """Files that are neither whole by themselves nor those of a complete run."""
    return [
        name
        for name, value in found.items()
        if value is None
        or (name.rsplit("/", 1)[-1] not in GROWING and all(one.get(name) != value for one in complete))
    ]


def lasting(found: dict[str, Any]) -> dict[str, Any]:
    """Results without what was prepared for them, which a run replaces before it has its own."""
    return {name: value for name, value in found.items() if not name.startswith("prepared/")}


def wait_for_moment(case: "Case", place: Path, rng: np.random.Generator, at_writing: bool) -> None:
    """Wait for a random part of the time that a run takes, or until shortly after it begins to write."""
    if not at_writing:
        time.sleep(float(rng.uniform(0.02, case.tally.seconds)))
        return
    assert case.verb.last is not None
    deadline = time.monotonic() + 3 * case.tally.seconds
    while not (place / case.verb.last).exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(float(rng.uniform(0, 0.1)))


def kill_once(work: Path, number: int, case: "Case", at_writing: bool) -> None:
    """Kill a run at a random moment, look at what is left, go on, and compare."""
    verb, tally, out, log = case.verb, case.tally, work / "out", work / "log"
    rng = np.random.default_rng([case.seed, VERBS.index(verb), at_writing, number])
    replacing = number % 2 == 1
    place = out / ".unfinished" if replacing else out
    for _ in range(10):
        shutil.rmtree(out, ignore_errors=True)
        if replacing:
            shutil.copytree(work / "earlier", out)
        before = results_in(verb, out) if replacing else {}
        leader = begin([*case.words, *(["--overwrite"] if replacing else [])], log)
        wait_for_moment(case, place, rng, at_writing)
        if not os.waitpid(leader, os.WNOHANG)[0]:
            break
    else:
        tally.failures.append(f"{number}: always at its end before it was killed")
        return
    os.kill(leader, signal.SIGKILL)
    os.waitpid(leader, 0)
    tally.kills += 1
    tally.replacing += replacing
    tally.orphans += orphans_after(leader)
    left = results_in(verb, out) if out.exists() else {}
    taking = (out / ".finished").exists()
    written = (
        taking or (place / (verb.last or "report.json")).exists() or lasting(left) == lasting(case.reference)
    )
    begun = place.exists() and any(place.rglob("*.json*"))
    tally.at_writing += written
    tally.at_work += begun and not written
    tally.at_start += not (begun or written)
    broken = half_files(left, case.reference, before)
    tally.half_files += len(broken)
    if replacing and not written and lasting(left) != lasting(before):
        tally.earlier_lost += 1
        tally.failures.append(f"{number}: earlier results are not as they were")
    saved = (place / "checkpoint.safetensors").exists()
    tally.from_checkpoint += saved and bool(verb.resume)
    over = "config.json" in left if not verb.resume else replacing and not saved and not taking
    over = over or (replacing and verb.name == "prepare" and not taking)
    code, _ = finish([*case.words, *(["--overwrite"] if over else verb.resume)], log)
    after = results_in(verb, out)
    tally.leftovers += sum(".part" in path.name or path.name == ".unfinished" for path in out.rglob("*"))
    same = code == 0 and after == case.reference
    tally.same_bytes += same
    if not same or broken:
        names = after.keys() | case.reference.keys()
        other = sorted(name for name in names if after.get(name) != case.reference.get(name))
        text = log.read_text(errors="replace").strip()[-300:]
        tally.failures.append(f"{number}: code {code}, other: {other[:5]}, half: {broken[:5]}; {text}")


@dataclass
class Case:
    """A verb, its command line, and what an uninterrupted run of it gives."""

    verb: Verb
    words: list[str]
    seed: int
    tally: Tally
    reference: dict[str, Any]


def examine(verb: Verb, work: Path, kills: int, writing: int, seed: int) -> Tally:
    """The reference, earlier results of another seed, and all kills of a verb."""
    work.mkdir()
    log, out = work / "log", work / "out"
    words = [*verb.words.replace("{in}", str(work.parent / "in")).split(), "--out", str(out), "--quiet"]
    case, times = Case(verb, words, seed, Tally(), {}), []
    for chosen in ("7", "0", "0"):
        code, seconds = finish([*words, "--seed", chosen], log)
        times.append(seconds)
        if code:
            case.tally.failures.append(log.read_text(errors="replace")[-500:])
            return case.tally
        found = results_in(verb, out)
        if case.reference and found != case.reference:
            names = [name for name in found if found[name] != case.reference.get(name)]
            case.tally.failures.append(f"two uninterrupted runs differ: {names}")
        if chosen == "7":
            shutil.move(out, work / "earlier")
        else:
            case.reference = found
            shutil.rmtree(out)
    case.tally.seconds = max(times[1:])
    for number in range(kills):
        kill_once(work, number, case, at_writing=False)
    for number in range(writing if verb.last else 0):
        kill_once(work, number, case, at_writing=True)
    return case.tally


def table(tallies: dict[str, Tally]) -> str:
    """A row per verb."""
    columns = (
        *("seconds", "kills", "at_start", "at_work", "at_writing", "replacing", "from_checkpoint"),
        *("same_bytes", "orphans", "half_files", "earlier_lost", "leftovers"),
    )
    lines = [f"{'':20s}" + "".join(f"{name:>16s}" for name in columns)]
    for name, tally in tallies.items():
        cells = [getattr(tally, column) for column in columns]
        shown = [f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in cells]
        lines.append(f"{name:20s}" + "".join(f"{cell:>16s}" for cell in shown))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--at-writing", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    names = [verb.name for verb in VERBS]
    parser.add_argument("--verbs", nargs="+", choices=names, default=names)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    import_everything()
    began = time.monotonic()
    chosen = [verb for verb in VERBS if verb.name in options.verbs]
    with TemporaryDirectory(prefix="bozzetto-kill-") as name:
        folder = Path(name)
        (folder / "in").mkdir()
        os.waitpid(fork(lambda: make_inputs(folder / "in"), folder / "log"), 0)

        def drive(verbs: list[Verb]) -> None:
            for verb in verbs:
                tally = examine(
                    verb,
                    folder / verb.name.replace(" ", "-"),
                    options.kills,
                    options.at_writing,
                    options.seed,
                )
                (folder / f"{verb.name}.json").write_text(json.dumps(tally.__dict__))

        drivers = [fork(lambda part=part: drive(chosen[part::2]), folder / f"log{part}") for part in range(2)]
        for driver in drivers:
            os.waitpid(driver, 0)
        tallies = {
            verb.name: Tally(**json.loads((folder / f"{verb.name}.json").read_text()))
            if (folder / f"{verb.name}.json").exists()
            else Tally(failures=[(folder / f"log{part}").read_text() for part in range(2)])
            for verb in chosen
        }
    minutes = (time.monotonic() - began) / 60
    print(table(tallies))
    for verb, tally in tallies.items():
        for failure in tally.failures:
            print(f"{verb} {failure}")
    save_results(
        "kill",
        {
            "seed": options.seed,
            "minutes": round(minutes, 1),
            "verbs": {name: tally.__dict__ for name, tally in tallies.items()},
        },
        options.out,
    )


if __name__ == "__main__":
    main()
