"""`bozzetto evaluate heightmap|surface|points|generation PRED REF`: results in figures of the literature."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ..steps import counted, report_progress
from .checks import LARGEST, OnlyFor, Within
from .common import Options
from .evaluate_files import (
    CLOUDS,
    MESHES,
    faults_of,
    load_set,
    matched,
    one_cloud,
    shuffled,
    stack,
    together,
    warn_of_faults,
)

if TYPE_CHECKING:
    from ..metrics import GenerationScores


@dataclass(frozen=True, kw_only=True)
class Evaluate(Options):
    """Compare predictions with references: prints a table and writes report.json.

    heightmap: predicted height maps against measured ones, files or folders matched by name.
    surface: predicted meshes or clouds against reference meshes, files or folders matched by name.
    points: predicted clouds against reference clouds, files or folders matched by name.
    generation: a folder of generated clouds against a folder of references, as sets: MMD, COV, 1-NNA and JSD
    with exact Chamfer and earth mover's distances.
    """

    what: Annotated[Literal["heightmap", "surface", "points", "generation"], tyro.conf.Positional]
    """What is compared."""
    pred: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PRED")]
    """The predictions: a file or a folder."""
    ref: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="REF")]
    """The references: a file or a folder."""
    out: Path = Path("bozzetto-out/evaluate")
    """Folder for the report."""
    side: Annotated[int, Within(16, 16384, also=0), OnlyFor("heightmap")] = 256
    """heightmap: both maps are averaged over areas to this side; 0 compares them as they are."""
    samples: Annotated[int, Within(1, 10**8), OnlyFor("surface")] = 30_000
    """surface: points sampled on each surface; 30000 as in DeepSDF."""
    threshold: Annotated[
        float | None, tyro.conf.arg(metavar="LENGTH"), Within(0, LARGEST, above=True), OnlyFor("surface")
    ] = None
    """surface: distance for completeness and F-score; by default 1 % of the radius of the reference."""
    protocol: Annotated[Literal["pointflow", "shapegf", "none"], OnlyFor("generation")] = "none"
    """generation: how clouds are normalised; shapegf takes each to [-1, 1], the others leave them alone."""
    train: Annotated[Path | None, tyro.conf.arg(metavar="DIR"), OnlyFor("generation")] = None
    """generation: the training set, for the row that shows what its clouds would score."""
    points: Annotated[int, tyro.conf.arg(metavar="N"), Within(2, 10**6), OnlyFor("points", "generation")] = (
        2048
    )
    """points, generation: points per cloud for the earth mover's distance; fewer if files hold fewer."""

    @property
    def task(self) -> str:
        """What is compared."""
        return self.what

    def run(self) -> dict:
        """Evaluate."""
        from ..runs import RunFolder, resolve_device, seed_everything

        device = resolve_device(self.device)
        seed_everything(self.seed)
        work = {
            "heightmap": self._heightmap,
            "surface": self._surface,
            "points": self._points,
            "generation": self._generation,
        }[self.what]
        settings = {"verb": f"evaluate {self.what}", "pred": self.pred, "ref": self.ref, "seed": self.seed}
        reads = [self.pred, self.ref, *([] if self.train is None else [self.train])]
        run = RunFolder.create(self.out, settings, self.overwrite, reads=reads)
        figures, table = work()
        report = run.report(figures, device, self.seed)
        self.say(f"{table}\nReport: {run.path / 'report.json'}")
        return report

    def _heightmap(self) -> tuple[dict, str]:
        from .evaluate_heightmap import evaluate_heights

        return evaluate_heights(self.pred, self.ref, self.side)

    def _surface(self) -> tuple[dict, str]:
        from ..metrics import evaluate_surface, summarise
        from ..shapes import Mesh, load_mesh, load_shape

        pairs = matched(self.pred, self.ref, MESHES)
        scores, faults = {}, []
        for name, pred, ref in counted(pairs, "evaluate"):
            shapes = load_shape(pred), load_mesh(ref)
            faults += faults_of(dict(zip((pred, ref), shapes, strict=True)), isinstance(shapes[0], Mesh))
            scores[name] = evaluate_surface(*shapes, self.samples, self.seed, self.threshold)
        warn_of_faults(faults)
        summary = summarise(list(scores.values()))
        figures = {
            "protocol": f"{self.samples} samples per surface; deepsdf_chamfer as in DeepSDF (squared, summed)",
            "shapes": len(scores),
            "summary": summary,
            "scores": {name: asdict(one) for name, one in scores.items()},
        }
        note = "deepsdf_chamfer x 1000: " + ", ".join(
            f"{key} {1e3 * value:.4g}"
            for key, value in summary["deepsdf_chamfer"].items()
            if value is not None
        )
        return figures, f"{mean_and_median(summary, len(scores))}\n{note}"

    def _points(self) -> tuple[dict, str]:
        from ..metrics import evaluate_points

        scores = {
            name: evaluate_points(one_cloud(pred), one_cloud(ref), self.seed, self.points)
            for name, pred, ref in counted(matched(self.pred, self.ref, CLOUDS), "evaluate")
        }
        oracle = {name: asdict(one) for name, one in self._oracle(scores).items()}
        plain = {name: asdict(one) for name, one in scores.items()}
        summary = column_means(plain)
        figures: dict = {"shapes": len(scores), "summary": summary, "scores": plain}
        lines = [mean_and_median(summary, len(scores))]
        if oracle:
            figures["oracle"] = {"summary": column_means(oracle), "scores": oracle}
            lines.append("oracle (two disjoint halves of each reference):")
            lines.append(mean_and_median(figures["oracle"]["summary"], len(oracle)))
        else:
            lines.append("no oracle row: it takes references with twice the points of the predictions")
        return figures, "\n".join(lines)

    def _oracle(self, scores: dict) -> dict:
        """Two disjoint samples of each reference, as large as the prediction, against each other."""
        from ..metrics import evaluate_points

        found = {}
        for name, pred, ref in counted(matched(self.pred, self.ref, CLOUDS), "oracle"):
            size, cloud = len(one_cloud(pred)), shuffled(one_cloud(ref), self.seed)
            if len(cloud) < 2 * size:
                return {}
            found[name] = evaluate_points(cloud[:size], cloud[size : 2 * size], self.seed, self.points)
        return found

    def _generation(self) -> tuple[dict, str]:
        from ..metrics import evaluate_generation

        sets = {"generated": load_set(self.pred), "references": load_set(self.ref)}
        if self.train is not None:
            sets["training set"] = load_set(self.train)
        sets = together(sets)
        size = min(self.points, *(len(cloud) for clouds in sets.values() for cloud in clouds))
        clouds = {name: stack(found, size, self.seed) for name, found in sets.items()}
        ref, rows = clouds.pop("references"), {}
        if all(len(cloud) >= 2 * size for cloud in sets["references"]):
            clouds["oracle"] = stack(sets["references"], size, self.seed, skip=size)
        if "training set" in clouds:
            clouds["training set"] = clouds["training set"][: len(ref)]
        for name, pred in clouds.items():
            rows[name] = evaluate_generation(
                pred,
                ref,
                self.protocol,
                seed=self.seed,
                progress=lambda stage, share, name=name: report_progress(f"{name}: {stage}", share),
            )
        figures = {"protocol": self.protocol, "points": size, "rows": {k: asdict(v) for k, v in rows.items()}}
        table = generation_table(rows)
        if "oracle" not in rows:
            table += f"\nno oracle row: it takes references with {2 * size} points or more"
        if "training set" not in rows:
            table += "\nno training-set row: give --train DIR"
        return figures, table


def column_means(scores: dict[str, dict]) -> dict[str, dict[str, float]]:
    """Mean and median of each figure over shapes."""
    from statistics import fmean, median

    first = next(iter(scores.values()))
    columns = {key: [one[key] for one in scores.values()] for key in first if key != "earth_mover_points"}
    return {key: {"mean": fmean(values), "median": median(values)} for key, values in columns.items()}


def mean_and_median(summary: dict, shapes: int) -> str:
    """The table of a summary."""
    lines = [f"{'over ' + str(shapes) + ' shapes':28s} {'mean':>12s} {'median':>12s}"]
    for name, row in summary.items():
        cells = ["-" if row[key] is None else f"{row[key]:.6g}" for key in ("mean", "median")]
        lines.append(f"{name:28s} {cells[0]:>12s} {cells[1]:>12s}")
    return "\n".join(lines)


def generation_table(rows: "dict[str, GenerationScores]") -> str:
    """Rows as papers print them: MMD-CD x 10^3, MMD-EMD x 10^2, COV and 1-NNA in percent, with intervals."""
    first = next(iter(rows.values()))
    lines = [
        f"protocol {first.protocol}; {first.references} references, {first.points} points; [95 % interval]",
        f"{'':14s}"
        + "".join(f"{name:>24s}" for name in ("MMD x 10^3 | 10^2", "COV %", "1-NNA %"))
        + "     JSD",
    ]
    for name, row in rows.items():
        for distance, factor in (("chamfer", 1e3), ("earth_mover", 1e2)):
            figures = getattr(row, distance)
            cells = [(figures.mmd, factor), (figures.cov, 100), (figures.one_nna, 100)]
            text = "".join(
                f"{f'{f.value * k:.2f} [{f.low * k:.2f}, {f.high * k:.2f}]':>24s}" for f, k in cells
            )
            label = "CD" if distance == "chamfer" else "EMD"
            jsd = f"{row.jsd:8.4f}" if distance == "chamfer" and row.jsd is not None else ""
            lines.append(f"{name:12s} {label:4s}{text}{jsd}")
        cost = row.search
        if cost is not None:
            lines.append(f"{'':17s}assignments solved: {cost.solved} of {cost.pairs} pairs")
    return "\n".join(lines)
