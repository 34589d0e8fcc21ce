"""Places the pictures of a database of matches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .lens import refine_lens


def place(pycolmap: Any, job: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Place the pictures; every model is written as text into a folder of its own.

    If the job says `hold`, lenses whose focal length is known stay as they are until all pictures have a place,
    and are free then.
    """
    placed = most = 0  # models are begun several times, the share does not go back

    def count(number: int) -> None:
        nonlocal placed, most
        placed, most = number, max(most, number)
        say({"stage": "mapping", "share": min(0.99, most / len(job["pictures"]))})

    say({"stage": "mapping", "share": 0.0})
    target = Path(job["models"])
    target.mkdir(parents=True, exist_ok=True)
    options = _options(pycolmap, job)
    if job["hold"]:
        options.constant_cameras = _known_cameras(pycolmap, job)
    models = pycolmap.incremental_mapping(
        job["database"],
        job["folder"],
        str(target),
        options,
        initial_image_pair_callback=lambda: count(2),
        next_image_callback=lambda: count(placed + 1),
    )
    largest = max(models, key=lambda n: (models[n].num_reg_images(), models[n].num_points3D()), default=None)
    found = []
    for number, model in models.items():
        if number == largest:
            model = refine_lens(pycolmap, _released(pycolmap, job, model) if job["hold"] else model)
        folder = target / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.bin"):
            old.unlink()
        model.write_text(str(folder))
        names = sorted(model.image(i).name for i in model.reg_image_ids())
        found.append(
            {
                "folder": str(folder),
                "pictures": names,
                "points": model.num_points3D(),
                "error": model.compute_mean_reprojection_error(),
            }
        )
    return {"models": found}


def _options(pycolmap: Any, job: dict[str, Any]) -> Any:
    options = pycolmap.IncrementalPipelineOptions()
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = job["seed"]
    options.extract_colors = False
    options.min_model_size = 3
    for name, value in job["mapping"].items():
        target: Any = options
        *path, last = name.split(".")
        for part in path:
            target = getattr(target, part)
        setattr(target, last, value)
    return options


def _known_cameras(pycolmap: Any, job: dict[str, Any]) -> set[int]:
    """Cameras whose focal length is known."""
    database = pycolmap.Database.open(job["database"])
    known = {camera.camera_id for camera in database.read_all_cameras() if camera.has_prior_focal_length}
    database.close()
    return known


def _released(pycolmap: Any, job: dict[str, Any], model: Any) -> Any:
    """A model with held lenses after they were set free, with the points and pictures that fit then."""
    adjustment = pycolmap.BundleAdjustmentOptions()
    adjustment.print_summary = False
    pycolmap.bundle_adjustment(model, adjustment)
    start, target = (Path(job["models"]) / name for name in ("held", "released"))
    for folder in (start, target):
        folder.mkdir(parents=True, exist_ok=True)
    model.write_binary(str(start))
    options = _options(pycolmap, job)
    options.multiple_models = False
    models = pycolmap.incremental_mapping(
        job["database"], job["folder"], str(target), options, input_path=str(start)
    )
    return max(models.values(), key=lambda released: released.num_reg_images(), default=model)
