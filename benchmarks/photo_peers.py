"""A mesh from photos alone, beside what other tools make of the same cameras on a machine without a GPU.

    python -m benchmarks.room                                  # first: the photos and our own run
    pip install open3d-cpu pycolmap                            # Debian: apt-get install libusb-1.0-0, too
    python -m benchmarks.photo_peers --work bozzetto-out/room/30-1024x768-0

Reads the folder of a take of `room.py`: photos, truth, and the run on the photos alone. Compares:

* `bozzetto`: the mesh of that run.
* `visual_hull`: the hull of the masks of that run, which is where any method with masks can begin.
* `open3d_poisson`: screened Poisson of Open3D on the sparse points of COLMAP; the vertices of lowest density
  are cut off.
* `colmap_poisson`: COLMAP's own Poisson mesher, trimmed, on the same points.
* `colmap_delaunay`: COLMAP's Delaunay mesher on the sparse model. It needs a COLMAP that was built with CGAL,
  which neither the wheels of pycolmap nor Debian's package were; the reason is written down where it is absent.

All of them have the cameras that our run estimated with pycolmap. COLMAP's dense stereo needs CUDA, so points
are sparse here. They have no normals: each gets that of the plane through its neighbours, pointing to the
cameras that saw it. The peers have no masks and see the whole room, so we are kind to them:

* The world of the estimated cameras is brought to the true one, by the similarity between the centres.
* Their points and meshes are cropped to the true bounding box of the subject, grown by 5 %, and cut 3 mm above
  the table. Meshes are open where they were cut.
* Points far from all others are left out.
* Poisson runs at several depths and trims, and the mesh that is nearest to the truth counts, with its own time.

Distances are those of `room.py`: after the best similarity, mean of both ways, of the true surface what two
photos or more show. Silhouettes of the aligned meshes through the true cameras are compared with the true
masks. Minutes of a peer are those of pose estimation in our run and its own; the hull has those of our masks,
too. What is not installed is left out of the table with the command that installs it.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree

from benchmarks.helpers.common import RESULTS, save_results
from bozzetto import Mesh, load_mesh, save_mesh
from bozzetto.cameras import Capture, load_views, visual_hull
from bozzetto.cameras.formats import PosedViews, read_cameras
from bozzetto.cameras.poses.model import read_model
from bozzetto.datasets.synthetic import PhonePhotos
from bozzetto.datasets.synthetic.furnished_room import TABLE
from bozzetto.datasets.synthetic.phone import TRUTH, load_phone_photos, photographed_faces, surface_errors
from bozzetto.errors import collected_warnings
from bozzetto.geometry import boundary_edges, drop_unused_vertices, is_watertight
from bozzetto.metrics import camera_errors, silhouette_iou, similarity_between
from bozzetto.rendering import rasterize
from bozzetto.shapes import PointCloud, Similarity, save_points

RUN = "from-photos"
GROWN = 1.05
"""Size of the box to which the peers are cropped, of the true bounding box about its middle."""
CUT = 0.003
"""Metres above the table from which on points and meshes of the peers count."""
NEIGHBOURS = 20
"""Points whose plane gives a normal, and whose mean distance says whether a point stands alone."""
ALONE = 2.0
"""Standard deviations of that distance above its mean from which a point is left out."""
DEPTHS = (5, 6, 7, 8)
"""Of the octree of Poisson."""
LOWEST = (0.0, 0.02, 0.05, 0.1)
"""Shares of the vertices, those of lowest density, that are cut off after Open3D's Poisson."""
TRIMS = (2.0, 3.0, 4.0, 5.0)
"""Densities, in depths of the octree, below which COLMAP trims after its Poisson; 10 is for dense points."""
TRIAL = 20_000
"""Points on each surface when settings are compared."""
SIDE = 1000
"""Longer side in pixels of the pictures in which silhouettes are compared, and carved."""
METHODS = ("bozzetto", "visual_hull", "open3d_poisson", "colmap_poisson", "colmap_delaunay")
LABELS = ("mean mm", "% height", "IoU", "worst", "minutes", "faces", "watertight")


class Absent(Exception):
    """A tool that is not there; the message says how to get it."""


@dataclass(frozen=True)
class Made:
    """What a method made.

    Attributes:
        mesh: In any world.
        seconds: That it took, without what the run of `room.py` says about cameras and masks.
        start: From the world of the mesh to the true one; None if they are the same.
        settings: Which were used.
    """

    mesh: Mesh
    seconds: float
    start: Similarity | None = None
    settings: dict | None = None


@dataclass(frozen=True)
class Scene:
    """What all methods begin with.

    Attributes:
        photos: The take, with the truth.
        run: Folder of our run.
        to_truth: From the world of the estimated model to the true one.
        points: Sparse points near the subject in the true world, (P, 3).
        towards: From each of them to the cameras that saw it, on average, (P, 3).
    """

    photos: PhonePhotos
    run: Path
    to_truth: Similarity
    points: np.ndarray
    towards: np.ndarray

    @property
    def model(self) -> Path:
        """The sparse model as pycolmap wrote it, of the whole room."""
        return self.run / "cameras" / "estimated" / "sparse"


def scene(photos: PhonePhotos, run: Path) -> Scene:
    """The sparse points of the run, brought to the true world and cropped."""
    estimated = run / "cameras" / "estimated"
    model, report = read_model(estimated / "sparse"), json.loads((estimated / "report.json").read_text())
    names = [report["report"]["photos"][report["pictures"][name]["number"]] for name in model.names]
    known = {view.name: view.T_cam_world for view in photos.views}
    true = torch.stack([known[Path(name).name] for name in names])
    centers = -torch.einsum("nji,nj->ni", true[:, :3, :3], true[:, :3, 3])
    to_truth = similarity_between(torch.from_numpy(model.centers), centers)
    points = to_truth.apply(torch.from_numpy(model.points))
    inside = in_box(points, photos)
    points, seen = points[inside].numpy(), model.visible[inside.numpy()]
    places = to_truth.apply(torch.from_numpy(model.centers)).numpy()
    rays = places - points[:, None]
    rays /= np.linalg.norm(rays, axis=2, keepdims=True)
    return Scene(photos, run, to_truth, points, (rays * seen[:, :, None]).sum(axis=1))


def in_box(points: torch.Tensor, photos: PhonePhotos) -> torch.Tensor:
    """Which points are in the grown bounding box of the subject and above the table."""
    low, high = photos.subject.bounds.double()
    middle, half = (low + high) / 2, 0.5 * GROWN * (high - low)
    above = points[:, 1] >= TABLE + CUT
    return above & ((points.double() - middle).abs() <= half).all(dim=1)


def cropped(mesh: Mesh, photos: PhonePhotos) -> Mesh:
    """The faces that are wholly in this box."""
    inside = in_box(mesh.world_vertices, photos)
    return drop_unused_vertices(replace(mesh, faces=mesh.faces[inside[mesh.faces].all(dim=1)]))[0]


def oriented(of: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Points that do not stand alone, and normals that point to the cameras."""
    if len(of.points) <= NEIGHBOURS:
        raise Absent(f"only {len(of.points)} sparse points are near the subject")
    apart = cKDTree(of.points).query(of.points, NEIGHBOURS)[0].mean(axis=1)
    kept = apart <= apart.mean() + ALONE * apart.std()
    points, towards = of.points[kept], of.towards[kept]
    near = points[cKDTree(points).query(points, min(NEIGHBOURS, len(points)))[1]]
    near = near - near.mean(axis=1, keepdims=True)
    normals = np.linalg.eigh(np.einsum("pki,pkj->pij", near, near))[1][:, :, 0]
    away = (normals * towards).sum(axis=1) < 0
    return points, np.where(away[:, None], -normals, normals)


def ours(of: Scene) -> Iterator[Made]:
    """Our mesh, placed as in `room.py`."""
    posed = used_cameras(of)
    known = {view.name: view.T_cam_world for view in of.photos.views}
    true = torch.stack([known[Path(view.name).name] for view in posed.views])
    errors = camera_errors(torch.stack([view.T_cam_world for view in posed.views]), true)
    minutes = json.loads((of.run / "minutes.json").read_text())
    yield Made(load_mesh(of.run / "mesh.ply"), 60 * minutes, errors.to_truth)


def used_cameras(of: Scene) -> PosedViews:
    """The cameras of our run, for the photos as they are."""
    return read_cameras(of.run / "cameras" / "transforms.json")


def hull(of: Scene) -> Iterator[Made]:
    """The hull of our masks through the cameras of our run; one wrong mask per point does no harm."""
    begun, posed, masks = time.time(), used_cameras(of), of.run / "masks"
    views = tuple(v for v in posed.views if (masks / f"{Path(v.name).stem}.png").is_file())
    if not views:
        raise Absent(f"{of.run} holds no masks")
    capture = load_views(replace(posed, views=views), masks, SIDE)
    mesh = visual_hull(
        capture.cameras, capture.require_masks(), capture.known, 256, tolerance=1, names=capture.names
    )
    seconds = time.time() - begun
    yield replace(next(ours(of)), mesh=mesh, seconds=seconds, settings={"views": len(views)})


def open3d_poisson(of: Scene) -> Iterator[Made]:
    """Screened Poisson of Open3D at several depths."""
    try:
        import open3d
    except ImportError as error:
        raise Absent(f"Open3D cannot be used ({error}): pip install open3d-cpu") from None
    begun = time.time()
    points, normals = oriented(of)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud.normals = open3d.utility.Vector3dVector(normals)
    before = time.time() - begun
    for depth in DEPTHS:
        begun = time.time()
        made, density = open3d.geometry.TriangleMesh.create_from_point_cloud_poisson(
            cloud, depth=depth, n_threads=torch.get_num_threads()
        )
        seconds = before + time.time() - begun
        vertices = torch.from_numpy(np.asarray(made.vertices)).float()
        faces, density = torch.from_numpy(np.asarray(made.triangles)).long(), np.asarray(density)
        for share in LOWEST:
            dense = torch.from_numpy(density >= np.quantile(density, share))
            mesh = Mesh(vertices, faces[dense[faces].all(dim=1)])
            settings = {"depth": depth, "cut_off": share, "points": len(points)}
            yield Made(cropped(mesh, of.photos), seconds, settings=settings)


def colmap_poisson(of: Scene) -> Iterator[Made]:
    """The Poisson mesher of pycolmap at several depths and trims."""
    pycolmap = imported_pycolmap()
    begun = time.time()
    points, normals = (torch.from_numpy(array).float() for array in oriented(of))
    before = time.time() - begun
    with tempfile.TemporaryDirectory(prefix="bozzetto-") as name:
        cloud, result = Path(name) / "points.ply", Path(name) / "mesh.ply"
        save_points(PointCloud(points, normals), cloud)
        for depth in DEPTHS:
            for trim in (trim for trim in TRIMS if trim < depth):
                begun = time.time()
                options = pycolmap.PoissonMeshingOptions()
                options.depth, options.trim, options.color = depth, trim, False
                options.num_threads = torch.get_num_threads()
                result.unlink(missing_ok=True)
                pycolmap.poisson_meshing(cloud, result, options)
                seconds = before + time.time() - begun
                with collected_warnings():  # densities are left out
                    mesh = cropped(load_mesh(result), of.photos)
                yield Made(mesh, seconds, settings={"depth": depth, "trim": trim, "points": len(points)})


def colmap_delaunay(of: Scene) -> Iterator[Made]:
    """The Delaunay mesher of pycolmap or of the program `colmap` on the whole sparse model."""
    pycolmap = imported_pycolmap()
    with tempfile.TemporaryDirectory(prefix="bozzetto-") as name:
        result, begun = Path(name) / "mesh.ply", time.time()
        if hasattr(pycolmap, "sparse_delaunay_meshing"):
            pycolmap.sparse_delaunay_meshing(of.model, result)
        else:
            without = f"pycolmap {pycolmap.__version__} was built without CGAL"
            program = shutil.which("colmap")
            if program is None:
                raise Absent(f"{without}, and there is no program colmap; install one with CGAL")
            command = [program, "delaunay_mesher", "--input_type", "sparse"]
            command += ["--input_path", str(of.model), "--output_path", str(result)]
            said = subprocess.run(command, capture_output=True, text=True)
            if said.returncode or not result.is_file():
                lines = (said.stderr + said.stdout).strip().splitlines()
                raise Absent(f"{without}, and {program} says: {lines[-1] if lines else said.returncode}")
        seconds, mesh = time.time() - begun, load_mesh(result)
    placed = mesh.with_vertices(of.to_truth.apply(mesh.world_vertices.double()).float())
    yield Made(cropped(placed, of.photos), seconds)


def imported_pycolmap():
    try:
        import pycolmap
    except ImportError as error:
        raise Absent(f"pycolmap cannot be used ({error}): pip install pycolmap") from None
    return pycolmap


def silhouettes(mesh: Mesh, truth: Capture) -> torch.Tensor:
    """IoU with the true masks by view."""
    width, height = truth.cameras.width, truth.cameras.height
    shown = torch.zeros(len(truth), height * width)
    for i in range(len(truth)):
        fragments = rasterize(mesh.world_vertices.float(), mesh.faces, truth.cameras[[i]])
        shown[i, fragments.pixel] = 1.0
    return silhouette_iou(shown.reshape(-1, height, width), truth.require_masks(), truth.known)


def best(made: Iterable[Made], photos: PhonePhotos, seen: torch.Tensor) -> tuple[Made, dict, Mesh]:
    """Of several meshes the one with the smallest mean distance: figures, and the mesh in the true world."""
    every = list(made)
    usable = [one for one in every if len(one.mesh.faces)]
    if not usable:
        raise Absent(f"none of {len(every)} settings gave a mesh in the box of the subject")
    one = usable[0]
    if len(usable) > 1:
        means = [surface_errors(one.mesh, photos, seen, one.start, TRIAL).mean for one in usable]
        one = usable[int(np.argmin(means))]
    errors = surface_errors(one.mesh, photos, seen, one.start)
    height = float(photos.subject.bounds[1, 1] - photos.subject.bounds[0, 1])
    both = torch.cat([errors.to_result, errors.to_truth])
    figures = {
        "mean_mm": 1000 * errors.mean,
        "mean_percent_of_height": 100 * errors.mean / height,
        "truth_to_result_mm": 1000 * float(errors.to_result.mean()),
        "result_to_truth_mm": 1000 * float(errors.to_truth.mean()),
        "percentile_95_mm": 1000 * float(torch.quantile(both, 0.95)),
        "faces": len(one.mesh.faces),
        "boundary_edges": len(boundary_edges(one.mesh.faces)),
        "watertight": is_watertight(one.mesh.faces),
        "settings": {**(one.settings or {}), "tried": len(every)},
    }
    aligned = one.mesh.with_vertices(errors.to_world.apply(one.mesh.vertices.double()).float())
    return one, figures, aligned


def printed(results: dict[str, dict]) -> None:
    """The table, and below it what is absent."""
    print(f"{'':16}" + "".join(f"{label:>11}" for label in LABELS))
    for name, row in results.items():
        if "absent" not in row:
            iou = row["silhouette_iou"]
            cells = [f"{row['mean_mm']:.2f}", f"{row['mean_percent_of_height']:.3f}", f"{iou['mean']:.4f}"]
            cells += [f"{iou['worst']:.4f}", f"{row['minutes']:.1f}", str(row["faces"])]
            cells.append("yes" if row["watertight"] else "no")
            print(f"{name:16}" + "".join(f"{cell:>11}" for cell in cells))
    for name, row in results.items():
        if "absent" in row:
            print(f"{name}: {row['absent']}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path("bozzetto-out/room/30-1024x768-0"))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--meshes", type=Path, help="folder for the meshes in the true world")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    run = options.work / RUN
    missing = [path for path in (options.work / TRUTH, run / "minutes.json") if not path.is_file()]
    if missing:
        sys.exit(f"{missing[0]} does not exist; run room.py and give the folder of its take with --work")
    photos = load_phone_photos(options.work)
    given, seen = scene(photos, run), photographed_faces(photos)
    truth = load_views(photos.posed, options.work / "truth" / "masks", SIDE)
    spent = json.loads((run / "report.json").read_text())["seconds"]
    cameras = spent["find cameras"]
    earlier = {"bozzetto": 0.0, "visual_hull": cameras + spent["read photos"]}
    makers: dict[str, Callable[[], Iterator[Made]]] = {
        "bozzetto": partial(ours, given),
        "visual_hull": partial(hull, given),
        "open3d_poisson": partial(open3d_poisson, given),
        "colmap_poisson": partial(colmap_poisson, given),
        "colmap_delaunay": partial(colmap_delaunay, given),
    }
    rows: dict[str, dict] = {}
    for name in options.methods:
        try:
            made, figures, aligned = best(makers[name](), photos, seen)
        except Absent as reason:
            rows[name] = {"absent": str(reason)}
            continue
        iou = silhouettes(aligned, truth)
        worst = int(iou.argmin())
        rows[name] = {
            **figures,
            "silhouette_iou": {
                "mean": float(iou.mean()),
                "worst": float(iou[worst]),
                "photo": truth.names[worst],
            },
            "minutes": (earlier.get(name, cameras) + made.seconds) / 60,
            "own_seconds": made.seconds,
        }
        if options.meshes is not None:
            options.meshes.mkdir(parents=True, exist_ok=True)
            save_mesh(aligned, options.meshes / f"{name}.ply")
    printed(rows)
    results = {
        "photos": len(photos.views),
        "size": sorted(photos.views[0].size or (), reverse=True),
        "pose_estimation_seconds": cameras,
        "sparse_points": len(given.points),
        "methods": rows,
    }
    save_results("photo_peers", results, options.out)


if __name__ == "__main__":
    main()
