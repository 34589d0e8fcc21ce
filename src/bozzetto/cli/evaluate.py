"""`bozzetto evaluate surface|points|heightmap|generation PRED REF`: results in metrics of the literature."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ..steps import counted
from .checks import LARGEST, Formerly, Within
from .common import Options

SHOWN = (
    *("rmse_affine", "rmse_positive", "correlation", "gradient_correlation", "sign_error", "ssim"),
    *("edge_f1_0", "edge_f1_15", "edge_f1_2", "glcm_z", "glcm_published"),
    *("edge_precision_published", "edge_recall_published", "edge_f1_published", "lpips", "seam_ratio"),
)
"""Metrics of height maps in the order of the table."""


@dataclass(frozen=True, kw_only=True)
class Evaluation(Options):
    """Options of every evaluation."""

    pred: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PRED")]
    """Predictions: a file, or a folder whose files are matched with the references by name."""
    ref: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="REF")]
    """References: a file or a folder, like the predictions."""
    out: Path = Path("bozzetto-out/evaluate")
    """Folder for the report."""

    def compare(
        self,
        what: str,
        metrics: Callable[[], dict[str, Any]],
        table: Callable[[dict[str, Any]], str],
        *reads: Path,
    ) -> dict[str, Any]:
        """Compute the metrics, write them as report.json and print their table."""
        device = self.begin()
        settings = {"verb": f"evaluate {what}", "pred": self.pred, "ref": self.ref, "seed": self.seed}

        def told(report: dict[str, Any]) -> str:
            return f"{table(report['figures'])}\nReport: {self.out / 'report.json'}"

        return self.in_folder(settings, lambda run: metrics(), told, [self.pred, self.ref, *reads], device)


@dataclass(frozen=True, kw_only=True)
class EvaluateSurface(Evaluation):
    """Compare meshes or clouds with reference meshes: Chamfer, Hausdorff, F-score, normals, IoU.

    Prints mean and median and writes report.json with the metrics of every shape.
    """

    samples: Annotated[int, Within(1, 10**8)] = 30_000
    """Points sampled on each surface; 30000 as in DeepSDF."""
    threshold: Annotated[float | None, tyro.conf.arg(metavar="LENGTH"), Within(0, LARGEST, above=True)] = None
    """Distance for completeness and F-score; by default 1 % of the radius of the reference."""

    def run(self) -> dict[str, Any]:
        """Evaluate."""
        from ..metrics import evaluate_surfaces
        from ..shapes import load_mesh, load_shape
        from ..shapes.folders import matched_shapes

        def metrics() -> dict[str, Any]:
            pairs = counted(matched_shapes(self.pred, self.ref), "evaluate")
            shapes = ((name, load_shape(pred), load_mesh(ref)) for name, pred, ref in pairs)
            return evaluate_surfaces(shapes, self.samples, self.seed, self.threshold)

        return self.compare("surface", metrics, surface_table)


@dataclass(frozen=True, kw_only=True)
class EvaluatePoints(Evaluation):
    """Compare clouds with reference clouds: Chamfer, Hausdorff and earth mover's distance.

    Prints mean and median and writes report.json with the metrics of every cloud. The oracle row compares
    two disjoint halves of each reference: what a perfect prediction would score.
    """

    points: Annotated[int, tyro.conf.arg(metavar="N"), Within(2, 10**6)] = 2048
    """Points per cloud for the earth mover's distance; fewer if files hold fewer."""

    def run(self) -> dict[str, Any]:
        """Evaluate."""
        from ..metrics import evaluate_clouds
        from ..shapes import load_points
        from ..shapes.folders import matched_shapes

        def metrics() -> dict[str, Any]:
            pairs = counted(matched_shapes(self.pred, self.ref, arrays=True), "evaluate")
            clouds = (
                (name, load_points(pred).world_points, load_points(ref).world_points)
                for name, pred, ref in pairs
            )
            return evaluate_clouds(clouds, self.seed, self.points)

        return self.compare("points", metrics, points_table)


@dataclass(frozen=True, kw_only=True)
class EvaluateHeightmap(Evaluation):
    """Compare height maps with measured ones by the protocol HM-256: error, correlation, edges, texture.

    Prints means over materials and writes report.json with the metrics of every material. If folders of
    references also contain color.*, the luminance of the photo is evaluated as well.
    """

    resolution: Annotated[int, Within(16, 16384, also=0), Formerly("--side")] = 256
    """Pixels along each side to which both maps are averaged; 0 compares them as they are."""

    def run(self) -> dict[str, Any]:
        """Evaluate."""
        from ..images import load_image
        from ..metrics import evaluate_height_maps
        from ..shapes import load_height
        from ..shapes.folders import matched_heights

        def metrics() -> dict[str, Any]:
            pairs = matched_heights(self.pred, self.ref)
            maps = {
                name: [load_height(path).height for path in both]
                for name, both in counted(pairs.items(), "read")
            }
            photos = {name: next(ref.parent.glob("color.*"), None) for name, (_, ref) in pairs.items()}
            return evaluate_height_maps(
                {name: pred for name, (pred, _) in maps.items()},
                {name: ref for name, (_, ref) in maps.items()},
                self.resolution,
                {name: load_image(path) for name, path in photos.items() if path is not None}
                if all(photos.values())
                else None,
            )

        return self.compare("heightmap", metrics, height_table)


@dataclass(frozen=True, kw_only=True)
class EvaluateGeneration(Evaluation):
    """Compare generated clouds with references as sets: MMD, COV, 1-NNA and JSD.

    Nearest neighbours by Chamfer and earth mover's distance are exact. The oracle row compares the
    references with other points of the same shapes: what a perfect model would score.
    """

    pred: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PRED")]
    """Generated clouds: a folder, or an .npy array of shape (clouds, points, 3)."""
    ref: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="REF")]
    """Reference clouds, likewise."""
    protocol: Literal["none", "pointflow", "shapegf"] = "none"
    """How clouds are normalised: none and pointflow keep them; shapegf scales each to [-1, 1]."""
    train: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Training set, for a row that shows what its clouds would score."""
    points: Annotated[int, tyro.conf.arg(metavar="N"), Within(2, 10**6)] = 2048
    """Points per cloud; fewer if files hold fewer."""

    def run(self) -> dict[str, Any]:
        """Evaluate."""
        from ..metrics import evaluate_sets
        from ..shapes.folders import load_cloud_set

        def metrics() -> dict[str, Any]:
            generated, references = (load_cloud_set(path) for path in (self.pred, self.ref))
            training = None if self.train is None else load_cloud_set(self.train)
            protocol, points, seed = self.protocol, self.points, self.seed
            rows = evaluate_sets(generated, references, training, protocol, points, seed)
            size = rows["generated"].points
            return {
                "protocol": self.protocol,
                "points": size,
                "rows": {k: asdict(v) for k, v in rows.items()},
            }

        return self.compare(
            "generation", metrics, generation_table, *([] if self.train is None else [self.train])
        )


def mean_and_median(summary: dict[str, Any], shapes: int) -> str:
    """Table of mean and median of a summary."""
    lines = [f"{'over ' + str(shapes) + ' shapes':28s} {'mean':>12s} {'median':>12s}"]
    for name, row in summary.items():
        cells = ["-" if row[key] is None else f"{row[key]:.6g}" for key in ("mean", "median")]
        lines.append(f"{name:28s} {cells[0]:>12s} {cells[1]:>12s}")
    return "\n".join(lines)


def surface_table(metrics: dict[str, Any]) -> str:
    """Mean and median over shapes, and the Chamfer distance as DeepSDF prints it."""
    chamfer = metrics["summary"]["deepsdf_chamfer"]
    printed = ", ".join(f"{key} {1e3 * value:.4g}" for key, value in chamfer.items() if value is not None)
    return f"{mean_and_median(metrics['summary'], metrics['shapes'])}\ndeepsdf_chamfer x 1000: {printed}"


def points_table(metrics: dict[str, Any]) -> str:
    """Table of mean and median over clouds, and of the oracle."""
    table = mean_and_median(metrics["summary"], metrics["shapes"])
    if "oracle" not in metrics:
        return f"{table}\nno oracle row: it takes references with twice the points of the predictions"
    oracle = mean_and_median(metrics["oracle"]["summary"], metrics["shapes"])
    return f"{table}\noracle (two disjoint halves of each reference):\n{oracle}"


def height_table(metrics: dict[str, Any]) -> str:
    """Table of means over materials, with a column per method."""
    rows, title = metrics["summary"], f"mean over {metrics['materials']} materials"
    lines = [f"{title:28s}" + "".join(f"{name:>16s}" for name in rows)]
    for key in SHOWN:
        cells = ["-" if row.get(key) is None else f"{row[key]:.4f}" for row in rows.values()]
        lines.append(f"{key:28s}" + "".join(f"{cell:>16s}" for cell in cells))
    return "\n".join(lines)


def generation_table(metrics: dict[str, Any]) -> str:
    """Table with rows as in papers: MMD-CD x 10^3, MMD-EMD x 10^2, COV and 1-NNA in percent, with intervals."""
    rows, points = metrics["rows"], metrics["points"]
    references = rows["generated"]["references"]
    titles = "".join(f"{title:>24s}" for title in ("MMD x 10^3 | 10^2", "COV %", "1-NNA %"))
    lines = [
        f"protocol {metrics['protocol']}; {references} references, {points} points; [95 % interval]",
        f"{'':14s}{titles}     JSD",
    ]
    for name, row in rows.items():
        for distance, label, factor in (("chamfer", "CD", 1e3), ("earth_mover", "EMD", 1e2)):
            cells = [
                (row[distance]["mmd"], factor),
                (row[distance]["cov"], 100),
                (row[distance]["one_nna"], 100),
            ]
            text = "".join(
                f"{'{:.2f} [{:.2f}, {:.2f}]'.format(*(k * f[key] for key in ('value', 'low', 'high'))):>24s}"
                for f, k in cells
            )
            jsd = f"{row['jsd']:8.4f}" if distance == "chamfer" and row["jsd"] is not None else ""
            lines.append(f"{name:12s} {label:4s}{text}{jsd}")
        cost = row["search"]
        if cost is not None:
            lines.append(f"{'':17s}assignments solved: {cost['solved']} of {cost['pairs']} pairs")
    if "oracle" not in rows:
        lines.append(f"no oracle row: it takes references with {2 * points} points or more")
    if "training set" not in rows:
        lines.append("no training-set row: give --train DIR")
    return "\n".join(lines)
