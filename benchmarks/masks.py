"""Masks without a plain background: cut-out captures are set before rooms, and masks are found again.

    BOZZETTO_DATA=... python -m benchmarks.masks [--sets dino cat] [--rooms photographs room] [--size 640]

Objects: dino and temple (truth: masks from their plain background), cat and lego (truth: alpha) and the bust
(rendered, exact). What is behind them:

* `room`: one room for all views: a table under the object and a box around it, textured with photographs.
* `photographs`: another photograph behind every view, with nothing that fits from view to view: harder than any
  real capture.

The photographs are those of plush, fox and statue, of which the parts without their object are taken. Object
and background are mixed in linear light. Cameras are the true ones; points of the scene are not given. As in
`bozzetto reconstruct`, the masks are then mended by a rough surface; `segmented` is the state before.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.helpers.common import RESULTS, data_folder, save_results
from bozzetto.cameras import Capture, capture_sheet, fibonacci_cameras, load_capture, object_bounds
from bozzetto.cameras.segmentation import segment
from bozzetto.errors import InputError, collected_warnings
from bozzetto.images import load_image, save_image, srgb_to_linear
from bozzetto.images.resizing import area_resize
from bozzetto.inverse.photo_source import mended_by_surface

SETS = ("dino", "temple", "cat", "lego", "bust")
ROOMS = ("room", "photographs")
CROPS = (  # photograph; left, top, right, bottom as shares of its size: where its object is not
    *(("plush", f"photo_{i:02}.jpg", 0.0, 0.0, 0.42, 1.0) for i in (5, 8, 10, 44, 46)),
    *(("plush", f"photo_{i:02}.jpg", 0.62, 0.0, 1.0, 0.5) for i in (1, 3, 38, 40)),
    *(("statue", f"DSC_{i}.jpg", 0.0, 0.0, 1.0, 0.3) for i in range(5283, 5305, 2)),
    *(("fox", f"{i:04}.jpg", 0.0, 0.72, 1.0, 1.0) for i in (1, 7, 14, 22, 27)),
    *(("fox", f"{i:04}.jpg", 0.0, 0.0, 1.0, 0.3) for i in (73, 81, 89)),
)


def room_photographs() -> list[torch.Tensor]:
    """Parts of photographs of rooms, linear light."""
    found = []
    for name, file, left, top, right, bottom in CROPS:
        image = load_image(data_folder("captures") / name / "images" / file)[..., :3]
        height, width = image.shape[:2]
        part = image[int(top * height) : int(bottom * height), int(left * width) : int(right * width)]
        found.append(srgb_to_linear(part.contiguous()))
    return found


def filled(photo: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """The middle of a photograph in another size, nothing stretched."""
    old_height, old_width = photo.shape[:2]
    scale = max(width / old_width, height / old_height)
    used_w, used_h = round(width / scale), round(height / scale)
    left, top = (old_width - used_w) // 2, (old_height - used_h) // 2
    part = photo[top : top + used_h, left : left + used_w]
    return area_resize(part[None], width, height)[0]


def photographs_behind(capture: Capture, photos: list[torch.Tensor], seed: int) -> torch.Tensor:
    """Another photograph behind every view."""
    order = torch.randperm(len(photos), generator=torch.Generator().manual_seed(seed)).tolist()
    size = capture.cameras.width, capture.cameras.height
    chosen = [photos[order[i % len(order)]] for i in range(len(capture))]
    turned = [p.flip(1) if i >= len(order) else p for i, p in enumerate(chosen)]
    return torch.stack([filled(p, *size) for p in turned])


def room_behind(capture: Capture, photos: list[torch.Tensor], seed: int) -> torch.Tensor:
    """One room behind all views: walls, floor and ceiling, and a table on which the object stands."""
    cameras = capture.cameras
    bounds = object_bounds(cameras, capture.require_masks(), capture.known, tolerance=1)
    middle = bounds.mean(dim=0)
    ups = -cameras.T_cam_world[:, 1, :3].mean(dim=0)
    axes = torch.linalg.svd(cameras.forward - cameras.forward.mean(dim=0)).Vh
    up = (
        ups
        if float(ups.norm()) > 0.5
        else axes[2] * torch.sign(axes[2] @ (cameras.centers.mean(dim=0) - middle))
    )
    up = up / up.norm()
    side = torch.linalg.cross(up, up.roll(1))
    side = side / side.norm()
    frame = torch.stack([side, torch.linalg.cross(up, side), up])
    corners = torch.cartesian_prod(*bounds.T) - middle
    bottom = float((corners @ up).min())
    size = float((bounds[1] - bounds[0]).norm())
    half = 1.2 * float((cameras.centers - middle).norm(dim=1).max())
    order = torch.randperm(len(photos), generator=torch.Generator().manual_seed(seed)).tolist()
    pictures = []
    for i in range(len(cameras)):
        origins, directions = cameras[[i]].rays()
        origins = (origins[0] - middle) @ frame.T
        directions = directions[0] @ frame.T
        # The first wall that a ray from inside the box meets.
        reach = (half * directions.sign() - origins) / directions
        distance, wall = reach.min(dim=-1)
        hits = origins + distance[..., None] * directions
        index = 2 * wall + (directions.gather(-1, wall[..., None])[..., 0] > 0)
        behind = torch.zeros(*wall.shape, 3)
        others = torch.tensor([[1, 2], [0, 2], [0, 1]])[wall]
        places = hits.gather(-1, others) / half
        for w in range(6):
            behind[index == w] = looked_up(photos[order[w]], places[index == w])
        away = (bottom - origins[..., 2]) / directions[..., 2]
        on = origins + away[..., None] * directions
        table = (away > 0) & (on[..., :2].norm(dim=-1) < 1.2 * size) & (origins[..., 2] > bottom)
        behind[table] = looked_up(photos[order[6]], on[table][:, :2] / (1.2 * size))
        pictures.append(behind)
    return torch.stack(pictures)


def looked_up(photo: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Colours of a photograph at places in [-1, 1]."""
    grid = places.float()[None, None]
    found = torch.nn.functional.grid_sample(
        photo.permute(2, 0, 1)[None], grid, padding_mode="reflection", align_corners=False
    )
    return found[0, :, 0].T


def bust_capture(size: int) -> Capture:
    """Rendered views of the bust from all sides, with exact masks."""
    from bozzetto.datasets.synthetic import bust
    from bozzetto.rendering import render

    mesh = bust()
    center = mesh.vertices.double().mean(dim=0)
    shape = (size, 3 * size // 4)
    cameras = fibonacci_cameras(24, distance=1.6, target=center.tolist(), fov=0.62, size=shape, up=(0, 1, 0))
    light = torch.tensor([[1.0], [0.3], [0.3], [0.2], [0], [0], [0], [0], [0]]).expand(9, 3) * 2.2
    pictures = render(mesh, cameras, light)
    return Capture(
        tuple(f"{i:02}.png" for i in range(len(cameras))),
        cameras,
        pictures[..., :3].clamp(0, 1) * pictures[..., 3:],
        pictures[..., 3],
        torch.ones_like(pictures[..., 3], dtype=torch.bool),
    )


def clean_capture(name: str, size: int) -> Capture:
    """A capture whose masks are the truth and whose pictures are the object before black."""
    if name == "bust":
        return bust_capture(size)
    plain = name in ("dino", "temple")
    capture = load_capture(data_folder("captures") / name, "background" if plain else "alpha", size)
    return replace(capture, images=capture.foreground(), background=None, uncorrected=None)


def before(capture: Capture, behind: torch.Tensor) -> Capture:
    """The object of a capture before something else, without masks."""
    coverage = capture.require_masks()[..., None]
    mixed = capture.images + (1 - coverage) * behind
    levels = (mixed.clamp(0, 1) * 255 * 8).round() / (255 * 8)
    return replace(capture, images=levels * capture.known[..., None], masks=None)


def iou(found: torch.Tensor, truth: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Intersection over union of every view."""
    a, b = (found > 0.5) & known, (truth > 0.5) & known
    return (a & b).sum(dim=(1, 2)) / (a | b).sum(dim=(1, 2)).clamp(min=1)


def scores(found: Capture, clean: Capture) -> dict:
    """Mean and worst overlap of masks with the true ones."""
    values = iou(found.require_masks(), clean.require_masks(), clean.known)
    return {
        "iou_mean": round(float(values.mean()), 4),
        "iou_worst": round(float(values.min()), 4),
        "worst_view": clean.names[int(values.argmin())],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--rooms", nargs="+", default=ROOMS, choices=ROOMS)
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--sheets", help="folder for pictures of the masks")
    parser.add_argument("--segmented-only", action="store_true", help="masks are not mended")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    photos = room_photographs()
    rows = []
    for name in arguments.sets:
        clean = clean_capture(name, arguments.size)
        for room in arguments.rooms:
            make = room_behind if room == "room" else photographs_behind
            views = before(clean, make(clean, photos, seed=len(name)))
            started, cpu = time.perf_counter(), time.process_time()
            with collected_warnings() as notes:
                try:
                    found = segment(views)
                except InputError as error:
                    rows.append({"set": name, "room": room, "refused": str(error)})
                    print(rows[-1])
                    continue
            row = {"set": name, "room": room, "views": len(clean), "segmented": scores(found, clean)}
            if not arguments.segmented_only:
                found = mended_by_surface(found, views)
            row |= {
                **scores(found, clean),
                "seconds": round(time.perf_counter() - started, 1),
                "cpu_seconds": round(time.process_time() - cpu, 1),
                "notes": notes,
            }
            rows.append(row)
            print(rows[-1], flush=True)
            if arguments.sheets:
                values = iou(found.masks, clean.masks, clean.known).tolist()
                labels = [f"{n} {v:.3f}" for n, v in zip(clean.names, values, strict=True)]
                sheet = capture_sheet(found, labels=labels, hull=clean.masks > 0.5, columns=6, width=320)
                save_image(f"{arguments.sheets}/{name}-{room}.png", sheet)
    save_results("masks", {"size": arguments.size, "rows": rows}, arguments.out)


if __name__ == "__main__":
    main()
