"""Generated inputs with known truth over all readers and verbs: nothing may be wrong in silence.

    python -m benchmarks.robustness.generated_inputs [--count 1600] [--seed 0] [--only obj,ply] [--workers 2]

Families of inputs lie in `generators/`, a file each. Every input is written to a scratch folder and read in a
worker process by the functions and verbs of bozzetto, and what comes of it is compared with what the generator
knows: areas, volumes, pixels, poses. Meshes are also read with trimesh and, where it is installed, meshio; what
they return is compared with the same truth. An input fails if its values are wrong and nothing was said, if a
traceback came, if it took longer than its limit (10 s unless it is a long verb) or much memory. Failing inputs
stay in the scratch folder, with a line each in the results. `--patience` stretches limits beside other work.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from benchmarks.robustness.generators import families  # noqa: F401  # registers all kinds
from benchmarks.robustness.generators.inputs import KINDS, Kind
from benchmarks.robustness.generators.judge import FAILURES, HANG, LEGAL_REFUSED, ODD, VERDICTS

GRACE = 1.0
"""Seconds that a worker may take beyond the limit of an input before it is ended."""
LISTED = (*FAILURES, LEGAL_REFUSED, ODD)
"""Verdicts whose inputs are kept and named in the results."""
PEERS = 20.0
"""Seconds that other programs may take with an input."""


@dataclass(frozen=True)
class Task:
    """One input to make and read."""

    key: str
    index: int
    seed: int
    folder: str
    peers: bool


def plan(count: int, families_wanted: set[str]) -> list[tuple[str, int]]:
    """Kind and number of every input: each kind in proportion to its weight, at least once."""
    kinds = {k: v for k, v in KINDS.items() if not families_wanted or v.family in families_wanted}
    tasks, free = [], dict(kinds)
    done: Counter[str] = Counter()
    while len(tasks) < count and free:
        total = sum(kind.weight for kind in free.values())
        share = max(1.0, (count - len(tasks)) / total)
        for key, kind in list(free.items()):
            wanted = max(1, round(share * kind.weight))
            room = wanted if kind.most is None else min(wanted, kind.most - done[key])
            tasks += [(key, done[key] + i) for i in range(min(room, count - len(tasks)))]
            done[key] += room
            if kind.most is not None and done[key] >= kind.most:
                del free[key]
    return tasks


def make(task: Task) -> object:
    """The input of a task; the same for the same seed, whatever else is drawn."""
    import numpy as np

    kind: Kind = KINDS[task.key]
    entropy = [task.seed, zlib.crc32(task.key.encode()), task.index]
    return kind.make(np.random.default_rng(entropy), task.index)


def work(connection: object) -> None:
    """A worker: takes tasks, returns verdicts."""
    import faulthandler
    import logging

    import torch

    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)  # trimesh logs what it thinks of files
    os.chdir(tempfile.mkdtemp(prefix="generated-"))
    from benchmarks.robustness.generators.judge import judge, write
    from benchmarks.robustness.generators.peers import peer_verdicts

    while (task := connection.recv()) is not None:
        folder = Path(task.folder)
        trace = folder.with_suffix(".trace")
        try:
            item = make(task)
            write(item, folder)
        except Exception as problem:
            import traceback

            connection.send({"about": "?"})
            text = "".join(traceback.format_exception(problem))[-2000:]
            connection.send({"verdict": "GENERATOR FAULTY", "why": text, "seconds": 0, "megabytes": 0})
            connection.send({})
            continue
        connection.send({"about": item.about, "seconds": item.seconds, "read": item.read, "path": item.path})
        with trace.open("w") as file:
            faulthandler.dump_traceback_later(item.seconds * 0.9, file=file)
            result = judge(item, folder)
            faulthandler.cancel_dump_traceback_later()
        trace.unlink(missing_ok=True)
        connection.send(result)
        connection.send(peer_verdicts(item, folder) if task.peers else {})


class Worker:
    """A process that reads inputs, and is replaced when one takes it down."""

    def __init__(self) -> None:
        self.process = None

    def start(self) -> None:
        """Begin a new process."""
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=work, args=(other,), daemon=False)
        self.process.start()
        other.close()

    def end(self) -> None:
        """End it, whatever it does."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None

    def run(self, task: Task, patience: float) -> dict:
        """One input."""
        if self.process is None:
            self.start()
        record = {"kind": task.key, "index": task.index}
        try:
            self.connection.send(task)
            record |= self.connection.recv()
            limit = record.get("seconds", 10.0) * patience + GRACE
            if not self.connection.poll(limit):
                trace = Path(task.folder).with_suffix(".trace")
                where = trace.read_text()[-1500:] if trace.exists() else ""
                self.end()
                return record | {"verdict": HANG, "why": f"longer than {limit:.0f} s: {where}", "peers": {}}
            record |= self.connection.recv()
            if not self.connection.poll(PEERS * patience):
                self.end()
                return record | {"peers": {"one of them": "hang"}}
            return record | {"peers": self.connection.recv()}
        except (EOFError, OSError):
            code = self.process.exitcode
            self.end()
            return record | {"verdict": "TRACEBACK", "why": f"the process died ({code})", "peers": {}}


def run_all(tasks: list[Task], workers: int, patience: float) -> list[dict]:
    """All inputs, by so many workers, in the order of the tasks."""
    results: list[dict | None] = [None] * len(tasks)
    queue, lock, done = iter(enumerate(tasks)), threading.Lock(), [0]

    def serve() -> None:
        worker = Worker()
        try:
            while True:
                with lock:
                    i, task = next(queue, (-1, None))
                if task is None:
                    return
                result = worker.run(task, patience)
                results[i] = result
                folder = Path(task.folder)
                if result["verdict"] not in LISTED:
                    shutil.rmtree(folder, ignore_errors=True)
                else:
                    result["folder"] = str(folder)
                done[0] += 1
                if done[0] % 50 == 0:
                    print(f"{done[0]} of {len(tasks)}", flush=True)
        finally:
            worker.end()

    threads = [threading.Thread(target=serve) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [r for r in results if r is not None]


def table(results: list[dict], column: str = "verdict") -> str:
    """Counts of verdicts, a row per family."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for result in results:
        counts[result["kind"].split(":")[0]][result[column]] += 1
    counts["all"] = sum(counts.values(), Counter())
    shown = [v for v in VERDICTS if counts["all"][v]]
    lines = [f"{'family':14s}{'inputs':>8s}" + "".join(f"{v[:22]:>24s}" for v in shown)]
    for family, row in counts.items():
        lines.append(f"{family:14s}{row.total():8d}" + "".join(f"{row[v]:24d}" for v in shown))
    return "\n".join(lines)


def peer_table(results: list[dict]) -> str:
    """What trimesh and meshio made of the same meshes."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for result in results:
        for peer, verdict in result["peers"].items():
            counts[peer][verdict] += 1
    return "\n".join(
        f"{peer}: " + ", ".join(f"{n} {v}" for v, n in c.most_common()) for peer, c in counts.items()
    )


def failures_by_kind(results: list[dict]) -> dict[str, list[dict]]:
    """Failing inputs, and legal ones that are refused, by kind."""
    grouped: dict[str, list[dict]] = defaultdict(list)
    for result in results:
        if result["verdict"] in LISTED:
            grouped[result["kind"]].append(result)
    return grouped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="families, or parts of names of kinds, comma-separated")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--patience", type=float, default=1.0, help="factor on limits of time")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "generated_inputs")
    parser.add_argument("--results", type=Path, default=None, help="JSON file; default benchmarks/results/")
    arguments = parser.parse_args()
    wanted = {word.strip() for word in arguments.only.split(",") if word.strip()}
    known = {kind.family for kind in KINDS.values()}
    if wanted - known:
        parser.error(f"no family {', '.join(wanted - known)}; there are {', '.join(sorted(known))}")
    shutil.rmtree(arguments.scratch, ignore_errors=True)
    arguments.scratch.mkdir(parents=True)
    tasks = [
        Task(key, i, arguments.seed, str(arguments.scratch / f"{n:05d}"), True)
        for n, (key, i) in enumerate(plan(arguments.count, wanted))
    ]
    start = time.time()
    results = run_all(tasks, arguments.workers, arguments.patience)
    seconds = time.time() - start
    for key, group in failures_by_kind(results).items():
        verdicts = Counter(r["verdict"] for r in group)
        print(f"\n{key}: {dict(verdicts)}")
        for r in group[:3]:
            why = r["why"] if r["verdict"] != "TRACEBACK" else r["why"].strip()[-300:]
            print(f"  {r['about']}: {why[:400]}  [{r.get('folder', '')}]")
    print(f"\n{table(results)}\n\n{peer_table(results)}\n{len(results)} inputs in {seconds:.0f} s")
    content = {
        "inputs": len(results),
        "seed": arguments.seed,
        "reading_seconds": seconds,
        "failures": sum(r["verdict"] in FAILURES for r in results),
        "families": {
            family: dict(Counter(r["verdict"] for r in results if r["kind"].split(":")[0] == family))
            for family in dict.fromkeys(r["kind"].split(":")[0] for r in results)
        },
        "peers": peer_table(results).splitlines(),
        "slowest": sorted((round(r["seconds"], 2), r["kind"]) for r in results)[-5:],
        "listed": [
            {k: str(r.get(k, ""))[:500] for k in ("kind", "index", "about", "verdict", "why", "folder")}
            for group in failures_by_kind(results).values()
            for r in group
        ],
    }
    save(content, arguments.results)


def save(content: dict, path: Path | None) -> None:
    """Write the results."""
    if path is not None:
        path.write_text(json.dumps(content, indent=2) + "\n")
        return
    from benchmarks.helpers.common import save_results

    for one in content["listed"]:
        one.pop("folder")
    save_results("generated_inputs", content)


if __name__ == "__main__":
    main()
