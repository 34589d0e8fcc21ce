"""The tables of figures in the README and in docs/figures.md, made from the stored results.

    python -m benchmarks.readme_table             # writes the tables
    python -m benchmarks.readme_table --older     # which results are older than the code that they measure

The page of the docs has all rows, the README those whose results hold the commit that they measured.

Every row is a function of stored results. Its second text, the figure, holds no digit of its own: all of them
come from the files. `tests/test_readme.py` fails when a page differs from its table.
"""

import argparse
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
FIGURES = ROOT / "docs" / "figures.md"
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"
GB = 1024**3


@dataclass(frozen=True)
class Row:
    """One line of the table: `text` makes what was measured and the figure from the results named `results`."""

    script: str
    results: tuple[str, ...]
    code: tuple[str, ...]
    text: Callable[..., tuple[str, str]]

    def date(self) -> str:
        """When the oldest of the results was measured."""
        return min(stored(name)["date"] for name in self.results)

    def commits(self) -> list[str]:
        """The commits that were measured; fewer than results where some hold none."""
        return sorted({c[:7] for name in self.results if (c := stored(name).get("commit"))})

    def is_traceable(self) -> bool:
        """Whether all results hold their commit."""
        return all(stored(name).get("commit") for name in self.results)

    def line(self, with_commit: bool = False) -> str:
        """The line of the table in Markdown."""
        what, figure = self.text(*(stored(name) for name in self.results))
        commits = f" ({', '.join(self.commits()) or 'no commit'})" if with_commit else ""
        return f"| {what} | {figure} | `{Path(self.script).name}`, {self.date()}{commits} |"


ROWS: list[Row] = []


@cache
def stored(name: str) -> dict[str, Any]:
    """One stored result; `file:part` is a part of it that was measured in a run of its own."""
    file, _, part = name.partition(":")
    content = json.loads((RESULTS / f"{file}.json").read_text(encoding="utf-8"))
    return content["parts"][part] if part else content


def row(script: str, *results: str, code: str) -> Callable:
    """Append a function to the table; `code` lists the folders of `src/bozzetto` that it measures."""

    def append(text: Callable[..., tuple[str, str]]) -> Callable[..., tuple[str, str]]:
        ROWS.append(Row(script, results or (Path(script).stem,), tuple(code.split()), text))
        return text

    return append


def table(page: Path) -> str:
    """The table of a page in Markdown: of the README those rows that hold their commits, else all."""
    head = "| what | figure | script, measured |\n|---|---|---|\n"
    if page == README:
        return head + "".join(f"{r.line()}\n" for r in ROWS if r.is_traceable())
    return head + "".join(f"{r.line(with_commit=True)}\n" for r in ROWS)


def with_table(page: Path) -> str:
    """A page's text with its table between the two marks."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    return before + BEGIN + table(page) + END + after


def percent(share: float, digits: int = 0) -> str:
    """A share as a percentage, with the space before the sign that the README uses."""
    return f"{100 * share:.{digits}f} %"


# What a photograph's user asks first.


@row("room.py", code="cameras inverse rendering")
def room(r: dict) -> tuple[str, str]:
    """The whole chain against exact truth."""
    made, given = r["from_photos"], r["from_truth"]
    return (
        f"bust in a furnished room of our own, {r['photos']} phone photos ({r['size'][0]} x {r['size'][1]}) "
        "and nothing else",
        f"{percent(made['placed'])} placed; masks IoU {made['mask_iou']['mean']:.3f}; mean distance "
        f"{made['mesh']['mean_mm']:.2f} mm, {made['mesh']['mean_percent_of_height']:.2f} % of the height, "
        f"{r['ratio']:.1f} times the {given['mesh']['mean_mm']:.2f} mm with the true cameras and masks; "
        f"{made['minutes']:.1f} min, {made['memory_gib']:.1f} GiB",
    )


@row("photo_peers.py", code="cameras inverse rendering")
def peers(r: dict) -> tuple[str, str]:
    """Other tools that run on a processor, on the same cameras."""
    methods = {name: m.get("mean_mm") for name, m in r["methods"].items()}
    return (
        "the same, beside other tools on a processor with the same cameras",
        f"ours {methods['bozzetto']:.2f} mm (of that day); visual hull of our masks "
        f"{methods['visual_hull']:.1f} mm, Open3D's Poisson on the sparse points "
        f"{methods['open3d_poisson']:.1f} mm, COLMAP's {methods['colmap_poisson']:.1f} mm",
    )


@row("photos_only.py", "photos_only:temple", code="cameras inverse rendering")
def temple_from_photos(r: dict) -> tuple[str, str]:
    """The temple without its cameras."""
    first, second = r["figures"]["held_out"]["silhouette_iou"]
    return (
        f"temple, {r['photos']} photographs without cameras, 2 held out",
        f"{r['placed']} placed; silhouette IoU of the held-out views {first:.3f} and {second:.3f}; "
        f"{r['minutes']:.1f} min, {r['memory_gib']:.1f} GiB",
    )


@row("photos_only.py", "photos_only:plush", code="cameras inverse rendering")
def plush(r: dict) -> tuple[str, str]:
    """A capture as people make it."""
    values = sorted(view["mesh"] for view in r["drawn"].values())
    return (
        f"plush figure on a bed, {r['photos']} phone photos",
        f"{r['placed']} placed; silhouettes against {len(values)} drawn outlines: IoU {values[0]:.2f} to "
        f"{values[-1]:.2f}, for some of the bed is taken for the figure, and there is a gash in its face; "
        f"{r['minutes']:.1f} min after the cameras, {r['memory_gib']:.1f} GiB",
    )


@row(
    "given_cameras.py",
    "given_cameras:cat",
    "given_cameras:cat-fast",
    "given_cameras:cat-turns",
    code="inverse",
)
def cat(r: dict, fast: dict, turns: dict) -> tuple[str, str]:
    """Cameras that are off."""
    return (
        "plush cat, 24 views with cameras 2 to 16 pixels off",
        f"IoU with all masks {r['iou_mean']:.3f} through the refined cameras, {r['minutes']:.1f} min "
        f"(`--preset fast` {fast['iou_mean']:.3f}, {fast['minutes']:.1f} min); each view held out once "
        f"{turns['iou_mean']:.3f}; hull of the given cameras {r['hull_with_given_cameras']:.3f}",
    )


@row("masks.py", code="cameras")
def masks(r: dict) -> tuple[str, str]:
    """Masks that the program makes, against the true ones."""
    found = {
        room: [row for row in r["rows"] if row["room"] == room and "iou_mean" in row]
        for room in ("room", "photographs")
    }

    def scores(rows: list[dict]) -> str:
        mean = sum(row["iou_mean"] for row in rows) / len(rows)
        least = min(rows, key=lambda row: row["iou_mean"])
        return (
            f"mean IoU {mean:.3f}, of the worst object ({least['set']}) {least['iou_mean']:.3f}, of the worst "
            f"view {min(row['iou_worst'] for row in rows):.3f}"
        )

    objects = ", ".join(row["set"] for row in found["room"])
    return (
        f"masks without a plain background: {objects}, set into a room of photographs, and before another "
        "photograph in every view",
        f"{scores(found['room'])}; {scores(found['photographs'])}",
    )


@row("large_photos.py", code="cameras inverse rendering")
def large_photos(r: dict) -> tuple[str, str]:
    """Time and memory of a large folder."""
    doctor = r["doctor_seconds"]
    return (
        f"{r['photos']} phone photos of 12 megapixels of the furnished room (enlarged)",
        f"mean distance {r['mesh']['mean_mm']:.2f} mm; {r['minutes']:.1f} min, {r['memory_gib']:.1f} GiB; "
        f"`doctor` answers within {doctor:.1f} s",
    )


@row("given_cameras.py", "given_cameras:statue", "given_cameras:fox", code="cameras inverse rendering")
def one_sided(statue: dict, fox: dict) -> tuple[str, str]:
    """Objects that were seen from one side."""
    return (
        "statue, 23 photographs with given cameras, and fox, 26, both seen from one side; 4 held out each",
        f"PSNR on the object {statue['psnr']:.1f} dB and {fox['psnr']:.1f} dB; the nearest photograph in its "
        f"place {statue['psnr_nearest']:.1f} and {fox['psnr_nearest']:.1f} dB",
    )


@row("given_cameras.py", "given_cameras:bust", "given_cameras:dino", code="inverse rendering")
def refined_cameras(bust: dict, dino: dict) -> tuple[str, str]:
    """Cameras with noise."""
    found = bust["held_out_iou"], dino["held_out_iou"]
    return (
        "bust and dino, cameras turned by 1 degree, moved by 1 %, focal length 1 % too long, refined",
        f"held-out silhouette IoU {found[0]['refined']:.3f} and {found[1]['refined']:.3f}, with true cameras "
        f"{found[0]['true']:.3f} and {found[1]['true']:.3f}; focal length "
        f"{percent(bust['focal_length_error'], 1)} and {percent(dino['focal_length_error'], 1)} too long",
    )


@row("robustness/bad_photos.py", code="cameras inverse cli")
def bad_photos(r: dict) -> tuple[str, str]:
    """What cannot work is said."""
    return (
        f"{len(r['kinds'])} kinds of bad photographs and folders, each onto the results of an earlier run",
        f"{len(r['kinds']) - len(r['failed'])} refused with one sentence and exit code two, nothing lost",
    )


@row("real_photos.py", "real_photos:dino", code="inverse rendering")
def dino(r: dict) -> tuple[str, str]:
    """The published capture with its cameras."""
    return "dino, 14 real photographs with cameras, 2 held out", real(r)


@row("real_photos.py", "real_photos:temple", code="inverse rendering")
def temple(r: dict) -> tuple[str, str]:
    """The published capture with its cameras."""
    return "temple, likewise", real(r)


def real(r: dict) -> str:
    """The figures of a real capture."""
    first, second = r["ours"]["silhouette_iou"]
    return (
        f"silhouette IoU {first:.3f} and {second:.3f}, photometric error "
        f"{percent(r['photometric_error_linear_below_hull'])} below the coloured visual hull; "
        f"{'watertight' if r['watertight'] else 'open'}, pieces: {r['components']}; "
        f"{sum(r['stage_seconds'].values()) / 60:.1f} min, {r['peak_memory_bytes']['host'] / GB:.1f} GiB"
    )


# The parts.


@row("rasterizer_cost.py", code="rendering")
def index_image(r: dict) -> tuple[str, str]:
    """The rasteriser alone."""
    ms, ratio = r["milliseconds"], r["ratio_to_loop"]
    return (
        "index image of a 100k-face mesh, 16 views of 512x512",
        f"{ms['index image']:.0f} ms, with barycentrics and depth {ms['fragments']:.0f} ms: "
        f"{ratio['index image']:.1f} and {ratio['fragments']:.1f} of a minimal loop without gradients",
    )


@row("rasterizer_cost.py", code="rendering inverse geometry")
def full_step(r: dict) -> tuple[str, str]:
    """A step of the optimisation."""
    return (
        "a full optimisation step of the same",
        f"{r['milliseconds']['full step']:.0f} ms; {r['ratio_to_loop']['full step']:.1f} of that loop",
    )


@row("mitsuba_cost.py", code="rendering")
def mitsuba(r: dict) -> tuple[str, str]:
    """A step beside Mitsuba's."""
    return (
        "one step of one 512x512 view of a 100k-face mesh",
        f"{1000 * r['ours_seconds_per_view']:.0f} ms; Mitsuba {r['mitsuba']['mitsuba']} `direct_projective` "
        f"{1000 * r['as it comes']['seconds_per_view']:,.0f} ms as it comes, "
        f"{1000 * r['without gradients of shadows']['seconds_per_view']:,.0f} ms without gradients of shadows",
    )


@row("gradients.py", code="rendering")
def gradients(r: dict) -> tuple[str, str]:
    """The worst of all comparisons."""
    return (
        "gradients against central differences, the worst of silhouettes, shading and occluding contours of "
        "sphere, spot, bob and two boxes, with supersampled and with our own pictures",
        f"cosine {r['lowest_cosine']:.4f}, error of the norm {percent(r['largest_norm_error'], 1)}",
    )


@row("figure1.py", code="inverse rendering geometry")
def figure1(r: dict) -> tuple[str, str]:
    """Regularisers at equal time, all without remeshing; ours with it beside them."""
    ours, remeshed = r["rows"]["ours"], r["rows"]["ours, remeshed"]
    best = r["rows"][r["verdicts"]["ours"]["mean_distance"]["best_baseline"]]

    def scores(found: dict) -> str:
        return (
            f"{found['mean_distance']:.4f}, {found['flipped_faces']:,}, {found['self_intersecting_faces']:,}"
        )

    return (
        f"Nefertiti, {r['views']} views of {r['size']} pixels, from a sphere, {r['seconds_each']:.0f} s each: "
        "mean distance (of the radius), flipped and intersecting faces",
        f"ours {scores(ours)}; best classical regulariser {scores(best)}; ours remeshed on the way (the "
        f"baselines are not) {scores(remeshed)}",
    )


@row("continuous_remeshing.py", code="inverse rendering geometry")
def continuous_remeshing(r: dict) -> tuple[str, str]:
    """Palfinger's protocol at equal time."""

    def scores(found: dict) -> str:
        return (
            f"{found['rms_mean']:.5f} ({found['rms_root_mean_square']:.5f}), {found['flipped_area_mean']:.4f}, "
            f"{found['self_intersecting_faces']:,}"
        )

    found = r["summary"]
    ours, others = found["continuous remeshing"], [n for n in found if n != "continuous remeshing"]
    return (
        f"{len(r['rows']['continuous remeshing'])} scans from {r['views']} pictures of normals, {r['size']} x "
        f"{r['size']}, {r['seconds_each']:.0f} s each (Palfinger 2022): mean of the RMS distances over "
        "vertices (root of their mean square), of the radius; flipped area; crossing faces of all",
        f"ours {scores(ours)}; "
        + "; ".join(f"{name} {scores(found[name])}" for name in others)
        + f"; published, on a GPU, {r['published']['continuous remeshing']:.5f}",
    )


@row("few_views.py", code="inverse rendering geometry")
def few_views(r: dict) -> tuple[str, str]:
    """Continuous remeshing against plain Large Steps."""
    means = "; ".join(f"{name} {facts['mean_distance']:.5f}" for name, facts in r["means"].items())
    return (
        f"{r['mesh']}, {r['steps']} steps, mean distance (of the radius), mean of "
        f"{len(next(iter(r['rows'].values())))} sets of directions",
        f"{means}",
    )


@row("changing_connectivity.py", code="geometry")
def changing_connectivity(r: dict) -> tuple[str, str]:
    """What a preconditioner costs between two remeshings."""
    largest = [row for row in r["rows"] if row["vertices"] == max(other["vertices"] for other in r["rows"])]

    def seconds(row: dict) -> str:
        ways = {name: way for name, way in row.items() if isinstance(way, dict)}
        costs = (
            f"{name} {way['prepare_seconds'] + way['solve_seconds']:.2f} s" for name, way in ways.items()
        )
        return f"lambda {row['lambda']:g}: " + ", ".join(costs)

    return (
        f"preconditioner of {largest[0]['vertices']:,} vertices for {r['steps']} steps between two remeshings, "
        "with its factorisation",
        f"{'; '.join(seconds(row) for row in largest)}",
    )


@row("one_default.py", code="inverse")
def one_default(r: dict) -> tuple[str, str]:
    """How far the default is from each shape's best settings."""
    return (
        f"one default for {len(r['shapes'])} shapes, against the best setting found for each",
        f"mean distance at most {percent(r['worst_ratio'] - 1, 1)} larger",
    )


@row("remeshing.py", code="inverse geometry")
def remeshing(r: dict) -> tuple[str, str]:
    """Remeshing on the way."""
    with_it = list(r["stages"].values())[-1]
    without = next(iter(r["without_remeshing"].values()))
    return (
        "armadillo from an icosahedron, remeshed on the way",
        f"mean distance {with_it['mean_distance']:.4f} with {with_it['vertices']:,} vertices; "
        f"{without['mean_distance']:.4f} with {without['vertices']:,} that stay",
    )


# Priors over shapes.


@row("sdf_accuracy.py", code="sdf")
def priors(r: dict) -> tuple[str, str]:
    """Priors beside the reference and beside the nearest training shape."""
    names, found = list(r["collections"]), r["collections"].values()
    ours, theirs, nearest = (
        [1000 * scores["deepsdf_chamfer"]["median"] for scores in group]
        for group in (
            [c["default"]["held_out"] for c in found],
            [c["reference"]["held_out"] for c in found],
            [c["nearest_training_shape"] for c in found],
        )
    )

    def listed(values: list[float]) -> str:
        return ", ".join(f"{value:.{0 if value > 10 else 2}f}" for value in values)

    better = [name for name, mine, other in zip(names, ours, nearest, strict=True) if other < mine]
    return (
        f"priors over {', '.join(names)}; held-out shapes, {r['minutes']:.0f} minutes of training each beside "
        "the reference; median Chamfer distance (DeepSDF's, x1000)",
        f"{listed(ours)}; the nearest training shape {listed(nearest)}, better on "
        f"{' and '.join(better) or 'none'}; DeepSDF as released, with smaller steps, {listed(theirs)}: "
        "on a processor it has hardly begun",
    )


@row("second_order_fit.py", "second_order_fit_bodies", "second_order_fit_vases", code="sdf")
def second_order_fit(*results: dict) -> tuple[str, str]:
    """Codes by second-order steps."""
    shapes = [shape for r in results for shape in r["shapes"].values()]
    steps = [shape["iterations_to_loss_of_adam"] for shape in shapes]
    times = [shape["times_faster_to_loss_of_adam"] for shape in shapes]
    return (
        "code of a held-out shape, to the loss of 800 Adam steps",
        f"{min(steps)} to {max(steps)} second-order iterations; {min(times):.0f} to {max(times):.0f} times "
        "less time",
    )


@row("completion.py", "completion_bodies", code="sdf")
def completion(r: dict) -> tuple[str, str]:
    """Completion of one view."""
    mean = {name: r["summary"][name]["chamfer_sum"]["mean"] for name in (
        "completion", "nearest_training_shape", "screened_poisson")}  # fmt: skip
    return (
        f"one depth view of {len(r['shapes'])} held-out bodies, pose unknown; Chamfer distance of the radius",
        f"{mean['completion']:.4f}, nearest training shape {mean['nearest_training_shape']:.4f}, screened "
        f"Poisson {mean['screened_poisson']:.4f}",
    )


@row("extraction.py", code="sdf geometry")
def extraction(r: dict) -> tuple[str, str]:
    """Meshes of codes."""
    shapes = [shape for network in r["networks"].values() for shape in network.values()]
    shares = [shape["share_of_nodes"] for shape in shapes]
    less = [shape["less_cpu_time"] for shape in shapes if "less_cpu_time" in shape]
    missed = sum(shape.get("missed", 0) for shape in shapes)
    return (
        "256^3 mesh of a code",
        f"{percent(min(shares), 1)} to {percent(max(shares), 1)} of the dense evaluations, {missed} cells "
        f"missed, {min(less):.0f} to {max(less):.0f} times less processor time",
    )


@row("storage.py", "storage_bodies", code="sdf")
def storage(r: dict) -> tuple[str, str]:
    """Bytes at equal error."""
    s = r["summary"]
    return (
        f"a body at a mean error of {100 * s['error']:.2f} % of its radius, by a prior over "
        f"{r['training_shapes']} bodies",
        f"{(s['code_bytes'] + s['decoder_share_bytes']) / 1000:.1f} kB of code and decoder share; mesh "
        f"{s['equal_mesh_packed_bytes'] / 1000:.0f} kB, distance grid "
        f"{s['equal_grid_packed_bytes'] / 1e6:.1f} MB, both deflated",
    )


@row("preparation.py", code="sdf geometry")
def preparation(r: dict) -> tuple[str, str]:
    """Signed distances of collections."""
    what = f"{r['meshes']} meshes to {r['samples_per_mesh']:,} signed distances each"
    return what, f"{r['preparation_seconds']:.0f} s"


# Point clouds.


@row("denoising.py", code="points")
def denoising(r: dict) -> tuple[str, str]:
    """Denoising at levels that are told and that are estimated."""
    clouds, levels = "14 clouds, ", ("1 %", "2 %", "3 %")
    rows = [r["mean"][clouds + level] for level in levels]
    shares = [
        share
        for name, found in r["mean"].items()
        if name.endswith(levels)
        for share in found["estimate_over_truth"]
    ]

    def listed(key: str) -> str:
        return ", ".join(f"{row['chamfer'][key]:.1f}" for row in rows)

    return (
        "14 clouds of 5,000 points with noise of 1, 2 and 3 %, denoised; Chamfer distance x 1e4",
        f"{listed('estimated')} with the noise estimated ({min(shares):.2f} to {max(shares):.2f} of the truth "
        f"on all clouds), {listed('told')} with it told; given {listed('noisy')}, bilateral filter "
        f"{listed('bilateral')}",
    )


@row("scan_surfaces.py", code="points geometry")
def surfaces_of_scans(r: dict) -> tuple[str, str]:
    """Surfaces of merged scans, and how many clouds are at least as near to their points as Poisson's."""
    levels = (".25 %", ".5 %", "1 %")
    clouds = r["clouds"]

    def scores(name: str, whose: str) -> str:
        return ", ".join(f"{clouds[name][whose][level]:.3f}" for level in levels)

    armadillo, drill = "armadillo, 12 scans", "drill, 12 scans"
    whole = [all(found["at_least_equal"].values()) for found in clouds.values()]
    faces = [found["faces_over_poisson"] for found in clouds.values()]
    return (
        "surfaces of scans beside Open3D's screened Poisson with the same points; F-score at .25, .5 and 1 % "
        "of the diagonal",
        f"armadillo, all scans: {scores(armadillo, 'ours')}, pieces: {clouds[armadillo]['ours']['pieces']}, "
        f"Euler number {clouds[armadillo]['ours']['euler_number']} (Poisson {scores(armadillo, 'poisson')}); "
        f"drill: {scores(drill, 'ours')}, Euler number {clouds[drill]['ours']['euler_number']} (Poisson, cut, "
        f"{scores(drill, 'poisson, cut')}); at or above Poisson at all three: {sum(whole)} of {len(whole)} "
        f"clouds, some of them without normals, which Poisson has; with {min(faces):.1f} to {max(faces):.1f} "
        "of its faces",
    )


@row(
    "families.py",
    "families:members",
    "families:strangers",
    "families:ends",
    "families:inventions",
    code="sdf score",
)
def families(members: dict, strangers: dict, ends: dict, inventions: dict) -> tuple[str, str]:
    """Whether priors know their family."""
    ratios = [found["ratio"] for found in ends["shapes"].values()]
    meshes = inventions["cloud_meshes"]
    pieces = [inventions[seed]["prior_one_piece_of_64"] for seed in ("seed 0", "seed 1")]
    return (
        "the shipped prior over bodies: scans that are no bodies; ends of `interpolate` between held-out "
        "meshes; 64 invented meshes with two seeds, and those of the model of clouds",
        f"{strangers['refused']} of {strangers['of']} other shapes refused, {members['refused']} of "
        f"{members['of']} held-out bodies; error of the ends {min(ratios):.2f} to {max(ratios):.2f} of a "
        f"direct fit's ({len(ratios)} bodies); {pieces[0]} and {pieces[1]} closed and of one piece, "
        f"{meshes['one_piece']} of {meshes['of']}",
    )


@row("remeshing_parts.py", code="geometry")
def remeshed_parts(r: dict) -> tuple[str, str]:
    """Remeshing of machined parts at every length."""
    lengths = r["parts"].values()
    volume, area = (max(found[key] for found in lengths) for key in ("volume_change", "area_change"))
    bounds = min(found["within_bounds"] for found in lengths)
    return (
        "100 machined parts of our own, remeshed at the default length and at .02, .1 and .5 of their size",
        f"volume changes by {percent(volume, 2)} at most, area by {percent(area, 2)}; within a thousandth at "
        f"every length: {bounds} of {r['parts']['default']['shapes']}",
    )


@row("score_autoencoding.py", "score_autoencoding_mnist", code="score")
def digits(r: dict) -> tuple[str, str]:
    """Independent points, as the publication draws them."""
    free, even = r["test"]["default, independent"], r["test"]["default"]
    return (
        f"contours of held-out digits from codes of 256 numbers, {r['minutes']:.0f} minutes of one core; "
        "Chamfer and exact earth mover's distance, of that between two samples (ShapeGF as published: 2.64, "
        "1.51)",
        f"{free['chamfer_over_oracle']:.2f}, {free['earth_mover_over_oracle']:.2f} with independent points; "
        f"points drawn evenly, which no independent sample is, {even['chamfer_over_oracle']:.2f}, "
        f"{even['earth_mover_over_oracle']:.2f}",
    )


@row("score_speed.py", code="score")
def speed(r: dict) -> tuple[str, str]:
    """The sampler."""
    seconds = r["seconds_per_shape"]
    measured = "" if r["levels_measured"] == 10 else " (one of its noise levels measured, times their number)"
    return (
        f"{r['points']:,} points of a shape",
        f"{1000 * seconds['default']['wall']:.0f} ms; ShapeGF's sampler {seconds['reference']['wall']:.0f} s"
        f"{measured}",
    )


@row("score_generation.py", "score_generation_procedural", "score_generation_chairs", code="score metrics")
def generation(known: dict, chairs: dict) -> tuple[str, str]:
    """Generation with intervals."""

    def pair(r: dict, name: str) -> str:
        return ", ".join(
            f"{100 * r['rows'][name][d]['one_nna']['value']:.1f}" for d in ("chamfer", "earth_mover")
        )

    width = max(
        max(v["high"] - v["value"], v["value"] - v["low"])
        for r in (known, chairs)
        for name in ("training set", "default", "default with latent GAN")
        for v in (r["rows"][name][d]["one_nna"] for d in ("chamfer", "earth_mover"))
    )
    parts = [
        f"{title}: {pair(r, 'default')}; training set {pair(r, 'training set')}; latent GAN "
        f"{pair(r, 'default with latent GAN')}"
        for title, r in (("known family", known), ("Voxel chairs", chairs))
    ]
    count = known["rows"]["default"]["generated"]
    return (
        f"{count} invented chairs against held-out ones, 1-NNA by Chamfer and earth mover's distance in % "
        "(50 is best; in brackets how far the intervals of 95 % reach at most)",
        f"{'. '.join(parts)} ({100 * width:.0f})",
    )


@row("score_completion.py", "score_completion_chairs", code="score")
def other_half(r: dict) -> tuple[str, str]:
    """Several hypotheses."""
    less = 1 - r["rows"]["best of 8"]["chamfer"] / r["rows"]["encoder"]["chamfer"]
    return (
        "the other half of a voxel chair, best of 8 hypotheses",
        f"Chamfer distance {percent(less)} below the encoder's one answer ({r['shapes']} held-out chairs)",
    )


@row("exact_metrics.py", code="metrics")
def exact_metrics(r: dict) -> tuple[str, str]:
    """Exact metrics of generation."""
    return (
        f"exact 1-NNA, COV and MMD by two distances, {r['clouds'][0]} against {r['clouds'][1]} clouds",
        f"{r['scoring_seconds']:.0f} s; {percent(r['share_of_pairs_solved'])} of the assignments solved",
    )


def older() -> list[str]:
    """Results without a commit, and those whose code has changed since their commit."""
    found = []
    for r in ROWS:
        for name in r.results:
            commit = stored(name).get("commit")
            if commit is None:
                found.append(f"{r.script}: {name}, measured {r.date()}, holds no commit")
                continue
            paths = [f"src/bozzetto/{folder}" for folder in r.code]
            done = subprocess.run(
                ["git", "rev-list", "--count", f"{commit.removesuffix('-dirty')}..HEAD", "--", *paths],
                cwd=ROOT, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                found.append(f"{r.script}: {name} holds the commit {commit}, which is not in this history")
            elif int(done.stdout):
                found.append(f"{r.script}: {name}, {int(done.stdout)} commits to {', '.join(r.code)} since")
    return found


def main() -> None:
    """Write the tables, or say which results are old."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--older", action="store_true", help="list results older than their code")
    if parser.parse_args().older:
        print("\n".join(older()))
        return
    for page in (README, FIGURES):
        page.write_text(with_table(page), encoding="utf-8")


if __name__ == "__main__":
    main()
