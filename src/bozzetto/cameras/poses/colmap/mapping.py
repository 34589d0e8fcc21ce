"""Places the pictures of a database of matches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lens import refine_lens


def place(pycolmap: Any, job: dict, say: Callable[[dict], None]) -> dict:
    """Place the pictures; every model is written as text into a folder of its own."""
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
    placed = most = 0  # models are begun several times, the share does not go back

    def count(number: int) -> None:
        nonlocal placed, most
        placed, most = number, max(most, number)
        say({"stage": "mapping", "share": min(0.99, most / len(job["pictures"]))})

    say({"stage": "mapping", "share": 0.0})
    target = Path(job["models"])
    target.mkdir(parents=True, exist_ok=True)
    models = pycolmap.incremental_mapping(
        job["database"],
        job["folder"],
        str(target),
        options,
        initial_image_pair_callback=lambda: count(2),
        next_image_callback=lambda: count(placed + 1),
    )
    found = []
    largest = max(models, key=lambda n: (models[n].num_reg_images(), models[n].num_points3D()), default=None)
    for number, model in models.items():
        if number == largest:
            model = refine_lens(pycolmap, model)
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
